"""What retention lets go, and what nothing may take."""

from datetime import UTC, datetime, timedelta

from nightfold import cli, maintenance
from nightfold.lake import Lake, Manifest
from nightfold.store import Store, VersionManifest, store_at

import pytest
import redis
from helpers import SHOP, tiny_shop

FIRST, SECOND, THIRD = "2026-01-01", "2026-01-02", "2026-01-03"
LATER = datetime.now(UTC) + timedelta(days=3)


@pytest.fixture
def store(home, valkey_uri, monkeypatch) -> Store:
    address = valkey_uri.removesuffix("/0") + "/5"
    with redis.Redis.from_url(address) as client:
        client.flushdb()
    monkeypatch.setenv("AIRFLOW_CONN_KV_DEFAULT", address)
    (home / "pipelines" / "shop.yaml").write_text(SHOP)
    return store_at(address)


def attempt(dataset: str, night: str, *, commit: bool = True, **facts) -> str:
    """One attempt with a file in it; its folder, below the lake's root."""
    lake = Lake("shop")
    name = lake.begin(dataset, night)
    place = lake.place(dataset, name)
    lake.write_text(f"{place}/rows", "x" * 1000)
    if commit:
        lake.commit(
            Manifest(pipeline="shop", dataset=dataset, night=night, attempt=name, fingerprint=name, data=place, facts=facts)
        )
    return place


def going(store: Store, *, now: datetime = LATER, ds: str = THIRD, **retention) -> dict[str, str]:
    pipeline = tiny_shop({"retention": retention} if retention else {})
    return {one.path: one.why for one in maintenance.doomed(Lake("shop"), pipeline, store, ds=ds, now=now)}


def test_attempts_that_never_counted_or_no_longer_do_go_when_they_are_old(store):
    replaced, dead, counts = attempt("model", FIRST), attempt("model", FIRST, commit=False), attempt("model", FIRST)
    last = attempt("model", SECOND, commit=False)
    manifest = f"shop/model/{FIRST}.{replaced.rsplit('/', 1)[1]}.json"
    assert going(store) == {
        manifest: "a later attempt counts",
        replaced: "no manifest leads to it",
        dead: "no manifest leads to it",
    }, f"{counts} counts, and {last} gives the next attempt its number"
    assert going(store, now=datetime.now(UTC)) == {manifest: "a later attempt counts"}, "they may be at work"


def test_what_a_roll_up_leads_to_stays_whatever_its_own_night_has_by_now(store):
    old, new = attempt("raw/sales", FIRST), attempt("raw/sales", FIRST)
    attempt("raw/sales", SECOND)
    attempt("ingest", FIRST, sources={"sales": {FIRST: {"data": f"{old}/part={FIRST}", "rows": 1, "fingerprint": "f"}}})
    assert old not in going(store)
    assert new not in going(store)


def test_old_nights_of_what_can_be_computed_anew_go_but_not_those_that_the_store_serves(store):
    folders = {night: attempt("model", night) for night in (FIRST, SECOND, THIRD)}
    attempt("raw/sales", FIRST)
    attempt("clean", FIRST)
    store.seal(
        VersionManifest(pipeline="shop", version="v", night=FIRST, attempt="a", published_at="", keys=0, checksum="", model="")
    )
    gone = going(store, ds="2026-03-01", nights_days=10)
    assert folders[SECOND] in gone
    assert not {folders[FIRST], folders[THIRD]} & set(gone), "one is kept by the store, one is the last"
    assert [path for path in gone if "/raw/" in path or "/clean/" in path] == []
    assert [why for path, why in gone.items() if path.endswith(".json")] == ["older than 10 nights"]


def test_maintenance_leaves_what_counts_as_it_was_and_a_second_one_finds_nothing(store, home, capsys):
    attempt("clean", FIRST)
    dead, counts = attempt("model", FIRST, commit=False), attempt("model", FIRST)
    assert cli.main(["maintain", "shop", "--dry-run"]) == 0
    assert (home / "lake" / dead).is_dir()
    removed = maintenance.maintain(Lake("shop"), tiny_shop(), store, ds=FIRST, now=LATER)
    assert [one.path for one in removed] == [dead]
    assert not (home / "lake" / dead).exists()
    assert Lake("shop").get("model", FIRST).data == counts
    assert maintenance.maintain(Lake("shop"), tiny_shop(), store, ds=FIRST, now=LATER) == []
    assert capsys.readouterr().out == "shop: 0 things would go, 0.0 MB\n", "three days too early"


def test_maintenance_never_runs_beside_a_night(store, capsys):
    attempt("clean", FIRST)
    store.take_turn("shop", "run 1", SECOND, seconds=60)
    assert cli.main(["maintain", "shop"]) == 1
    assert "waits for its turn: run 1 of night 2026-01-02 is at work" in capsys.readouterr().err
