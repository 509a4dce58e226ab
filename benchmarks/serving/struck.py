"""A fault of the store or of its readers, as it went: a row of the table, and what a row needs to happen."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.faults.reader import DEGRADED, Reader, Seen
from benchmarks.faults.stand import NotInTime, until
from benchmarks.serving import published
from benchmarks.serving.published import PIPELINE
from benchmarks.serving.server import go_on
from embedded.errors import PlatformError
from nightfold.errors import NightfoldError
from nightfold.settings import ROOT
from nightfold.store import Store, store_at
from nightfold.whole import verify

VERSIONS = [f"v{number}" for number in range(1, 41)]
NIGHTS = {version: f"2017-{11 + number // 30}-{number % 30 + 1:02}" for number, version in enumerate(VERSIONS)}
SETTLE = 1.5  # seconds of reading after a row: a pointer is believed for one
LIMIT = 60.0  # seconds for anything that is waited for


@dataclass
class Row:
    """One fault."""

    fault: str
    requests: int = 0
    failed: int = 0
    degraded: int = 0
    mixed: int = 0
    wrong: int = 0
    slowest: float = 0.0
    recovered: float | None = None
    """Seconds from the fault until the last request that failed, or was answered from memory, was over; None where none was."""
    end: str = ""
    bad: list[str] = field(default_factory=list)
    """What should not have happened."""


class Scene:
    """A store with a live version, a reader that asks all the while, and a row to fill in.

    :param uri: of the owner
    :param environment: of readers and publishers
    :param module: the reader's
    """

    def __init__(self, row: Row, folder: Path, uri: str, *, module: str | None = None, order: list[str] | None = None, **more: str):
        self.row, self.folder, self.store = row, folder, store_at(uri)
        paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        self.environment = {**os.environ, "AIRFLOW_CONN_KV_DEFAULT": uri, "PYTHONPATH": paths, **more}
        self.order = VERSIONS if order is None else order
        self.module = {"module": module} if module else {}
        self.struck = 0.0

    def run(self, act: Callable[[], None]) -> None:
        """Let it happen while somebody reads; what goes wrong is in the row."""
        try:
            with self.read():
                act()
        except (NotInTime, NightfoldError, PlatformError, RuntimeError, OSError, subprocess.SubprocessError) as error:
            self.row.bad.append(f"{type(error).__name__}: {error}")

    @contextlib.contextmanager
    def read(self) -> Iterator[None]:
        """Read while the block runs, and fill in the row."""
        self.folder.mkdir(parents=True)
        reader = Reader(self.folder, KNOWN, self.order, self.environment, **self.module)
        try:
            until(reader.ready, what="first answer", limit=LIMIT)
            self.struck = time.monotonic()
            yield
            go_on(limit=SETTLE)
            self.fill_in(reader.stop())
        except BaseException:
            reader.kill()
            raise

    def fill_in(self, seen: Seen) -> None:
        """What the reader saw."""
        row = self.row
        degraded = [one for one in seen.failures if DEGRADED in one[2]]
        failed = [one for one in seen.failures if one not in degraded]
        mixed = [words for words in seen.wrong if words.startswith("mixed")]
        row.requests, row.slowest = seen.requests, seen.slowest
        row.failed, row.degraded, row.mixed = len(failed), len(degraded), len(mixed)
        row.wrong = len(seen.wrong) - len(mixed)
        if seen.failures:
            row.recovered = max(end for _, end, _ in seen.failures) - self.struck
        row.bad += [f"failed: {failed[0][2]}"] if failed else []
        row.bad += seen.wrong[:1]

    def strikes_now(self) -> None:
        """The fault begins."""
        self.struck = time.monotonic()

    def publisher(self, version: str, *, at_once: int = 1, attempt: str = "", night: str = "") -> "Publisher":
        """A process that publishes a version list by list."""
        return Publisher(
            self.environment, version, attempt or f"20180101T{time.time_ns() // 1000}", night or NIGHTS[version], at_once
        )

    def expect(self, version: str) -> None:
        """This version is live, whole, and nothing else than kept versions is left in the store."""
        try:
            live = verify(self.store, PIPELINE)
            if live.version != version:
                self.row.bad.append(f"{live.version} is live, not {version}")
            self.store.collect(PIPELINE, older_than=0)
            kept = {(one.manifest.version, one.manifest.attempt): one.manifest.keys + 2 for one in self.store.versions(PIPELINE)}
            there: dict[tuple[str, str], int] = {}
            for key in self.store.wire.client.scan_iter(match=f"nightfold:{PIPELINE}:*", count=1000):
                place = tuple(key.decode().split(":")[2:4])
                there[place] = there.get(place, 0) + 1
            if there != kept:
                self.row.bad.append(f"the store holds {there}, its versions are {kept}")
        except NightfoldError as error:
            self.row.bad.append(str(error))


class Publisher:
    """The process."""

    def __init__(self, environment: dict[str, str], version: str, attempt: str, night: str, at_once: int) -> None:
        self.version, self.attempt = version, attempt
        order = json.dumps({"version": version, "attempt": attempt, "night": night, "at_once": at_once})
        command = [sys.executable, "-m", "benchmarks.serving.jobs.publisher", order]
        self.process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        if self.process.stdout is None or self.process.stdout.readline() != "began\n":
            raise RuntimeError(f"the publisher of {version} did not begin")

    def kill(self) -> None:
        """Whatever it does."""
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()

    def end(self) -> tuple[int, str]:
        """Its exit code, and its last words."""
        said, _ = self.process.communicate(timeout=LIMIT)
        return self.process.returncode, (said.splitlines() or [""])[-1]


def has_written(store: Store, publisher: Publisher, number: int) -> Callable[[], bool]:
    """Whether so many lists of an attempt are in the store."""
    keys = list(published.made(publisher.version))[:number]
    return lambda: store.count(PIPELINE, publisher.version, publisher.attempt, keys) == number


KNOWN = published.known(VERSIONS)
