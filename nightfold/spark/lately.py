"""How a night's last day compares with the days before: what the gate looks at before it trusts the data."""

from collections.abc import Collection
from datetime import date, timedelta
from itertools import count, islice
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


def active_days(last: int, closed: Collection[date]) -> list[int]:
    """The last ACTIVE_DAYS days that are not closed, `last` or the one before it first."""
    shut = {(day - EPOCH).days for day in closed}
    return list(islice((day for day in count(last, -1) if day not in shut), ACTIVE_DAYS))


def lately(rows: DataFrame, who: str, last: int, *, closed: Collection[date]) -> dict[str, int | float | str | None]:
    """active_users: of the `active_days`; compared_day: `last` as a date; last_day_users: of it; usual_users: the median of the
    same weekday in WEEKS weeks before, None where there was none. A row per day comes to the driver.

    :param rows: `day` (days since 1970-01-01) and the column `who`
    :param last: see compared_day
    :param closed: days with nothing to deliver
    """
    day = F.col("day")
    active = rows.where(day.isin(active_days(last, closed))).agg(F.count_distinct(who)).first()[0]
    same_weekday = [last - 7 * weeks for weeks in range(WEEKS + 1)]
    counted = rows.where(day.isin(same_weekday)).groupBy("day").agg(F.count_distinct(who).alias("users")).collect()
    users = {row["day"]: row["users"] for row in counted}
    before = [users[at] for at in same_weekday[1:] if at in users]
    compared = str(EPOCH + timedelta(days=last))
    usual = median(before) if before else None
    return {"active_users": active, "compared_day": compared, "last_day_users": users.get(last, 0), "usual_users": usual}
