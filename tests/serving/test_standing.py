"""What must not take a replica away, or freeze what it serves: a store or a lake that is gone, a pipeline file that changes."""

import threading

from nightfold.store import store_at
from nightfold.store.records import encode
from serving import served
from serving.app import create
from serving.configuration import Configuration

import pytest
from asking import CLUB, SHOP
from asking import publish as publish_shop
from helpers import free_port
from servers import wait_for
from starlette.testclient import TestClient
from twins_of import club_twin, shop_twin

OTHER_STORE = "publish: {connection: other_kv}\n"
OTHER = CLUB.replace("pipeline: club", "pipeline: other") + OTHER_STORE


@pytest.fixture
def gone(monkeypatch) -> None:
    """The store of `other_kv`."""
    monkeypatch.setenv("AIRFLOW_CONN_OTHER_KV", f"redis://127.0.0.1:{free_port()}/0")


@pytest.fixture(autouse=True)
def often(monkeypatch) -> None:
    monkeypatch.setattr(served, "LOOK_EVERY", 0.05)
    monkeypatch.setattr(served, "FILES_EVERY", 0)


def metric(replica: TestClient, line: str) -> bool:
    return line in replica.get("/metrics").text


def test_a_new_pipeline_whose_store_is_gone_takes_no_replica_away(replica, home, gone):
    (home / "pipelines" / "other.yaml").write_text(OTHER)
    wait_for(lambda: metric(replica, 'nightfold_failed{pipeline="other"} 1.0'), what="the metric")
    assert replica.get("/health/ready").status_code == 200
    assert replica.get("/v1/pipelines/shop/lists/anna").json()["source"] == "model"


def test_a_replica_is_held_back_by_a_store_that_is_gone_for_a_while_and_not_for_good(published, home, gone, keys, key, monkeypatch):
    (home / "pipelines" / "other.yaml").write_text(OTHER)
    monkeypatch.setattr(served, "PATIENCE", 3600)
    with TestClient(create(Configuration(keys=keys)), headers={"Authorization": f"Bearer {key}"}) as client:
        wait_for(lambda: metric(client, 'nightfold_failed{pipeline="other"} 1.0'), what="the metric")
        wait_for(lambda: metric(client, 'nightfold_version_info{model="yes",night="2017-12-03",pipeline="shop"'), what="the shop")
        assert client.get("/health/ready").json() == {"ready": False, "why": "1 of 3 pipelines are not looked at yet"}
        monkeypatch.setattr(served, "PATIENCE", 0)
        wait_for(lambda: client.get("/health/ready").status_code == 200, what="the end of its patience")


def test_a_replica_that_has_met_no_store_does_not_say_that_nothing_is_published(home, gone, keys, key, monkeypatch):
    (home / "pipelines" / "other.yaml").write_text(OTHER)
    monkeypatch.setattr(served, "PATIENCE", 0)
    with TestClient(create(Configuration(keys=keys)), headers={"Authorization": f"Bearer {key}"}) as client:
        wait_for(lambda: metric(client, 'nightfold_failed{pipeline="other"} 1.0'), what="the metric")
        assert client.get("/health/ready").json() == {"ready": False, "why": "1 of 1 pipelines are not looked at yet"}


def test_a_lake_that_hangs_holds_up_its_own_pipeline_alone(replica, publish, home, monkeypatch):
    begun, over, load = threading.Event(), threading.Event(), served._load

    def hanging(file, manifest):
        if file.pipeline == "shop":
            begun.set()
            assert over.wait(60)
        return load(file, manifest)

    monkeypatch.setattr(served, "_load", hanging)
    try:
        publish("shop", "s2", {}, night="2017-12-04", twin=shop_twin(home / "lake", "shop/twin2"))
        assert begun.wait(30)
        publish("club", "c2", {}, night="2017-12-04", twin=club_twin(home / "lake", "club/twin2", intercept=1.0))
        wait_for(
            lambda: replica.post("/v1/pipelines/club/predictions", json={"rows": [{}]}).json()["version"] == "c2", what="the club's"
        )
        assert replica.post("/v1/pipelines/shop/baskets", json={"basket": {}}).json()["version"] == "s1"
    finally:
        over.set()


