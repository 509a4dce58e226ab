"""Examples: what is known of a key as of a window's cutoff, and what came after. Made from daily sums, so that nothing later is seen.

Columns (see `schema`): `key`, `window`; the numbers and categories that a model sees, by name (pipeline.Predict); `label`, NULL tonight;
and what the baselines say:

    past      how many of the events that are predicted he had, ever
    before    the label of as many days before the cutoff
    average   the label of three times as many days, by three
"""

from collections.abc import Sequence

from nightfold.pipeline import Pipeline
from nightfold.schemas import Schema
from nightfold.spark import layers
from nightfold.spark.exact import exact_sum
from nightfold.spark.job import Job
from nightfold.spark.windows import TONIGHT, Window

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

SAID = ("past", "before", "average")
BY = ("key", "window")


def schema(pipeline: Pipeline) -> Schema:
    """Of the examples."""
    numbers = dict.fromkeys((*pipeline.predict.features, "label", *SAID), "double")
    return {"key": "string", "window": "int", **numbers, **dict.fromkeys(pipeline.predict.categories, "string")}


def daily(spark: SparkSession, job: Job, name: str) -> DataFrame:
    """key, day (days since 1970-01-01), rows, and a column per sum and per count of different values: a row per key and day."""
    task = job.pipeline.predict
    events = task.events[name]
    rows = layers.clean(spark, job, events.source)
    if events.through is not None:
        on = events.through.column
        times = layers.clean(spark, job, events.through.source).groupBy(on).agg(F.min(events.time).alias(events.time))
        rows = rows.drop(events.time).join(times, on)
    day = F.unix_date(F.to_date(F.col(events.time))).alias("day")
    sums = [exact_sum(F.coalesce(F.col(column).cast("double"), F.lit(0.0))).alias(column) for column in events.sums]
    counts = [F.count_distinct(column).cast("double").alias(f"{column}s") for column in events.distinct]
    grouped = rows.groupBy(F.col(task.key).alias("key"), day).agg(F.count("*").cast("double").alias("rows"), *sums, *counts)
    return grouped.where(F.col("day") <= F.unix_date(F.lit(job.ds).cast("date")))


def made(pipeline: Pipeline, days: dict[str, DataFrame], windows: DataFrame, known: Sequence[DataFrame]) -> DataFrame:
    """All examples of all windows.

    :param days: events → their daily sums
    :param windows: see `table`
    :param known: key and categories
    """
    task = pipeline.predict
    population = _before(days[task.population], windows).select(*BY).distinct()
    found = population
    for name in task.events:
        found = found.join(_facts(_before(days[name], windows), pipeline, name), list(BY), "left")
    found = found.join(labels(days[task.label.of], windows, pipeline), list(BY), "left")
    found = found.join(_baselines(_before(days[task.label.of], windows), pipeline), list(BY), "left")
    for categories in known:
        found = found.join(categories, "key", "left")
    counted = [name for name in task.features if not name.endswith(("_since_last", "_since_first", "_gap", "_overdue", "_trend"))]
    label = F.when(F.col("window") != TONIGHT, F.coalesce("label", F.lit(0.0))).alias("label")
    none = dict.fromkeys((*counted, *SAID), 0.0)
    return found.fillna(none).select(*(label if name == "label" else name for name in schema(pipeline)))


def table(spark: SparkSession, windows: Sequence[Window]) -> DataFrame:
    """window, cutoff, ahead: how many days after it are predicted."""
    return spark.createDataFrame([(w.number, w.cutoff, w.days) for w in windows], "window int, cutoff int, ahead int")


def categories(spark: SparkSession, job: Job) -> list[DataFrame]:
    """key, and a column for each attribute of a source."""
    found = []
    for attributes in job.pipeline.predict.attributes:
        first = [F.min(column).cast("string").alias(f"{attributes.source}_{column}") for column in attributes.columns]
        found.append(layers.clean(spark, job, attributes.source).groupBy(F.col(job.pipeline.predict.key).alias("key")).agg(*first))
    return found


def _before(days: DataFrame, windows: DataFrame) -> DataFrame:
    """A row per day and window that it lies before the end of."""
    return days.join(F.broadcast(windows), F.col("day") <= F.col("cutoff"))


def _facts(before: DataFrame, pipeline: Pipeline, name: str) -> DataFrame:
    """key, window, and the features of some events."""
    task, ago = pipeline.predict, F.col("cutoff") - F.col("day")
    events = task.events[name]
    counted = ("rows", *events.sums, *(f"{column}s" for column in events.distinct))
    sums: list[Column] = [F.min(ago).alias("last"), F.max(ago).alias("first"), F.count("*").alias("n")]
    for days in sorted(set(task.days)):
        lately = ago < days
        sums.append(F.count_if(lately).cast("double").alias(f"{name}_days_{days}"))
        sums += [_when(lately, F.col(column)).alias(f"{name}_{column}_{days}") for column in counted]
    found = before.groupBy(*BY).agg(*sums)
    gap = F.when(F.col("n") > 1, (F.col("first") - F.col("last")) / (F.col("n") - 1))
    short, long = _trend(task.days)
    rows = lambda days: F.col(f"{name}_rows_{days}") / days  # noqa: E731
    return found.select(
        *BY,
        F.col("last").cast("double").alias(f"{name}_since_last"),
        F.col("first").cast("double").alias(f"{name}_since_first"),
        gap.alias(f"{name}_gap"),
        (F.col("last") / F.greatest(gap, F.lit(1.0))).alias(f"{name}_overdue"),
        F.when(rows(long) > 0, rows(short) / rows(long)).alias(f"{name}_trend"),
        *(c for c in found.columns if c.startswith(f"{name}_")),
    )


def _trend(days: Sequence[int]) -> tuple[int, int]:
    """The two spans whose rates are compared: the second, and the next longer one, where there are so many."""
    known = sorted(set(days))
    return known[min(1, len(known) - 1)], known[min(2, len(known) - 1)]


def _quantity(pipeline: Pipeline) -> Column:
    """Of a day: what the label counts."""
    return F.col(pipeline.predict.label.sum or "rows")


def labels(days: DataFrame, windows: DataFrame, pipeline: Pipeline) -> DataFrame:
    """key, window, label: of whom there is one other than 0."""
    after = (F.col("day") > F.col("cutoff")) & (F.col("day") <= F.col("cutoff") + F.col("ahead"))
    total = exact_sum(_quantity(pipeline))
    label = F.lit(1.0) if pipeline.task == "classify" else total
    return days.join(F.broadcast(windows), after).groupBy(*BY).agg(label.alias("label"))


def _baselines(before: DataFrame, pipeline: Pipeline) -> DataFrame:
    ago, ahead, quantity = F.col("cutoff") - F.col("day"), F.col("ahead"), _quantity(pipeline)
    return before.groupBy(*BY).agg(
        exact_sum(F.col("rows")).alias("past"),
        _when(ago < ahead, quantity).alias("before"),
        (_when(ago < 3 * ahead, quantity) / 3).alias("average"),
    )


def _when(condition: Column, value: Column) -> Column:
    return exact_sum(F.when(condition, value).otherwise(0.0))
