"""Which items are promoted on the day of each window's cutoff: never of a later day, whatever the source already says."""

from collections.abc import Sequence

from nightfold.pipeline.recommend import Promotions
from nightfold.schemas import Schema
from nightfold.spark.windows import Window

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

SCHEMA: Schema = {"item": "int"}
"""Of one window."""


def promoted(rows: DataFrame, times: DataFrame | None, items: DataFrame, task: Promotions, windows: Sequence[Window]) -> DataFrame:
    """`window` int and SCHEMA, each item once.

    :param rows: clean rows of the source
    :param times: of the source that says when, where it is another one
    """
    if task.through is not None and times is not None:
        days = times.select(task.through.column, task.first, task.last)
        rows = rows.drop(task.first, task.last).join(days, task.through.column)
    first, last = (F.unix_date(F.to_date(F.col(f"`{column}`"))) for column in (task.first, task.last))
    on_it = [F.when((first <= window.cutoff) & (last >= window.cutoff), F.lit(window.number)) for window in windows]
    named = rows.select(
        F.col(f"`{task.item}`").cast("string").alias("id"), F.explode(F.array_compact(F.array(*on_it))).alias("window")
    )
    return named.join(items.select("item", "id"), "id").select("window", "item").distinct()
