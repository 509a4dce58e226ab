"""How good the lists were that readers got, on the days after (nightfold/spark/truth.py)."""

from datetime import date

from nightfold import schemas
from nightfold.spark.evaluators import RankingEvaluator
from nightfold.spark.job import Job
from nightfold.spark.recommend.parts import part
from nightfold.spark.recommend.systems import METRICS
from nightfold.spark.truth import Published
from nightfold.spark.windows import EPOCH

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F


def measure(spark: SparkSession, job: Job, night: str, published: Published) -> dict[str, float]:
    """METRICS of some night's lists; who had none got the fallback. Raises NothingToJudge where nobody took anything."""
    later = taken_after(spark, job, (date.fromisoformat(night) - EPOCH).days)
    own = published.lists.select("key", F.col("items.id").alias("own"))
    unknown = published.fallback.select(F.col("items.id").alias("unknown"))
    got = later.join(own, "key", "left").crossJoin(F.broadcast(unknown))
    hits = F.transform(F.coalesce("own", "unknown"), lambda item: F.array_contains("taken", item)).alias("hits")
    rows = got.select(hits, F.size("taken").alias("relevant"))
    return RankingEvaluator(k=job.pipeline.training.k).measure(rows, metrics=METRICS)


def taken_after(spark: SparkSession, job: Job, night: int) -> DataFrame:
    """key, taken: the ids of what each user took in the days after, of what may be listed; with exclude_seen only what was new to him."""
    taken = part(spark, job, "interactions", schemas.INTERACTIONS)
    day, last = F.col("day"), night + job.pipeline.split.test_days
    after = taken.where((day > night) & (day <= last) & (F.col("weight") > 0)).select("user", "item").distinct()
    if job.pipeline.recommend.filters.exclude_seen:
        after = after.join(taken.where(day <= night).select("user", "item").distinct(), ["user", "item"], "left_anti")
    if (days := job.pipeline.recommend.filters.sold_within_days) is not None:  # as in the evaluation's windows
        sold = taken.where((day <= night) & (day > night - days) & (F.col("weight") > 0)).select("item").distinct()
        after = after.join(sold, "item", "left_semi")
    items = part(spark, job, "items", schemas.ITEMS).where("allowed").select("item", "id")
    users = part(spark, job, "users", schemas.USERS).select("user", F.col("id").alias("key"))
    return after.join(items, "item").join(users, "user").groupBy("key").agg(F.collect_set("id").alias("taken"))
