"""One night from the command line: start the platform, land the sample, trigger the DAG, watch it, show what it brought."""

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from embedded import ending, platform
from embedded.airflow_api import AirflowApi
from embedded.errors import PlatformError
from embedded.processes import process_of, record_of
from embedded.settings import ROOT, Settings, load
from embedded.terminal import Terminal
from nightfold import pipeline as pipelines
from nightfold.errors import NightfoldError
from nightfold.pipeline import FileSource, Pipeline
from nightfold.stages import FLOW

SAMPLE = "grocery"  # folder below the landing place that samples/ fills
SAMPLE_DB = "grocer_db"  # and the connection of its tables
LOOK_EVERY = 1.0  # seconds between two looks at the run
NIGHT_LIMIT = 24 * 3600.0  # seconds that the terminal watches one night: it goes on in Airflow all the same
DAG_LIMIT = 120.0  # seconds for Airflow to read the pipeline file; it took 3 to 10
SILENT = 3  # answers in a row for which Airflow may be too slow, while none of its servers has ended
BROKEN_AFTER = 25.0  # seconds an import error stands before it is believed: files are read again every 8
ENDED = {"success", "failed", "upstream_failed", "skipped", "removed"}
LAST = FLOW[-1].name  # with its end readers have the night
CAUSE = "nightfold: "  # how a job's own word on why it failed starts

Say = Callable[[str], None]


def run(*, pipeline: str, ds: str, say: Say) -> int:
    """Take one night of a pipeline through Airflow; 0 when it succeeded, 1 when it failed.

    Raises PlatformError when the platform cannot do it; BadPipeline, before anything starts, when the pipeline file is wrong.
    """
    sample = _needs_sample(pipelines.load(Path(load()["NIGHTFOLD_PIPELINES"]) / f"{pipeline}.yaml"))
    settings = platform.up(
        names=platform.EVERYTHING if sample else platform.PLATFORM,
        say=say,
        beside=(lambda settings: _land(settings, say=say)) if sample else None,
    )
    api = AirflowApi(settings)
    dag_id = f"nightly_{pipeline}"
    began = time.monotonic()
    _wait_for_dag(settings, api, dag_id, say=say)
    run_id = api.trigger(dag_id, {"ds": ds})
    say(f"\nnight {ds} of {pipeline}: {settings['NIGHTFOLD_AIRFLOW_URL']}/dags/{dag_id}/runs/{run_id}")

    def live() -> None:
        ending.say_lists(pipeline, say=say)
        say(f"\nreaders have them {time.monotonic() - began:.0f} s after the start\n")

    state = watch(settings, api, dag_id, run_id, pipeline=pipeline, ds=ds, say=say, live=live)
    say(f"{state} after {time.monotonic() - began:.0f} s")
    ending.say_addresses(settings, say=say)
    return 0 if state == "success" else 1


def _needs_sample(pipeline: Pipeline) -> bool:
    files = [source.path for source in pipeline.sources.values() if isinstance(source, FileSource)]
    return SAMPLE_DB in pipeline.connections or any(path.startswith(f"{SAMPLE}/") for path in files)


def _land(settings: Settings, *, say: Say) -> None:
    """Land the sample shop's files and tables; a second time it finds them there."""
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "samples.land"],
        env=settings.job_environment(),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise PlatformError(f"the sample cannot be landed: {(done.stderr.strip() or 'no word of why').splitlines()[-1]}")
    said = (done.stdout.strip().splitlines() or [""])[-1]
    say(f"{'sample':<18} landed   {time.monotonic() - began:5.1f} s  {said}")


def _wait_for_dag(settings: Settings, api: AirflowApi, dag_id: str, *, say: Say) -> None:
    began = time.monotonic()
    while dag_id not in api.dag_ids():
        waited = time.monotonic() - began
        errors = api.import_errors()
        if errors and waited > BROKEN_AFTER:
            raise PlatformError(f"Airflow cannot read {dag_id}: " + "; ".join(errors))
        if waited > DAG_LIMIT:
            raise PlatformError(
                f"Airflow has no {dag_id} after {DAG_LIMIT:.0f} s: see {settings.home / 'log' / 'airflow-dags.log'}"
            )
        time.sleep(LOOK_EVERY)
    for error in api.import_errors():
        say(f"note: Airflow cannot read another file: {error}")
    if api.get(f"dags/{dag_id}")["is_paused"]:
        raise PlatformError(f"{dag_id} is paused in Airflow, its runs would wait for ever: switch it on in the web page")


