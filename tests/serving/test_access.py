"""Who may ask, how often, how much; and what nobody is told."""

import asyncio
import json
import time

from nightfold import api_keys
from nightfold.errors import BadInput
from serving.app import create
from serving.configuration import Configuration

import pytest
from problems_of import assert_problem
from servers import wait_for
from starlette.testclient import TestClient

ROUTES = [
    ("GET", "/v1/pipelines", None, "versions"),
    ("GET", "/v1/pipelines/shop", None, "versions"),
    ("GET", "/v1/pipelines/shop/versions", None, "versions"),
    ("GET", "/v1/pipelines/shop/lists/anna", None, "lists"),
    ("POST", "/v1/pipelines/shop/lists", {"keys": ["anna"]}, "lists"),
    ("POST", "/v1/pipelines/club/predictions", {"rows": [{}]}, "predictions"),
    ("GET", "/v1/pipelines/club/features", None, "predictions"),
    ("POST", "/v1/pipelines/shop/baskets", {"basket": {}}, "baskets"),
    ("GET", "/v1/pipelines/shop/catalogue", None, "baskets"),
    ("GET", "/metrics", None, "metrics"),
]


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


def test_every_route_is_in_the_table_of_this_test(replica):
    document = replica.get("/openapi.json").json()
    served = {path for path in document["paths"] if not path.startswith("/health")}
    named = {path.replace("shop", "{pipeline}").replace("club", "{pipeline}").replace("anna", "{key}") for _, path, _, _ in ROUTES}
    assert served == named


@pytest.mark.parametrize(("method", "path", "body", "scope"), [*ROUTES, ("GET", "/openapi.json", None, None)])
def test_nobody_is_let_in_without_a_key_that_is_for_it(replica, keys, method, path, body, scope):
    def ask(headers: dict[str, str]):
        return replica.request(method, path, json=body, headers=headers)

    assert ask({}).status_code == 200
    for wrong in ("", "nonsense", "nf_000000000000_" + "x" * 43, replica.headers["Authorization"][7:-1] + "!"):
        answer = ask(bearer(wrong))
        assert_problem(answer, 401, "give an API key that is known here")
        assert answer.headers["www-authenticate"] == "Bearer"
    if scope is None:
        return
    others = [name for name in api_keys.SCOPES if name != scope]
    _, text = api_keys.add(keys, "others", pipelines=["*"], scopes=others)
    wait_for(lambda: ask(bearer(text)).status_code == 403, what="the new key")
    assert_problem(ask(bearer(text)), 403, f"this key is not for {scope}")
    of = ["*"] if scope == "metrics" else ["shop", "club"]  # metrics tell of all
    _, right = api_keys.add(keys, "this", pipelines=of, scopes=[scope])
    wait_for(lambda: ask(bearer(right)).status_code == 200, what="the right key")


def test_a_key_of_one_pipeline_is_for_no_other(replica, keys):
    _, text = api_keys.add(keys, "club", pipelines=["club"], scopes=["lists", "versions"])
    wait_for(lambda: replica.get("/v1/pipelines/club/lists/m1", headers=bearer(text)).status_code == 200, what="the new key")
    assert_problem(replica.get("/v1/pipelines/shop/lists/anna", headers=bearer(text)), 403, "this key is not for lists of shop")
    assert [one["pipeline"] for one in replica.get("/v1/pipelines", headers=bearer(text)).json()["pipelines"]] == ["club"]


def test_metrics_tell_of_all_pipelines_and_are_for_no_key_of_one(replica, keys):
    _, text = api_keys.add(keys, "club", pipelines=["club"], scopes=["metrics"])
    wait_for(lambda: replica.get("/metrics", headers=bearer(text)).status_code == 403, what="the new key")
    assert_problem(replica.get("/metrics", headers=bearer(text)), 403, "this key is not for metrics of all pipelines")


