"""Read and write the lake's datasets, checked against their schemas."""

from collections.abc import Sequence

from nightfold.errors import Permanent
from nightfold.schemas import Schema, differences

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType


class SchemaMismatch(Permanent):
    """A dataset is not what the lake's map says; every difference is named."""


def struct(schema: Schema) -> StructType:
    """The schema as Spark's."""
    return StructType.fromDDL(", ".join(f"`{name}` {kind}" for name, kind in schema.items()))


def check(frame: DataFrame, schema: Schema, *, what: str) -> DataFrame:
    """The frame with its columns in the map's order; raises SchemaMismatch with every difference."""
    found = {f.name: f.dataType.simpleString() for f in frame.schema.fields}
    if wrong := differences(schema, found):
        raise SchemaMismatch(f"{what}: {'; '.join(wrong)}")
    return frame.select(*schema)


def write(frame: DataFrame, schema: Schema, path: str, *, by: str | None = None) -> None:
    """Write Parquet into an attempt's own folder; `by` names a column whose values become folders `part=VALUE`.

    A folder gets one file from each partition of the frame that holds its value.
    """
    checked = check(frame, schema, what=path)
    if by is None:
        checked.write.mode("error").parquet(path)
    else:
        checked.withColumn("part", F.col(by)).write.mode("error").partitionBy("part").parquet(path)


def read(spark: SparkSession, schema: Schema, paths: Sequence[str], *, what: str) -> DataFrame:
    """Read Parquet folders; none gives an empty frame. The files' own schema is checked, never assumed."""
    if not paths:
        return spark.createDataFrame([], struct(schema))
    return check(spark.read.parquet(*paths), schema, what=what)
