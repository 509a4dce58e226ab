"""The shop's own PostgreSQL: its tables are replaced together, in one transaction."""

import contextlib
import io
from collections.abc import Iterator, Mapping

from nightfold import postgres, settings
from nightfold.errors import BadPipeline, NightfoldError

import psycopg2
import pyarrow as pa
import pyarrow.csv
from psycopg2 import sql
from psycopg2.extensions import connection as Connection

CONNECTION = "grocer_db"
CONNECT_LIMIT = 10  # seconds
TABLES = {
    "products": {
        "product_id": "bigint PRIMARY KEY",
        "manufacturer_id": "bigint",
        "department": "text",
        "brand": "text",
        "product_category": "text",
        "product_type": "text",
        "package_size": "text",
    },
    "coupons": {"coupon_upc": "bigint", "product_id": "bigint", "campaign_id": "bigint"},
    "campaign_descriptions": {"campaign_id": "bigint", "campaign_type": "text", "start_date": "date", "end_date": "date"},
}


@contextlib.contextmanager
def connected() -> Iterator[Connection]:
    """A connection to the shop's database, in a transaction that ends with the block: committed, or undone on an error.

    Raises NightfoldError, in one line without the password, when it is not defined, is no URI, or does not answer.
    """
    mend = "start the platform with `make up`"
    try:
        uri = settings.connection_uri(CONNECTION)
    except BadPipeline:
        raise NightfoldError(f"the shop's database is not defined (connection {CONNECTION}): {mend}") from None
    address = postgres.checked(uri, connection=CONNECTION)
    try:
        connection = psycopg2.connect(address, connect_timeout=CONNECT_LIMIT)
    except psycopg2.OperationalError as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise NightfoldError(f"no connection to the shop's database {postgres.shown(uri)}: {mend} ({reason})") from None
    with contextlib.closing(connection), connection:
        yield connection


def holds(connection: Connection, stamp: str) -> bool:
    """Whether every table bears the stamp, and has as many rows as it had when it was stamped."""
    with connection.cursor() as cursor:
        for name in TABLES:
            cursor.execute("SELECT obj_description(to_regclass(%s), 'pg_class')", (name,))
            comment = cursor.fetchone()[0]
            if comment is None or not comment.endswith(f" rows, {stamp}"):
                return False
            cursor.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(name)))
            if comment != _comment(cursor.fetchone()[0], stamp):
                return False
    return True


def replace(connection: Connection, tables: Mapping[str, pa.Table], stamp: str) -> None:
    """Load all of TABLES and put them in the place of the old ones; readers see the old ones until the commit."""
    with connection.cursor() as cursor:
        for name, columns in TABLES.items():
            landing = sql.Identifier(f"{name}_landing")
            declared = sql.SQL(", ").join(sql.Identifier(column) + sql.SQL(f" {kind}") for column, kind in columns.items())
            cursor.execute(sql.SQL("CREATE TABLE {} ({})").format(landing, declared))
            cursor.copy_expert(sql.SQL("COPY {} FROM STDIN (FORMAT csv)").format(landing), _csv(tables[name].select(list(columns))))
            cursor.execute(
                sql.SQL("COMMENT ON TABLE {} IS {}").format(landing, sql.Literal(_comment(tables[name].num_rows, stamp)))
            )
            cursor.execute(sql.SQL("ANALYZE {}").format(landing))
        for name in TABLES:
            table, landing = sql.Identifier(name), sql.Identifier(f"{name}_landing")
            cursor.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(table))
            cursor.execute(sql.SQL("ALTER TABLE {} RENAME TO {}").format(landing, table))
            if any("PRIMARY KEY" in kind for kind in TABLES[name].values()):
                old, new = sql.Identifier(f"{name}_landing_pkey"), sql.Identifier(f"{name}_pkey")
                cursor.execute(sql.SQL("ALTER TABLE {} RENAME CONSTRAINT {} TO {}").format(table, old, new))


def _csv(table: pa.Table) -> io.BytesIO:
    """As COPY reads it: text in quotes, so that a missing value (nothing at all) is not an empty text."""
    out = io.BytesIO()
    pyarrow.csv.write_csv(table, out, pyarrow.csv.WriteOptions(include_header=False, quoting_style="needed", batch_size=1 << 16))
    out.seek(0)
    return out


def _comment(rows: int, stamp: str) -> str:
    return f"{rows} rows, {stamp}"
