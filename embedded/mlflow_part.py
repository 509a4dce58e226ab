"""MLflow's tracking server and model registry, with a login, on the platform's PostgreSQL.

`mlflow server` itself would hold a second copy of MLflow in memory (260 MB) only to wait for uvicorn, so uvicorn is
started directly, with the environment that `mlflow.server._run_server` would give it (a test checks the names).
"""

import sys

from embedded import http, postgres
from embedded.processes import Part, identity_of
from embedded.settings import HOST, Settings
from nightfold.private import write_private

PORT_SETTING = "NIGHTFOLD_MLFLOW_PORT"


def part(settings: Settings) -> Part:
    """How to start it."""
    port = settings.port(PORT_SETTING)
    artifacts = settings.home / "mlflow-artifacts"
    own = {
        "MLFLOW_AUTH_CONFIG_PATH": str(settings.home / "mlflow" / "basic_auth.ini"),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": settings["NIGHTFOLD_MLFLOW_SECRET"],
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # evaluation jobs of language models: three more processes
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "_MLFLOW_SERVER_FILE_STORE": postgres.url(settings, "mlflow", driver="psycopg2"),
        "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": f"file://{artifacts}",
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        "_MLFLOW_SGI_NAME": "uvicorn",
    }
    argv = [sys.executable, "-m", "uvicorn", "--factory", "mlflow.server.auth:create_app", "--host", HOST, "--port", str(port)]
    search = f"http://{HOST}:{port}/api/2.0/mlflow/experiments/search?max_results=1"
    login = (settings["MLFLOW_TRACKING_USERNAME"], settings["MLFLOW_TRACKING_PASSWORD"])

    def why_not_ready(created: float) -> str | None:
        # The first search makes or migrates the tables, so it is part of the start.
        answer = http.status(search, login=login)
        return None if answer == 200 else f"GET {search}: {answer}"

    return Part(
        name="mlflow",
        argv=(*argv, "--no-access-log"),
        environment={**{k: v for k, v in settings.environ.items() if not k.startswith("MLFLOW_TRACKING")}, **own},
        address=f"{HOST}:{port}",
        why_not_ready=why_not_ready,
        identity=identity_of(argv, own),
        limit=120.0,
    )


def prepare(settings: Settings) -> None:
    """Write the login's configuration (0600): the database of users, and the first administrator."""
    (settings.home / "mlflow-artifacts").mkdir(parents=True, exist_ok=True)
    database = postgres.url(settings, "mlflow_auth", driver="psycopg2")
    user, password = settings["MLFLOW_TRACKING_USERNAME"], settings["MLFLOW_TRACKING_PASSWORD"]
    database, user, password = (text.replace("%", "%%") for text in (database, user, password))  # configparser's sign
    write_private(
        settings.home / "mlflow" / "basic_auth.ini",
        f"""[mlflow]
default_permission = NO_PERMISSIONS
database_uri = {database}
admin_username = {user}
admin_password = {password}
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
auth_cache_ttl_seconds = 60
""",
    )
