"""How a night's last day compares with the days before: what the gate looks at before it trusts the data."""

from datetime import date, timedelta
from statistics import median

from nightfold.pipeline import FileSource, TableSource
from nightfold.spark.windows import EPOCH

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

ACTIVE_DAYS = 7
WEEKS = 4


def compared_day(source: FileSource | TableSource, ds: str, last: int) -> int:
    """The day that is held against its weekday: the night, or the last one with any rows where the night may be without (closed, or may
    be empty, or a snapshot, which may lag behind)."""
    night = date.fromisoformat(ds)
    without = night in source.closed or source.empty == "accept" or not source.nightly
    return last if without else (night - EPOCH).days


def lately(rows: DataFrame, who: str, last: int) -> dict[str, int | float | str | None]:
    """active_users: of the last ACTIVE_DAYS days; compared_day: `last` as a date; last_day_users: of it; usual_users: the median of the
    same weekday in WEEKS weeks before, None where there was none. A row per day comes to the driver.

    :param rows: `day` (days since 1970-01-01) and the column `who`
    :param last: see compared_day
    """
    day = F.col("day")
    active = rows.where(day > last - ACTIVE_DAYS).agg(F.count_distinct(who)).first()[0]
    same_weekday = [last - 7 * weeks for weeks in range(WEEKS + 1)]
    counted = rows.where(day.isin(same_weekday)).groupBy("day").agg(F.count_distinct(who).alias("users")).collect()
    users = {row["day"]: row["users"] for row in counted}
    before = [users[at] for at in same_weekday[1:] if at in users]
    compared = str(EPOCH + timedelta(days=last))
    usual = median(before) if before else None
    return {"active_users": active, "compared_day": compared, "last_day_users": users.get(last, 0), "usual_users": usual}