@pytest.mark.parametrize(("method", "path", "body", "scope"), [route for route in ROUTES if route[0] == "POST"])
@pytest.mark.parametrize("nonsense", [b"{", b"[1]", b"\xff"])
def test_nobodys_body_is_not_taken_apart(published, keys, key, method, path, body, scope, nonsense):
    with TestClient(create(Configuration(keys=keys, rate=5))) as client:
        said = [client.post(path, content=nonsense, headers={"Content-Type": "application/json"}).status_code for _ in range(20)]
        assert set(said) == {401, 429}, "and counts as one of nobody's"
        with_key = client.post(path, content=nonsense, headers={"Content-Type": "application/json", **bearer(key)})
        assert with_key.status_code in (400, 422)


def test_a_file_of_keys_that_cannot_be_read_leaves_them_as_they_were(replica, keys, monkeypatch, capsys):
    access, stat = replica.app.state.access, type(keys).stat

    def stale(path, **given):
        if path == keys:
            raise OSError(116, "Stale file handle")
        return stat(path, **given)

    monkeypatch.setattr(type(keys), "stat", stale)
    for _ in range(2):
        access._looked = 0.0
        assert replica.get("/v1/pipelines/shop/lists/anna").status_code == 200
    assert capsys.readouterr().out.count("Stale file handle") == 1


def test_a_file_of_keys_that_could_not_be_read_once_is_read_again_though_it_has_not_changed(
    replica, keys, key, monkeypatch, capsys
):
    access, load, faults = replica.app.state.access, api_keys.load, [BadInput("not yours")] * 2
    path = "/v1/pipelines/shop/lists/anna"
    api_keys.revoke(keys, key.split("_")[1])

    def sometimes(file):
        if faults:
            raise faults.pop()
        return load(file)

    monkeypatch.setattr(api_keys, "load", sometimes)
    for status in (200, 200, 401):
        access._looked = 0.0
        assert replica.get(path).status_code == status
    assert capsys.readouterr().out.count("not yours; the keys stay as they were") == 1


def test_keys_are_rotated_without_a_restart(replica, keys, key):
    _, text = api_keys.add(keys, "new", pipelines=["*"], scopes=["lists"])
    path = "/v1/pipelines/shop/lists/anna"
    wait_for(lambda: replica.get(path, headers=bearer(text)).status_code == 200, what="the new key")
    assert replica.get(path).status_code == 200, "the old one is known still"
    api_keys.revoke(keys, key.split("_")[1])
    wait_for(lambda: replica.get(path).status_code == 401, what="the old key's end")
    assert replica.get(path, headers=bearer(text)).status_code == 200
    keys.write_text("{")
    until = time.monotonic() + 2.5
    while time.monotonic() < until:
        assert replica.get(path, headers=bearer(text)).status_code == 200, "a broken file changes nothing"


def test_anonymous_callers_are_let_in_only_where_that_is_asked_for(published, keys, key):
    with TestClient(create(Configuration(keys=keys, anonymous=True))) as client:
        wait_for(lambda: client.get("/health/ready").status_code == 200, what="ready")
        assert client.get("/v1/pipelines/shop/lists/anna").status_code == 200
        assert client.get("/v1/pipelines/shop/lists/anna", headers=bearer("nonsense")).status_code == 401


def test_a_key_that_is_used_too_often_waits_and_others_do_not(published, keys, key):
    _, other = api_keys.add(keys, "other", pipelines=["*"], scopes=["lists"])
    with TestClient(create(Configuration(keys=keys, rate=20)), headers=bearer(key)) as client:
        wait_for(lambda: client.get("/health/ready").status_code == 200, what="ready")
        answers = [client.get("/v1/pipelines/shop/lists/anna") for _ in range(60)]
        refused = [answer for answer in answers if answer.status_code != 200]
        assert len(refused) >= 20
        assert_problem(refused[0], 429, "more than 20 requests in a second")
        assert refused[0].headers["retry-after"] == "1"
        assert client.get("/v1/pipelines/shop/lists/anna", headers=bearer(other)).status_code == 200


