"""train: features -> the model that scores tonight, chosen on earlier windows only, then fitted on everything up to `ds`.

Reads   features
Writes  model        see choosing.py: examples in, lists out
"""

from nightfold.spark.choosing import choose, fold
from nightfold.spark.job import Job, Outcome
from nightfold.spark.recommend import examples, twin
from nightfold.spark.recommend.ranker import evaluator, ranker
from nightfold.spark.windows import LAST_VALIDATION, TEST

from pyspark.sql import DataFrame, SparkSession


def folded(spark: SparkSession, job: Job) -> DataFrame:
    """The examples with column `fold`."""
    folds = job.pipeline.split.folds
    oldest = len(job.lake.get("features", job.ds).facts["windows"]) - 1
    validation = range(LAST_VALIDATION, LAST_VALIDATION + folds)
    made = examples.written(spark, job, range(TEST, oldest + 1), whole=validation)
    return made.withColumn("fold", fold(folds))


def main(spark: SparkSession, job: Job) -> Outcome:
    return choose(
        job,
        folded(spark, job),
        ranker(job.pipeline),
        evaluator(job.pipeline),
        metric=f"{job.pipeline.metric}@{job.pipeline.training.k}",
        features=examples.names(job.pipeline),
        twin=lambda _, uri: twin.write(job, uri),
        chosen_before={f"als_{name}": value for name, value in job.lake.get("features", job.ds).facts["als_settings"].items()},
    )
