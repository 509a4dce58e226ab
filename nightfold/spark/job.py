"""How every job runs: arguments, reuse of committed work, one Spark session, one line on failure.

A job file declares pure functions and a `main(spark, job)`; its guard is `run("clean", main)`.
"""

import argparse
import errno
import importlib
import os
import re
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from nightfold import nights, turns
from nightfold import pipeline as pipelines
from nightfold.errors import BadInput, NightfoldError, Permanent, failure
from nightfold.lake import Lake, Manifest
from nightfold.pipeline import Pipeline
from nightfold.settings import lake_uri
from nightfold.spark.session import open_session
from nightfold.stages import BY_NAME, Stage, inputs_fingerprint
from nightfold.store import Store, Turn, open_store

from pyspark.errors import AnalysisException, PythonException
from pyspark.sql import SparkSession


@dataclass
class Job:
    """One try at one stage of one night."""

    pipeline: Pipeline
    ds: str
    stage: Stage
    lake: Lake
    turn: Turn | None = None
    """Of a job by hand; one that a run of the DAG has started lives in the run's turn."""
    plan: Any = None
    """What the function of the inputs' fingerprint found, for `main` to go on with."""

    @property
    def store(self) -> Store:
        """Where the pipeline publishes; not connected before it is used."""
        return open_store(self.pipeline.publish.connection)

    @cached_property
    def attempt(self) -> str:
        """Announced when it is first asked for: a job that reuses what is committed makes none."""
        return self.lake.begin(self.stage.dataset, self.ds)

    @property
    def place(self) -> str:
        """This attempt's own folder, below the lake's root."""
        return self.lake.place(self.stage.dataset, self.attempt)

    @property
    def uri(self) -> str:
        """The same as Spark writes it."""
        return self.lake.spark_path(self.place)

    @property
    def scratch(self) -> str:
        """URI of a folder for what is needed on the way only."""
        return f"{self.uri}/{SCRATCH}"

    def discard_scratch(self) -> None:
        """Before it is committed."""
        if self.lake.exists(f"{self.place}/{SCRATCH}"):
            self.lake.fs.delete_dir(self.lake.local_path(f"{self.place}/{SCRATCH}"))

    def manifest(self, dataset: str, night: str, **values: Any) -> Manifest:
        """A manifest of this attempt, not yet committed."""
        return Manifest(pipeline=self.pipeline.pipeline, dataset=dataset, night=night, attempt=self.attempt, **values)


@dataclass(frozen=True)
class Outcome:
    """What a stage made: goes into its manifest."""

    summary: str
    rows: int | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    fingerprint: str | None = None
    """Of the inputs, where it is known only after the work (a database's content)."""


SCRATCH = "scratch"
PATIENCE = 6 * 3600.0  # seconds that a job by hand waits for its turn
LOOK_EVERY = 1.0  # seconds between two looks at the parent
FULL = os.strerror(errno.ENOSPC)
"""In the words of whoever met it: Python, pyarrow, or Java through py4j."""
ORPHANED = 70  # EX_SOFTWARE: nobody is left to read it

Main = Callable[[SparkSession, Job], Outcome]
Fingerprint = Callable[[Job], str]


def run(
    name: str,
    main: Main,
    *,
    fingerprint: Fingerprint | None = None,
    after: Callable[[Job], None] | None = None,
    argv: Sequence[str] | None = None,
) -> None:
    """Run a Spark stage as a process: exit 0 when committed, 65 when a retry would not help, 1 otherwise, 2 for wrong use.

    :param fingerprint: of the stage's inputs, where they are not just what the stages before committed
    :param after: called once it is committed, or reused; may raise
    """
    started = time.monotonic()
    _process(name, lambda job: execute(job, main, fingerprint=fingerprint, after=after, started=started), argv)


def run_plain(name: str, main: Callable[[Job], str], *, argv: Sequence[str] | None = None) -> None:
    """The same for a stage that needs no Spark session."""
    _process(name, main, argv)


def _process(name: str, work: Callable[[Job], str], argv: Sequence[str] | None) -> None:
    stage = BY_NAME[name]
    _end_with_parent()
    arguments = _arguments(stage, argv)
    try:
        job = _job(stage, arguments)
        in_its_run = arguments.run and stage.spark  # whose operator keeps the turn; promote wants the turn's token
        line = work(job) if in_its_run or not stage.turn else _in_turn(job, work, holder=arguments.run)
    except Exception as caught:  # noqa: BLE001 (the border of the process: everything is reported, nothing goes on)
        error = of_worker(caught) if isinstance(caught, PythonException) else caught
        # AnalysisException: a column or a type is not what the code takes it for: the same the next time
        code = _complain(stage, arguments.ds, error, Permanent.EXIT if isinstance(error, Permanent | AnalysisException) else 1)
        if not isinstance(error, NightfoldError):
            traceback.print_exc()
        sys.exit(code)
    _say(f"nightfold: {stage.name}: {line}")


