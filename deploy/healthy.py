"""Is a service well? Asked by Compose every half minute, so with the standard library only: it starts in a moment."""

import json
import os
import socket
import urllib.error
import urllib.request

from nightfold import standalone

LIMIT = 10.0  # seconds for one answer; a busy Airflow has taken 5
JOBS = {  # service: its name in Airflow's own account of its health
    "airflow-api": "metadatabase",
    "airflow-scheduler": "scheduler",
    "airflow-dags": "dag_processor",
    "airflow-triggerer": "triggerer",
}


def why_not(service: str) -> str | None:
    """Why a service is not well, None when it is."""
    try:
        if service in JOBS:
            return _airflow(JOBS[service])
        if service.startswith("spark-"):
            return _spark(service)
        if service == "serving":
            return _serving()
        _get("http://127.0.0.1:5000/health")
    except (OSError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    return None


def _airflow(job: str) -> str | None:
    """As the API server sees it: it reads the heartbeats that all four write to the database."""
    base = os.environ.get("AIRFLOW__CORE__EXECUTION_API_SERVER_URL", "http://127.0.0.1:8080/execution/").removesuffix("/execution/")
    health = json.loads(_get(f"{base}/api/v2/monitor/health"))[job]
    return None if health["status"] == "healthy" else f"{job} is {health['status']}"


def _spark(service: str) -> str | None:
    """As the master sees it."""
    page = os.environ.get("NIGHTFOLD_SPARK_PAGE") or "http://spark-master:8080"
    living = standalone.workers(page, os.environ["NIGHTFOLD_SPARK_SECRET"])
    known = service == "spark-master" or any(worker.name.startswith(f"{socket.gethostname()}-") for worker in living)
    return None if known else f"the master does not know {socket.gethostname()}"


def _serving() -> str | None:
    """As the balancer sees it: it may be asked. Its own word is why not."""
    try:
        _get(f"http://127.0.0.1:{os.environ.get('NIGHTFOLD_SERVING_PORT') or 8090}/health/ready")
    except urllib.error.HTTPError as error:
        return f"{error.code}: {error.read(500).decode(errors='replace')}"
    return None


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=LIMIT) as answer:  # noqa: S310 (http, ours)
        return answer.read()
