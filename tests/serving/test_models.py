"""Predictions and baskets over REST: by the model that made the served version, another one without a restart."""

import asyncio
import json
import math
import re
import threading
import time
from collections.abc import Callable

from nightfold import pipeline as pipelines
from nightfold.store.records import encode
from nightfold.twins import folder
from serving import served
from serving.app import create
from serving.configuration import Configuration
from serving.finding import answer

import pytest
from asking import CLUB as CLUB_FILE
from helpers import LIMIT
from problems_of import assert_problem
from servers import wait_for
from starlette.testclient import TestClient
from twins_of import club_twin, shop_twin

SHOP, CLUB = "/v1/pipelines/shop", "/v1/pipelines/club"
E2 = math.e**2 - 1
OTHER_STORE = "publish: {connection: other_kv}\n"


def test_rows_get_predictions_in_their_order(replica):
    rows = [{"visits": 0, "town": "upper"}, {"visits": E2}, {}, {"visits": None, "town": "elsewhere"}]
    found = replica.post(f"{CLUB}/predictions", json={"rows": rows}).json()
    assert found.pop("predictions") == pytest.approx([110.0, 102.0, 101.0, 101.0])
    assert found.pop("age_seconds") > 0
    assert found == {
        "pipeline": "club",
        "version": "c1",
        "night": "2017-12-03",
        "published_at": "2017-12-03T23:00:00+00:00",
        "what": "number",
    }
    told = replica.get(f"{CLUB}/features").json()
    assert (told["version"], told["night"]) == ("c1", "2017-12-03")
    assert {name: told[name] for name in ("numbers", "categories")} == {
        "numbers": ["visits"],
        "categories": {"town": ["lower", "upper"]},
    }


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([{"visit": 1}], "row 0, 'visit': no such feature: did you mean one of visits"),
        ([{}, {"visits": "7"}], "row 1, visits: '7' is no number"),
        ([{"visits": True}], "row 0, visits: True is no number"),
        ([{"town": 7}], "row 0, town: 7 is no text"),
        ([{"visits": []}], "body.rows.0.visits"),
        ([{"visits": []}, {"visits": {}}], "body.rows.0.visits: Value error, is no number, text, true, false or null"),
        ([{f"f{n}": [] for n in range(10_001)}], "body.rows.0: Value error, has 10,001 names: give at most 10,000"),
        ([], "body.rows: List should have at least 1 item"),
        ("x", "body.rows: Input should be a valid list"),
    ],
)
def test_a_wrong_row_is_refused_with_its_field(replica, rows, words):
    assert_problem(replica.post(f"{CLUB}/predictions", json={"rows": rows}), 422 if words.startswith("body") else 409, words)


def test_numbers_that_are_none_are_refused(replica):
    for number in ("NaN", "Infinity", "-Infinity", "1e999", "9" * 400):
        content = f'{{"rows": [{{"visits": {number}}}]}}'
        found = replica.post(f"{CLUB}/predictions", content=content, headers={"Content-Type": "application/json"})
        assert_problem(found, 409, "is no number")