def watch(
    settings: Settings,
    api: AirflowApi,
    dag_id: str,
    run_id: str,
    *,
    pipeline: str,
    ds: str,
    say: Say,
    live: Callable[[], None] = lambda: None,
) -> str:
    """Say how each task ends, until the run has ended; its state.

    :param live: called once, as soon as readers have what the night brought: a task or two may go on after that

    Raises PlatformError that names the server which has died, when one has: the night stands still without it.
    """
    terminal = Terminal(say)
    said: set[tuple[str, int]] = set()
    give_up, told, silent = time.monotonic() + NIGHT_LIMIT, False, 0
    with _who_died_is_said(settings, terminal):
        while time.monotonic() < give_up:
            try:
                state = api.run_state(dag_id, run_id)  # before the tasks: what ends in between is said in this round
                tasks = api.task_instances(dag_id, run_id)
            except PlatformError:
                silent += 1
                _say_who_died(settings)
                if silent > SILENT:
                    raise
                time.sleep(LOOK_EVERY)
                continue
            silent = 0
            for task in sorted(tasks, key=lambda task: task["end_date"] or "~"):
                over = task["state"] in ENDED or task["state"] == "up_for_retry"
                if over and (task["task_id"], task["try_number"]) not in said:
                    said.add((task["task_id"], task["try_number"]))
                    terminal.line(_line_of(task, pipeline=pipeline, ds=ds))
                    if task["task_id"] == LAST and task["state"] == "success":
                        try:
                            live()
                        except NightfoldError as error:  # the night goes on
                            terminal.line(f"  {error}")
                    if task["state"] in ("failed", "up_for_retry"):
                        _say_cause(settings, api, dag_id, run_id, task, say=terminal.line)
            if state in ("success", "failed"):
                terminal.clear()
                return state
            if state == "queued" and not told and (others := [run for run in api.running(dag_id) if run != run_id]):
                told = True
                terminal.line(f"waits for {', '.join(others)}: the runs of a pipeline are taken one by one")
            busy = [f"{task['task_id']} {task['state']}" for task in tasks if task["state"] in ("running", "queued")]
            terminal.spin(", ".join(busy) or f"run {state}")
            _say_who_died(settings)
            time.sleep(LOOK_EVERY)
        raise PlatformError(f"the night of {ds} has run for {NIGHT_LIMIT / 3600:.0f} hours: look at it in Airflow")


@contextlib.contextmanager
def _who_died_is_said(settings: Settings, terminal: Terminal) -> Iterator[None]:
    """What Airflow cannot say for want of a server is said of that server."""
    try:
        yield
    except PlatformError:
        terminal.clear()
        _say_who_died(settings)
        raise


def _say_who_died(settings: Settings) -> None:
    """Raise PlatformError when a server that was started does not live."""
    dead = [name for name in platform.PLATFORM if (r := record_of(settings.home, name)) is not None and process_of(r) is None]
    if dead:
        have = "has" if len(dead) == 1 else "have"
        raise PlatformError(f"{' and '.join(dead)} {have} ended, so the night stands still: make up starts it again")


def _line_of(task: dict[str, Any], *, pipeline: str, ds: str) -> str:
    summary = ending.stage_summary(pipeline, task["task_id"], ds) if task["state"] == "success" else None
    seconds = f"{task['duration']:6.1f} s" if task["duration"] is not None else " " * 8
    return f"{task['task_id']:<10} {task['state']:<15} {seconds}  {summary or ''}".rstrip()


def _say_cause(settings: Settings, api: AirflowApi, dag_id: str, run_id: str, task: dict[str, Any], *, say: Say) -> None:
    """The job's own word on why it failed, and where its whole log is."""
    lines = api.task_log(dag_id, run_id, task["task_id"], max(task["try_number"], 1))
    causes = [line[line.index(CAUSE) :] for line in lines if CAUSE in line]
    for line in causes[:1] or [line for line in lines if line.strip()][-3:]:
        say(f"  {line.strip()[:400]}")
    log = Path(f"dag_id={dag_id}") / f"run_id={run_id}" / f"task_id={task['task_id']}" / f"attempt={task['try_number']}.log"
    say(f"  log: {settings.home / 'airflow' / 'logs' / log}")
