"""evaluate: the recipe, judged on days that it has not seen, and the gate. What each task of a pipeline makes of it: see there.

Raises  NightRefused      when the gate refuses the night; its page is committed before
"""

from nightfold.champion import champion, tonight
from nightfold.fingerprint import digest
from nightfold.spark.job import Job, Outcome, run
from nightfold.spark.predict import evaluate as predict
from nightfold.spark.recommend import evaluate as recommend
from nightfold.stages import inputs_fingerprint

from pyspark.sql import SparkSession

TASKS = {"recommend": recommend.main, "classify": predict.main, "regress": predict.main}


def main(spark: SparkSession, job: Job) -> Outcome:
    return TASKS[job.pipeline.task](spark, job)


def planned(job: Job) -> str:
    """What the stages before give, and the version to beat."""
    served = champion(job.lake, job.store, job.ds)
    return digest(
        inputs_fingerprint(job.stage, pipeline=job.pipeline, ds=job.ds, lake=job.lake), served.version if served is not None else ""
    )


def enforce(job: Job) -> None:
    """Let no refused night pass."""
    tonight(job.lake, job.ds)


if __name__ == "__main__":
    run("evaluate", main, fingerprint=planned, after=enforce)
