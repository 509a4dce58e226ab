"""Predictions back into a shop's own database: a table with one row per night and key, of which a night is replaced whole.

    night date, key text, prediction double precision, version text; PRIMARY KEY (night, key)

One transaction: who reads the table sees a night as it was, or as it is. Rows go through batch by batch; the lake is read, never a
session of Spark.
"""

from collections.abc import Iterator
from datetime import date
from typing import Any

from nightfold.errors import BadPipeline, NightfoldError
from nightfold.lake import Lake
from nightfold.pipeline.predict import WriteBack
from nightfold.settings import without_password
from nightfold.store import VersionManifest

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

ROWS = 50_000  # at once
COLUMNS = pa.schema([("night", pa.date32()), ("key", pa.string()), ("prediction", pa.float64()), ("version", pa.string())])


class WriteBackFailed(NightfoldError):
    """The database did not take the night; what it held of it stays. A retry may help."""


def replace(target: WriteBack, uri: str, lake: Lake, promoted: VersionManifest) -> str:
    """Put a version's predictions where the table's rows of its night are; returns one line for people.

    :param uri: of `target.connection`

    Raises BadPipeline when it is no PostgreSQL, WriteBackFailed.
    """
    if not uri.startswith("postgres"):
        kind = uri.split(":", 1)[0]
        raise BadPipeline(f"predict.write.connection {target.connection!r}: {kind!r} is not written to; name a PostgreSQL")
    from adbc_driver_postgresql import dbapi

    where = f"table {target.table} of connection {target.connection!r} at {without_password(uri)}"
    try:
        with dbapi.connect("postgresql" + uri[uri.index("://") :]) as connection, connection.cursor() as cursor:
            cursor.execute(_table(target.table))
            cursor.execute(f"DELETE FROM {_quoted(target.table)} WHERE night = '{date.fromisoformat(promoted.night)}'")  # noqa: S608
            rows = _write(cursor, target.table, lake, promoted)
            connection.commit()
    except dbapi.Error as error:
        words = " ".join(str(error).split())
        raise WriteBackFailed(f"{where}, night {promoted.night}: {words}: is it up, and may it be written to?") from error
    return f"{rows:,} rows of night {promoted.night} in table {target.table}"


def _table(name: str) -> str:
    columns = "night date NOT NULL, key text NOT NULL, prediction double precision NOT NULL, version text NOT NULL"
    return f"CREATE TABLE IF NOT EXISTS {_quoted(name)} ({columns}, PRIMARY KEY (night, key))"


def _write(cursor: Any, table: str, lake: Lake, promoted: VersionManifest) -> int:
    schema, _, name = table.rpartition(".")
    reader = pa.RecordBatchReader.from_batches(COLUMNS, _rows(lake, promoted))
    return int(cursor.adbc_ingest(name, reader, mode="append", db_schema_name=schema or None))


def _rows(lake: Lake, promoted: VersionManifest) -> Iterator[pa.RecordBatch]:
    place = lake.local_path(str(promoted.facts["lists"]))
    for batch in ds.dataset(place, filesystem=lake.fs, format="parquet").to_batches(columns=["key", "items"], batch_size=ROWS):
        scores = pc.struct_field(pc.list_element(batch.column("items"), 0), "score")
        night = pa.array([date.fromisoformat(promoted.night)] * batch.num_rows, pa.date32())
        version = pa.array([promoted.version] * batch.num_rows, pa.string())
        yield pa.RecordBatch.from_arrays([night, batch.column("key"), scores, version], schema=COLUMNS)


def _quoted(table: str) -> str:
    return ".".join(f'"{part}"' for part in table.split("."))  # its pattern allows no quote
