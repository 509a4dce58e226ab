"""Predictions back into a shop's own database: a table with one row per night and key, of which a night is replaced whole.

    night date, key text, prediction double precision, version text; PRIMARY KEY (night, key)

One transaction: who reads the table sees a night as it was, or as it is. Rows go through batch by batch; the lake is read, never a
session of Spark.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from typing import Any

from nightfold import postgres
from nightfold.errors import BadPipeline, NightfoldError
from nightfold.lake import Lake
from nightfold.pipeline.predict import WriteBack
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
    with _transaction(target, uri, f"night {promoted.night}") as cursor:
        cursor.execute(_table(target.table))
        cursor.execute(f"DELETE FROM {_quoted(target.table)} WHERE night = '{date.fromisoformat(promoted.night)}'")  # noqa: S608
        rows = _write(cursor, target.table, lake, promoted)
    return f"{rows:,} rows of night {promoted.night} in table {target.table}"


def erase(target: WriteBack, uri: str, key: str, *, dry_run: bool = False) -> int:
    """Take out a key's rows of all nights; with `dry_run` only look. Returns how many there are.

    Raises BadPipeline when it is no PostgreSQL, WriteBackFailed.
    """
    return _delete(target, uri, "key = $1", key, what="forgetting", dry_run=dry_run)


def withdraw(target: WriteBack, uri: str, lake: Lake, live: VersionManifest) -> str:
    """Back to a version that is live again: rows of later nights go, and its own take the place of another version's of its night, or
    come where none are; returns one line for people.

    Raises BadPipeline when it is no PostgreSQL, WriteBackFailed.
    """
    night, back = date.fromisoformat(live.night), f"back to night {live.night}"
    said = f"{_delete(target, uri, 'night > $1', night, what=back):,} rows of later nights are taken out of table {target.table}"
    own = _delete(target, uri, "night = $1 AND version = $2", night, live.version, what=back, dry_run=True)
    others = ("night = $1 AND version <> $2", night, live.version)
    if (own or not live.keys) and not _delete(target, uri, *others, what=back, dry_run=True):
        return said
    if lake.exists(str(live.facts.get("lists"))):
        return f"{said}; {replace(target, uri, lake, live)}"
    gone = _delete(target, uri, *others, what=back)
    raise WriteBackFailed(
        f"table {target.table}: {gone:,} rows of night {live.night} were of another version and are taken out, but those of {live.version} "
        "are not there, and no longer in the lake: after `nightfold release`, clear `score` of that night"
    )


def _delete(target: WriteBack, uri: str, where: str, *values: object, what: str, dry_run: bool = False) -> int:
    with _transaction(target, uri, what) as cursor:
        cursor.execute("SELECT to_regclass($1) IS NOT NULL", (_quoted(target.table),))
        if not cursor.fetchone()[0]:
            return 0  # nothing was ever written
        cursor.execute(f"SELECT count(*) FROM {_quoted(target.table)} WHERE {where}", values)  # noqa: S608
        rows = int(cursor.fetchone()[0])
        if not dry_run:
            cursor.execute(f"DELETE FROM {_quoted(target.table)} WHERE {where}", values)  # noqa: S608
    return rows


@contextmanager
def _transaction(target: WriteBack, uri: str, what: str) -> Iterator[Any]:
    """A cursor whose work counts when the block has ended well, and not at all otherwise."""
    if not uri.startswith("postgres"):
        kind = uri.split("://", 1)[0] if "://" in uri else ""
        raise BadPipeline(f"predict.write.connection {target.connection!r}: {kind!r} is not written to; name a PostgreSQL")
    from adbc_driver_postgresql import dbapi

    address = postgres.checked(uri, connection=target.connection)
    where = f"table {target.table} of connection {target.connection!r} at {postgres.shown(uri)}"
    try:
        with dbapi.connect(address) as connection, connection.cursor() as cursor:
            yield cursor
            connection.commit()
    except dbapi.Error as error:  # from None: a trace shows the cause's words, too
        raise WriteBackFailed(f"{where}, {what}: {postgres.words(error)}: is it up, and may it be written to?") from None


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
