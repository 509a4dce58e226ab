"""The small job whose start-up `benchmarks.startup` measures: a session, a shuffle, a column through Python, Parquet there and back."""

import sys
import tempfile

from nightfold.spark.session import local, quiet

from pyspark.sql import SparkSession
from pyspark.sql import functions as F


def main() -> int:
    spark = local(quiet(SparkSession.builder.appName("small job").master("local[2]"))).getOrCreate()
    with tempfile.TemporaryDirectory() as folder:
        counted = spark.range(1000).groupBy((F.col("id") % 7).alias("id")).count()
        counted.mapInArrow(lambda batches: batches, "id bigint, count bigint").write.parquet(f"file://{folder}/counted")
        total = spark.read.parquet(f"file://{folder}/counted").agg(F.sum("count")).first()[0]
    spark.stop()
    return 0 if total == 1000 else 1


if __name__ == "__main__":
    sys.exit(main())