def of_worker(error: PythonException) -> Exception:
    """What a Python worker of Spark's has raised, out of the trace that Spark makes of it: ours as it was, others in their own words."""
    named = re.findall(r"^(nightfold[\w.]*)\.(\w+): (.+)$", str(error), re.MULTILINE)
    if named:
        module, name, message = named[-1]  # what it was raised from comes before it
        kind = getattr(importlib.import_module(module), name, None)
        if isinstance(kind, type) and issubclass(kind, NightfoldError):
            return kind(message)
    raised = re.findall(r"^[\w.]*(?:Error|Exception|Interrupt)\b: .+$", str(error), re.MULTILINE)
    return RuntimeError(f"in a Python worker: {raised[-1]}") if raised else error


def _in_turn(job: Job, work: Callable[[Job], str], *, holder: str) -> str:
    """Work as soon as no other run of the pipeline does."""
    pipeline = job.pipeline.pipeline
    holder = holder or f"{job.stage.name} by hand, process {os.getpid()} of {socket.gethostname()}"
    say = lambda line: _say(f"nightfold: {job.stage.name}: {line}")  # noqa: E731
    job.turn = turns.waited_for(job.store, pipeline, holder, job.ds, limit=PATIENCE, say=say)
    try:
        with turns.kept(job.store, pipeline, holder, job.ds, say=say):
            return work(job)
    finally:
        job.store.leave_turn(pipeline, holder)


def _end_with_parent() -> None:
    """End when spark-submit is killed: this process would live on without it, and work beside its own retry."""
    if "PYSPARK_GATEWAY_PORT" not in os.environ:  # not started by spark-submit
        return
    parent = os.getppid()

    def watch() -> None:
        never = threading.Event()
        while os.getppid() == parent:
            never.wait(LOOK_EVERY)
        os._exit(ORPHANED)

    threading.Thread(target=watch, daemon=True, name="parent").start()


def execute(
    job: Job,
    main: Main,
    *,
    fingerprint: Fingerprint | None = None,
    after: Callable[[Job], None] | None = None,
    started: float | None = None,
) -> str:
    """Run a stage in this process, or reuse what is committed for the same inputs; returns its summary line."""
    line = _committed(job, main, fingerprint, started)
    if after is not None:
        after(job)
    return line


def _committed(job: Job, main: Main, fingerprint: Fingerprint | None, started: float | None) -> str:
    started = time.monotonic() if started is None else started
    inputs = fingerprint(job) if fingerprint else inputs_fingerprint(job.stage, pipeline=job.pipeline, ds=job.ds, lake=job.lake)
    before = job.lake.find(job.stage.dataset, job.ds)
    if before is not None and before.fingerprint == inputs:
        return f"{before.summary} (committed before from the same inputs; reused)"
    opening = time.monotonic()
    spark = open_session(job.pipeline, name=f"{job.pipeline.pipeline} {job.stage.name} {job.ds}")
    working = time.monotonic()
    outcome = main(spark, job)
    done = time.monotonic()
    timings = {"total_seconds": done - started, "session_seconds": working - opening, "work_seconds": done - working}
    job.lake.commit(
        job.manifest(
            job.stage.dataset,
            job.ds,
            fingerprint=outcome.fingerprint or inputs,
            data=job.place,
            rows=outcome.rows,
            facts=outcome.facts,
            summary=outcome.summary,
            timings={name: round(seconds, 2) for name, seconds in timings.items()},
        )
    )
    return outcome.summary


def _arguments(stage: Stage, argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=f"spark_jobs/{stage.name}.py", description=stage.doc)
    parser.add_argument("--pipeline", required=True, help="name of a file in pipelines/")
    parser.add_argument("--ds", required=True, help="the night, YYYY-MM-DD")
    parser.add_argument("--run", default="", help="the run of the DAG in whose turn it works; without it, it waits for its own")
    parser.add_argument(
        "--top-n", type=lambda n: int(n) if n else None, help="length of the lists; empty: as the pipeline file says"
    )
    return parser.parse_args(argv)


def _job(stage: Stage, arguments: argparse.Namespace) -> Job:
    pipeline = pipelines.named(arguments.pipeline)
    if arguments.top_n is not None:
        if pipeline.recommend is None:
            raise BadInput(f"--top-n: {pipeline.pipeline} makes no lists, it is there to {pipeline.task}: leave it empty")
        content = pipeline.model_dump(mode="json")
        content["recommend"]["top_n"] = arguments.top_n
        pipeline = Pipeline.model_validate(content)
    return Job(pipeline=pipeline, ds=nights.checked(arguments.ds), stage=stage, lake=Lake(pipeline.pipeline))


def _complain(stage: Stage, ds: str, error: Exception, code: int) -> int:
    message = " ".join(str(error).split())
    if FULL in message:
        message = (
            f"no space is left on a disk, that of the lake ({lake_uri()}) or of Spark's scratch: make room; then a retry goes on"
        )
    elif isinstance(error, AnalysisException):
        message = f"{_first_line(error)}: its trace says where"
    elif not isinstance(error, NightfoldError):
        message = f"{_first_line(error)}: not foreseen; its trace says where, and a retry may help"
    print(failure(stage.name, ds, message), file=sys.stderr, flush=True)  # noqa: T201
    return code


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".split("\n")[0]


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201