def test_a_basket_gets_what_goes_with_it(replica):
    found = replica.post(f"{SHOP}/baskets", json={"basket": {"bread": 1, "wine": 2}, "n": 2}).json()
    assert [item["id"] for item in found["items"]] == ["bread", "milk"]
    assert (found["version"], found["source"], found["unknown"]) == ("s1", "basket", ["wine"])
    found = replica.post(f"{SHOP}/baskets", json={"basket": {"bread": 1}, "without": ["milk"], "only": {"shelf": ["dairy"]}}).json()
    assert [item["id"] for item in found["items"]] == ["butter", "cheese"]
    empty = replica.post(f"{SHOP}/baskets", json={"basket": {}}).json()
    assert (empty["source"], [item["id"] for item in empty["items"]]) == ("popularity", ["bread", "butter", "cheese", "milk"])
    assert replica.get(f"{SHOP}/catalogue").json()["columns"] == {"shelf": ["bakery", "dairy"]}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"basket": {"bread": 0}}, "body.basket.bread: Input should be greater than 0"),
        ({"basket": {"bread": "1"}}, "body.basket.bread: Input should be a valid number"),
        ({"basket": {f"i{n}": "1" for n in range(1001)}}, "body.basket: Value error, has 1,001 names: give at most 1,000"),
        ({"basket": {}, "only": {"shelf": [1] * 1000}}, "body.only.shelf.0: Input should be a valid string"),
        ({"basket": {"bread": 1}, "n": 0}, "body.n"),
        ({"basket": {"bread": 1}, "only": {"brand": ["x"]}}, "only, 'brand': no such column of the catalogue"),
        ({}, "body.basket: Field required"),
    ],
)
def test_a_wrong_basket_is_refused_with_its_field(replica, body, words):
    assert_problem(replica.post(f"{SHOP}/baskets", json=body), 422 if words.startswith("body") else 409, words)


def test_a_model_of_another_kind_is_said_to_be_so(replica):
    assert_problem(replica.post(f"{SHOP}/predictions", json={"rows": [{}]}), 409, "it has a model of another kind")
    assert_problem(replica.post(f"{CLUB}/baskets", json={"basket": {}}), 409, "it has a model of another kind")


def test_a_new_champion_is_picked_up_without_a_restart_and_without_a_mixed_answer(replica, publish, home):
    """Rows of one request are of one model: the intercepts are a thousand apart."""
    over, wrong, seen = threading.Event(), [], set()

    def ask() -> None:
        while not over.is_set():
            found = replica.post(f"{CLUB}/predictions", json={"rows": [{"visits": 0}] * 20}).json()
            answers = {round(value) for value in found["predictions"]}
            seen.add(found["version"])
            if answers != {{"c1": 100, "c2": 1100, "c3": 2100}[found["version"]]}:
                wrong.append(str(found))

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        for number in (2, 3):
            twin = club_twin(home / "lake", f"club/twin{number}", intercept=number * 1000.0 - 900)
            publish("club", f"c{number}", {"m1": encode([])}, night=f"2017-12-0{number + 2}", twin=twin)
            wait_for(lambda wanted=f"c{number}": wanted in seen, what=f"c{number}")
    finally:
        over.set()
        asking.join(30)
    assert wrong == []
    assert seen == {"c1", "c2", "c3"}


def test_a_champion_that_cannot_be_loaded_is_said_and_the_old_one_stays(replica, publish, home, capsys):
    twin = club_twin(home / "lake", "club/twin2", intercept=5.0)
    file = home / "lake" / twin / folder.DOCUMENT
    file.write_text(json.dumps({**json.loads(file.read_text()), "format": 99}))
    publish("club", "c2", {"m1": encode([("paid", 7.0, "")])}, night="2017-12-04", twin=twin)
    wait_for(lambda: 'nightfold_failed{pipeline="club"} 1.0' in replica.get("/metrics").text, what="the metric")
    assert "club, night 2017-12-04: the model of version c2 cannot be loaded: " in capsys.readouterr().out
    assert replica.post(f"{CLUB}/predictions", json={"rows": [{}]}).json()["version"] == "c1"
    wait_for(lambda: replica.get(f"{CLUB}/lists/m1").json()["version"] == "c2", what="its lists")
    assert replica.get("/health/ready").status_code == 200
    good = club_twin(home / "lake", "club/twin3", intercept=5.0)
    publish("club", "c3", {"m1": encode([])}, night="2017-12-05", twin=good)
    wait_for(lambda: replica.post(f"{CLUB}/predictions", json={"rows": [{}]}).json()["version"] == "c3", what="the mended one")
    assert 'nightfold_failed{pipeline="club"} 0.0' in replica.get("/metrics").text


