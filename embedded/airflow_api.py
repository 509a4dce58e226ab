"""Airflow's REST API, as much of it as starting a night and watching it needs."""

from collections.abc import Mapping
from typing import Any

from embedded.errors import PlatformError
from embedded.settings import Settings

import requests

LIMIT = 30.0  # seconds for one answer: a busy API server on two cores has taken 9


class AirflowApi:
    """A session that is logged in as the administrator; the login happens at the first call.

    Raises PlatformError with Airflow's own words on any answer that is not a success.
    """

    def __init__(self, settings: Settings) -> None:
        self.url = settings["NIGHTFOLD_AIRFLOW_URL"]
        self._login = {"username": settings["NIGHTFOLD_AIRFLOW_USER"], "password": settings["NIGHTFOLD_AIRFLOW_PASSWORD"]}
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy to our own loopback

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        """GET /api/v2/<path> as JSON."""
        return self._call("GET", path, query=query)

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """POST /api/v2/<path> as JSON."""
        return self._call("POST", path, body=body)

    def patch(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """PATCH /api/v2/<path> as JSON."""
        return self._call("PATCH", path, body=body)

    def import_errors(self) -> list[str]:
        """One text per DAG file that cannot be read: its name and the error's last line."""
        found = self.get("importErrors", limit=100)["import_errors"]
        return [f"{error['filename']}: {error['stack_trace'].strip().splitlines()[-1]}" for error in found]

    def dag_ids(self) -> set[str]:
        """Every DAG that has been read."""
        return {dag["dag_id"] for dag in self.get("dags", limit=100)["dags"]}

    def set_pool(self, name: str, *, slots: int, description: str) -> None:
        """Make the pool, or give it that many slots."""
        body = {"name": name, "slots": slots, "description": description, "include_deferred": False}
        pools = {pool["name"]: pool for pool in self.get("pools", limit=100)["pools"]}
        if name not in pools:
            self.post("pools", body)
        elif pools[name]["slots"] != slots:
            self.patch(f"pools/{name}", body)

    def trigger(self, dag_id: str, conf: Mapping[str, Any]) -> str:
        """Start a manual run; returns its id. The night is in `conf`, never in the logical date."""
        return self.post(f"dags/{dag_id}/dagRuns", {"logical_date": None, "conf": dict(conf)})["dag_run_id"]

    def run_state(self, dag_id: str, run_id: str) -> str:
        """queued, running, success or failed."""
        return self.get(f"dags/{dag_id}/dagRuns/{run_id}")["state"]

    def running(self, dag_id: str) -> list[str]:
        """Ids of the DAG's runs that are at work."""
        return [run["dag_run_id"] for run in self.get(f"dags/{dag_id}/dagRuns", state="running", limit=100)["dag_runs"]]

    def task_instances(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Each task of the run with its state, start_date, end_date, duration and try_number."""
        return self.get(f"dags/{dag_id}/dagRuns/{run_id}/taskInstances", limit=100)["task_instances"]

    def task_log(self, dag_id: str, run_id: str, task_id: str, try_number: int) -> list[str]:
        """The lines of one try's log, errors included."""
        answer = self.get(f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/logs/{try_number}", full_content="true")
        return [line for event in answer.get("content") or [] for line in _lines(event)]

    def _call(self, method: str, path: str, *, query: Mapping[str, Any] | None = None, body: Any = None) -> dict[str, Any]:
        answer = self._send(method, path, query=query, body=body)
        if answer.status_code == 401:
            self._log_in()
            answer = self._send(method, path, query=query, body=body)
        if not answer.ok:
            raise PlatformError(f"Airflow answered {answer.status_code} to {method} {path}: {answer.text[:500]}")
        return answer.json() if answer.content else {}

    def _send(self, method: str, path: str, *, query: Mapping[str, Any] | None, body: Any) -> requests.Response:
        if "Authorization" not in self._session.headers:
            self._log_in()
        headers = {"Accept": "application/json"}
        try:
            return self._session.request(
                method, f"{self.url}/api/v2/{path}", params=query, json=body, headers=headers, timeout=LIMIT
            )
        except requests.RequestException as error:
            raise PlatformError(f"Airflow does not answer at {self.url} ({type(error).__name__}): make up") from None

    def _log_in(self) -> None:
        try:
            answer = self._session.post(f"{self.url}/auth/token", json=self._login, timeout=LIMIT)
        except requests.RequestException as error:
            raise PlatformError(f"Airflow does not answer at {self.url} ({type(error).__name__}): make up") from None
        if not answer.ok:
            raise PlatformError(f"Airflow refuses the login of {self._login['username']} ({answer.status_code}): make down up")
        self._session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"


def _lines(event: dict[str, Any] | str) -> list[str]:
    """One entry of a log, and what each of its errors says."""
    if not isinstance(event, dict):
        return [str(event)]
    errors = event.get("error_detail") or []
    return [event["event"], *(f"{error['exc_type']}: {error['exc_value']}" for error in errors if isinstance(error, dict))]
