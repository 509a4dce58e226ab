"""Settings of the embedded servers: kept, private, and said clearly when they are wrong."""

import json
import os
import socket
import stat
import subprocess
import sys
import threading
from configparser import ConfigParser

from embedded import airflow_parts, mlflow_part, ports
from embedded.errors import PlatformError
from embedded.settings import load, save
from nightfold.private import write_private

import pytest
from helpers import free_port


def test_passwords_are_made_once_and_kept(tmp_path):
    first = load(home=tmp_path, environ={})
    save(first)
    again = load(home=tmp_path, environ={})
    assert again["NIGHTFOLD_VALKEY_PASSWORD"] == first["NIGHTFOLD_VALKEY_PASSWORD"]
    assert again["NIGHTFOLD_AIRFLOW_FERNET_KEY"] == first["NIGHTFOLD_AIRFLOW_FERNET_KEY"]
    assert len(again["NIGHTFOLD_AIRFLOW_PASSWORD"]) == 24
    assert len({again[name] for name in ("NIGHTFOLD_POSTGRES_PASSWORD", "NIGHTFOLD_SHOP_PASSWORD")}) == 2


def test_the_file_is_for_its_owner_only_also_after_somebody_opened_it(tmp_path):
    settings = load(home=tmp_path, environ={})
    save(settings)
    path = tmp_path / "platform.env"
    path.chmod(0o644)
    save(settings)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "secret"
    texts = ["a" * 100_000, "b" * 100_000]
    writers = [threading.Thread(target=write_private, args=(path, text)) for text in texts]
    for writer in writers:
        writer.start()
        writer.join()
        assert path.read_text() in texts
    assert [entry.name for entry in tmp_path.iterdir()] == ["secret"]


def test_a_port_once_chosen_stays_and_addresses_follow_it(tmp_path):
    save(load(home=tmp_path, environ={"NIGHTFOLD_VALKEY_PORT": "7001"}))
    kept = load(home=tmp_path, environ={})
    assert kept["AIRFLOW_CONN_KV_DEFAULT"].endswith("@127.0.0.1:7001/0")
    moved = load(home=tmp_path, environ={"NIGHTFOLD_VALKEY_PORT": "7002", "NIGHTFOLD_AIRFLOW_PORT": "9090"})
    assert moved["AIRFLOW_CONN_KV_DEFAULT"].endswith("@127.0.0.1:7002/0")
    assert moved["NIGHTFOLD_AIRFLOW_URL"] == "http://127.0.0.1:9090"
    assert moved["NIGHTFOLD_VALKEY_PASSWORD"] == kept["NIGHTFOLD_VALKEY_PASSWORD"]


def test_a_moved_home_takes_its_passwords_along_and_its_folders_anew(tmp_path):
    before = load(home=tmp_path / "old", environ={})
    save(before)
    (tmp_path / "old").rename(tmp_path / "new")
    after = load(home=tmp_path / "new", environ={})
    assert after["NIGHTFOLD_LAKE"] == f"file://{tmp_path}/new/lake"
    assert after["NIGHTFOLD_SHOP_PASSWORD"] == before["NIGHTFOLD_SHOP_PASSWORD"]


@pytest.mark.parametrize("value", ["0", "65536", "http", "80.5"])
def test_what_is_no_port_is_refused_by_the_setting_s_name(tmp_path, value):
    with pytest.raises(PlatformError, match=f"NIGHTFOLD_MLFLOW_PORT={value} is not a port"):
        load(home=tmp_path, environ={"NIGHTFOLD_MLFLOW_PORT": value})


def test_what_the_user_has_said_once_is_kept_for_a_start_from_another_shell(tmp_path):
    said = {"AIRFLOW_CONN_ERP": "postgresql://me:pw@h/shop", "NIGHTFOLD_SERVING_RATE": "50", "HOME": "/root"}
    save(load(home=tmp_path, environ=said))
    kept = load(home=tmp_path, environ={})
    assert (kept["AIRFLOW_CONN_ERP"], kept["NIGHTFOLD_SERVING_RATE"]) == ("postgresql://me:pw@h/shop", "50")
    assert "HOME" not in kept.values
    assert kept.job_environment()["AIRFLOW_CONN_ERP"] == "postgresql://me:pw@h/shop"
    assert load(home=tmp_path, environ={"NIGHTFOLD_SERVING_RATE": "70"})["NIGHTFOLD_SERVING_RATE"] == "70"


def test_a_connection_written_on_several_lines_is_kept_too(tmp_path):
    connection = {"conn_type": "postgres", "host": "h", "password": "a  b"}
    save(load(home=tmp_path, environ={"AIRFLOW_CONN_ERP": json.dumps(connection, indent=2)}))
    assert json.loads(load(home=tmp_path, environ={})["AIRFLOW_CONN_ERP"]) == connection


