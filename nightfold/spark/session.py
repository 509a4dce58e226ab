"""The Spark session of a job: the pipeline's time zone, ANSI, Arrow, and no more than it needs."""

import os
import sys

from nightfold.pipeline import Pipeline

from pyspark import SparkConf
from pyspark.sql import SparkSession


def local(builder: SparkSession.Builder) -> SparkSession.Builder:
    """On a local master nothing outside this machine has to reach the driver."""
    return builder.config("spark.driver.host", "127.0.0.1").config("spark.driver.bindAddress", "127.0.0.1")


def quiet(builder: SparkSession.Builder) -> SparkSession.Builder:
    """What every session has: ANSI, Arrow, no web page (it asks for no login), no Hive."""
    return (
        builder.config("spark.log.level", "WARN")
        .config("spark.sql.ansi.enabled", "true")
        .config("spark.sql.execution.arrow.pyspark.enabled", "true")
        .config("spark.sql.catalogImplementation", "in-memory")
        .config("spark.ui.enabled", "false")
    )


def open_session(pipeline: Pipeline, *, name: str) -> SparkSession:
    """Master, memory and the like come from spark-submit; run alone without one, it is `local[*]`."""
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = (
        quiet(SparkSession.builder.appName(name))
        .config("spark.sql.session.timeZone", pipeline.timezone)
        .config("spark.sql.shuffle.partitions", pipeline.resources.shuffle_partitions)
        .config("spark.sql.sources.partitionColumnTypeInference.enabled", "false")  # ids and nights stay strings
        .config("spark.sql.legacy.javaCharsets", "true")  # a CSV of windows-1252 is read too
        .config("spark.sql.sources.parallelPartitionDiscovery.parallelism", 8)  # a year of nights: not one tiny task per folder
        .config("spark.sql.legacy.parquet.nanosAsLong", "true")  # pandas writes nanoseconds: readers.py makes times of them
    )
    master = SparkConf().get("spark.master", "local[*]")
    if master.startswith("local"):
        builder = local(builder.master(master))
    for setting, value in pipeline.resources.conf.items():
        builder = builder.config(setting, value)
    return builder.getOrCreate()
