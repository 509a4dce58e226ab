"""The rows of a layer whose nights lie together, as older and newer rules have written them."""

from collections.abc import Iterable

from nightfold import rollup, schemas
from nightfold.lake import Lake
from nightfold.pipeline import Pipeline
from nightfold.spark import tables
from nightfold.spark.job import Job

from pyspark.sql import DataFrame, SparkSession

SCHEMAS = {"raw": schemas.raw, "clean": schemas.clean, "rejected": schemas.rejected}


def clean(spark: SparkSession, job: Job, source: str) -> DataFrame:
    """One source's clean rows: every night up to `ds`, or tonight's snapshot."""
    folders = rollup.folders(job.lake.get("clean", job.ds), source, until=job.ds)
    return nights(spark, job.pipeline, job.lake, f"clean/{source}", folders)


def nights(spark: SparkSession, pipeline: Pipeline, lake: Lake, dataset: str, folders: Iterable[str]) -> DataFrame:
    """Some nights of `raw/SOURCE`, `clean/SOURCE` or `rejected/SOURCE`; a column that was declared after a night is NULL in it.

    Raises SchemaMismatch for a column of another type, and in clean rows for one that is `required` now.
    """
    layer, name = dataset.split("/")
    source = pipeline.sources[name]
    return tables.nights(
        spark,
        SCHEMAS[layer](source),
        [lake.spark_path(folder) for folder in folders],
        what=dataset,
        needed=[column for column, rules in source.columns.items() if rules.required and layer == "clean"],
        mend=f"have the deliveries of such nights landed, then `nightfold retake {pipeline.pipeline} {name} --ds NIGHT`, and run ingest",
    )
