"""Lists over REST: as `nightfold lookup` gives them, filtered where asked, and one version each."""

import threading

from nightfold.store.records import encode

import pytest
from problems_of import assert_problem
from servers import wait_for

SHOP = "/v1/pipelines/shop"


def test_a_list_is_as_the_command_line_gives_it(replica):
    answer = replica.get(f"{SHOP}/lists/anna")
    assert answer.status_code == 200
    found = answer.json()
    assert found.pop("age_seconds") > 0
    assert found == {
        "pipeline": "shop",
        "key": "anna",
        "version": "s1",
        "night": "2017-12-03",
        "published_at": "2017-12-03T23:00:00+00:00",
        "source": "model",
        "bucket": None,
        "degraded": False,
        "items": [
            {"id": "bread", "score": 0.5, "why": "bought 3 times"},
            {"id": "butter", "score": 0.25, "why": "goes with bread"},
            {"id": "cheese", "score": 0.1, "why": "popular now"},
        ],
    }
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("path", "wanted", "source", "items"),
    [
        ("a%2Fb%20c", "a/b c", "model", ["milk"]),
        ("a/b c", "a/b c", "model", ["milk"]),
        ("J%C3%BCrgen%20%CE%A9", "Jürgen Ω", "model", []),
        ("nobody", "nobody", "fallback", ["milk", "bread"]),
        ("", "", "fallback", ["milk", "bread"]),
        ("anna%0A", "anna\n", "fallback", ["milk", "bread"]),
        ("a%0D%0Ab", "a\r\nb", "fallback", ["milk", "bread"]),
        ("%00", "\0", "fallback", ["milk", "bread"]),
    ],
)
def test_keys_are_taken_as_they_are(replica, path, wanted, source, items):
    found = replica.get(f"{SHOP}/lists/{path}").json()
    assert (found["key"], found["source"], [item["id"] for item in found["items"]]) == (wanted, source, items)


def test_many_keys_come_in_their_order_and_of_one_version(replica):
    found = replica.post(f"{SHOP}/lists", json={"keys": ["nobody", "anna", "a/b c", "anna"], "n": 1}).json()["lists"]
    assert [(one["key"], one["source"], [item["id"] for item in one["items"]]) for one in found] == [
        ("nobody", "fallback", ["milk"]),
        ("anna", "model", ["bread"]),
        ("a/b c", "model", ["milk"]),
        ("anna", "model", ["bread"]),
    ]


@pytest.mark.parametrize(
    ("query", "items"),
    [
        ("n=2", ["bread", "butter"]),
        ("without=bread", ["butter", "cheese"]),
        ("without=bread&without=cheese&without=wine", ["butter"]),
        ("without=bread&n=1", ["butter"]),
        ("only=shelf:dairy", ["butter", "cheese"]),
        ("only=shelf:dairy&only=shelf:bakery&n=2", ["bread", "butter"]),
        ("only=shelf:toys", []),
    ],
)
def test_a_list_is_filtered_before_it_is_cut(replica, query, items):
    assert [item["id"] for item in replica.get(f"{SHOP}/lists/anna?{query}").json()["items"]] == items
    filters: dict = {}
    for name, value in (pair.split("=") for pair in query.split("&")):
        if name == "n":
            filters["n"] = int(value)
        elif name == "without":
            filters.setdefault("without", []).append(value)
        else:
            filters.setdefault("only", {}).setdefault("shelf", []).append(value.split(":")[1])
    [found] = replica.post(f"{SHOP}/lists", json={"keys": ["anna"], **filters}).json()["lists"]
    assert [item["id"] for item in found["items"]] == items


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/v1/pipelines/wine/lists/anna", 404, "there is no pipeline 'wine'"),
        (f"{SHOP}/lists/anna?n=0", 422, "query.n: Input should be greater than or equal to 1"),
        (f"{SHOP}/lists/anna?n=x", 422, "query.n: Input should be a valid integer"),
        (f"{SHOP}/lists/anna?only=shelf", 422, "query.only.0: String should match pattern"),
        (f"{SHOP}/lists/anna?only=brand:own", 409, "only: no column 'brand'; there are: shelf"),
        ("/v1/pipelines/club/lists/m1?only=shelf:dairy", 409, "only: club has no catalogue to look at now"),
        ("/v1/pipelines/SHOP/lists/anna", 404, "there is no pipeline 'SHOP'"),
        (f"{SHOP}/lists/anna?m=1", 422, "query.m: Extra inputs are not permitted"),
        ("/v1/nothing", 404, "Not Found"),
    ],
)
def test_a_wrong_question_is_refused_with_the_field_and_the_mend(replica, path, status, words):
    assert_problem(replica.get(path), status, words)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "body.keys: Field required"),
        ({"keys": []}, "body.keys: List should have at least 1 item"),
        ({"keys": [1]}, "body.keys.0: Input should be a valid string"),
        ({"keys": ["a"], "nn": 1}, "body.nn: Extra inputs are not permitted"),
        ({"keys": ["a"] * 1001}, "body.keys: List should have at most 1000 items"),
        ([], "body: Input should be an object"),
    ],
)
def test_a_wrong_body_is_refused_with_the_field(replica, body, words):
    assert_problem(replica.post(f"{SHOP}/lists", json=body), 422, words)