def test_a_champion_whose_model_was_mended_is_loaded_once_it_is_live_again(replica, publish, store, home):
    twin = club_twin(home / "lake", "club/twin2", intercept=5.0)
    file = home / "lake" / twin / folder.DOCUMENT
    good = file.read_text()
    file.write_text(json.dumps({**json.loads(good), "format": 99}))
    publish("club", "c2", {"m1": encode([])}, night="2017-12-04", twin=twin)
    wait_for(lambda: 'nightfold_failed{pipeline="club"} 1.0' in replica.get("/metrics").text, what="the metric")
    store.rollback("club")
    wait_for(lambda: 'nightfold_failed{pipeline="club"} 0.0' in replica.get("/metrics").text, what="the one before")
    file.write_text(good)
    store.release("club")
    store.absolve("club", "c2")
    store.promote("club", "c2", store.begin("club"), 3)
    wait_for(lambda: replica.post(f"{CLUB}/predictions", json={"rows": [{}]}).json()["version"] == "c2", what="the mended one")


def test_a_baseline_is_served_as_lists_and_has_no_model_to_ask(replica, publish):
    publish("club", "c2", {"m1": encode([])}, night="2017-12-04", twin=None)
    wait_for(lambda: (replica.get(CLUB).json()["version"], replica.get(CLUB).json()["model"]) == ("c2", False), what="the baseline")
    assert_problem(replica.post(f"{CLUB}/predictions", json={"rows": [{}]}), 409, "a baseline is served, or its model has no twin")


def test_the_newest_catalogue_narrows_lists_down_also_on_a_night_of_a_baseline(replica, publish):
    publish("shop", "s2", {"anna": encode([("bread", 1.0, ""), ("butter", 0.5, "")])}, night="2017-12-04", twin=None)
    wait_for(lambda: (replica.get(SHOP).json()["version"], replica.get(SHOP).json()["model"]) == ("s2", False), what="the baseline")
    found = replica.get(f"{SHOP}/lists/anna?only=shelf:dairy").json()
    assert (found["version"], [item["id"] for item in found["items"]]) == ("s2", ["butter"])
    assert_problem(replica.post(f"{SHOP}/baskets", json={"basket": {}}), 409, "a baseline is served, or its model has no twin")


def test_a_replica_is_not_ready_before_the_model_of_what_is_published_is_loaded(publish, home, keys, key, monkeypatch):
    publish("shop", "s1", {}, night="2017-12-03", twin=shop_twin(home / "lake", "shop/twin1"))
    may, load = threading.Event(), served._load

    def slowly(*given):
        assert may.wait(30)
        return load(*given)

    monkeypatch.setattr(served, "_load", slowly)
    with TestClient(create(Configuration(keys=keys)), headers={"Authorization": f"Bearer {key}"}) as client:
        wait_for(lambda: client.get(f"{CLUB}/lists/m1").status_code == 404, what="the pipeline of which nothing is published")
        assert client.get("/health/ready").json() == {"ready": False, "why": "1 of 2 pipelines are not looked at yet"}
        may.set()
        wait_for(lambda: client.get("/health/ready").status_code == 200, what="ready")


def test_every_answer_of_a_model_says_how_old_it_is(replica):
    asked = [
        replica.post(f"{CLUB}/predictions", json={"rows": [{}]}),
        replica.post(f"{SHOP}/baskets", json={"basket": {}}),
        replica.get(f"{CLUB}/features"),
        replica.get(f"{SHOP}/catalogue"),
    ]
    for answer_ in asked:
        found = answer_.json()
        assert found["published_at"] == "2017-12-03T23:00:00+00:00"
        assert found["age_seconds"] == pytest.approx(time.time() - 1512342000, abs=60)


