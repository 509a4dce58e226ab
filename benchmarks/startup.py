"""What a small Spark job costs from spark-submit to its end, with and without the class-data archive that set-up made:
`python -m benchmarks.startup [--runs 7] [--json]`.

Takes   the ways in turn, round after round, so that whatever else the machine does meets each of them
Prints  the median of each in seconds, and the median of its ratios to the plain job of the same round, which holds on a busy machine
Raises  there is no archive, or a job fails: one line, exit 1
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.tables import aligned
from nightfold.errors import NightfoldError
from nightfold.settings import ROOT
from nightfold.stages import FIRST_COMPILER

RUNS = 7
JOB = ROOT / "nightfold" / "spark" / "small_job.py"
OPTIONS = ROOT / ".venv" / "spark" / "options"
ARCHIVE = ROOT / ".venv" / "spark" / "classes.jsa"
PLAIN, SHARED, SHORT = "plain", "archive", "archive, first compiler only"


@dataclass(frozen=True)
class Measured:
    """One way to start: its seconds, round by round."""

    way: str
    seconds: list[float]

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    def ratio(self, plain: "Measured") -> float:
        """Of the same round's plain job; the median over the rounds."""
        return statistics.median(mine / other for mine, other in zip(self.seconds, plain.seconds, strict=True))


def ways() -> dict[str, str]:
    """Way → options of spark-submit's JVM. Raises NightfoldError without an archive."""
    if not ARCHIVE.is_file():
        raise NightfoldError(f"{ARCHIVE} is not there: `make setup` makes it, or says in .venv/spark/log why it cannot")
    made = OPTIONS.read_text(encoding="utf-8").strip()
    return {PLAIN: "", SHARED: made, SHORT: f"{made} {FIRST_COMPILER}"}


def start(options: str, *, job: Path = JOB) -> float:
    """Seconds of one job. Raises NightfoldError when it fails, with its last word."""
    submit = Path(sys.executable).with_name("spark-submit")
    environment = {**os.environ, "SPARK_SUBMIT_OPTS": options, "PYSPARK_PYTHON": sys.executable}
    began = time.monotonic()
    done = subprocess.run([submit, job], env=environment, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - began
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or "no word of why").splitlines()[-1]
        raise NightfoldError(f"{job.name} ended with {done.returncode}: {last}")
    return seconds


def measure(runs: int, *, job: Path = JOB) -> list[Measured]:
    """Every way, `runs` times in turn; a first round, which fills the machine's file cache, does not count."""
    options = ways()
    rounds = [{way: start(given, job=job) for way, given in options.items()} for _ in range(runs + 1)][1:]
    return [Measured(way, [one[way] for one in rounds]) for way in options]


def as_text(found: list[Measured]) -> str:
    plain = found[0]
    rows = [
        (one.way, f"{one.median:.1f}", f"{min(one.seconds):.1f}", f"{max(one.seconds):.1f}", f"{one.ratio(plain):.2f}")
        for one in found
    ]
    head = ("a small job", "median s", "least", "most", "of plain")
    return f"{aligned([head, *rows])}\n{len(plain.seconds)} rounds, the ways in turn; of plain: median of the ratios within a round"


def as_json(found: list[Measured]) -> list[dict[str, object]]:
    """Plain values."""
    return [
        {"way": one.way, "seconds": [round(s, 3) for s in one.seconds], "of_plain": round(one.ratio(found[0]), 4)} for one in found
    ]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.startup", description="The start-up of a small Spark job.")
    parser.add_argument("--runs", type=_some, default=RUNS, help="rounds (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args(argv)
    try:
        found = measure(args.runs)
    except NightfoldError as error:
        print(f"benchmarks.startup: {error}", file=sys.stderr)
        return 1
    print(json.dumps(as_json(found)) if args.json else as_text(found))
    return 0


def _some(word: str) -> int:
    if not word.isdecimal() or int(word) < 1:
        raise argparse.ArgumentTypeError("a number from 1")
    return int(word)


if __name__ == "__main__":
    sys.exit(main())