ADDRESSES = ("AIRFLOW_CONN_KV_DEFAULT", "AIRFLOW_CONN_GROCER_DB", "MLFLOW_TRACKING_URI")


@pytest.mark.parametrize("name", ADDRESSES)
def test_a_server_of_ones_own_said_once_is_kept_and_the_embedded_addresses_follow_their_ports(tmp_path, name):
    save(load(home=tmp_path, environ={name: "redis://me:pw@kv.example:6379/0"}))
    kept = load(
        home=tmp_path, environ={"NIGHTFOLD_VALKEY_PORT": "7001", "NIGHTFOLD_SHOP_PORT": "7002", "NIGHTFOLD_MLFLOW_PORT": "7003"}
    )
    assert kept[name] == kept.job_environment()[name] == "redis://me:pw@kv.example:6379/0"
    assert (kept.other_store is not None) == (name == "AIRFLOW_CONN_KV_DEFAULT")
    for other, port in zip(ADDRESSES, ("7001", "7002", "7003"), strict=True):
        assert port in kept[other] or other == name
    save(kept)
    assert load(home=tmp_path, environ={name: "redis://other:1/0"})[name] == "redis://other:1/0"


def test_jobs_find_no_other_spark_than_the_installed_one(tmp_path):
    assert "SPARK_HOME" not in load(home=tmp_path, environ={"SPARK_HOME": "/opt/spark-3.5"}).job_environment()


def test_a_percent_sign_in_mlflows_password_is_one(tmp_path):
    settings = load(home=tmp_path, environ={"MLFLOW_TRACKING_PASSWORD": "a%b", "NIGHTFOLD_POSTGRES_PASSWORD": "c%d"})
    mlflow_part.prepare(settings)
    read = ConfigParser()
    read.read(tmp_path / "mlflow" / "basic_auth.ini")
    assert read["mlflow"]["admin_password"] == "a%b"


def test_a_taken_port_of_sparks_page_is_said_with_its_setting(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        settings = load(home=tmp_path, environ={**ports.free_ports(), "NIGHTFOLD_SPARK_PAGE_PORT": str(port)})
        with pytest.raises(
            PlatformError, match=f"port {port} is taken by another program: set NIGHTFOLD_SPARK_PAGE_PORT=<free port>"
        ):
            ports.check_free(settings, ["spark-master"])


def test_two_servers_cannot_be_given_one_port(tmp_path):
    with pytest.raises(PlatformError, match="two servers have one port"):
        load(home=tmp_path, environ={"NIGHTFOLD_MLFLOW_PORT": "8080"})


def test_jobs_get_addresses_but_not_the_servers_own_secrets(tmp_path):
    settings = load(home=tmp_path, environ={"PATH": "/usr/bin"})
    environment = settings.job_environment()
    assert environment["AIRFLOW_CONN_GROCER_DB"].startswith("postgresql://shop:")
    assert environment["MLFLOW_TRACKING_PASSWORD"] == settings["MLFLOW_TRACKING_PASSWORD"]
    assert "NIGHTFOLD_POSTGRES_ADMIN_PASSWORD" not in environment
    assert "NIGHTFOLD_AIRFLOW_FERNET_KEY" not in environment
    assert "NIGHTFOLD_AIRFLOW_JWT_SECRET" not in environment
    assert environment["PATH"].split(":")[0].endswith("/bin")
    assert environment["PYSPARK_PYTHON"] == environment["PATH"].split(":")[0] + "/python"


def test_a_connection_of_the_environment_wins_over_the_embedded_one(tmp_path):
    settings = load(home=tmp_path, environ={"AIRFLOW_CONN_KV_DEFAULT": "redis://:x@kv.example:6379/0"})
    assert settings.job_environment()["AIRFLOW_CONN_KV_DEFAULT"] == "redis://:x@kv.example:6379/0"


def test_a_task_waits_for_the_api_server_as_long_as_that_may_take_to_start(tmp_path):
    settings = load(home=tmp_path, environ={"NIGHTFOLD_AIRFLOW_PORT": str(free_port())})
    program = """
import sys
from airflow.sdk.api.client import Client
waits = []
Client.request.retry.sleep = waits.append
try:
    Client(base_url=sys.argv[1], token="").get("task-instances")
except Exception as error:
    print(type(error).__name__, sum(waits), max(waits))
"""
    environ = {**airflow_parts.environment(settings), "PATH": os.environ["PATH"]}
    argv = [sys.executable, "-c", program, environ["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"]]
    done = subprocess.run(argv, env=environ, capture_output=True, text=True, check=True)
    error, waited, longest = done.stdout.splitlines()[-1].split()
    [server] = [part for part in airflow_parts.parts(settings) if part.name == "airflow-api"]
    assert error == "ConnectError"
    assert float(waited) > server.limit
    assert float(longest) < 10, "and does not sleep on when it is there"
