"""What came true: when the days after a published night have come, what readers really got is judged on them.

A second, later truth beside the gate's forecast, on the very days on which tonight's evaluation judges its systems. Dataset `truth`, one
manifest per night; no data of its own.
"""

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import PurePosixPath
from typing import NamedTuple

from nightfold import schemas
from nightfold.lake import Manifest
from nightfold.spark import tables
from nightfold.spark.evaluators import NothingToJudge
from nightfold.spark.job import Job

from pyspark.sql import DataFrame, SparkSession

AT_ONCE = 3  # nights; after a break the others follow on the next ones


class Published(NamedTuple):
    """What a night has published; both schemas.SCORES."""

    lists: DataFrame
    fallback: DataFrame
    """One row: of whom the version does not know."""


Measure = Callable[[SparkSession, Job, str, Published], dict[str, float]]
"""(session, job, night, what it published) → metrics, and `users`: how many were judged."""


def judge_what_came_true(spark: SparkSession, job: Job, measure: Measure) -> None:
    """Judge and keep what is due: promoted nights whose following `split.test_days` days are all in the lake."""
    days = job.pipeline.split.test_days
    for night, promoted in due(job):
        place = PurePosixPath(_lists(promoted))
        got = {part: job.lake.spark_path(str(place.with_name(part))) for part in Published._fields}
        published = Published(*(tables.read(spark, schemas.SCORES, [uri], what=f"scores/{part}") for part, uri in got.items()))
        try:
            found = measure(spark, job, night, published)
        except NothingToJudge:
            found = {"users": 0}
        facts = {"version": promoted.facts["version"], "metrics": found, "forecast": promoted.facts["metrics"], "days": days}
        summary = f"what was published of night {night} was judged on the {days} days after it"
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
