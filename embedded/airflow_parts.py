"""Airflow's four processes on the platform's PostgreSQL: api-server, scheduler, dag-processor, triggerer.

Everything is configured through the environment, and a variable AIRFLOW__... of the caller wins over ours.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

from embedded import http, java, postgres
from embedded.airflow_api import AirflowApi
from embedded.errors import PlatformError
from embedded.processes import Part, identity_of
from embedded.settings import FERNET_KEY, HOST, ROOT, Settings
from nightfold.private import write_private

import psycopg2
import requests

PORT_SETTING = "NIGHTFOLD_AIRFLOW_PORT"
PARALLELISM = "3"  # worker processes of the LocalExecutor, forked at once, 140 MB each
COMMANDS = {  # part: (its words on Airflow's command line, its name in /monitor/health)
    "airflow-api": (("api-server", "--apps", "all"), "metadatabase"),
    "airflow-scheduler": (("scheduler", "--skip-serve-logs"), "scheduler"),
    "airflow-dags": (("dag-processor",), "dag_processor"),
    "airflow-triggerer": (("triggerer", "--skip-serve-logs"), "triggerer"),
}
NOT_IN_IDENTITY = ("PATH", "JAVA_HOME")  # not worth ending running tasks for


def environment(settings: Settings) -> dict[str, str]:
    """All that Airflow, and every task it runs, finds in its environment."""
    home = settings.home / "airflow"
    url = settings["NIGHTFOLD_AIRFLOW_URL"]
    own = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": PARALLELISM,
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",  # a paused DAG leaves manual runs queued for ever
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{settings['NIGHTFOLD_AIRFLOW_USER']}:admin",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
        "AIRFLOW__CORE__FERNET_KEY": settings[FERNET_KEY],
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "AIRFLOW__CORE__HOSTNAME_CALLABLE": "socket.gethostname",  # no name server is asked
        "AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL": "5",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": postgres.url(settings, "airflow", driver="psycopg2"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": postgres.url(settings, "airflow", driver="asyncpg"),
        "AIRFLOW__API__HOST": HOST,
        "AIRFLOW__API__PORT": settings[PORT_SETTING],
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API__SECRET_KEY": settings["NIGHTFOLD_AIRFLOW_API_SECRET"],
        "AIRFLOW__API_AUTH__JWT_SECRET": settings["NIGHTFOLD_AIRFLOW_JWT_SECRET"],
        # A new pipeline file is seen when the one file of dags/ is read again, hence every 8 s.
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "8",
        "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "10",
        "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
        "AIRFLOW__DAG_PROCESSOR__PRINT_STATS_INTERVAL": "0",
        "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "30",  # after a crash: default 300 s
        # A task waits for an api-server that may start only now: 3.5 minutes. Airflow waits 7 s, and fails it.
        "AIRFLOW__WORKERS__EXECUTION_API_RETRIES": "75",
        "AIRFLOW__WORKERS__EXECUTION_API_RETRY_WAIT_MAX": "5",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "logs"),
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "DO_NOT_TRACK": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    chosen = {name: value for name, value in settings.environ.items() if name.startswith("AIRFLOW__")}
    found = java.find(settings.environ)
    return {**settings.job_environment(), **own, **chosen, **({"JAVA_HOME": str(found)} if found else {})}


def parts(settings: Settings) -> list[Part]:
    """How to start the four."""
    environ = environment(settings)
    told = {name: value for name, value in environ.items() if name.startswith(("AIRFLOW", "NIGHTFOLD_", "MLFLOW_"))}
    identity = identity_of(version("apache-airflow"), told)
    return [_part(settings, name, environ=environ, identity=identity) for name in COMMANDS]


def _part(settings: Settings, name: str, *, environ: dict[str, str], identity: str) -> Part:
    words, job = COMMANDS[name]

    def why_not_ready(created: float) -> str | None:
        return _job_trouble(settings["NIGHTFOLD_AIRFLOW_URL"], job, since=created)

    return Part(
        name=name,
        argv=(sys.executable, "-m", "airflow", *words),
        environment=environ,
        address=f"{HOST}:{settings[PORT_SETTING]}" if name == "airflow-api" else "",
        why_not_ready=why_not_ready,
        identity=identity,
        limit=180.0,  # 15 s alone on two cores; ten times that beside others
        grace=12.0,  # it ends in 4 s, or would wait for running tasks
    )


def _job_trouble(url: str, job: str, *, since: float) -> str | None:
    """Why Airflow does not call this job healthy, None when it does.

    A heartbeat from before `since` is a predecessor's: Airflow calls a killed process healthy for 30 s more.
    """
    try:
        answer = requests.get(f"{url}/api/v2/monitor/health", timeout=http.LIMIT)
    except requests.RequestException as error:
        return f"api-server: {type(error).__name__}"
    if answer.status_code != 200:
        return f"api-server answers {answer.status_code}"
    health = answer.json()[job]
    if health["status"] != "healthy":
        return f"{job} is {health['status']}"
    beat = health.get(f"latest_{job}_heartbeat")
    if beat and datetime.fromisoformat(beat).timestamp() < since:
        return f"{job} has not reported yet"
    return None


def prepare(settings: Settings, *, say: Callable[[str], None]) -> None:
    """Write the login's file, and bring the tables to this version where they are not (5 s, so only then)."""
    home = settings.home / "airflow"
    login = {settings["NIGHTFOLD_AIRFLOW_USER"]: settings["NIGHTFOLD_AIRFLOW_PASSWORD"]}
    write_private(home / "passwords.json", json.dumps(login) + "\n")
    stamp = home / "migrated"
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == _tables(settings):
        return
    say("airflow: making its tables")
    log = settings.home / "log" / "airflow-migrate.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as output:
        argv = [sys.executable, "-m", "airflow", "db", "migrate"]
        done = subprocess.run(argv, env=environment(settings), stdout=output, stderr=subprocess.STDOUT, cwd="/", check=False)
    if done.returncode:
        raise PlatformError(f"airflow db migrate failed, log {log} ends with: {_last_line(log)}")
    write_private(stamp, _tables(settings))


def _tables(settings: Settings) -> str:
    """Airflow's version and that of its tables, so that a new version or a new database is noticed."""
    url = postgres.url(settings, "airflow", driver="psycopg2").replace("+psycopg2", "")
    connection = psycopg2.connect(url, connect_timeout=10)
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('alembic_version') IS NOT NULL")
        revision = None
        if cursor.fetchone()[0]:
            cursor.execute("SELECT version_num FROM alembic_version")
            revision = (cursor.fetchone() or (None,))[0]
    connection.close()
    return f"{version('apache-airflow')} {revision}"


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else "nothing"


def fill(settings: Settings) -> None:
    """Give the pool `spark` its slots: so many Spark jobs at once, whatever the DAGs ask for."""
    slots = settings["NIGHTFOLD_SPARK_SLOTS"]
    if not slots.isdecimal() or int(slots) < 1:
        raise PlatformError(f"NIGHTFOLD_SPARK_SLOTS={slots} is not a number of jobs: set 1 or more")
    AirflowApi(settings).set_pool("spark", slots=int(slots), description="Spark jobs at once (NIGHTFOLD_SPARK_SLOTS)")
