"""The plugins are tested with an Airflow of the tests' own."""

from pathlib import Path

import airflow_at_home  # noqa: F401 (before anything imports airflow)
import pytest
import redis
from airflow.sdk.api.datamodels._generated import DagRun
from nightfold_operators import StageOperator

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

    def __init__(
        self,
        try_number: int = 1,
        retries: int = 2,
        before: DagRun | None = None,
        state: str | None = None,
        runs: dict[str, str] | None = None,
    ) -> None:
        self.try_number = try_number
        self.max_tries = retries
        self.before = before
        self.state = state
        self.runs = runs or {}

    def get_dr_count(self, dag_id: str, *, run_ids: list[str], states: list[str] | None = None) -> int:
        known = [self.runs.get(f"{dag_id}/{run}") for run in run_ids]
        return sum(state is not None and (states is None or state in states) for state in known)

    def get_previous_dagrun(self, state: str) -> DagRun | None:
        assert state == "running"
        return self.before

    def get_task_states(self, *, dag_id: str, run_ids: list[str]) -> dict[str, dict[str, str | None]]:
        return {run: {"ingest": self.state} for run in run_ids}


def context(run: str = "run 1", **attempt) -> dict:
    return {"run_id": run, "ti": Attempt(**attempt)}


SPARK_SUBMIT = """\
#!/bin/sh
env > "{folder}/environment"
printf '%s\\n' "$@" > "{folder}/arguments"
echo "many lines"
[ {code} = 137 ] || [ {code} = -9 ] || echo "nightfold: clean failed: sales, night 2017-12-03: too many rejects" >&2
echo "Traceback (most recent call last):" >&2
[ {code} = -9 ] && kill -9 $$
exit {code}
"""


@pytest.fixture
def spark_submit(tmp_path, monkeypatch, address):
    """Call it with an exit code: from then on `spark-submit` ends with it, and writes down what it was given."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("AIRFLOW_CONN_SPARK_DEFAULT", '{"conn_type":"spark","host":"local[*]"}')
    monkeypatch.setenv("AIRFLOW_CONN_STORE", address)
    monkeypatch.setenv("AIRFLOW_CONN_KV_DEFAULT", f"redis://:{SECRET}@127.0.0.1:6390/0")
    monkeypatch.setenv("AIRFLOW_CONN_GROCER_DB", f"postgresql://shop:{SECRET}@127.0.0.1:5443/grocer")

    def ends(code: int) -> Path:
        script = tmp_path / "spark-submit"
        script.write_text(SPARK_SUBMIT.format(folder=tmp_path, code=code))
        script.chmod(0o755)
        return tmp_path

    return ends


def stage(**more) -> StageOperator:
    where = {"pipeline": "shop", "night": NIGHT, "store": "store", "timezone": "UTC"}
    job = {"task_id": "clean", "application": "clean.py", "application_args": ["--ds", NIGHT], "name": "shop-clean"}
    return StageOperator(**(job | where | more))
