"""A server, a connection or a publisher that fails: the old version is still live, a retry succeeds, no key is left over."""

import os
import signal
import subprocess
import sys
import threading
import time

from nightfold.client import Client
from nightfold.errors import PromotionRefused, StoreError
from nightfold.store import store_at
from nightfold.store.valkey.store import ValkeyStore
from nightfold.whole import is_whole, verify

import pytest
from helpers import Valkey
from publisher_steps import PEOPLE, STEPS, steps
from publishing import stage

PUBLISHER = """
import sys
from nightfold.store import store_at
sys.path.insert(0, "tests")
from publisher_steps import steps
for name in steps(store_at(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]):
    print(name, flush=True)
    sys.stdin.readline()
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with Valkey(tmp_path_factory.mktemp("valkey")) as own:
        yield own


@pytest.fixture
def store(server):
    server.client.flushall()
    server.client.config_set("maxmemory", "0")
    return store_at(server.uri)


def publish(store, version: str, attempt: str, night: str) -> None:
    assert list(steps(store, version, attempt, night)) == STEPS


def only_whole_versions(store, server) -> None:
    """No key of an attempt that is not a kept version's, once `collect` has gone through; every kept one is what its manifest says."""
    store.collect("shop", older_than=0)
    kept = {(version.manifest.version, version.manifest.attempt) for version in store.versions("shop")}
    names = [key.decode() for key in server.client.scan_iter(match="nightfold:shop:*", count=1000)]
    assert {tuple(name.split(":")[2:4]) for name in names} == kept
    for version, _ in kept:
        verify(store, "shop", version)


@pytest.mark.parametrize("at", ["announced", "wrote 1", "wrote 7", "fallback", "sealed", "promoted"])
def test_a_publisher_killed_at_any_step_leaves_whole_lists_and_a_retry_ends_well(store, server, at):
    publish(store, "v1", "000001-aa", "2017-12-01")
    words = [sys.executable, "-c", PUBLISHER, server.uri, "v2", "000002-dead", "2017-12-02"]
    killed = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    while killed.stdout.readline().strip() != at:
        killed.stdin.write("\n")
        killed.stdin.flush()
    killed.kill()
    killed.wait(20)
    with Client(server.uri) as client:
        answers = client.lookup_many("shop", PEOPLE)
        live = "v2" if at == "promoted" else "v1"
        assert {(answer.version, answer.source, answer.items[0].id) for answer in answers} == {(live, "model", live)}
    publish(store, "v2", "000003-beef", "2017-12-02")
    assert store.live("shop").version == "v2"
    only_whole_versions(store, server)
    assert store.staged("shop") == []


def test_two_publishers_of_one_version_at_once_make_one_whole_version(store, server):
    publish(store, "v1", "000001-aa", "2017-12-01")
    start, errors = threading.Barrier(2), []

    def work(attempt: str) -> None:
        own = ValkeyStore(server.uri)
        start.wait(10)
        try:
            publish(own, "v2", attempt, "2017-12-02")
        except PromotionRefused as error:  # the other one has promoted, and holds the later token
            errors.append(str(error))

    threads = [threading.Thread(target=work, args=(attempt,)) for attempt in ("000002-aa", "000003-bb")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(errors) <= 1
    assert store.live("shop").version == "v2"
    only_whole_versions(store, server)


def test_a_zombie_that_wakes_after_the_flip_changes_nothing(store, server):
    publish(store, "v1", "000001-aa", "2017-12-01")
    zombie = steps(store, "v2", "000002-dead", "2017-12-02")
    for _ in range(5):
        next(zombie)
    publish(store, "v2", "000003-beef", "2017-12-02")
    publish(store, "v3", "000004-cafe", "2017-12-03")
    before = store.live("shop")
    with pytest.raises(PromotionRefused, match="night 2017-12-03 was promoted before"):
        list(zombie)
    assert store.live("shop") == before
    only_whole_versions(store, server)


def test_a_server_that_restarts_in_the_middle_is_noticed_by_its_id_and_loses_nothing_live(store, server):
    publish(store, "v1", "000001-aa", "2017-12-01")
    identity, halfway = store.server_id(), steps(store, "v2", "000002-aa", "2017-12-02")
    for _ in range(6):
        next(halfway)
    server.restart()
    assert store.server_id() != identity
    assert is_whole(store, store.live("shop"))
    publish(store, "v2", "000003-aa", "2017-12-02")
    only_whole_versions(store, server)


def test_a_connection_that_is_cut_between_batches_is_made_anew(store, server):
    publish(store, "v1", "000001-aa", "2017-12-01")
    for _ in steps(store, "v2", "000002-aa", "2017-12-02"):
        server.client.client_kill_filter(_type="normal", skipme=True)
    assert store.live("shop").version == "v2"
    only_whole_versions(store, server)


def test_a_full_server_fails_the_publisher_in_one_line_and_not_the_readers(store, server):
    publish(store, "v1", "000001-aa", "2017-12-01")
    used = int(server.client.info("memory")["used_memory"])
    server.client.config_set("maxmemory", str(used + 300_000))
    with pytest.raises(StoreError, match=r"command not allowed when used memory > 'maxmemory'.*is there room") as caught:
        publish(store, "v2", "000002-aa", "2017-12-02")
    assert "\n" not in str(caught.value)
    with Client(server.uri) as client:
        assert {answer.version for answer in client.lookup_many("shop", PEOPLE)} == {"v1"}
    server.client.config_set("maxmemory", "0")
    publish(store, "v2", "000003-aa", "2017-12-02")
    only_whole_versions(store, server)


def test_a_server_that_does_not_answer_fails_the_publisher_after_its_time_outs_and_a_retry_succeeds(store, server):
    publish(store, "v1", "000001-aa", "2017-12-01")
    impatient = store_at(server.uri, timeout=0.2, retries=1)
    halfway = steps(impatient, "v2", "000002-aa", "2017-12-02")
    for _ in range(4):
        next(halfway)
    os.kill(server.process.pid, signal.SIGSTOP)
    try:
        with pytest.raises(StoreError, match=r"Timeout.*is it up"):
            next(halfway)
    finally:
        os.kill(server.process.pid, signal.SIGCONT)
    assert store.live("shop").version == "v1"
    publish(store, "v2", "000003-aa", "2017-12-02")
    only_whole_versions(store, server)


def test_a_rollback_takes_less_than_a_second_however_many_lists_there_are(store, server):
    for number in (1, 2):
        name = f"v{number}"
        for start in range(0, 100_000, 5000):
            store.write("shop", name, "a", {f"k{n}": b"[]" for n in range(start, start + 5000)})
        stage(store, name, {}, night=f"2017-12-0{number}", attempt="a")
        store.promote("shop", name, store.begin("shop"), 3)
    began = time.monotonic()
    store.rollback("shop")
    assert time.monotonic() - began < 1
    assert store.live("shop").version == "v1"
