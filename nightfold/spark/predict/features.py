"""features of classify and regress: clean -> an example of every key and window, as of the window's cutoff.

Reads   clean (roll-up), the sources of predict.events and predict.attributes
Writes  features/examples        see examples.py; part=WINDOW
Raises  BadInput                 when there is nothing to learn from
        HistoryTooShort          when the days do not hold the split's windows
"""

from collections.abc import Iterable
from dataclasses import asdict
from datetime import timedelta

from nightfold.errors import BadInput
from nightfold.spark import tables, windows
from nightfold.spark.job import Job, Outcome
from nightfold.spark.lately import compared_day, lately
from nightfold.spark.predict import examples
from nightfold.spark.windows import EPOCH, TONIGHT

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F


def repeated(days: DataFrame, last: int, *, sums: list[str]) -> dict[str, int | float]:
    """What the gate looks at, too: keys of the last day, and the share of them with the same sums a day before.

    :param days: daily sums of the population's events
    :param last: the last of these days
    """
    day, same = F.col("day"), F.struct("rows", *sums)
    two = (
        days.where(day > last - 2)
        .groupBy("key")
        .agg(
            F.count_if(day == last).alias("now"),
            F.max(F.when(day == last, same)).alias("today"),
            F.max(F.when(day == last - 1, same)).alias("yesterday"),
        )
    )
    again = F.count_if(F.col("today") == F.col("yesterday")).alias("again")
    row = two.where("now > 0").agg(F.count("*").alias("rows"), again).first()
    telling = row["again"] / row["rows"] if sums and row["rows"] else 0.0  # that somebody came twice is no sign
    return {"last_day_rows": row["rows"], "repeated": round(telling, 6)}


def main(spark: SparkSession, job: Job) -> Outcome:
    task = job.pipeline.predict
    days = {name: examples.daily(spark, job, name).persist() for name in task.events}
    try:
        whole = days[task.population]
        edges = whole.agg(F.min("day").alias("first"), F.max("day").alias("last")).first()
        if edges is None or edges["last"] is None:
            source = task.events[task.population].source
            raise BadInput(f"{source}, night {job.ds}: no events up to this night: have deliveries landed")
        planned = windows.plan(job.pipeline, job.ds, edges["first"])
        made = examples.made(job.pipeline, days, examples.table(spark, planned), examples.categories(spark, job))
        in_parts = made.repartition("window").sortWithinPartitions("window", "key")
        tables.write(in_parts, examples.schema(job.pipeline), f"{job.uri}/examples", by="window")
        last, events = edges["last"], task.events[task.population]
        source = job.pipeline.sources[events.source]
        compared = compared_day(source, job.ds, last)
        recent = {**lately(whole, "key", compared, closed=source.closed), **repeated(whole, last, sums=events.sums)}
    finally:
        for frame in days.values():
            frame.unpersist()
    rows = tables.written(f"{job.uri}/examples")
    first, last = (str(EPOCH + timedelta(days=edges[edge])) for edge in ("first", "last"))
    users, columns = rows.get(str(TONIGHT), 0), len(task.features) + len(task.categories)
    return Outcome(
        summary=f"{users:,} keys with {columns} features, from {first} to {last}; {len(planned)} windows, {sum(rows.values()):,} examples",
        rows=sum(rows.values()),
        facts={
            "users": users,
            "first_day": first,
            "last_day": last,
            **recent,
            "windows": [asdict(window) for window in planned],
        },
    )


def written(spark: SparkSession, job: Job, numbers: Iterable[int]) -> DataFrame:
    """The night's examples of some windows, as the later stages read them."""
    folder = job.lake.spark_path(str(job.lake.get("features", job.ds).data))
    places = [f"{folder}/examples/part={number}" for number in numbers]
    return tables.read(spark, examples.schema(job.pipeline), places, what="features/examples")
