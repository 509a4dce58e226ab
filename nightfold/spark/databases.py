"""Read a database's table: PostgreSQL and SQLite by ADBC in the executors, any other by Spark's JDBC.

PostgreSQL is read by all executors from one exported snapshot, so that a partitioned copy is of one moment.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any
from urllib.parse import parse_qsl, quote, unquote

from nightfold import postgres, settings
from nightfold.errors import BadPipeline, NightfoldError
from nightfold.pipeline.sources import TableSource
from nightfold.spark.readers import as_text, check_columns
from nightfold.spark.session import first_line

import pyarrow as pa
import pyarrow.compute as pc
from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, DataFrameReader, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T


class DatabaseError(NightfoldError):
    """A database cannot be reached or refused a query; a retry may help."""


@dataclass(frozen=True)
class Window:
    """Which nights of a nightly table to read: first and last, both included."""

    first: str
    last: str


@contextmanager
def table(
    spark: SparkSession, name: str, source: TableSource, *, ds: str, window: Window | None, timezone: str
) -> Iterator[DataFrame]:
    """The table's rows as strings, with `_malformed`, `_reason`, `night`; to be used up within the `with`.

    :param window: for a nightly table; None copies the whole table as the snapshot of night `ds`
    :param timezone: the pipeline's, in which a moment's day is
    """
    uri = settings.connection_uri(source.connection)
    if uri.startswith("jdbc:"):
        yield _finished(_jdbc(spark, name, source, uri, window), source, ds, window)
        return
    with _connect(uri, source) as connection:
        snapshot = _begin(connection, uri, timezone)
        found = _columns(connection, source)
        check_columns(name, source, [source.declared(column) for column in found], where=_where(source))
        parts = _partitions(connection, source, found)
        read = _reader(uri, source, parts, snapshot, window, timezone)
        fields = ", ".join(f"`{c}` string" for c in source.columns)
        splits = spark.range(0, len(parts), 1, numPartitions=len(parts))  # a task per part, and nothing to shuffle
        yield _finished(splits.mapInArrow(read, fields), source, ds, window)


def _reader(uri: str, source: TableSource, parts: list[str], snapshot: str | None, window: Window | None, timezone: str) -> Any:
    """What an executor runs: numbers of parts in, rows out. The address travels in the closure, never in an argument."""

    def read(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for number in batch.column(0).to_pylist():
                with _connect(uri, source) as connection:
                    _begin(connection, uri, timezone, snapshot=snapshot)
                    with connection.cursor() as cursor:
                        found = _columns(connection, source)
                        cursor.execute(_select(source, found, parts[number], window, sqlite=uri.startswith("sqlite")))
                        for rows in cursor.fetch_record_batch():
                            yield _unmarked(rows) if uri.startswith("sqlite") else rows

    return read


def _select(source: TableSource, found: dict[str, pa.DataType], predicate: str, window: Window | None, *, sqlite: bool) -> str:
    # Names were checked against the pipeline's patterns and the table's own columns; dates are dates.
    # The server writes the text of a value: it knows every type that it has, Arrow does not (uuid, arrays, intervals).
    # SQLite's driver takes a column's type from its first rows, and fails when these are NULL: so a text is marked there.
    value = "CASE WHEN {0} IS NULL THEN '' ELSE '=' || CAST({0} AS TEXT) END" if sqlite else "CAST({0} AS TEXT)"
    here = _delivered(source, found)
    columns = ", ".join(f"{value.format(_name(here[c]) if c in here else 'NULL')} AS {_name(c)}" for c in source.columns)
    conditions = [predicate] if predicate else []
    if window is not None:
        night = here.get(str(source.night_column), str(source.night_column))
        # A text may say the time of another zone, where the day is the one before or after; the rows' nights are exact.
        more = timedelta(days=0 if pa.types.is_temporal(found.get(night, pa.string())) else 1)
        first, after = date.fromisoformat(window.first) - more, date.fromisoformat(window.last) + timedelta(days=1) + more
        conditions.append(f"{_name(night)} >= '{first}' AND {_name(night)} < '{after}'")
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    return f"SELECT {columns} FROM {_quoted(source)}{where}"  # noqa: S608


def _delivered(source: TableSource, found: Iterable[str]) -> dict[str, str]:
    """Each declared column that the table has → its name there."""
    return {source.declared(column): column for column in found if source.declared(column) in source.columns}


def _partitions(connection: Any, source: TableSource, found: Iterable[str]) -> list[str]:
    """One predicate per partition, which together cover every row once; an empty one means all rows."""
    if source.partitions == 1:
        return [""]
    column = _name(_delivered(source, found).get(str(source.partition_by), str(source.partition_by)))
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT MIN({column}), MAX({column}) FROM {_quoted(source)}")  # noqa: S608
        low, high = cursor.fetchone()
    if low is None:
        return [""]
    if not (isinstance(low, int) and isinstance(high, int)):
        raise _not_an_integer(source)
    step = max(1, -(-(high - low + 1) // source.partitions))
    bounds = [low + step * i for i in range(1, source.partitions)]
    first, last = f"({column} < {bounds[0]} OR {column} IS NULL)", f"{column} >= {bounds[-1]}"
    middle = [f"{column} >= {a} AND {column} < {b}" for a, b in pairwise(bounds)]
    return [first, *middle, last]


def _unmarked(rows: pa.RecordBatch) -> pa.RecordBatch:
    """What `_select` marked: '=text' is text, an empty one is NULL."""
    texts = [pc.if_else(pc.equal(c, ""), pa.scalar(None, pa.string()), pc.utf8_slice_codeunits(c, 1)) for c in rows.columns]
    return pa.RecordBatch.from_arrays(texts, names=rows.schema.names)


def _columns(connection: Any, source: TableSource) -> dict[str, pa.DataType]:
    """Each column's name there → its type, which SQLite does not know."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {_quoted(source)} LIMIT 0")  # noqa: S608
        return {column[0]: column[1] for column in cursor.description}


