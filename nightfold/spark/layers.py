"""Clean rows, as the stages after `clean` read them."""

from nightfold import rollup, schemas
from nightfold.spark import tables
from nightfold.spark.job import Job

from pyspark.sql import DataFrame, SparkSession


def clean(spark: SparkSession, job: Job, source: str) -> DataFrame:
    """One source's clean rows: every night up to `ds`, or tonight's snapshot."""
    folders = rollup.folders(job.lake.get("clean", job.ds), source, until=job.ds)
    schema = schemas.clean(job.pipeline.sources[source])
    return tables.read(spark, schema, [job.lake.spark_path(folder) for folder in folders], what=f"clean/{source}")