def test_a_changed_pipeline_file_counts_without_a_restart(replica, home):
    def suggested() -> list[str]:
        found = replica.post("/v1/pipelines/shop/baskets", json={"basket": {"bread": 1}}).json()
        return [item["id"] for item in found["items"]]

    assert "bread" in suggested()
    excluding = SHOP.replace("time: sold_at}", "time: sold_at}\n  filters: {exclude_seen: true}")
    (home / "pipelines" / "shop.yaml").write_text(excluding)
    wait_for(lambda: "bread" not in suggested(), what="what the file says now")
    (home / "pipelines" / "shop.yaml").write_text("pipeline: [")
    (home / "pipelines" / "club.yaml").unlink()
    assert "bread" not in suggested(), "a broken file changes nothing"
    assert replica.get("/v1/pipelines/club/lists/m1").status_code == 200, "nor does one that is gone"


def test_a_pipeline_that_moves_to_another_store_is_read_from_there(replica, home, uri, monkeypatch):
    address = uri.removesuffix("/7") + "/8"
    store = store_at(address)
    store.wire.client.flushdb()
    publish_shop(store, "there", night="2017-12-05")
    monkeypatch.setenv("AIRFLOW_CONN_OTHER_KV", address)
    (home / "pipelines" / "shop.yaml").write_text(SHOP + OTHER_STORE)
    wait_for(lambda: replica.get("/v1/pipelines/shop/lists/1228").json()["version"] == "there", what="the other store's list")
    assert replica.get("/health/ready").status_code == 200


def test_what_is_said_to_be_served_is_what_the_lists_are_of_also_when_its_model_cannot_be_loaded(replica, publish):
    publish("club", "c2", {"m1": encode([])}, night="2017-12-04", twin="club/none")
    wait_for(lambda: metric(replica, 'nightfold_failed{pipeline="club"} 1.0'), what="the metric")
    told = replica.get("/v1/pipelines/club").json()
    assert (told["version"], told["night"], told["lists"], told["model"]) == ("c2", "2017-12-04", 1, True)
    assert metric(replica, 'nightfold_version_info{model="yes",night="2017-12-04",pipeline="club",version="c2"} 1.0')
    assert replica.post("/v1/pipelines/club/predictions", json={"rows": [{}]}).json()["version"] == "c1"


def test_a_store_that_comes_back_empty_is_no_failure_any_more(home, uri, keys, key, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_OTHER_KV", f"redis://127.0.0.1:{free_port()}/0")
    (home / "pipelines" / "other.yaml").write_text(OTHER)
    with TestClient(create(Configuration(keys=keys)), headers={"Authorization": f"Bearer {key}"}) as client:
        wait_for(lambda: metric(client, 'nightfold_failed{pipeline="other"} 1.0'), what="the metric")
        line = client.app.state.served.pipelines["other"]
        line.client = client.app.state.served.pipelines["club"].client
        wait_for(lambda: metric(client, 'nightfold_failed{pipeline="other"} 0.0'), what="the metric's end")


def test_a_replica_that_has_nothing_to_serve_for_its_files_are_wrong_says_which(published, home, keys):
    files = {path: path.read_text() for path in (home / "pipelines").glob("*.yaml")}
    for path in files:
        path.write_text("pipeline: nonsense")
    with TestClient(create(Configuration(keys=keys))) as client:
        why = lambda: client.get("/health/ready").json().get("why")  # noqa: E731
        wait_for(lambda: why() == "club.yaml, shop.yaml: refused: nightfold validate says why", what="the cause")
        (home / "pipelines" / "club.yaml").unlink()
        wait_for(lambda: why() == "shop.yaml: refused: nightfold validate says why", what="a word less: it is gone")
        for path, text in files.items():
            path.write_text(text)
        wait_for(lambda: client.get("/health/ready").status_code == 200, what="readiness")
