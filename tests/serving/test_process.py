"""A replica as a process of its own: it starts, ends when it is told to without a failed request, and outlives its store."""

import json
import signal
import subprocess
import sys
import threading
import time

from nightfold.store.records import encode

import httpx
import pytest
from helpers import ROOT, Valkey, free_port
from replica import Replica
from servers import wait_for


@pytest.fixture
def kv(uri) -> str:
    return uri


def test_it_imports_neither_spark_nor_airflow_nor_starts_a_jvm():
    code = "import sys, serving.app; print([m for m in ('pyspark', 'airflow', 'py4j', 'mlflow') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout == "[]\n"


def test_told_to_end_it_says_that_it_is_not_ready_answers_on_and_ends(published, home, key, kv):
    with Replica(home, key, AIRFLOW_CONN_KV_DEFAULT=kv, NIGHTFOLD_SERVING_DRAIN="2") as replica:
        assert replica.status("/v1/pipelines/shop/lists/anna") == 200
        replica.process.send_signal(signal.SIGTERM)
        told = time.monotonic()
        wait_for(lambda: replica.status("/health/ready") == 503, what="not ready")
        assert replica.client.get("/health/ready").json() == {"ready": False, "why": "it is about to end"}
        answered = 0
        while time.monotonic() < told + 1.5:
            assert replica.status("/v1/pipelines/shop/lists/anna") == 200
            answered += 1
        assert answered > 10
        assert replica.process.wait(20) == 0
        assert time.monotonic() - told >= 2
    lines = [json.loads(line) for line in replica.log.read_text().splitlines()]
    assert {line["status"] for line in lines if "status" in line} == {200}


def test_told_twice_it_ends_at_once(published, home, key, kv):
    with Replica(home, key, AIRFLOW_CONN_KV_DEFAULT=kv, NIGHTFOLD_SERVING_DRAIN="60") as replica:
        replica.process.send_signal(signal.SIGTERM)
        wait_for(lambda: replica.status("/health/ready") == 503, what="not ready")
        replica.process.send_signal(signal.SIGTERM)
        assert replica.process.wait(20) == 0


def test_without_a_store_it_is_not_ready_and_says_so(home, key, uri):
    with_nothing = f"redis://:s3cret@127.0.0.1:{free_port()}/0"
    replica = Replica(home, key, AIRFLOW_CONN_KV_DEFAULT=with_nothing)
    try:
        wait_for(lambda: replica.status("/health/live") == 200, what="live", log=replica.log)
        wait_for(lambda: "is it up" in replica.log.read_text(), what="its words", log=replica.log)
        assert replica.status("/health/ready") == 503
        assert replica.status("/v1/pipelines/shop/lists/anna") == 503
        assert "s3cret" not in replica.log.read_text()
    finally:
        replica.__exit__()


def test_a_wrong_setting_is_one_line_and_wrong_use(home, key, uri):
    replica = Replica(home, key, NIGHTFOLD_SERVING_RATE="many")
    assert replica.process.wait(20) == 2
    assert replica.log.read_text() == "serving: NIGHTFOLD_SERVING_RATE=many: give a whole number\n"


def test_it_outlives_its_store_and_answers_with_the_fallback_meanwhile(publish, home, key, uri, tmp_path_factory):
    with Valkey(tmp_path_factory.mktemp("valkey")) as own:
        from nightfold.store import VersionManifest, store_at

        store = store_at(own.uri)
        store.announce("shop", "s1", "a")
        store.write("shop", "s1", "a", {"anna": encode([("bread", 1.0, "")])})
        store.write_fallback("shop", "s1", "a", encode([("milk", 1.0, "")]))
        about = {"night": "2017-12-03", "published_at": "2017-12-03T23:00:00+00:00", "checksum": "0", "model": "m"}
        store.seal(VersionManifest(pipeline="shop", version="s1", attempt="a", keys=1, **about))
        store.promote("shop", "s1", store.begin("shop"), 3)
        with Replica(home, key, AIRFLOW_CONN_KV_DEFAULT=own.uri) as replica:
            assert replica.client.get("/v1/pipelines/shop/lists/anna").json()["source"] == "model"
            seen: list[tuple[int, bool]] = []
            over = threading.Event()

            def ask() -> None:
                with httpx.Client(base_url=replica.client.base_url, headers=replica.client.headers, timeout=10) as client:
                    while not over.is_set():
                        answer = client.get("/v1/pipelines/shop/lists/anna")
                        seen.append((answer.status_code, answer.json().get("degraded")))

            asking = threading.Thread(target=ask)
            asking.start()
            try:
                own.__exit__()
                wait_for(lambda: (200, True) in seen, what="the fallback")
                assert replica.status("/health/ready") == 200, "the fallback is better than nothing"
                own.__enter__()
                back = len(seen)
                wait_for(lambda: (200, False) in seen[back:], what="the store's return")
            finally:
                over.set()
                asking.join(20)
            assert {status for status, _ in seen} == {200}
            own.process.send_signal(signal.SIGSTOP)
            try:
                refused = replica.client.get("/v1/pipelines/shop/versions")  # within the ten seconds of this client
                assert (refused.status_code, refused.headers["content-type"]) == (503, "application/problem+json")
            finally:
                own.process.send_signal(signal.SIGCONT)