def _begin(connection: Any, uri: str, timezone: str, *, snapshot: str | None = None) -> str | None:
    """Read from one moment in the pipeline's time zone; on PostgreSQL returns (or joins) the exported snapshot."""
    if not uri.startswith("postgres"):
        return None
    with connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        if snapshot is not None:
            cursor.execute(f"SET TRANSACTION SNAPSHOT '{snapshot}'")
        cursor.execute(f"SET LOCAL TIME ZONE '{timezone}'")
        cursor.execute("SET LOCAL DateStyle TO ISO")
        if snapshot is None:
            cursor.execute("SELECT pg_export_snapshot()")
            return str(cursor.fetchone()[0])
    return snapshot


@contextmanager
def _connect(uri: str, source: TableSource) -> Iterator[Any]:
    if uri.startswith("postgres"):
        from adbc_driver_postgresql import dbapi

        address, shown = postgres.checked(uri, connection=source.connection), postgres.shown(uri)
    elif uri.startswith("sqlite"):
        from adbc_driver_sqlite import dbapi

        path = unquote(uri.split("://", 1)[1].removeprefix("/"))  # sqlite:////absolute; Airflow writes sqlite:///%2Fabsolute
        address, shown = f"file:{quote(path)}?mode=ro", settings.without_password(uri)
    else:
        kind = uri.split("://", 1)[0] if "://" in uri else ""
        raise BadPipeline(f"connection {source.connection!r}: {kind!r} is not read; use postgresql, sqlite, or a jdbc: URI")
    try:
        with dbapi.connect(address) as connection:
            yield connection
    except dbapi.Error as error:  # from None: a trace shows the cause's words, too
        raise DatabaseError(f"{_where(source)} at {shown}: {postgres.words(error)}: is it up, and is the table there?") from None


def _jdbc(spark: SparkSession, name: str, source: TableSource, uri: str, window: Window | None) -> DataFrame:
    url, _, query = uri.partition("?")
    reader = spark.read.format("jdbc").option("url", url).option("dbtable", source.table)
    reader = reader.option("preferTimestampNTZ", True)  # else a wall clock's time is taken for one of this machine's zone
    for key, value in parse_qsl(query):
        reader = reader.option(key, value)
    try:
        rows = reader.load()
        here = _folded(source, rows.columns)
        check_columns(name, source, list(here), where=_where(source))
        if source.partitions > 1:
            rows = _jdbc_partitions(reader, rows, source, here)
    except (PySparkException, Py4JJavaError) as error:
        words = first_line(error) if isinstance(error, Py4JJavaError) else str(error).split("\n")[0]
        address = re.sub("//[^/]*@", "//", re.split("[;?]", uri)[0])
        raise DatabaseError(
            f"{_where(source)} at {address}: {words}: is it up, is the table there, and the driver in spark.jars.packages?"
        ) from error
    if window is not None:
        after = date.fromisoformat(window.last) + timedelta(days=1)
        moment = F.col(f"`{here[str(source.night_column)]}`").cast("timestamp")
        rows = rows.where((moment >= F.lit(window.first).cast("timestamp")) & (moment < F.lit(str(after)).cast("timestamp")))
    absent = F.lit(None).cast("string")
    return rows.select(*(as_text(rows.schema[here[c]]).alias(c) if c in here else absent.alias(c) for c in source.columns))


def _folded(source: TableSource, found: list[str]) -> dict[str, str]:
    """Each column by its declared name (its own when it is not declared) → its name there: many databases fold names to upper case."""
    names = [name for column, rules in source.columns.items() for name in (column, *rules.also)]
    declared = {name.lower(): source.declared(name) for name in names}
    return {declared.get(column.lower(), column): column for column in found}


def _jdbc_partitions(reader: DataFrameReader, whole: DataFrame, source: TableSource, here: dict[str, str]) -> DataFrame:
    """The same rows, read in parts."""
    column = here.get(str(source.partition_by), str(source.partition_by))
    low, high = whole.agg(F.min(column), F.max(column)).collect()[0]  # one row
    if low is None:
        return whole
    if not isinstance(low, int | Decimal):
        raise _not_an_integer(source)
    split = {"lowerBound": int(low), "upperBound": int(high) + 1, "numPartitions": source.partitions}
    return reader.options(partitionColumn=column, **split).load()


def _finished(rows: DataFrame, source: TableSource, ds: str, window: Window | None) -> DataFrame:
    night = F.lit(ds)
    if source.night_column is not None:
        night = F.date_format(F.col(f"`{source.night_column}`").try_cast("timestamp"), "yyyy-MM-dd")
    nothing = F.lit(None).cast(T.StringType())
    own = (nothing.alias("_malformed"), nothing.alias("_reason"), night.alias("night"))
    whole = rows.select(*(F.col(f"`{c}`") for c in source.columns), *own)
    return whole if window is None else whole.where(F.col("night").between(window.first, window.last))


def _not_an_integer(source: TableSource) -> BadPipeline:
    return BadPipeline(
        f"{_where(source)}: partition_by {source.partition_by!r} is not an integer column: name one, or leave it out"
    )


def _quoted(source: TableSource) -> str:
    return ".".join(_name(part) for part in source.table.split("."))


def _name(column: str) -> str:
    return f'"{column}"'


def _where(source: TableSource) -> str:
    return f"table {source.table} of connection {source.connection!r}"
