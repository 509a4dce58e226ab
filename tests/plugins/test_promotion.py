"""The operator that promotes: when it does, when it is left out, when it fails for good."""

from nightfold.lake import Lake, Manifest
from nightfold.store import Store, VersionManifest, store_at
from nightfold.store.records import encode

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException, TaskDeferred
from helpers import free_port
from nightfold_operators import PromoteOperator
from nightfold_turns import holder_of
from plugins.conftest import NIGHT, SECRET, context


@pytest.fixture
def store(home, address, monkeypatch) -> Store:
    """An empty store, which is also the connection `kv_default`."""
    monkeypatch.setenv("AIRFLOW_CONN_KV_DEFAULT", address)
    return store_at(address)


def published(store: Store, version: str, night: str = NIGHT) -> None:
    """As `publish` leaves it."""
    store.announce("shop", version, "a")
    store.write("shop", version, "a", {"anna": encode([])})
    store.write_fallback("shop", version, "a", encode([]))
    store.seal(
        VersionManifest(
            pipeline="shop",
            version=version,
            night=night,
            attempt="a",
            published_at="2017-12-04T02:41:07+00:00",
            keys=1,
            checksum="",
            model="",
        )
    )
    facts = {"version": version, "keys": 1}
    Lake("shop").commit(Manifest(pipeline="shop", dataset="version", night=night, attempt="a", fingerprint="f", facts=facts))


def operator(night: str = NIGHT, wanted: str = "True") -> PromoteOperator:
    return PromoteOperator(task_id="promote", pipeline="shop", night=night, wanted=wanted, keep=3, store="kv_default")


def promote(night: str = NIGHT, wanted: str = "True") -> str:
    return operator(night, wanted).execute(context())


def test_the_nights_version_is_served_from_now_on(store):
    published(store, "v1")
    assert promote() == "version v1 of night 2017-12-03 is live: 1 lists"
    assert store.live("shop").version == "v1"
    assert promote() == "version v1 of night 2017-12-03 was live already: nothing changed"


@pytest.mark.parametrize("wanted", ["False", "false", ""])
def test_a_promotion_that_is_not_wanted_is_skipped_and_the_version_stays_staged(store, wanted):
    published(store, "v1")
    with pytest.raises(AirflowSkipException, match="nightfold: night 2017-12-03 is staged, not promoted, as the trigger form says"):
        promote(wanted=wanted)
    assert store.live("shop") is None
    assert store.find("shop", "v1").state == "verified"


def test_a_promotion_is_skipped_while_somebody_holds_them(store):
    published(store, "v1", "2017-12-01")
    promote("2017-12-01")
    published(store, "v2", "2017-12-02")
    promote("2017-12-02")
    store.rollback("shop")
    published(store, "v3")
    with pytest.raises(
        AirflowSkipException, match=r"nightfold: shop, night 2017-12-03: .* promotions are held \(rolled back from v2\)"
    ):
        promote()
    assert store.live("shop").version == "v1"


def test_an_older_night_is_skipped(store):
    published(store, "v2", "2017-12-04")
    promote("2017-12-04")
    published(store, "v1")
    with pytest.raises(AirflowSkipException, match="night 2017-12-04 was promoted before"):
        promote()


def test_a_bad_version_fails_for_good(store):
    published(store, "v1", "2017-12-02")
    promote("2017-12-02")
    published(store, "v2")
    promote()
    store.rollback("shop")
    store.release("shop")
    with pytest.raises(AirflowFailException, match=r"nightfold: shop, night 2017-12-03: .* somebody rolled back from it"):
        promote()


def test_a_night_that_was_not_published_fails_for_good(store):
    with pytest.raises(AirflowFailException, match="nightfold: night 2017-12-03: shop has no committed version"):
        promote()


def test_a_store_that_is_down_is_tried_again(store, monkeypatch):
    published(store, "v1")
    monkeypatch.setenv("AIRFLOW_CONN_KV_DEFAULT", f"redis://:{SECRET}@127.0.0.1:{free_port()}/0")
    with pytest.raises(AirflowException, match="nightfold: store redis://127") as caught:
        promote()
    assert not isinstance(caught.value, AirflowFailException | AirflowSkipException)
    assert SECRET not in str(caught.value)


def test_a_promotion_ends_the_runs_turn_however_it_ends(store):
    published(store, "v1")
    store.take_turn("shop", holder_of(operator().dag_id, "run 1"), NIGHT, seconds=60)
    promote()
    assert store.turn("shop") is None
    with pytest.raises(AirflowSkipException):
        promote(wanted="False")
    assert store.turn("shop") is None


def test_a_promotion_waits_for_its_runs_turn(store):
    published(store, "v1")
    store.take_turn("shop", "another", NIGHT, seconds=60)
    with pytest.raises(TaskDeferred):
        promote()
    assert store.live("shop") is None
