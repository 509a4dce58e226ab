"""How long each stage of the last run took, and how much of it was Spark's start-up:
`python -m benchmarks.stages [--pipeline grocery] [--ds 2017-12-03] [--json]`.

Reads   Airflow's REST API for the run and the wall time of its tasks (the JVM's start included); the lake's manifests for the
        seconds that each stage gave to opening its Spark session and to its own work
Raises  Airflow does not answer, or the night never ran: one line, exit 1
"""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote
from zoneinfo import ZoneInfo

from benchmarks.tables import aligned
from nightfold import pipeline as pipelines
from nightfold import settings
from nightfold.errors import NightfoldError
from nightfold.lake import Lake, Manifest
from nightfold.stages import FLOW, Stage

import requests

ANSWER_LIMIT = 15  # seconds; a busy API server took up to 5
RUNS = 100  # looked through for the night, newest first

Get = Callable[..., dict[str, Any]]
"""A path below /api/v2 and its query → the answer."""


@dataclass(frozen=True)
class StageTime:
    """One stage of one run, in seconds; None where it does not apply or is not known."""

    stage: str
    state: str
    task: float | None
    """Wall time of the Airflow task."""
    session: float | None = None
    work: float | None = None
    reused: bool = False
    """The result was committed by an earlier run from the same inputs: no Spark session was opened."""

    @property
    def startup_share(self) -> float | None:
        """The share of the task that was not the stage's own work: launching the JVM, importing, opening the session."""
        if self.task is None or self.work is None or not self.task:
            return None
        return max(0.0, self.task - self.work) / self.task


@dataclass(frozen=True)
class RunTimes:
    """One run of a night."""

    pipeline: str
    night: str
    run_id: str
    state: str
    seconds: float | None
    """From the run's start to its end; None while it runs."""
    stages: list[StageTime]


def airflow() -> Get:
    """Ask Airflow, logged in. Raises NightfoldError when it does not answer or refuses."""
    url = settings.setting("NIGHTFOLD_AIRFLOW_URL")
    if not url:
        raise NightfoldError("NIGHTFOLD_AIRFLOW_URL is not set: start the platform with `make up`")
    login = {
        "username": settings.setting("NIGHTFOLD_AIRFLOW_USER"),
        "password": settings.setting("NIGHTFOLD_AIRFLOW_PASSWORD"),
    }
    token = _answer(url, lambda: requests.post(f"{url}/auth/token", json=login, timeout=ANSWER_LIMIT))["access_token"]
    headers = {"Authorization": f"Bearer {token}"}

    def get(path: str, **query: Any) -> dict[str, Any]:
        return _answer(url, lambda: requests.get(f"{url}/api/v2{path}", params=query, headers=headers, timeout=ANSWER_LIMIT))

    return get


def last_run(get: Get, pipeline: str, timezone: str, ds: str | None) -> tuple[dict[str, Any], str]:
    """The newest run that has started (of the night `ds`, if it is said), and its night. Raises NightfoldError without one."""
    runs = get(f"/dags/nightly_{pipeline}/dagRuns", order_by="-start_date", limit=RUNS)["dag_runs"]
    for run in runs:
        night = night_of(run, timezone)
        if run["start_date"] and night and ds in (None, night):
            return run, night
    of = f" of night {ds}" if ds else ""
    raise NightfoldError(f"nightly_{pipeline}: no run{of} among the last {RUNS}: take one with `make run`")


def night_of(run: dict[str, Any], timezone: str) -> str | None:
    """What a manual run was told, else the day on which a scheduled run's data interval starts, in the pipeline's time zone."""
    told = (run.get("conf") or {}).get("ds")
    if told:
        return told
    start = run.get("data_interval_start")
    return _time(start).astimezone(ZoneInfo(timezone)).date().isoformat() if start else None


