"""What the stage `features` has committed for the night, as the later stages read it."""

from nightfold.schemas import Schema
from nightfold.spark import tables
from nightfold.spark.job import Job

from pyspark.sql import DataFrame, SparkSession


def folder(job: Job) -> str:
    """Its URI."""
    return job.lake.spark_path(str(job.lake.get("features", job.ds).data))


def part(spark: SparkSession, job: Job, name: str, schema: Schema) -> DataFrame:
    """One of its folders: users, items, interactions, histories, statistics/window=1 ..."""
    return tables.read(spark, schema, [f"{folder(job)}/{name}"], what=f"features/{name}")
