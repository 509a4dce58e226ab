"""Real PostgreSQL and Valkey on a home of their own: up, closed to strangers, up again after a crash, down."""

import os
import socket
import subprocess
import tempfile
from pathlib import Path

from embedded import platform
from embedded.errors import PlatformError, PortTaken
from embedded.processes import Part, family, process_of, record_of, start
from embedded.settings import load

import psutil
import psycopg2
import pytest
import redis

PARTS = ("postgres", "valkey", "shop")


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def environ() -> dict[str, str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("NIGHTFOLD_", "AIRFLOW_", "MLFLOW_"))}
    return {**plain, **platform.free_ports()}


@pytest.fixture
def settings(environ, said):
    with (
        tempfile.TemporaryDirectory() as folder,
        platform.running(home=Path(folder) / "home", names=PARTS, environ=environ, say=said.append) as settings,
    ):
        yield settings


def everybody(settings) -> list[int]:
    return [process.pid for name in PARTS for process in family(record_of(settings.home, name))]


def kill(pid: int) -> None:
    """As a crash: dead when this returns."""
    process = psutil.Process(pid)
    process.kill()
    process.wait(timeout=30)


def connect(settings, **changes):
    port = settings.port("NIGHTFOLD_SHOP_PORT")
    login = {"user": "shop", "password": settings["NIGHTFOLD_SHOP_PASSWORD"], "dbname": "grocer"}
    return psycopg2.connect(**{"host": "127.0.0.1", "port": port, "connect_timeout": 5, **login, **changes})


def valkey_of(settings, password: str | None) -> redis.Redis:
    return redis.Redis(host="127.0.0.1", port=settings.port("NIGHTFOLD_VALKEY_PORT"), password=password)


def test_real_servers_refuse_strangers_recover_from_a_crash_and_leave_nothing_behind(settings, environ, said):
    # Strangers.
    for login in ({"password": "guess"}, {"user": "postgres", "password": "", "dbname": "postgres"}):
        with pytest.raises(psycopg2.OperationalError, match=r"authentication failed|no password supplied"):
            connect(settings, **login)
    with pytest.raises(redis.AuthenticationError):
        valkey_of(settings, None).ping()
    with pytest.raises(redis.AuthenticationError):
        valkey_of(settings, "guess").ping()
    listening = [c for pid in everybody(settings) for c in psutil.Process(pid).net_connections("inet") if c.status == "LISTEN"]
    assert {connection.laddr.ip for connection in listening} == {"127.0.0.1"}
    assert not [s for pid in everybody(settings) for s in psutil.Process(pid).net_connections("unix") if "PGSQL" in str(s.laddr)]

    # No secret in an argument, whoever runs it.
    arguments = " ".join(" ".join(psutil.Process(pid).cmdline()) for pid in everybody(settings))
    secrets = [value for name, value in settings.values.items() if name.endswith(("PASSWORD", "SECRET", "KEY"))]
    assert not [secret for secret in secrets if secret in arguments]

    # What was written outlives kill -9 of each.
    with connect(settings) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE basket (item text)")
        cursor.execute("INSERT INTO basket VALUES ('milk')")
    connection.close()
    kv = valkey_of(settings, settings["NIGHTFOLD_VALKEY_PASSWORD"])
    kv.set("list", "1,2,3")
    assert kv.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    assert kv.config_get("appendonly") == {"appendonly": "yes"}
    kv.execute_command("WAITAOF", 1, 0, 5000)
    before = {name: record_of(settings.home, name).pid for name in PARTS}
    for name in ("valkey", "shop"):
        kill(before[name])
    platform.up(home=settings.home, names=PARTS, environ=environ, say=said.append)
    after = {name: record_of(settings.home, name).pid for name in PARTS}
    assert after["postgres"] == before["postgres"], "what was well is left alone"
    assert after["valkey"] != before["valkey"]
    assert after["shop"] != before["shop"]
    assert valkey_of(settings, settings["NIGHTFOLD_VALKEY_PASSWORD"]).get("list") == b"1,2,3"
    with connect(settings) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT item FROM basket")
        assert cursor.fetchall() == [("milk",)]
    connection.close()

    # A second up changes nothing; a new port moves one server only.
    platform.up(home=settings.home, names=PARTS, environ=environ, say=said.append)
    assert {name: record_of(settings.home, name).pid for name in PARTS} == after
    port = platform.free_ports()["NIGHTFOLD_VALKEY_PORT"]
    moved = platform.up(home=settings.home, names=PARTS, environ={**environ, "NIGHTFOLD_VALKEY_PORT": port}, say=said.append)
    assert valkey_of(moved, moved["NIGHTFOLD_VALKEY_PASSWORD"]).get("list") == b"1,2,3"
    assert record_of(settings.home, "shop").pid == after["shop"]

    # Down, and nobody is left.
    alive = [psutil.Process(pid) for pid in everybody(settings)]
    platform.down(home=settings.home, environ=environ, say=said.append)
    assert [process for process in alive if process.is_running() and process.status() != psutil.STATUS_ZOMBIE] == []
    assert {line.state for line in platform.status(home=settings.home, environ=environ)} == {"stopped"}
    platform.clean(home=settings.home, environ=environ, say=said.append)
    assert not settings.home.exists()


