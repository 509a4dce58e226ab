"""What came true: when the days after a published night have come, the lists that readers really got are judged on them.

A second, later truth beside the gate's forecast. Dataset `truth`, one manifest per night; no data of its own.
"""

from datetime import date, timedelta
from typing import Any

from nightfold import schemas
from nightfold.lake import Manifest
from nightfold.spark import tables
from nightfold.spark.evaluators import NothingToJudge, RankingEvaluator
from nightfold.spark.job import Job
from nightfold.spark.recommend.parts import part
from nightfold.spark.recommend.systems import METRICS
from nightfold.spark.recommend.windows import EPOCH

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

AT_ONCE = 3  # nights; after a break the others follow on the next ones


def judge_what_came_true(spark: SparkSession, job: Job) -> None:
    """Judge and keep what is due: promoted nights whose following `split.test_days` days are all in the lake."""
    for night, promoted in due(job):
        facts = judged(spark, job, night, promoted)
        summary = f"the lists of night {night} were judged on the {job.pipeline.split.test_days} days after it"
        job.lake.commit(job.manifest("truth", night, fingerprint=promoted.fingerprint, facts=facts, summary=summary))


def due(job: Job) -> list[tuple[str, Manifest]]:
    """Promoted nights to judge, the latest first."""
    limit = str(date.fromisoformat(job.ds) - timedelta(days=job.pipeline.split.test_days))
    promoted = job.lake.find_all("promotion", [night for night in job.lake.nights("promotion") if night <= limit])
    known = job.lake.find_all("truth", promoted)
    new = [
        (night, manifest)
        for night, manifest in sorted(promoted.items(), reverse=True)
        if (night not in known or known[night].fingerprint != manifest.fingerprint) and job.lake.exists(_lists(manifest))
    ]
    return new[:AT_ONCE]


def _lists(promoted: Manifest) -> str:
    return str(promoted.facts["facts"].get("lists", "no such folder: an older release has published it"))


def judged(spark: SparkSession, job: Job, night: str, promoted: Manifest) -> dict[str, Any]:
    """METRICS of the lists that were live, the users judged, and what the gate had forecast; no metrics where nobody took anything."""
    begin = (date.fromisoformat(night) - EPOCH).days
    later = taken_after(spark, job, begin)
    lists = tables.read(spark, schemas.SCORES, [job.lake.spark_path(_lists(promoted))], what="scores/lists")
    hits = F.transform("items.id", lambda item: F.array_contains("taken", item)).alias("hits")
    rows = lists.join(later, "key").select(hits, F.size("taken").alias("relevant"))
    try:
        found = RankingEvaluator(k=job.pipeline.training.k).measure(rows, metrics=METRICS)
    except NothingToJudge:
        found = {"users": 0}
    return {
        "version": promoted.facts["version"],
        "metrics": found,
        "forecast": promoted.facts["metrics"],
        "days": job.pipeline.split.test_days,
    }


def taken_after(spark: SparkSession, job: Job, night: int) -> DataFrame:
    """key, taken: the ids of what each user took in the days after, of what may be listed; with exclude_seen only what was new to him."""
    taken = part(spark, job, "interactions", schemas.INTERACTIONS)
    day, last = F.col("day"), night + job.pipeline.split.test_days
    after = taken.where((day > night) & (day <= last)).select("user", "item").distinct()
    if job.pipeline.recommend.filters.exclude_seen:
        after = after.join(taken.where(day <= night).select("user", "item").distinct(), ["user", "item"], "left_anti")
    items = part(spark, job, "items", schemas.ITEMS).where("available").select("item", "id")
    users = part(spark, job, "users", schemas.USERS).select("user", F.col("id").alias("key"))
    return after.join(items, "item").join(users, "user").groupBy("key").agg(F.collect_set("id").alias("taken"))
