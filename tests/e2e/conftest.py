"""The whole platform, once for all end-to-end tests: real Airflow, Spark, PostgreSQL, Valkey, MLflow, on free ports."""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from embedded import platform
from embedded.airflow_api import AirflowApi
from embedded.settings import Settings
from nightfold.settings import ROOT

import pytest
import yaml
from e2e import tunes

OURS = ("NIGHTFOLD_", "AIRFLOW_", "MLFLOW_")
CUT = {"split": {"test_days": 7, "validation_days": 7, "folds": 2}}  # for 60 days of history
FAMILIES = {"xgboost": {"n_estimators": [40], "max_depth": [2, 3, 4]}, "linear": {"reg_param": [0.001]}}


class Night:
    """What a test asks of the running platform."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.api = AirflowApi(settings)

    def until(self, seen: Callable[[], Any], *, what: str, limit: float) -> Any:
        """Look once a second until there is something to see; fails after `limit` seconds."""
        ends = time.monotonic() + limit
        while not (found := seen()):
            assert time.monotonic() < ends, f"no {what} after {limit:.0f} s"
            time.sleep(1.0)
        return found

    def ended(self, dag_id: str, run_id: str, *, limit: float = 1500) -> dict[str, str]:
        """Wait for a run to end; task → state."""
        self.until(lambda: self.api.run_state(dag_id, run_id) in ("success", "failed"), what=f"end of {run_id}", limit=limit)
        return {task["task_id"]: task["state"] for task in self.api.task_instances(dag_id, run_id)}

    def log(self, dag_id: str, run_id: str, task: str, try_number: int = 1) -> str:
        return "\n".join(self.api.task_log(dag_id, run_id, task, try_number))

    def trigger(self, dag_id: str, conf: dict[str, Any]) -> str:
        self.until(lambda: dag_id in self.api.dag_ids(), what=dag_id, limit=120)
        return self.api.trigger(dag_id, conf)


def cut_grocery(folder: Path) -> None:
    """The shipped grocery pipeline with windows that fit 60 days, no clock, and less memory."""
    content = yaml.safe_load((ROOT / "pipelines" / "grocery.yaml").read_text(encoding="utf-8"))
    content.update(CUT)
    content["training"] |= {"windows": 2, "families": FAMILIES}
    content["schedule"]["cron"] = None
    content["resources"] |= {"driver_memory": "1g", "shuffle_partitions": 2, "retry_minutes": 0.05}
    (folder / "grocery.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")


@pytest.fixture(scope="package")  # down again before the tests of other folders
def night() -> Iterator[Night]:
    with tempfile.TemporaryDirectory(prefix="nightfold-e2e-") as name:  # as root, PostgreSQL's user must be able to get in
        folder = Path(name)
        (folder / "pipelines").mkdir()
        cut_grocery(folder / "pipelines")
        tunes.catalogue(folder / "tunes.db")
        environ = {key: value for key, value in os.environ.items() if not key.startswith(OURS)} | platform.free_ports()
        environ |= {"NIGHTFOLD_PIPELINES": str(folder / "pipelines"), "AIRFLOW_CONN_TUNES_DB": f"sqlite:///{folder / 'tunes.db'}"}
        with platform.running(home=folder / "home", names=platform.EVERYTHING, environ=environ) as settings:
            yield Night(settings)
