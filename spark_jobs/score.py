"""score: model -> what is published of every user or row. What each task of a pipeline makes of it: see there."""

from nightfold.spark.job import Job, Outcome, run
from nightfold.spark.recommend import score as recommend

from pyspark.sql import SparkSession

TASKS = {"recommend": recommend.main}


def main(spark: SparkSession, job: Job) -> Outcome:
    return TASKS[job.pipeline.task](spark, job)


if __name__ == "__main__":
    run("score", main)
