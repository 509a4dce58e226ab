"""A reader, as a process of its own: asks for lists at a steady rate and checks every answer, until it is told to stop.

`python -m benchmarks.faults.reader KNOWN`: KNOWN is a JSON file with the versions that may be live and what each holds. It
writes one JSON line to stdout for each thing that happens, and its counts at the end (SIGTERM).
"""

import json
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TextIO

from benchmarks.faults.judging import Known, trouble
from benchmarks.faults.shop import STRANGER
from nightfold.client import AGAIN, Client
from nightfold.errors import NightfoldError

import msgspec

RATE = 100  # requests per second
BATCH = 20  # keys of every fifth request; the others ask for one
DEGRADED = "the store is gone: the fallback from memory"
STOP_LIMIT = 60.0  # seconds: the store's own time-out is 30


@dataclass
class Seen:
    """What one reader saw. Moments are of the machine's monotonic clock, which all processes share."""

    requests: int = 0
    slowest: float = 0.0
    """Seconds of the longest request that was answered."""
    failures: list[tuple[float, float, str]] = field(default_factory=list)
    """When it was asked, when it failed, and what it said."""
    wrong: list[str] = field(default_factory=list)
    live: list[tuple[float, str]] = field(default_factory=list)
    """When each version was first seen."""

    def failures_outside(self, windows: list[tuple[float, float]]) -> list[str]:
        """Failures of requests during all of which the store was up. The fallback from memory is none for a moment more: the client,
        which has found the store gone, asks again after AGAIN."""
        return [
            said
            for asked, failed, said in self.failures
            if not any(asked <= end + (AGAIN if said == DEGRADED else 0) and failed >= start for start, end in windows)
        ]

    def first_seen(self, version: str) -> float | None:
        return next((at for at, live in self.live if live == version), None)


class Reader:
    """The process, from whoever started it."""

    def __init__(
        self, folder: Path, known: Known, order: list[str], environment: Mapping[str, str], *, module: str = __name__
    ) -> None:
        file, self._out = folder / "known.json", folder / "reader.jsonl"
        file.write_text(json.dumps({"known": known, "order": order}), encoding="utf-8")
        with self._out.open("wb") as out:
            self._process = subprocess.Popen([sys.executable, "-m", module, str(file)], stdout=out, env=dict(environment))

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._out.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("\n")]

    def ready(self) -> bool:
        """Whether it has had its first answer. Raises RuntimeError when it has died."""
        if self._process.poll() is not None:
            raise RuntimeError(f"the reader has ended with exit code {self._process.returncode}")
        return any("live" in line for line in self.lines())

    def has_seen(self, version: str) -> bool:
        return any(line.get("live") == version for line in self.lines())

    def stop(self) -> Seen:
        """End it and return what it saw."""
        self._process.send_signal(signal.SIGTERM)
        if self._process.wait(STOP_LIMIT) != 0:
            raise RuntimeError(f"the reader has ended with exit code {self._process.returncode}")
        seen = Seen()
        for line in self.lines():
            seen.live += [(line["at"], line["live"])] if "live" in line else []
            seen.failures += [(line["at"], line["until"], line["failed"])] if "failed" in line else []
            seen.wrong += [line["wrong"]] if "wrong" in line else []
            seen.requests, seen.slowest = line.get("requests", seen.requests), line.get("slowest", seen.slowest)
        return seen

    def kill(self) -> None:
        """End it whatever it does."""
        self._process.kill()
        self._process.wait(STOP_LIMIT)


class Asked(Protocol):
    """Who is asked: the store's client, or the REST API."""

    def lookup_many(self, pipeline: str, keys: Sequence[str]) -> Sequence[Any]:
        """The lists of some keys, in their order; raises NightfoldError when there is no answer."""
        ...


def read(
    pipeline: str, known: Known, order: list[str], *, until: threading.Event, out: TextIO, asked_of: Asked | None = None
) -> None:
    """Ask until `until` is set."""

    def say(**event: Any) -> None:
        print(json.dumps(event), file=out, flush=True)

    client = asked_of or Client()
    people = [*sorted({key for lists in known.values() for key in lists if key}), STRANGER]
    chance = random.Random(1)  # noqa: S311 (keys to ask for)
    version, requests, slowest = None, 0, 0.0
    due = time.monotonic()
    while not until.wait(max(0.0, due - time.monotonic())):
        asked = time.monotonic()
        due = max(due + 1 / RATE, asked - 1.0)  # what a slow answer cost is made up for, one second of it at most
        requests += 1
        try:
            answers = msgspec.to_builtins(client.lookup_many(pipeline, chance.sample(people, BATCH if requests % 5 == 0 else 1)))
        except NightfoldError as error:
            say(at=asked, until=time.monotonic(), failed=str(error))
            continue
        if answers[0]["degraded"]:
            say(at=asked, until=time.monotonic(), failed=DEGRADED)
            continue
        slowest = max(slowest, time.monotonic() - asked)
        for words in trouble(answers, known, before=version, order=order):
            say(at=asked, wrong=words)
        if answers[0]["version"] != version:
            version = answers[0]["version"]
            say(at=time.monotonic(), live=version)
    say(requests=requests, slowest=slowest)


def main(argv: list[str]) -> int:
    from benchmarks.faults.shop import PIPELINE

    facts = json.loads(Path(argv[0]).read_text(encoding="utf-8"))
    until = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: until.set())
    read(PIPELINE, facts["known"], facts["order"], until=until, out=sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
