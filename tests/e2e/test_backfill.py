"""Three months of nights taken again by Airflow's own backfill: in order, each with its version, the pointer only forward.

Not part of `make test`: a night takes 2 to 3 minutes on two cores, so three months take 3 to 5 hours.
NIGHTFOLD_BACKFILL_NIGHTS takes fewer.
With NIGHTFOLD_BACKFILL_HOME, a folder, the platform's state stays there when the test is ended (SIGINT), and the next call goes on
with the backfill where it was, as after a machine's restart.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from embedded import airflow_parts, platform
from nightfold.lake import Lake
from nightfold.pipeline import load
from nightfold.settings import ROOT
from nightfold.store import store_at
from samples.land import land

import pytest
import yaml
from e2e.conftest import OURS, Night

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(0)]  # its own limits grow with the nights

DAG = "nightly_grocery"
FIRST = date(2017, 2, 4)  # the 35th day: what two folds of a week need
NIGHTS = int(os.environ.get("NIGHTFOLD_BACKFILL_NIGHTS", "89"))
LAST = FIRST + timedelta(days=NIGHTS - 1)
AGAIN = min(3, NIGHTS)  # nights of each end that are taken a second time
A_NIGHT = 600.0  # seconds that one may take at most, its data report included, on a busy machine


def pipeline(folder: Path) -> None:
    """The shipped grocery pipeline cut to what makes lists, with windows that fit a month, and one small model."""
    content = yaml.safe_load((ROOT / "pipelines" / "grocery.yaml").read_text(encoding="utf-8"))
    content["sources"] = {"transactions": content["sources"]["transactions"]}
    del content["sources"]["transactions"]["references"], content["recommend"]["items"]
    content["recommend"]["filters"]["only_catalogue"] = False
    content["split"] = {"test_days": 7, "validation_days": 7, "folds": 2}
    content["training"]["windows"] = 1
    content["training"]["families"] = {"linear": {"reg_param": [16.0, 32.0, 64.0, 128.0]}}
    content["recommend"]["als"] = {"factors": 4, "iterations": 1}
    content["gate"] = {"beat": {}, "champion": -1.0}  # whatever is promoted: this is about the order
    interpreted = {"spark.sql.codegen.wholeStage": "false", "spark.sql.codegen.factoryMode": "NO_CODEGEN"}  # a few rows
    content["resources"] |= {"driver_memory": "1g", "shuffle_partitions": 2, "retry_minutes": 0.05, "conf": interpreted}
    (folder / "grocery.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    load(folder / "grocery.yaml")  # refused here, and not as a DAG that never appears


def once(path: Path, make: Callable[[], Any]) -> Any:
    """What `make` gave the first time, also after a restart."""
    if not path.exists():
        path.write_text(json.dumps(make()), encoding="utf-8")
    return json.loads(path.read_text(encoding="utf-8"))


@contextmanager
def state() -> Iterator[Path]:
    """The folder of all that the test leaves behind: its own, or one that stays."""
    if (kept_in := os.environ.get("NIGHTFOLD_BACKFILL_HOME")) is not None:
        Path(kept_in).mkdir(parents=True, exist_ok=True)
        yield Path(kept_in)
    else:
        with tempfile.TemporaryDirectory(prefix="nightfold-backfill-") as name:
            yield Path(name)


@pytest.fixture(scope="module")
def night():
    with state() as folder:
        (folder / "pipelines").mkdir(exist_ok=True)
        pipeline(folder / "pipelines")
        environ = {key: value for key, value in os.environ.items() if not key.startswith(OURS)} | platform.free_ports()
        environ |= {"NIGHTFOLD_PIPELINES": str(folder / "pipelines"), "NIGHTFOLD_SPARK_SLOTS": "2"}
        with (
            platform.running(home=folder / "home", names=platform.EVERYTHING, environ=environ) as settings,
            pytest.MonkeyPatch.context() as patch,
        ):
            for key, value in settings.job_environment().items():
                patch.setenv(key, value)
            once(
                folder / "landed.json", lambda: str(land(landing_uri=settings["NIGHTFOLD_LANDING"], households=30, until=str(LAST)))
            )
            yield Night(settings)


def backfills(night: Night) -> dict[tuple[str, str, str], bool]:
    """First day, last day and reprocessing of every backfill → whether it has ended."""
    listed = night.api.get("backfills", dag_id=DAG, limit=100)["backfills"]
    key = lambda one: (one["from_date"][:10], one["to_date"][:10], one["reprocess_behavior"])  # noqa: E731
    return {key(one): one["completed_at"] is not None for one in listed}


def backfill(night: Night, first: date, last: date, *, reprocess: str) -> list[str]:
    """As an operator does it; returns the nights that readers saw live, in the order in which they saw them."""
    night.until(lambda: DAG in night.api.dag_ids(), what=DAG, limit=120)
    after = str(last + timedelta(days=1))
    if (str(first), after, reprocess) not in backfills(night):
        words = ["--dag-id", DAG, "--from-date", str(first), "--to-date", after, "--reprocess-behavior", reprocess]
        subprocess.run(
            [sys.executable, "-m", "airflow", "backfill", "create", *words, "--max-active-runs", "4"],
            env=airflow_parts.environment(night.settings),
            check=True,
            timeout=120,
        )
    store = store_at(night.settings["AIRFLOW_CONN_KV_DEFAULT"])
    seen: list[str] = []
    wanted = (last - first).days + 1

    def over() -> bool:
        if (live := store.live("grocery")) is not None and live.night not in seen[-1:]:
            seen.append(live.night)
        return all(backfills(night).values())

    night.until(over, what=f"end of {wanted} nights", limit=A_NIGHT * wanted)  # Airflow takes no other backfill before that
    if (live := store.live("grocery")) is not None and live.night not in seen[-1:]:
        seen.append(live.night)
    return seen


def runs(night: Night) -> list[dict]:
    found, offset = [], 0
    while page := night.api.get(f"dags/{DAG}/dagRuns", limit=100, offset=offset)["dag_runs"]:
        found += page
        offset += len(page)
    return [run for run in found if run["state"] in ("success", "failed")]


def versions(nights: list[str]) -> dict[str, str]:
    return {night: manifest.facts["version"] for night, manifest in Lake("grocery").find_all("version", nights).items()}


def kept(night: Night) -> dict[str, str]:
    return {v.manifest.night: v.state for v in store_at(night.settings["AIRFLOW_CONN_KV_DEFAULT"]).versions("grocery")}


def test_a_backfill_takes_the_nights_in_order_and_again_gives_the_same_versions(night):
    nights = [str(FIRST + timedelta(days=i)) for i in range(NIGHTS)]
    seen = backfill(night, FIRST, LAST, reprocess="none")
    failed = [(run["dag_run_id"], run["state"]) for run in runs(night) if run["state"] != "success"]
    assert failed == []
    assert seen == sorted(seen), "the pointer never goes back"
    assert seen[-1] == nights[-1]
    first = once(night.settings.home.parent / "versions.json", lambda: versions(nights))
    assert list(first) == nights, "every night has its version"
    committed = {n: m.committed_at for n, m in Lake("grocery").find_all("version", nights).items()}
    assert sorted(nights, key=lambda n: (committed[n], n)) == nights, "one after the other, the oldest first"
    states = kept(night)
    assert [n for n, state in sorted(states.items()) if state in ("live", "retired")] == nights[-3:], "to roll back to"

    for low, high in ((FIRST, FIRST + timedelta(days=AGAIN - 1)), (LAST - timedelta(days=AGAIN - 1), LAST)):
        assert backfill(night, low, high, reprocess="completed") == [nights[-1]], "live all the while"
    assert versions(nights) == first
    after = kept(night)
    assert {n: after[n] for n in nights[-3:]} == {n: states[n] for n in nights[-3:]}, "none to roll back to was pushed out"
