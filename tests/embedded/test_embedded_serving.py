"""Three real replicas behind a real HAProxy: one dies, one hangs, versions and the store change, and readers notice nothing."""

import contextlib
import json
import os
import signal
import socket
import stat
import tempfile
import time
from pathlib import Path

from embedded import balancer, platform, rolling, serving_parts, valkey
from embedded.errors import NotReady, PlatformError, PortTaken
from embedded.processes import family, process_of, record_of, stop
from embedded.settings import load
from nightfold import api_keys
from nightfold.store import store_at

import psutil
import pytest
import redis
from embedded_load import LIMIT, Load, ask, publish, replicas
from helpers import SHOP

REPLICAS = ("serving-1", "serving-2", "serving-3")
PARTS = ("valkey", platform.SERVING)
SLACK = 1.5  # seconds beyond the second that a reader believes a pointer: two slow processors, shared


@pytest.fixture(scope="module")
def api():
    """The platform's REST API, with one version of the shop."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("NIGHTFOLD_", "AIRFLOW_", "MLFLOW_"))}
    environ = {**plain, **platform.free_ports(), "NIGHTFOLD_SERVING_ANONYMOUS": "yes"}
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        (home / "pipelines").mkdir(parents=True)
        (home / "pipelines" / "shop.yaml").write_text(SHOP)
        environ["NIGHTFOLD_PIPELINES"] = str(home / "pipelines")
        said: list[str] = []
        began = time.monotonic()
        with platform.running(home=home, names=PARTS, environ=environ, say=said.append) as settings:
            assert said[-1].endswith("says: " + '{"ready":false,"why":"nothing is published yet"}'), said
            while set(balancer.states(settings).values()) != {"DOWN"}:  # until it has looked at them it takes them to be there
                assert time.monotonic() < began + LIMIT
                time.sleep(0.05)
            nothing = ask(settings.port("NIGHTFOLD_SERVING_PORT"), "/v1/pipelines/shop/lists/p1")
            assert (nothing.status, json.loads(nothing.said)["detail"]) == (503, "no replica is ready: ask again in a moment")
            publish(store(settings), "v1", night="2026-01-01")
            for name in REPLICAS:
                balancer.wait_until_up(settings, name, limit=LIMIT)
            yield settings


def store(settings):
    return store_at(settings["AIRFLOW_CONN_KV_DEFAULT"])


def load_of(settings) -> Load:
    return Load(settings.port("NIGHTFOLD_SERVING_PORT"))


def up(settings) -> None:
    platform.up(home=settings.home, names=PARTS, environ=settings.environ, say=print)


def pids(settings, *names: str) -> dict[str, int]:
    return {name: process_of(record_of(settings.home, name)).pid for name in names or REPLICAS}


def from_all(answers) -> bool:
    return replicas(answers) == set(REPLICAS)


def test_a_replica_that_is_killed_is_noticed_by_nobody_and_comes_back(api):
    with load_of(api) as load:
        load.until(from_all, what="all three answer")
        before = pids(api)
        os.kill(before["serving-2"], signal.SIGKILL)
        load.until(lambda seen: len(seen) > 100 and "serving-2" not in replicas(seen), what="the two others answer")
        assert balancer.states(api) == {"serving-1": "UP", "serving-2": "DOWN", "serving-3": "UP"}
        up(api)
        load.until(from_all, what="all three answer again")
        after = pids(api)
    assert load.faults() == []
    assert {name for name in REPLICAS if before[name] != after[name]} == {"serving-2"}, "the others are left alone"


def test_a_replica_that_hangs_delays_its_readers_and_fails_none(api):
    frozen = pids(api)["serving-3"]
    with load_of(api) as load:
        load.until(from_all, what="all three answer")
        os.kill(frozen, signal.SIGSTOP)
        try:
            load.until(lambda seen: balancer.states(api)["serving-3"] == "DOWN", what="the balancer has noticed")
            load.until(lambda seen: len(seen) > 100 and "serving-3" not in replicas(seen[-100:]), what="the two others answer")
        finally:
            os.kill(frozen, signal.SIGCONT)
        load.until(from_all, what="it answers again")
    assert load.faults() == []
    assert max(seen.seconds for seen in load.seen) < 7, "5 s, and the next one is asked"


def test_replicas_whose_settings_have_changed_are_restarted_one_by_one_and_no_request_fails(api):
    before, said = pids(api), []
    api.environ["NIGHTFOLD_SERVING_RATE"] = "3000"
    with load_of(api) as load:
        load.until(from_all, what="all three answer")
        platform.up(home=api.home, names=PARTS, environ=api.environ, say=said.append)
        load.until(from_all, what="all three answer again")
    assert load.faults() == []
    after = pids(api)
    assert not [name for name in REPLICAS if before[name] == after[name]]
    assert [line.split()[0] for line in said if "restarted" in line] == list(REPLICAS)


def test_a_promotion_and_a_rollback_reach_all_replicas_within_seconds_and_no_answer_is_of_two_versions(api):
    with load_of(api) as load:
        load.until(from_all, what="all three answer")
        publish(store(api), "v2", night="2026-01-02")
        promoted = time.monotonic()
        load.until(lambda seen: from_all([one for one in seen if one.version == "v2"]), what="v2 everywhere")
        load.until(lambda seen: bool(seen) and seen[-1].began > promoted + 1 + SLACK + 0.2, what="some time passes")
        asked = time.monotonic()
        assert store(api).rollback("shop", because="a test") == ("v2", "v1")
        back = time.monotonic()
        store(api).release("shop")
        load.until(lambda seen: from_all([one for one in seen if one.version == "v1"]), what="v1 everywhere")
        load.until(lambda seen: bool(seen) and seen[-1].began > back + 1 + SLACK, what="some time passes")
    assert load.faults() == []
    assert {seen.version for seen in load.seen if promoted + 1 + SLACK < seen.began + seen.seconds < asked} == {"v2"}
    assert {seen.version for seen in load.seen if seen.began > back + 1 + SLACK} == {"v1"}
    assert not any(seen.degraded for seen in load.seen)


def test_while_the_store_is_gone_everybody_gets_the_fallback_marked_so_and_lists_are_back_with_it(api):
    with load_of(api) as load:
        load.until(from_all, what="all three answer")
        stop(api.home, "valkey")
        load.until(lambda seen: from_all([one for one in seen if one.degraded]), what="the fallback of all three")
        assert set(balancer.states(api).values()) == {"UP"}, "a store that is gone takes no replica down"
        up(api)
        load.until(lambda seen: from_all(seen) and not any(one.degraded for one in seen[-100:]), what="lists of all three")
    assert load.faults() == [], "no error, and every degraded answer says that it is one"


def test_strangers_get_nothing_and_secrets_are_not_to_be_seen(api):
    members = [process for name in (*REPLICAS, balancer.NAME) for process in family(record_of(api.home, name))]
    listening = {c.laddr.ip for process in members for c in process.net_connections("inet") if c.status == "LISTEN"}
    assert listening == {"127.0.0.1"}
    spoken = " ".join(word for process in members for word in process.cmdline())
    assert not [name for name, value in api.values.items() if name.endswith(("PASSWORD", "SECRET", "KEY")) and value in spoken]
    for path, mode in (("run/balancer.sock", 0o600), ("balancer/replicas.cfg", 0o600), ("valkey/valkey.conf", 0o600)):
        assert stat.S_IMODE((api.home / path).stat().st_mode) == mode
    port = api.port("NIGHTFOLD_SERVING_PORT")
    assert ask(port, "/v1/pipelines/shop/lists/p1", Authorization="Bearer guess").status == 401
    assert {ask(port, page).status for page in ("/haproxy?stats", "/stats", "/admin")} == {404}
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as client:  # the socket tells, and changes nothing
        client.connect(str(api.home / "run" / "balancer.sock"))
        client.sendall(b"disable server serving/serving-1\n")
        assert b"Permission denied" in client.recv(4096)
    reader = redis.Redis.from_url(valkey.reader_uri(api))
    assert reader.get("nightfold:{shop}:live")
    for command in (("SET", "nightfold:x", "1"), ("GET", "other"), ("KEYS", "*"), ("CONFIG", "GET", "*"), ("FLUSHALL",)):
        with pytest.raises(redis.exceptions.NoPermissionError):
            reader.execute_command(*command)


def test_a_key_counts_at_all_replicas_at_once_and_a_request_s_id_is_the_client_s(api):
    port = api.port("NIGHTFOLD_SERVING_PORT")
    _, key = api_keys.add(api.home / "serving" / "keys.json", "till", pipelines=["shop"], scopes=["lists", "versions"])
    limit, served = time.monotonic() + LIMIT, set()
    while served != set(REPLICAS):
        answer = ask(port, "/v1/pipelines/shop/versions", Authorization=f"Bearer {key}", **{"X-Request-Id": "my-own.7"})
        assert answer.headers["X-Request-Id"] == "my-own.7"
        served |= {answer.headers["X-Served-By"]} if answer.status == 200 else set()
        assert time.monotonic() < limit, answer.said
    assert len(ask(port, "/health/live", **{"X-Request-Id": "no id\tat all"}).headers["X-Request-Id"]) == 36


def test_status_names_them_and_a_replica_less_is_one_less(api):
    lines = {line.name: line.state for line in platform.status(home=api.home, environ=api.environ)}
    assert {name: lines[name] for name in (*REPLICAS, balancer.NAME)} == dict.fromkeys((*REPLICAS, balancer.NAME), "running")
    environ = {**api.environ, "NIGHTFOLD_SERVING_REPLICAS": "2"}
    before = pids(api)
    platform.up(home=api.home, names=PARTS, environ=environ, say=print)
    assert balancer.states(api) == {"serving-1": "UP", "serving-2": "UP"}
    assert process_of(record_of(api.home, "serving-3")) is None
    assert not psutil.pid_exists(before["serving-3"])
    assert {**before, **pids(api, "serving-1", "serving-2")} == before, "the others are left alone"
    assert ask(api.port("NIGHTFOLD_SERVING_PORT"), "/v1/pipelines/shop/lists/p1").status == 200


def test_a_replica_that_does_not_come_up_again_stops_the_restart_before_the_others(api, monkeypatch):
    stopped = []
    monkeypatch.setattr(rolling, "UP_LIMIT", 0.5)
    monkeypatch.setattr(rolling, "stop", lambda home, name: stopped.append(name))
    monkeypatch.setattr(rolling, "start", lambda home, part: record_of(home, part.name))
    monkeypatch.setattr(balancer, "states", lambda settings: {"serving-1": "UP", "serving-2": "DOWN"})
    with pytest.raises(NotReady, match="serving-2 is DOWN for the balancer after 0 s; it says: "):
        rolling.restart(home=api.home, environ={**api.environ, "NIGHTFOLD_SERVING_REPLICAS": "2"}, say=print)
    assert stopped == ["serving-2"], "that which does not serve comes first"


def test_none_is_restarted_while_a_pipeline_s_file_is_wrong(api):
    before, file = pids(api, *REPLICAS[:2]), Path(api["NIGHTFOLD_PIPELINES"]) / "shop.yaml"
    right = file.read_text()
    file.write_text(right.replace("pipeline: shop", "pipeline: shop\ntopn: 3"))
    try:
        with pytest.raises(PlatformError, match=r"shop\.yaml.*topn.*: no replica is restarted, and all serve on: mend the file"):
            rolling.restart(home=api.home, environ=api.environ, say=print)
    finally:
        file.write_text(right)
    assert pids(api, *REPLICAS[:2]) == before


def test_what_cannot_be_is_refused_by_the_setting_s_name(tmp_path):
    def start(**changes: str):
        environ = {"PATH": os.environ["PATH"], **platform.free_ports(), **changes}
        platform.up(home=tmp_path, names=[platform.SERVING], environ=environ, say=print)

    with pytest.raises(PlatformError, match="NIGHTFOLD_SERVING_REPLICAS=some is not a number of replicas"):
        start(NIGHTFOLD_SERVING_REPLICAS="some")
    with pytest.raises(PlatformError, match="gives serving-2 7001, the port of NIGHTFOLD_MLFLOW_PORT: set another"):
        start(NIGHTFOLD_SERVING_REPLICA_PORT="7000", NIGHTFOLD_MLFLOW_PORT="7001")
    with pytest.raises(PlatformError, match="gives serving-2 65536, not a port"):
        start(NIGHTFOLD_SERVING_REPLICA_PORT="65535")
    with pytest.raises(PlatformError, match="no balancer runs: make up-serving"):
        rolling.restart(home=tmp_path, environ={}, say=print)
    settings = load(home=tmp_path / ("x" * 100), environ={"PATH": ""})
    with pytest.raises(PlatformError, match="is too long for a socket: set NIGHTFOLD_HOME"):
        balancer.check(settings)
    with socket.socket() as other:
        port = int(platform.free_ports()["NIGHTFOLD_SERVING_REPLICA_PORT"]) + 1
        other.bind(("127.0.0.1", port))
        other.listen()
        with pytest.raises(PortTaken, match=f"port {port} is taken by another program: set NIGHTFOLD_SERVING_REPLICA_PORT"):
            start(NIGHTFOLD_SERVING_REPLICA_PORT=str(port - 1), NIGHTFOLD_SERVING_REPLICAS="2")


def test_a_replica_is_told_what_it_needs_and_no_more(tmp_path):
    theirs = {"GROCERS_OWN": "1", "MLFLOW_TRACKING_PASSWORD": "m", "NIGHTFOLD_SPARK_SECRET": "s", "NIGHTFOLD_SERVING_RATE": "9"}
    settings = load(home=tmp_path, environ={"PATH": "/bin", **theirs})
    told = serving_parts.part(settings, "serving-2").environment
    assert told["NIGHTFOLD_SERVING_PORT"] == "8092"
    assert (told["NIGHTFOLD_SERVING_RATE"], told["GROCERS_OWN"], told["NIGHTFOLD_SERVING_DRAIN"]) == ("9", "1", "2")
    assert told["AIRFLOW_CONN_KV_DEFAULT"].startswith("redis://reader:")
    secrets = {value for name, value in settings.values.items() if name.endswith(("PASSWORD", "SECRET", "KEY"))}
    assert [name for name, value in told.items() if value in secrets] == []
    assert not [name for name in settings.job_environment() if name.startswith("NIGHTFOLD_SERVING_")]
