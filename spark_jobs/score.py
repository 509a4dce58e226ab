"""score: model -> what is published of every user or row. What each task of a pipeline makes of it: see there."""

from nightfold.champion import identity, tonight
from nightfold.fingerprint import digest
from nightfold.spark.job import Job, Outcome, run
from nightfold.spark.predict import score as predict
from nightfold.spark.recommend import score as recommend
from nightfold.stages import inputs_fingerprint

from pyspark.sql import SparkSession

TASKS = {"recommend": recommend.main, "classify": predict.main, "regress": predict.main}


def main(spark: SparkSession, job: Job) -> Outcome:
    return TASKS[job.pipeline.task](spark, job)


def planned(job: Job) -> str:
    """What the stages before give, and whose lists the gate lets through."""
    return digest(
        inputs_fingerprint(job.stage, pipeline=job.pipeline, ds=job.ds, lake=job.lake), identity(tonight(job.lake, job.ds))
    )


if __name__ == "__main__":
    run("score", main, fingerprint=planned)
