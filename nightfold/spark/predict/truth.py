"""How good the predictions were that readers got, on the days after (nightfold/spark/truth.py)."""

from datetime import date

from nightfold.spark.job import Job
from nightfold.spark.predict import examples
from nightfold.spark.predict.train import evaluator
from nightfold.spark.truth import Published
from nightfold.spark.windows import EPOCH, Window

from pyspark.sql import SparkSession
from pyspark.sql import functions as F


def measure(spark: SparkSession, job: Job, night: str, published: Published) -> dict[str, float]:
    """The metric of some night's predictions. Raises NothingToJudge where nothing happened."""
    window = Window(1, (date.fromisoformat(night) - EPOCH).days, job.pipeline.split.test_days)
    days = examples.daily(spark, job, job.pipeline.predict.label.of)
    labels = examples.labels(days, examples.table(spark, [window]), job.pipeline).select("key", "label")
    said = published.lists.select("key", F.element_at("items", 1)["score"].alias("predicted"))
    rows = said.join(labels, "key", "left").fillna(0.0, "label").persist()
    try:
        return {job.pipeline.metric: round(evaluator(job.pipeline).evaluate(rows), 6), "users": rows.count()}
    finally:
        rows.unpersist()
