"""features: clean -> what the models see as of the night: indexes, every user's past, and what each window knows of the items.

Reads   clean (roll-up), clean/<source> of the interactions, items, users and promotions
Writes  features/users, features/items      explicit indexes, in the order of the ids
        features/interactions               one row per user, item and day, up to `ds` and never later
        features/histories                  the same, one row per user
        features/attributes                 who is alike, if the pipeline file says by what
        features/statistics, neighbours, als, segments, promotions   of each window (windows.py), as of its cutoff
Raises  BadInput                            when there is nothing to learn from
        HistoryTooShort                     when the days do not hold the split's windows
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import date
from typing import Any

from nightfold import schemas
from nightfold.errors import BadInput
from nightfold.pipeline.recommend import Promotions
from nightfold.spark import layers, tables, windows
from nightfold.spark.job import Job, Outcome
from nightfold.spark.lately import compared_day, lately
from nightfold.spark.recommend import als, als_grid, cooccurrence, history, indexing, item_statistics, promotions, segments
from nightfold.spark.together import each
from nightfold.spark.windows import Window

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F


def pasts(spark: SparkSession, job: Job) -> tuple[int, int]:
    """Write users, items, interactions and histories; returns the first and the last day on which somebody took something."""
    task = job.pipeline.recommend
    partitions = job.pipeline.resources.shuffle_partitions
    clean = layers.clean(spark, job, task.interactions.source)
    taken = indexing.events(clean, job.pipeline, until=job.ds).repartition(partitions, "user_id").persist()
    try:
        products = layers.clean(spark, job, task.items.source) if task.items else None
        users = indexing.index(taken.select(F.col("user_id").alias("id")).distinct(), name="user")
        item_ids = taken.select(F.col("item_id").alias("id")).distinct()
        items = indexing.catalogue(item_ids, taken, products, job.pipeline, until=job.ds)
        made = {"users": (users, schemas.USERS), "items": (items, schemas.ITEMS)}
        each(list(made), lambda name: tables.write(*made[name], f"{job.uri}/{name}"))
        users, items = (_written(spark, job, name, schema) for name, (_, schema) in made.items())
        tables.write(indexing.interactions(taken, users, items), schemas.INTERACTIONS, f"{job.uri}/interactions")
        interactions = _written(spark, job, "interactions", schemas.INTERACTIONS)
        alike = None
        if task.users is not None:
            found = segments.of_users(users, layers.clean(spark, job, task.users.source), task.users)
            tables.write(found, segments.ATTRIBUTES, f"{job.uri}/attributes")
            alike = _written(spark, job, "attributes", segments.ATTRIBUTES)
        histories = history.histories(interactions, indexing.visits(taken, users), alike, partitions=partitions)
        tables.write(histories, history.SCHEMA, f"{job.uri}/histories")
    finally:
        taken.unpersist()
    edges = interactions.agg(F.min("day").alias("first"), F.max("day").alias("last")).first()
    if edges is None or edges["last"] is None:
        raise BadInput(f"{task.interactions.source}, night {job.ds}: no interactions up to this night: have deliveries landed")
    return edges["first"], edges["last"]


def repeated(interactions: DataFrame, last: int) -> dict[str, int | float]:
    """What the gate looks at, too: rows of the last day, and the share of them that the day before had, too.

    :param last: the last day on which somebody took something
    """
    days = (
        interactions.where(F.col("day") > last - 2)
        .groupBy("user", "item")
        .agg(F.max("day").alias("last"), F.count("*").alias("days"))
    )
    row = days.where(F.col("last") == last).agg(F.count("*").alias("rows"), F.count_if(F.col("days") == 2).alias("again")).first()
    return {"last_day_rows": row["rows"], "repeated": round(row["again"] / row["rows"], 6)}


def knowledge(spark: SparkSession, job: Job, planned: Sequence[Window]) -> dict[str, Any]:
    """Write what each window knows of the items, as knowledge.Places reads it; returns by which engine and settings ALS was fitted, and
    what else was tried."""
    task = job.pipeline.recommend
    histories = _written(spark, job, "histories", history.SCHEMA)
    interactions = f"{job.uri}/interactions"
    work: dict[str, Callable[[], DataFrame]] = {
        "neighbours": lambda: cooccurrence.neighbours(spark, interactions, planned, days=task.candidates.together_days),
        "statistics": lambda: item_statistics.statistics(histories, planned),
    }
    if task.users is not None:
        work["segments"] = lambda: segments.popularity(histories, planned, days=task.candidates.recent_days)
    if task.promotions is not None:
        work["promotions"] = lambda: promoted(spark, job, task.promotions, planned)
    within = {"als": ("window", "kind")}

    def write(some: dict[str, Callable[[], DataFrame]]) -> None:
        each(
            list(some),
            lambda name: some[name]().write.mode("error").partitionBy(*within.get(name, ("window",))).parquet(f"{job.uri}/{name}"),
        )

    points, best, tried = als_grid.points(job), 0, list[dict[str, Any]]()
    if len(points) > 1:  # lists are judged by all else that is known of the items
        write(work)
        best, tried = als_grid.choose(spark, job, histories, planned, points)
        work = {}
    write({"als": lambda: als.factors(spark, interactions, planned, [points[best]]).drop("point"), **work})
    job.discard_scratch()
    return {"als": ": ".join(als.engine(interactions, points[best])), "als_settings": task.als.points[best], "als_grid": tried}


def promoted(spark: SparkSession, job: Job, task: Promotions, planned: Sequence[Window]) -> DataFrame:
    """What is promoted on the day of each window's cutoff."""
    times = layers.clean(spark, job, task.through.source) if task.through is not None else None
    items = _written(spark, job, "items", schemas.ITEMS)
    return promotions.promoted(layers.clean(spark, job, task.source), times, items, task, planned)


def main(spark: SparkSession, job: Job) -> Outcome:
    first, last = pasts(spark, job)
    planned = windows.plan(job.pipeline, job.ds, first)
    known = knowledge(spark, job, planned)
    size = {name: _rows(job, name) for name in ("users", "items")}
    size["available"] = _written(spark, job, "items", schemas.ITEMS).where("available").count()
    rows = _rows(job, "interactions")
    taken = _written(spark, job, "interactions", schemas.INTERACTIONS)
    source = job.pipeline.sources[job.pipeline.recommend.interactions.source]
    compared = compared_day(source, job.ds, last)
    recent = {**lately(taken, "user", compared, closed=source.closed), **repeated(taken, last)}
    days = {
        edge: str(date.fromordinal(windows.EPOCH.toordinal() + day)) for edge, day in (("first_day", first), ("last_day", last))
    }
    return Outcome(
        summary=f"{size['users']:,} users, {size['items']:,} items ({size['available']:,} may be listed), {rows:,} interactions "
        f"from {days['first_day']} to {days['last_day']}; {len(planned)} windows; ALS by {_said(known)}",
        rows=rows,
        facts={**known, **size, **days, **recent, "windows": [asdict(window) for window in planned]},
    )


def _said(known: dict[str, Any]) -> str:
    """By which engine, and which settings are best."""
    if not known["als_grid"]:
        return known["als"]
    words = ", ".join(f"{name} {value:g}" for name, value in known["als_settings"].items())
    return f"{known['als']}; best of {len(known['als_grid'])}: {words}"


def _written(spark: SparkSession, job: Job, name: str, schema: schemas.Schema) -> DataFrame:
    return tables.read(spark, schema, [f"{job.uri}/{name}"], what=f"features/{name}")


def _rows(job: Job, name: str) -> int:
    return sum(tables.written(f"{job.uri}/{name}").values())