@pytest.mark.parametrize(("dies", "again"), [("postgres", {"postgres", "airflow-scheduler"}), ("valkey", {"valkey"})])
def test_airflow_is_started_anew_with_its_database_however_well_it_looks(tmp_path, environ, dies, again):
    names = ("postgres", "valkey", "airflow-scheduler", "mlflow")
    settings = load(home=tmp_path, environ=environ)
    sleeps = {"argv": ("sleep", "600"), "environment": {}, "address": "", "why_not_ready": lambda created: None, "identity": ""}
    parts = {name: Part(name=name, **sleeps) for name in names}
    for part in parts.values():
        start(tmp_path, part)
    kill(record_of(tmp_path, dies).pid)
    try:
        assert set(platform._clear_the_dead(settings, parts)) == again
        assert {name for name in names if process_of(record_of(tmp_path, name)) is None} == again
    finally:
        platform.down(home=tmp_path, environ=environ, say=lambda line: None)


def test_a_stale_lock_file_of_postgres_with_somebody_s_process_id_does_not_stop_it(settings, environ, said):
    platform.down(home=settings.home, environ=environ, say=said.append)
    stale = settings.home / "shop" / "postmaster.pid"
    stale.write_text(f"{os.getpid()}\n{settings.home / 'shop'}\n1\n{settings['NIGHTFOLD_SHOP_PORT']}\n\n127.0.0.1\n0 0\nready   \n")
    platform.up(home=settings.home, names=["shop"], environ=environ, say=said.append)
    connect(settings).close()


def test_a_taken_port_is_named_with_its_setting_and_nothing_is_started(tmp_path, environ):
    with socket.socket() as other:
        other.bind(("127.0.0.1", int(environ["NIGHTFOLD_VALKEY_PORT"])))
        other.listen()
        port = environ["NIGHTFOLD_VALKEY_PORT"]
        text = rf"port {port} is taken by another program: set NIGHTFOLD_VALKEY_PORT=<free port>"
        with pytest.raises(PortTaken, match=text):
            platform.up(home=tmp_path, names=PARTS, environ=environ, say=print)
    assert process_of(record_of(tmp_path, "postgres")) is None
    assert not (tmp_path / "platform.env").exists(), "a port that cannot be had is not kept"


def test_clean_refuses_a_folder_that_is_not_the_platforms(tmp_path, environ):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(PlatformError, match="not only this platform's state"):
        platform.clean(home=tmp_path, environ=environ, say=print)
    assert (tmp_path / "thesis.tex").exists()


def test_an_unknown_part_is_refused_by_name(tmp_path, environ):
    with pytest.raises(PlatformError, match="no such part: kafka"):
        platform.up(home=tmp_path, names=["kafka"], environ=environ, say=print)


def test_the_command_line_says_wrong_use_with_2_and_failure_with_1_in_one_line(tmp_path, environ):
    def embedded(*arguments: str, **changes: str) -> subprocess.CompletedProcess:
        command = [os.sys.executable, "-m", "embedded", *arguments]
        environment = {**environ, "NIGHTFOLD_HOME": str(tmp_path), **changes}
        root = Path(platform.__file__).parent.parent
        return subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True, check=False)

    assert embedded("run", "--pipeline", "grocery", "--ds", "yesterday").returncode == 2
    wrong = embedded("up", NIGHTFOLD_VALKEY_PORT="many")
    assert wrong.returncode == 1
    assert wrong.stderr == "nightfold: NIGHTFOLD_VALKEY_PORT=many is not a port: set a number from 1 to 65535\n"
    assert embedded("status").returncode == 0
    assert load(home=tmp_path, environ={}).home == tmp_path
