"""The Spark session of a job: the pipeline's time zone, ANSI, Arrow, and no more than it needs."""

import os
import sys
from urllib.parse import urlsplit

from nightfold import settings, standalone
from nightfold.errors import ClusterUnreachable
from nightfold.pipeline import Pipeline

from py4j.protocol import Py4JJavaError
from pyspark import SparkConf, SparkContext
from pyspark.sql import SparkSession

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def local(builder: SparkSession.Builder) -> SparkSession.Builder:
    """Nothing outside this machine has to reach the driver."""
    return builder.config("spark.driver.host", "127.0.0.1").config("spark.driver.bindAddress", "127.0.0.1")


def quiet(builder: SparkSession.Builder) -> SparkSession.Builder:
    """What every session has: ANSI, Arrow, no web page (it asks for no login), no Hive, workers that start fast."""
    return (
        builder.config("spark.log.level", "WARN")
        .config("spark.sql.ansi.enabled", "true")
        .config("spark.sql.execution.arrow.pyspark.enabled", "true")
        .config("spark.sql.catalogImplementation", "in-memory")
        .config("spark.ui.enabled", "false")
        .config("spark.python.daemon.module", "nightfold.spark.daemon")
    )


def on(master: str, builder: SparkSession.Builder) -> SparkSession.Builder:
    """What a master asks of the driver: a standalone cluster its secret, and all on this machine that nothing listens beyond it."""
    if master.startswith("local"):
        return local(builder.master(master))
    if master.startswith("spark://"):
        secret = settings.setting("NIGHTFOLD_SPARK_SECRET")
        for name, value in standalone.driver_settings(secret).items() if secret else ():
            builder = builder.config(name, value)
        if all(urlsplit(f"//{one}").hostname in LOOPBACK for one in master.removeprefix("spark://").split(",")):
            return local(builder)
    return builder


def names_known(spark: SparkSession) -> SparkSession:
    """The same session, whose JVM is asked once for each of these classes: else with every column, and it looks through all jars."""
    for name in ("functions", "PythonSQLUtils", "PythonUtils"):
        setattr(spark._jvm, name, getattr(spark._jvm, name))
    return spark


def first_line(error: Py4JJavaError) -> str:
    """Java's class and message, without the trace that Python's `str` of it begins with."""
    return str(error.java_exception.toString()).split("\n")[0]


def _master() -> str:
    """The master that spark-submit was given; `local[*]` without one."""
    if "PYSPARK_GATEWAY_PORT" in os.environ:  # until this process has met spark-submit's JVM, SparkConf() knows no setting
        SparkContext._ensure_initialized()
    return SparkConf().get("spark.master", "local[*]")


def open_session(pipeline: Pipeline, *, name: str) -> SparkSession:
    """Master, memory and the like come from spark-submit; run alone without one, it is `local[*]`.

    Raises ClusterUnreachable where a standalone master takes no job; Spark tells the driver only that its context was stopped.
    """
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
    master = _master()
    builder = on(master, builder)
    for setting, value in pipeline.resources.conf.items():
        builder = builder.config(setting, value)
    try:
        return names_known(builder.getOrCreate())
    except Py4JJavaError as error:
        if not master.startswith("spark://"):
            raise
        raise ClusterUnreachable(
            f"{master} takes no job ({first_line(error)}): start it where it is down (make up-cluster), or give this job the secret that "
            "it was started with (NIGHTFOLD_SPARK_SECRET); then a retry goes on"
        ) from error
