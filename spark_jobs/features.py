"""features: clean -> what the model sees as of the night. What each task of a pipeline makes of it: see there."""

from nightfold.spark.job import Job, Outcome, run
from nightfold.spark.predict import features as predict
from nightfold.spark.recommend import features as recommend

from pyspark.sql import SparkSession

TASKS = {"recommend": recommend.main, "classify": predict.main, "regress": predict.main}


def main(spark: SparkSession, job: Job) -> Outcome:
    return TASKS[job.pipeline.task](spark, job)


if __name__ == "__main__":
    run("features", main)