def stage_time(stage: Stage, task: dict[str, Any] | None, manifest: Manifest | None) -> StageTime:
    """One row, from the task as Airflow knows it and from what the stage committed."""
    if task is None or task["start_date"] is None:
        return StageTime(stage=stage.name, state=(task or {}).get("state") or "not run", task=None)
    seconds = task["duration"]
    if manifest is None or not manifest.timings:
        return StageTime(stage=stage.name, state=task["state"], task=seconds)
    if _time(manifest.committed_at) < _time(task["start_date"]).replace(microsecond=0):  # a manifest's time is in whole seconds
        return StageTime(stage=stage.name, state=task["state"], task=seconds, reused=True)
    timings = manifest.timings
    return StageTime(
        stage=stage.name,
        state=task["state"],
        task=seconds,
        session=timings["session_seconds"],
        work=timings["work_seconds"],
    )


def measure(pipeline: str, ds: str | None = None, *, get: Get | None = None, lake: Lake | None = None) -> RunTimes:
    """The times of the last run, or of the last run of a night."""
    get, lake = get or airflow(), lake or Lake(pipeline)
    run, night = last_run(get, pipeline, pipelines.named(pipeline).timezone, ds)
    tasks = get(f"/dags/nightly_{pipeline}/dagRuns/{quote(run['dag_run_id'], safe='')}/taskInstances")["task_instances"]
    by_name = {task["task_id"]: task for task in tasks}
    ended = run["end_date"]
    return RunTimes(
        pipeline=pipeline,
        night=night,
        run_id=run["dag_run_id"],
        state=run["state"],
        seconds=(_time(ended) - _time(run["start_date"])).total_seconds() if ended else None,
        stages=[stage_time(stage, by_name.get(stage.name), lake.find(stage.dataset, night)) for stage in FLOW],
    )


def as_json(times: RunTimes) -> dict[str, Any]:
    """Plain values."""
    return {**asdict(times), "stages": [{**asdict(stage), "startup_share": stage.startup_share} for stage in times.stages]}


def as_text(times: RunTimes) -> str:
    """The table for a terminal."""
    head = ("stage", "task s", "session s", "work s", "start-up", "state")
    rows = [
        (
            s.stage,
            _seconds(s.task),
            _seconds(s.session),
            _seconds(s.work),
            _share(s.startup_share),
            s.state + " (reused)" * s.reused,
        )
        for s in times.stages
    ]
    known = [s for s in times.stages if s.startup_share is not None]
    task, work = sum(s.task for s in known), sum(s.work for s in known)
    total = sum(s.task for s in times.stages if s.task is not None)
    share = max(0.0, task - work) / task if task else None
    sums = ("all tasks", _seconds(total), _seconds(sum(s.session for s in known)), _seconds(work), _share(share), "")
    took = f"took {times.seconds:.1f} s" if times.seconds is not None else "is not over"
    return "\n".join(
        (
            f"{times.pipeline}, night {times.night}, run {times.run_id}: {times.state}, {took}",
            aligned([head, *rows, sums]),
            "start-up: the share of a task that was not its own work (the JVM, imports, the Spark session)",
        )
    )


def _answer(url: str, ask: Callable[[], requests.Response]) -> dict[str, Any]:
    try:
        response = ask()
    except requests.RequestException:
        raise NightfoldError(f"Airflow at {url} does not answer: start the platform with `make up`") from None
    if not response.ok:
        path = response.request.path_url
        raise NightfoldError(f"Airflow at {url} answers {response.status_code} to {path}: {' '.join(response.text.split())[:200]}")
    return response.json()


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stages", description="The time of each stage of the last run.")
    parser.add_argument("--pipeline", default="grocery")
    parser.add_argument("--ds", metavar="YYYY-MM-DD", help="the last run of this night; without it, the last run")
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args(argv)
    try:
        times = measure(args.pipeline, args.ds)
    except NightfoldError as error:
        print(f"benchmarks.stages: {error}", file=sys.stderr)
        return 1
    print(json.dumps(as_json(times)) if args.json else as_text(times))
    return 0


if __name__ == "__main__":
    sys.exit(main())
