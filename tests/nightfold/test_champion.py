"""Which version a night has to beat, also for a night that is taken again later."""

from nightfold.champion import champion, identity, record, tonight
from nightfold.errors import NightRefused, NotCommitted
from nightfold.lake import Lake, Manifest
from nightfold.store import Store, VersionManifest, store_at

import pytest

RECIPE = {"kind": "baseline", "name": "popularity"}


@pytest.fixture
def store(home, valkey_server) -> Store:
    valkey_server.client.flushall()
    return store_at(valkey_server.uri)


def promoted(store: Store, version: str, night: str) -> None:
    manifest = VersionManifest(
        pipeline="shop",
        version=version,
        night=night,
        attempt="a",
        published_at="",
        keys=0,
        checksum="",
        model="m",
        facts={"recipe": RECIPE},
        metrics={"ndcg": 0.4},
    )
    store.announce("shop", version, "a")
    store.write_fallback("shop", version, "a", b"[]")
    store.seal(manifest)
    assert store.promote("shop", version, store.begin("shop"), 3)
    record(Lake("shop"), manifest)


def test_the_version_that_is_live_is_to_beat_and_there_is_none_on_the_first_night(store):
    assert champion(Lake("shop"), store, "2026-01-02") is None
    promoted(store, "v1", "2026-01-01")
    found = champion(Lake("shop"), store, "2026-01-02")
    assert (found.version, found.night, found.recipe, found.metrics) == ("v1", "2026-01-01", RECIPE, {"ndcg": 0.4})


def test_a_night_taken_again_has_the_champion_that_it_had(store):
    for day in range(1, 7):  # more than the store keeps
        promoted(store, f"v{day}", f"2026-01-0{day}")
    assert champion(Lake("shop"), store, "2026-01-06").version == "v5"
    assert champion(Lake("shop"), store, "2026-01-03").version == "v2"
    assert champion(Lake("shop"), store, "2026-01-01") is None


def test_a_version_that_somebody_rolled_back_from_is_none_to_beat(store):
    for day in range(1, 4):
        promoted(store, f"v{day}", f"2026-01-0{day}")
    store.rollback("shop")
    assert champion(Lake("shop"), store, "2026-01-04").version == "v2"
    store.release("shop")
    for day in range(4, 8):  # until the store no longer keeps it
        promoted(store, f"v{day}", f"2026-01-0{day}")
        assert champion(Lake("shop"), store, "2026-01-04").version == "v2"
    assert store.find("shop", "v3") is None


def test_a_promotion_is_recorded_once(store):
    promoted(store, "v1", "2026-01-01")
    record(Lake("shop"), store.live("shop"))
    assert Lake("shop").committed("promotion") == {"2026-01-01": [f"2026-01-01.{Lake('shop').attempts('promotion')[0]}.json"]}


def test_what_is_published_is_what_the_gate_lets_through(home):
    def judged(verdict: dict) -> None:
        for dataset, facts in {
            "evaluation": {"verdict": verdict},
            "model": {"best": {"family": "linear"}, "features": "f", "mlflow_run": "r", "twin": "d/twin"},
        }.items():
            manifest = Manifest(
                pipeline="shop", dataset=dataset, night="2026-01-01", attempt="a", fingerprint="m", data="d", facts=facts
            )
            Lake("shop").commit(manifest)

    with pytest.raises(NotCommitted):
        tonight(Lake("shop"), "2026-01-01")
    judged({"outcome": "promoted", "serve": {"kind": "challenger"}, "reason": ""})
    made = {"kind": "model", "night": "2026-01-01", "data": "d", "model": "m", "run": "r"}
    model = {**made, "params": {"family": "linear"}, "features": "f", "twin": "d/twin"}
    assert tonight(Lake("shop"), "2026-01-01") == model
    assert identity(model) == identity(model | {"data": "e", "run": "s", "twin": "e/twin"}), "another attempt at the same"
    judged({"outcome": "held", "serve": RECIPE, "reason": ""})
    assert tonight(Lake("shop"), "2026-01-01") == RECIPE
    judged({"outcome": "refused", "serve": {}, "reason": "users have vanished"})
    with pytest.raises(
        NightRefused, match="shop, night 2026-01-01: refused, nothing is published, live stays: users have vanished"
    ):
        tonight(Lake("shop"), "2026-01-01")
