"""Read and write the lake's datasets, checked against their schemas."""

import json
import posixpath
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from nightfold.errors import Permanent
from nightfold.lake import filesystem
from nightfold.schemas import Schema, differences

import pyarrow.parquet as pq
from pyarrow import fs as pafs
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

_SPARK_SCHEMA = b"org.apache.spark.sql.parquet.row.metadata"  # where Spark keeps a file's schema, in its own words
_PARALLEL = 16  # footers read at once
_FEW = 10  # nights that a message names one by one


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


def written(path: str) -> dict[str, int]:
    """Value of `part` → rows, of what `write` has written: as the files themselves say, with no Spark job."""
    files = _files(path, recursive=True)
    with ThreadPoolExecutor(_PARALLEL) as pool:
        counts = pool.map(lambda file: pq.read_metadata(file[1], filesystem=file[0]).num_rows, files)
    rows: dict[str, int] = {}
    for (_, name), count in zip(files, counts, strict=True):
        part = name.split("/")[-2].removeprefix("part=")
        rows[part] = rows.get(part, 0) + count
    return rows


def read(spark: SparkSession, schema: Schema, paths: Sequence[str], *, what: str) -> DataFrame:
    """Read Parquet folders; none gives an empty frame. The files' own schema is checked, never assumed."""
    if not paths:
        return spark.createDataFrame([], struct(schema))
    own = _own_schema(paths[0])
    return check((spark.read.schema(own) if own else spark.read).parquet(*paths), schema, what=what)


def nights(
    spark: SparkSession, schema: Schema, paths: Sequence[str], *, what: str, needed: Sequence[str] = (), mend: str
) -> DataFrame:
    """Read nights of a dataset, of which some may be older than the schema: a column that they lack is NULL, one that is not wanted is
    left out. Raises SchemaMismatch, with a night and the mend, when a column is of another type, or a needed one is not there.

    :param paths: folders `ATTEMPT/part=NIGHT`; those of one attempt are alike
    :param needed: columns that every night must have
    """
    if not paths:
        return spark.createDataFrame([], struct(schema))
    lacking: dict[str, list[str]] = {}
    for alike, found in _as_written(spark, paths):
        for name, kind in schema.items():
            if found.get(name, kind) != kind:
                raise SchemaMismatch(
                    f"{what}: {name} is {found[name]} in night {alike[0]}, not {kind}: declare it as before, or {mend}"
                )
            if name in needed and name not in found:
                lacking.setdefault(name, []).extend(alike)
    if lacking:
        name, without = next(iter(lacking.items()))
        raise SchemaMismatch(f"{what}: {_named(without)} {name}, which is required: declare it without `required: true`, or {mend}")
    return spark.read.schema(struct(schema)).parquet(*paths)


def _as_written(spark: SparkSession, paths: Sequence[str]) -> Iterator[tuple[list[str], Schema]]:
    """The nights of each attempt, and their schema: of each attempt a single footer is read."""
    of_attempt: dict[str, list[str]] = {}
    for path in sorted(paths):
        of_attempt.setdefault(posixpath.dirname(path), []).append(path)
    with ThreadPoolExecutor(_PARALLEL) as pool:
        footers = list(pool.map(lambda alike: _own_schema(alike[0]), of_attempt.values()))
    for alike, own in zip(of_attempt.values(), footers, strict=True):
        fields = (own or spark.read.parquet(alike[0]).schema).fields
        yield [path.rpartition("part=")[2] for path in alike], {f.name: f.dataType.simpleString() for f in fields}


def _named(without: Sequence[str]) -> str:
    """The nights that lack something, as a sentence begins."""
    if len(without) == 1:
        return f"night {without[0]} lacks"
    words = ", ".join(sorted(without)) if len(without) <= _FEW else f"{min(without)} to {max(without)} ({len(without)} of them)"
    return f"nights {words} lack"


def _own_schema(path: str) -> StructType | None:
    """As the first file's footer has it; Spark's own way to find it out is a job. None when another than Spark wrote it."""
    for fs, name in _files(path)[:1]:
        words = (pq.read_metadata(name, filesystem=fs).metadata or {}).get(_SPARK_SCHEMA)
        return StructType.fromJson(json.loads(words)) if words else None
    return None


def _files(path: str, *, recursive: bool = False) -> list[tuple[pafs.FileSystem, str]]:
    fs, root = filesystem(path)
    entries = fs.get_file_info(pafs.FileSelector(root, recursive=recursive, allow_not_found=True))
    return [
        (fs, e.path) for e in entries if e.is_file and e.base_name.endswith(".parquet") and not e.base_name.startswith(("_", "."))
    ]