def test_a_body_that_is_too_large_is_refused_whether_it_says_so_or_not(published, keys, key):
    with TestClient(create(Configuration(keys=keys, body=1000)), headers=bearer(key)) as client:
        wait_for(lambda: client.get("/health/ready").status_code == 200, what="ready")
        large = json.dumps({"keys": ["x" * 2000]}).encode()
        path, kind = "/v1/pipelines/shop/lists", {"Content-Type": "application/json"}
        assert_problem(client.post(path, content=large, headers=kind), 413, "the body may have 1,000 bytes")
        assert_problem(
            client.post(path, content=iter([large[:600], large[600:]]), headers=kind), 413, "the body may have 1,000 bytes"
        )


def test_nobodys_body_is_not_waited_for(published, keys, key):
    """One that comes without its length, and slowly."""

    async def never():
        raise AssertionError("the body was asked for")

    async def ask() -> list[int]:
        said: list[int] = []

        async def send(message) -> None:
            if message["type"] == "http.response.start":
                said.append(message["status"])

        headers = [(b"transfer-encoding", b"chunked"), (b"content-type", b"application/json"), (b"authorization", b"Bearer x")]
        path = "/v1/pipelines/shop/lists"
        scope = {"type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b"", "headers": headers}
        await create(Configuration(keys=keys))(scope, never, send)
        return said

    assert asyncio.run(ask()) == [401]


def test_more_than_one_batch_is_refused(published, keys, key):
    with TestClient(create(Configuration(keys=keys, batch=3)), headers=bearer(key)) as client:
        wait_for(lambda: client.get("/health/ready").status_code == 200, what="ready")
        assert_problem(client.post("/v1/pipelines/shop/lists", json={"keys": ["a"] * 4}), 422, "ask for at most 3 at once")
        assert_problem(client.post("/v1/pipelines/club/predictions", json={"rows": [{}] * 4}), 422, "give at most 3 at once")


def test_requests_have_an_id_and_a_line_in_the_log_without_the_persons_key(replica, capsys):
    capsys.readouterr()
    answer = replica.get("/v1/pipelines/shop/lists/anna", headers={"X-Request-Id": "abc-1"})
    assert answer.headers["x-request-id"] == "abc-1"
    for odd in ("a b", "x" * 65, "a\u00e9".encode("latin-1")):
        assert replica.get("/v1/pipelines/shop/lists/anna", headers={"X-Request-Id": odd}).headers["x-request-id"] != odd
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    first = lines[0]
    assert {name: first[name] for name in ("request_id", "method", "route", "pipeline", "status")} == {
        "request_id": "abc-1",
        "method": "GET",
        "route": "/v1/pipelines/{pipeline}/lists/{key:whole}",
        "pipeline": "shop",
        "status": 200,
    }
    assert first["client"] == replica.headers["Authorization"].split("_")[1]
    assert "anna" not in json.dumps(lines)


def test_an_error_of_ours_tells_nothing_of_what_is_inside(replica, monkeypatch, capsys):
    line = replica.app.state.served.pipelines["shop"]
    monkeypatch.setattr(line, "client", None)
    answer = replica.get("/v1/pipelines/shop/lists/anna")
    problem = assert_problem(answer, 500, "an error that is ours: quote the request id")
    assert "NoneType" not in answer.text
    [said] = [json.loads(one) for one in capsys.readouterr().out.splitlines() if problem["request_id"] in one]
    assert "NoneType" in said["error"]


def test_metrics_say_what_is_served_and_how_old_it_is(replica):
    replica.get("/v1/pipelines/shop/lists/anna")
    text = replica.get("/metrics").text
    age = next(
        float(line.split()[-1]) for line in text.splitlines() if line.startswith('nightfold_list_age_seconds{pipeline="shop"}')
    )
    assert age > 86400 * 365
    assert 'nightfold_version_info{model="yes",night="2017-12-03",pipeline="shop",version="s1"} 1.0' in text
    assert 'nightfold_requests_total{method="GET",route="/v1/pipelines/{pipeline}/lists/{key:whole}",status="200"} 1.0' in text
    assert "nightfold_ready 1.0" in text
    assert "anna" not in text
