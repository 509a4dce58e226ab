"""The Spark session of a job: the pipeline's time zone, ANSI, Arrow, and no more than it needs."""

import os
import sys

from nightfold.pipeline import Pipeline

from pyspark.sql import SparkSession


def open_session(pipeline: Pipeline, *, name: str) -> SparkSession:
    """Master, memory and the like come from spark-submit; run alone without one, it is `local[*]`."""
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = (
        SparkSession.builder.appName(name)
        .config("spark.sql.session.timeZone", pipeline.timezone)
        .config("spark.sql.shuffle.partitions", pipeline.resources.shuffle_partitions)
        .config("spark.sql.ansi.enabled", "true")
        .config("spark.sql.execution.arrow.pyspark.enabled", "true")
        .config("spark.sql.sources.partitionOverwriteMode", "static")
        .config("spark.sql.sources.partitionColumnTypeInference.enabled", "false")  # ids and nights stay strings
        .config("spark.sql.catalogImplementation", "in-memory")
    )
    if "spark.master" not in os.environ.get("PYSPARK_SUBMIT_ARGS", "") and not _submitted():
        builder = builder.master("local[*]")
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("WARN")
    return session


def _submitted() -> bool:
    """Whether spark-submit started this process (it says so by the gateway's port)."""
    return "PYSPARK_GATEWAY_PORT" in os.environ
