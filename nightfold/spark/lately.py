"""How a night's last day compares with the days before: what the gate looks at before it trusts the data."""

from statistics import median

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

ACTIVE_DAYS = 7
WEEKS = 4


def lately(rows: DataFrame, who: str, last: int) -> dict[str, int | float | None]:
    """active_users: of the last ACTIVE_DAYS days; last_day_users; usual_users: the median of the same weekday in WEEKS weeks before, None
    where there was none. A row per day comes to the driver.

    :param rows: `day` (days since 1970-01-01) and the column `who`
    :param last: the last day with any
    """
    day = F.col("day")
    active = rows.where(day > last - ACTIVE_DAYS).agg(F.count_distinct(who)).first()[0]
    same_weekday = [last - 7 * weeks for weeks in range(WEEKS + 1)]
    counted = rows.where(day.isin(same_weekday)).groupBy("day").agg(F.count_distinct(who).alias("users")).collect()
    users = {row["day"]: row["users"] for row in counted}
    before = [users[at] for at in same_weekday[1:] if at in users]
    return {"active_users": active, "last_day_users": users.get(last, 0), "usual_users": median(before) if before else None}
