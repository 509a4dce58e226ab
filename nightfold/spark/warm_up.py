"""The job from which set-up makes the class-data archive: in small, the ways that the stages take through Spark.

`scripts/spark.sh` runs it once through spark-submit. What it does not touch is loaded from the jars as ever: that costs time only.
"""

import sys
import tempfile
from pathlib import Path

from nightfold.spark.session import local, quiet

from pyspark.ml.feature import StringIndexer
from pyspark.ml.pipeline import Pipeline, PipelineModel
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

LINES = ["id,n,t", *(f'u{i % 7},{i},"2017-01-0{i % 9 + 1} 10:00:00"' for i in range(300))]


def walk(spark: SparkSession, folder: Path) -> None:
    """Read CSV, type, rank, aggregate, join, write and read Parquet and JSON, cross to Python and back, save and load a model."""
    (folder / "rows.csv").write_text("\n".join(LINES))
    night = F.regexp_extract(F.col("_metadata.file_path"), "/(rows)[.]", 1)
    rows = spark.read.schema("id string, n string, t string").option("header", True).csv(f"file://{folder}/rows.csv")
    rows.withColumn("night", night).write.partitionBy("night").parquet(f"file://{folder}/raw")
    raw = typed(spark.read.parquet(f"file://{folder}/raw")).persist()
    events = F.array_sort(F.collect_list(F.struct("n", "t"))).alias("events")
    raw.groupBy("night", "id").agg(F.count("*"), F.sum("n"), F.max("t"), events).select(
        F.to_json("events"), F.size("events")
    ).collect()
    raw.join(raw.select("id", "place").distinct(), ["id", "place"], "left").where("n > 2").write.json(f"file://{folder}/json")
    spark.read.schema("id string, n string").json(f"file://{folder}/json").count()
    same = raw.select("id", "n").repartition(2).mapInArrow(lambda batches: batches, "id string, n bigint")
    same.agg(F.count_distinct("id"), F.percentile_approx("n", 0.5)).collect()
    Pipeline(stages=[StringIndexer(inputCol="id", outputCol="index")]).fit(raw).save(f"file://{folder}/model")
    PipelineModel.load(f"file://{folder}/model").transform(raw).count()


def typed(raw: DataFrame) -> DataFrame:
    """As `clean` types."""
    time = F.try_to_timestamp("t", F.lit("yyyy-MM-dd HH:mm:ss"))
    place = F.row_number().over(Window.partitionBy("id").orderBy("n"))
    return raw.select("id", F.col("n").try_cast("bigint").alias("n"), time.alias("t"), "night").withColumn("place", place)


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        spark = local(quiet(SparkSession.builder.appName("warm-up").master("local[2]"))).getOrCreate()
        walk(spark, Path(name))
        spark.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
