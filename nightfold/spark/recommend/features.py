"""features: clean -> what the model sees as of the night: indexes of users and items, and their interactions.

Reads   clean (roll-up), clean/<interactions' source>, clean/<items' source>
Writes  features/users, features/items      explicit indexes, in the order of the ids
        features/interactions               one row per user, item and day, up to `ds` and never later
Raises  BadInput                            when there is nothing to learn from
"""

from datetime import date

from nightfold import rollup, schemas
from nightfold.errors import BadInput
from nightfold.spark import tables
from nightfold.spark.job import Job, Outcome
from nightfold.spark.recommend import indexing

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F


def layer(spark: SparkSession, job: Job, source: str) -> DataFrame:
    """One source's clean rows: every night up to `ds`, or tonight's snapshot."""
    folders = rollup.folders(job.lake.get("clean", job.ds), source, until=job.ds)
    schema = schemas.clean(job.pipeline.sources[source])
    return tables.read(spark, schema, [job.lake.spark_path(folder) for folder in folders], what=f"clean/{source}")


def main(spark: SparkSession, job: Job) -> Outcome:
    task = job.pipeline.recommend
    taken = indexing.events(layer(spark, job, task.interactions.source), job.pipeline, until=job.ds)
    products = layer(spark, job, task.items.source) if task.items else None
    users = indexing.index(taken.select(F.col("user_id").alias("id")).distinct(), name="user")
    item_ids = taken.select(F.col("item_id").alias("id")).distinct()
    items = indexing.catalogue(item_ids, taken, products, job.pipeline, until=job.ds)
    tables.write(users, schemas.USERS, f"{job.uri}/users")
    tables.write(items, schemas.ITEMS, f"{job.uri}/items")
    users = tables.read(spark, schemas.USERS, [f"{job.uri}/users"], what="features/users")
    items = tables.read(spark, schemas.ITEMS, [f"{job.uri}/items"], what="features/items")
    tables.write(indexing.interactions(taken, users, items), schemas.INTERACTIONS, f"{job.uri}/interactions")
    written = tables.read(spark, schemas.INTERACTIONS, [f"{job.uri}/interactions"], what="features/interactions")
    counted = written.agg(F.count("*").alias("rows"), F.min("day").alias("first"), F.max("day").alias("last")).first()
    if counted is None or not counted["rows"]:
        raise BadInput(f"{task.interactions.source}, night {job.ds}: no interactions up to this night: have deliveries landed")
    size = {"users": users.count(), "items": items.count(), "available": items.where("available").count()}
    first, last = (date.fromordinal(date(1970, 1, 1).toordinal() + counted[edge]) for edge in ("first", "last"))
    return Outcome(
        summary=f"{size['users']:,} users, {size['items']:,} items ({size['available']:,} may be listed), "
        f"{counted['rows']:,} interactions from {first} to {last}",
        rows=counted["rows"],
        facts={**size, "first_day": str(first), "last_day": str(last)},
    )