def test_a_body_that_does_not_say_that_it_is_json_is_told_what_to_say(replica):
    for headers in ({}, {"Content-Type": "application/x-www-form-urlencoded"}):  # the latter as curl sends without --json
        answer = replica.post(f"{SHOP}/lists", content=b'{"keys": ["anna"]}', headers=headers)
        assert_problem(answer, 422, "body: send it as JSON, and say so: `Content-Type: application/json`")
    said = {"Content-Type": "Application/JSON; charset=utf-8"}
    assert replica.post(f"{SHOP}/lists", content=b'{"keys": ["anna"]}', headers=said).status_code == 200


def test_what_is_no_json_is_refused(replica):
    for content in (b"{", b"\xff\xfe", b'{"keys": ["\\ud800"]}', b"[" * 100_000, b'{"keys": ' + b"9" * 5000 + b"}"):
        answer = replica.post(f"{SHOP}/lists", content=content, headers={"Content-Type": "application/json"})
        assert answer.status_code in (400, 422), (content[:20], answer.text)
        assert answer.headers["content-type"] == "application/problem+json"


def test_both_versions_of_a_split_are_served_and_counted(replica, store, publish):
    publish("shop", "s2", {f"p{n}": encode([("two", 1.0, "")]) for n in range(40)}, night="2017-12-04", twin=None, promote=False)
    store.split("shop", "s2", 0.5)
    people = [f"p{n}" for n in range(40)]

    def buckets() -> set:
        return {(one["bucket"], one["version"]) for one in replica.post(f"{SHOP}/lists", json={"keys": people}).json()["lists"]}

    wait_for(lambda: buckets() == {("A", "s1"), ("B", "s2")}, what="both versions")
    metrics = replica.get("/metrics").text
    assert 'nightfold_lists_total{bucket="A",pipeline="shop",source="fallback"}' in metrics
    assert 'nightfold_lists_total{bucket="B",pipeline="shop",source="model"}' in metrics


def test_no_answer_is_mixed_while_nights_are_promoted_and_rolled_back(replica, store, publish):
    people = [f"p{n}" for n in range(50)]
    over, wrong, seen = threading.Event(), [], set()

    def read() -> None:
        while not over.is_set():
            answer = replica.post(f"{SHOP}/lists", json={"keys": people})
            if answer.status_code != 200:
                wrong.append(answer.text)
                continue
            found = answer.json()["lists"]
            versions = {one["version"] for one in found}
            items = {one["items"][0]["id"] for one in found if one["source"] == "model"}
            seen.update(versions)
            if len(versions) != 1 or not (items <= versions) or any(one["degraded"] for one in found):
                wrong.append(str((versions, items)))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for number in range(2, 8):
            night = f"2017-12-{number + 2:02}"
            publish("shop", f"n{number}", {p: encode([(f"n{number}", 1.0, "")]) for p in people}, night=night, twin=None)
            if number == 5:
                store.rollback("shop")
                store.release("shop")
            _until_served(replica, store.live("shop").version)
    finally:
        over.set()
        reader.join(30)
    assert wrong == []
    assert len(seen) >= 4


def _until_served(replica, version: str) -> None:
    wait_for(lambda: replica.get(f"{SHOP}/lists/p1").json()["version"] == version, what=version)
