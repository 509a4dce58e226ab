"""score: model -> the list of every user, after the pipeline's filters, and the fallback list.

Reads   features, model       the model as saved, with the index it was trained with
Writes  scores/lists          key, items (id, score, why), best first
        scores/fallback       one row, for whom the version does not know
"""

from collections.abc import Callable

from nightfold import schemas
from nightfold.spark import tables
from nightfold.spark.job import Job, Outcome
from nightfold.spark.recommend.blend import BlendModel

from pyspark.ml.tuning import CrossValidatorModel
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

DECIMALS = 6  # of a score


def why(times: Column, last_day: Column) -> Column:
    """Why an item is on a list, in words."""
    often = F.when(times == 1, F.lit("bought once")).otherwise(F.concat(F.lit("bought "), times.cast("string"), F.lit(" times")))
    last = F.concat(F.lit(", last on "), F.date_from_unix_date(last_day).cast("string"))
    return F.when(times > 0, F.concat(often, last)).otherwise(F.lit("suits what you buy"))


def lists(model: BlendModel, users: DataFrame, *, n: int) -> DataFrame:
    """key, items: one row per user of the index; nobody is left out, if only with an empty list."""
    picked = model.recommend(users, n).select("user", F.posexplode("items").alias("place", "picked"))
    ids = model.part("items").select("item", "id")
    score, reason = (
        F.round("picked.score", DECIMALS).alias("score"),
        why(F.col("picked.times"), F.col("picked.last_day")).alias("why"),
    )
    named = picked.join(ids, picked["picked.item"] == ids["item"])
    grouped = named.groupBy("user").agg(_in_order(F.struct("place", "id", score, reason)).alias("items"))
    keys = model.part("users").select("user", F.col("id").alias("key"))
    nothing = F.array().cast(schemas.SCORES["items"])
    return keys.join(grouped, "user", "left").select("key", F.coalesce("items", nothing).alias("items"))


def fallback(model: BlendModel, *, n: int) -> DataFrame:
    """The same shape, one row, no key."""
    ranked = model.fallback(n).join(model.part("items").select("item", "id"), "item")
    score, reason = F.round("score", DECIMALS).alias("score"), F.lit("popular now").alias("why")
    ordered = F.struct((-F.col("score")).alias("order"), "item", "id", score, reason)
    return ranked.agg(_in_order(ordered).alias("items")).select(F.lit("").alias("key"), "items")


def _in_order(ranked: Column) -> Column:
    """The ranked structs of a group as (id, score, why), sorted by what stands before these three."""
    entry: Callable[[Column], Column] = lambda r: F.struct(*(r[name].alias(name) for name in ("id", "score", "why")))  # noqa: E731
    return F.transform(F.array_sort(F.collect_list(ranked)), entry)


def main(spark: SparkSession, job: Job) -> Outcome:
    trained = job.lake.get("model", job.ds)
    model = CrossValidatorModel.load(job.lake.spark_path(f"{trained.data}/model")).bestModel
    n = job.pipeline.recommend.top_n
    tables.write(lists(model, model.part("users").select("user"), n=n), schemas.SCORES, f"{job.uri}/lists")
    tables.write(fallback(model, n=n), schemas.SCORES, f"{job.uri}/fallback")
    written = tables.read(spark, schemas.SCORES, [f"{job.uri}/lists"], what="scores/lists")
    size = F.size("items")
    counted = written.agg(F.count("*").alias("lists"), F.min(size).alias("shortest"), F.max(size).alias("longest")).first()
    distinct = written.select(F.explode("items.id")).distinct().count()
    return Outcome(
        summary=f"{counted['lists']:,} lists of {counted['shortest']} to {counted['longest']} items, {distinct:,} different items",
        rows=counted["lists"],
        facts={"items": distinct},
    )
