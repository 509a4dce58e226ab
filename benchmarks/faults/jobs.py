"""A stage's processes, and the moment in which it is really at work."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.faults.shop import PIPELINE
from benchmarks.faults.stand import Stand, until
from benchmarks.faults.state import LAYERS
from embedded.processes import family, process_of, record_of
from nightfold.stages import BY_NAME
from nightfold.store.valkey import names

import psutil

START_LIMIT = 240.0  # seconds until a stage is at work: those before it in a cleared run, the launch of its JVM
WORK_LIMIT = 180.0  # seconds from a stage's start to its first file
LOOK_OFTEN = 0.1  # seconds between two looks at what lasts a second: looking costs the jobs a share of the two cores
LOOK_AHEAD = 0.005  # seconds between two looks at what comes a good tenth of a second before what lasts milliseconds
LOOK_CLOSELY = 0.0005  # seconds between two looks at that
PAUSE = 60_000  # milliseconds that the store makes a met publisher wait, at most
SESSION_PORTS = 3  # of a driver: for Python, for its executors, for blocks; the latter two come with the session


def jvm(stand: Stand, stage: str) -> psutil.Process | None:
    """The stage's spark-submit, among what the platform's scheduler started."""
    return next((p for p, words in _job_processes(stand, stage) if "org.apache.spark.deploy.SparkSubmit" in words), None)


def driver(stand: Stand, stage: str) -> psutil.Process | None:
    """The stage's own Python process."""
    return next((p for p, words in _job_processes(stand, stage) if words[1].endswith(f"spark_jobs/{stage}.py")), None)


def _job_processes(stand: Stand, stage: str) -> Iterator[tuple[psutil.Process, list[str]]]:
    record = record_of(stand.settings.home, "airflow-scheduler")
    scheduler = process_of(record)
    try:
        for process in scheduler.children(recursive=True) if scheduler else []:
            words = _words(process)
            started_by_us = "org.apache.spark.launcher.Main" not in words and "--pipeline" in words and PIPELINE in words
            if started_by_us and any(word.endswith(f"spark_jobs/{stage}.py") for word in words):
                yield process, words
    except psutil.NoSuchProcess:  # the scheduler, meanwhile
        return


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:  # it has just ended
        return []


def survivors(stand: Stand, stage: str) -> list[psutil.Process]:
    """Processes of a stage that live, also when their scheduler does not."""
    record = record_of(stand.settings.home, "airflow-scheduler")
    return [p for p in family(record) if any(word.endswith(f"spark_jobs/{stage}.py") for word in _words(p))] if record else []


def session_open(process: psutil.Process) -> bool:
    """Whether the JVM's Spark session is open: it listens for executors and blocks."""
    try:
        listening = [c for c in process.net_connections(kind="tcp") if c.status == psutil.CONN_LISTEN]
    except psutil.NoSuchProcess:
        return False
    return len(listening) >= SESSION_PORTS


def attempts(stand: Stand, stage: str) -> set[Path]:
    """The folders of all attempts at what the stage writes."""
    places = [stand.lake_folder / PIPELINE / layer for layer in LAYERS.get(stage, (BY_NAME[stage].dataset,))]
    return {folder for place in places for folder in (*place.glob("attempts/*"), *place.glob("*/attempts/*"))}


def files_in(folders: set[Path]) -> int:
    """How many files of data they hold, finished or not."""
    return sum(
        1
        for folder in folders
        for _, _, files in os.walk(folder)
        for name in files
        if not name.startswith("_started") and not name.endswith(".crc")
    )


def at_work(stand: Stand, stage: str, *, before: set[Path]) -> tuple[psutil.Process, str]:
    """Wait until the stage's job is in its middle; its JVM, and how far it was.

    A stage that writes as it goes is met when its first file of data is there, one that writes at its end when its session is open.

    :param before: attempts of earlier runs
    """
    job = until(lambda: jvm(stand, stage), what=f"process of {stage}", limit=START_LIMIT)
    if stage == "profile":
        until(lambda: session_open(job), what=f"session of {stage}", limit=WORK_LIMIT, every=LOOK_OFTEN)
        return job, "its session was open"
    written = lambda: files_in(attempts(stand, stage) - before)  # noqa: E731
    files = until(written, what=f"file of {stage}", limit=WORK_LIMIT, every=LOOK_OFTEN)
    return job, f"{files} file{'s' if files > 1 else ''} of its attempt written"


@contextmanager
def half_published(stand: Stand, version: str) -> Iterator[tuple[psutil.Process, str]]:
    """A publisher that has written some of its lists, and waits for the store with the next: readers are not made to wait.

    The JVM, and how far it was.
    """
    people = sorted(key for key in stand.known[version] if key)
    job = until(lambda: jvm(stand, "publish"), what="process of publish", limit=START_LIMIT)
    writing = names.control(PIPELINE, "writing")
    announced = until(lambda: stand.client.hkeys(writing), what="announced attempt", limit=WORK_LIMIT, every=LOOK_AHEAD)
    [(made, attempt)] = [name.decode().split(":") for name in announced]
    count = lambda: stand.store.count(PIPELINE, made, attempt, people)  # noqa: E731
    until(count, what="first list in the store", limit=WORK_LIMIT, every=LOOK_CLOSELY)
    stand.client.client_pause(PAUSE, all=False)
    try:
        yield job, f"{count()} of {len(people)} lists written"
    finally:
        if process_of(record_of(stand.settings.home, "valkey")) is not None:
            stand.client.client_unpause()


def kill(process: psutil.Process) -> None:
    """kill -9."""
    os.kill(process.pid, signal.SIGKILL)


def kill_part(stand: Stand, part: str) -> None:
    """kill -9 of one of the platform's servers: the process that was started, and nothing else of it."""
    process = process_of(record_of(stand.settings.home, part))
    if process is None:
        raise RuntimeError(f"{part} does not run")
    kill(process)
