"""`python -m deploy SERVICE`: become one of the services of docker-compose.yml; what is secret goes from the environment into files.

`python -m deploy secrets` prints a `.env` with every secret made up. `python -m deploy healthy SERVICE` is the health check.
"""

import base64
import json
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

from deploy.healthy import why_not
from nightfold import standalone
from nightfold.settings import ROOT, home

KEY_BYTES = 48  # 64 characters: what HS512, which signs Airflow's tokens, asks for

AIRFLOW = {  # service: its words on Airflow's command line
    "airflow-api": ("api-server", "--apps", "all"),
    "airflow-scheduler": ("scheduler", "--skip-serve-logs"),  # logs are in a shared volume, which the API server reads
    "airflow-dags": ("dag-processor",),
    "airflow-triggerer": ("triggerer", "--skip-serve-logs"),
}
UPGRADE = "import os; from mlflow import db; db.upgrade.callback(os.environ['MLFLOW_BACKEND_STORE_URI'])"
"""`mlflow db upgrade`, which itself takes the address, and so the password, as an argument. It makes the tables where there are none."""
Command = list[str]


def private(name: str, content: str) -> Path:
    """Write a file that only its owner can read, where Compose mounts memory, not disk."""
    path = home() / "run" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(content)
    return path


def given(name: str) -> str:
    """A variable of the environment that must be there; it is not passed on."""
    value = os.environ.pop(name, "")
    if not value:
        sys.exit(f"nightfold: {name} is not set: set it in .env (see .env.example)")
    return value


def airflow_init() -> Command:
    """Bring the tables to this version, then give the pool of Spark jobs its slots."""
    subprocess.run(["airflow", "db", "migrate"], check=True)
    return ["airflow", "pools", "set", "spark", os.environ.get("NIGHTFOLD_SPARK_SLOTS") or "1", "Spark jobs at once"]


def airflow(service: str) -> Command:
    """One of Airflow's four; the API server with its login."""
    if service == "airflow-api":
        login = {os.environ.get("NIGHTFOLD_AIRFLOW_USER") or "admin": given("NIGHTFOLD_AIRFLOW_PASSWORD")}
        os.environ["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"] = str(private("passwords.json", json.dumps(login)))
    return ["airflow", *AIRFLOW[service]]


def mlflow() -> Command:
    """Bring MLflow's tables to this version, as a server refuses older ones; then MLflow with its basic login.

    `MLFLOW_BACKEND_STORE_URI` and its like come from the environment.
    """
    password = given("MLFLOW_TRACKING_PASSWORD").replace("%", "%%")  # configparser's own sign
    os.environ["MLFLOW_AUTH_CONFIG_PATH"] = str(
        private(
            "basic_auth.ini",
            f"""[mlflow]
default_permission = NO_PERMISSIONS
database_uri = {given("NIGHTFOLD_MLFLOW_AUTH_DATABASE").replace("%", "%%")}
admin_username = {os.environ.pop("MLFLOW_TRACKING_USERNAME", "nightfold")}
admin_password = {password}
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
""",
        )
    )
    subprocess.run([sys.executable, "-c", UPGRADE], check=True)
    return ["mlflow", "server", "--app-name", "basic-auth"]


def spark(service: str) -> Command:
    """Spark's master, or a worker named as its host."""
    host = socket.gethostname()
    properties = private("daemon.properties", standalone.daemon_properties(host, given("NIGHTFOLD_SPARK_SECRET")))
    package = Path(find_spec("pyspark").submodule_search_locations[0])
    os.environ["SPARK_HOME"] = str(package)
    words = ["--host", host, "--properties-file", str(properties)]
    if service == "spark-master":
        words = ["org.apache.spark.deploy.master.Master", *words, "--port", "7077", "--webui-port", "8080"]
    else:
        master = os.environ.get("NIGHTFOLD_SPARK_MASTER") or "spark://spark-master:7077"
        cores, memory = given("NIGHTFOLD_SPARK_WORKER_CORES"), given("NIGHTFOLD_SPARK_WORKER_MEMORY")
        size = ["--cores", cores, "--memory", memory, "--work-dir", str(home() / "work")]
        words = ["org.apache.spark.deploy.worker.Worker", *words, "--webui-port", "8081", *size, master]
    return [str(package / "bin" / "spark-class"), *words]


def serving() -> Command:
    """A replica of the REST API, which takes all that it needs from the environment; without Spark or a JVM."""
    return ["python", "-m", "serving"]


def env_file() -> str:
    """`.env.example` with every secret made up."""

    def filled(line: str) -> str:
        if line.startswith("#") or not line.endswith("="):
            return line
        fernet = line == "NIGHTFOLD_AIRFLOW_FERNET_KEY="  # 32 bytes and no other number
        return line + (base64.urlsafe_b64encode(os.urandom(32)).decode() if fernet else secrets.token_urlsafe(KEY_BYTES))

    return "\n".join(filled(line) for line in (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()) + "\n"


SERVICES: dict[str, Callable[[str], Command]] = {
    "airflow-init": lambda _: airflow_init(),
    **dict.fromkeys(AIRFLOW, airflow),
    "mlflow": lambda _: mlflow(),
    "serving": lambda _: serving(),
    "spark-master": spark,
    "spark-worker": spark,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Become a service; 1 when a health check finds it ill, 2 for wrong use."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words == ["secrets"]:
        print(env_file(), end="")
        return 0
    if len(words) == 2 and words[0] == "healthy" and words[1] in SERVICES:
        trouble = why_not(words[1])
        print(trouble or "healthy")
        return 1 if trouble else 0
    if len(words) != 1 or words[0] not in SERVICES:
        print(f"usage: python -m deploy secrets | healthy SERVICE | SERVICE, of {', '.join(SERVICES)}", file=sys.stderr)
        return 2
    for name, file in (("JAVA_HOME", "java-home"), ("SPARK_SUBMIT_OPTS", "spark/options")):  # as the Makefile does
        if name not in os.environ and (made := ROOT / ".venv" / file).is_file():
            os.environ[name] = made.read_text(encoding="utf-8").strip()
    command = SERVICES[words[0]](words[0])
    sys.stdout.flush()
    os.execvp(command[0], command)  # noqa: S606


if __name__ == "__main__":
    sys.exit(main())