def test_a_pipeline_with_nothing_published_is_not_found_and_holds_nothing_back(publish, home, keys, key):
    publish("shop", "s1", {}, night="2017-12-03", twin=shop_twin(home / "lake", "shop/twin1"))
    with TestClient(create(Configuration(keys=keys)), headers={"Authorization": f"Bearer {key}"}) as client:
        wait_for(lambda: client.get("/health/ready").status_code == 200, what="ready")
        assert_problem(client.get(f"{CLUB}/lists/m1"), 404, "nothing is published yet")
        assert_problem(client.post(f"{CLUB}/predictions", json={"rows": [{}]}), 404, "nothing is published yet")
        assert_problem(client.get(f"{CLUB}/versions"), 404, "nothing is published yet")
        assert client.get(CLUB).json()["version"] is None
        publish("club", "c1", {}, night="2017-12-03", twin=club_twin(home / "lake", "club/twin1", intercept=1.0))
        wait_for(lambda: client.post(f"{CLUB}/predictions", json={"rows": [{}]}).status_code == 200, what="the first one")


def test_a_folder_that_cannot_be_read_does_not_end_the_watch(replica, publish, monkeypatch):
    def unreadable():
        raise OSError(116, "Stale file handle")

    monkeypatch.setattr("serving.served.FILES_EVERY", 0)
    monkeypatch.setattr("nightfold.pipeline.files", unreadable)
    publish("club", "c2", {"m1": encode([])}, night="2017-12-04", twin=None)
    wait_for(lambda: replica.get(CLUB).json()["version"] == "c2", what="the next version")


@pytest.fixture
def watched(published, monkeypatch):
    """A watch that goes on until something holds of it; returns what it serves, and what it has said."""
    monkeypatch.setattr(served, "LOOK_EVERY", 0.01)
    monkeypatch.setattr(served, "FILES_EVERY", 0)

    def watched(until: Callable[[], bool]) -> tuple[dict[str, str], list[str]]:
        said: list[str] = []
        ours = served.Served(only=frozenset(), say=said.append)

        async def watch() -> dict[str, str]:
            watching = asyncio.create_task(ours.watch())
            async with asyncio.timeout(LIMIT):
                while not watching.done() and not (len(said) > 2 and until()):
                    await asyncio.sleep(0.01)
            assert not watching.done(), watching.exception()
            watching.cancel()
            await ours.close()
            return {name: one.champion.manifest.version for name, one in ours.pipelines.items()}

        return asyncio.run(watch()), said

    return watched


def test_a_pipeline_with_a_fault_that_nobody_foresaw_is_said_once_and_the_others_are_served(watched, home, uri, monkeypatch):
    (home / "pipelines" / "other.yaml").write_text(CLUB_FILE.replace("pipeline: club", "pipeline: other") + OTHER_STORE)
    asked = []

    def address(connection):
        asked.append(connection)
        if connection == "other_kv":
            raise ValueError("s3cret")
        return uri

    monkeypatch.setattr(served, "connection_uri", address)
    served_, said = watched(lambda: asked.count("other_kv") > 2)
    assert served_ == {"club": "c1", "shop": "s1"}
    assert re.fullmatch(r"other: not foreseen: ValueError at test_models\.py:\d+", said[0])
    assert len(said) == 3, said


def test_a_fault_while_the_folder_is_read_is_said_once_and_does_not_end_the_watch(watched, monkeypatch):
    files, faults = pipelines.files, [UnicodeDecodeError("utf-8", b"s3cret", 0, 1, "s3cret")] * 2

    def read():
        if faults:
            raise faults.pop()
        return files()

    monkeypatch.setattr(pipelines, "files", read)
    served_, said = watched(lambda: not faults)
    assert served_ == {"club": "c1", "shop": "s1"}
    assert re.fullmatch(r"looking: not foreseen: UnicodeDecodeError at test_models\.py:\d+", said[0])
    assert len(said) == 3, said


def test_a_number_beyond_all_numbers_is_null_for_json_has_none():
    assert answer({"predictions": [1.5, math.inf, -math.inf]}).body == b'{"predictions":[1.5,null,null]}'
