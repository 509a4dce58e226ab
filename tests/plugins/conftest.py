"""The plugins are tested with an Airflow of the tests' own."""

import airflow_at_home  # noqa: F401 (before anything imports airflow)
import pytest
import redis
from airflow.sdk.api.datamodels._generated import DagRun

NIGHT = "2017-12-03"
SECRET = "MARKER-p4ss"


@pytest.fixture
def address(valkey_uri) -> str:
    """A real store with nothing in it."""
    empty = valkey_uri.removesuffix("/0") + "/7"
    with redis.Redis.from_url(empty) as client:
        client.flushdb()
    return empty


class Attempt:
    """As much of a task instance as an operator asks for."""

    def __init__(self, try_number: int = 1, retries: int = 2, before: DagRun | None = None, state: str | None = None) -> None:
        self.try_number = try_number
        self.max_tries = retries
        self.before = before
        self.state = state

    def get_previous_dagrun(self, state: str) -> DagRun | None:
        assert state == "running"
        return self.before

    def get_task_states(self, *, dag_id: str, run_ids: list[str]) -> dict[str, dict[str, str | None]]:
        return {run: {"ingest": self.state} for run in run_ids}


def context(run: str = "run 1", **attempt) -> dict:
    return {"run_id": run, "ti": Attempt(**attempt)}
