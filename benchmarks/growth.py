"""What a night more costs, and ten times the rows: `python -m benchmarks.growth [--households 2469] [--times 10] [--json]`.

Takes the grocer's night from an empty lake, then the night after it, then the same first night of `--times` as many households:
those of the sample again and again under new names, their baskets' products changed here and there. The stages run one by one
through spark-submit on `local[*]`, without Airflow, on servers and folders of their own.

Prints  seconds and peak memory (PSS of the job with all its processes) of each stage
Raises  a stage fails: its own last word, exit 1
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path

from benchmarks.memory import GIB, measure
from benchmarks.tables import aligned
from embedded import platform
from nightfold import pipeline as pipelines
from nightfold.errors import NightfoldError
from nightfold.settings import ROOT
from nightfold.stages import FLOW, jvm_options
from samples.land import land

PIPELINE, DS = "grocery", "2017-12-03"
SERVERS = ("postgres", "mlflow", "valkey", "shop")
OURS = ("NIGHTFOLD_", "AIRFLOW_", "MLFLOW_")
CHANGED = 0.1  # share of the copied lines that get the product of another line of that day
HOUSEHOLD, BASKET, PRODUCT = "household_id", "basket_id", "product_id"


@dataclass(frozen=True)
class Cost:
    """One stage of one night."""

    night: str
    """first, next, or N times the rows."""
    stage: str
    seconds: float
    bytes: int
    """At the peak."""


def repeated(lines: Sequence[str], head: Sequence[str], times: int, chance: random.Random) -> Iterator[str]:
    """A day's lines, then their copies: other households and baskets, some other products. Fields hold no commas."""
    household, basket, product = (head.index(name) for name in (HOUSEHOLD, BASKET, PRODUCT))
    rows = [line.split(",") for line in lines]
    yield from lines
    for copy in range(1, times):
        for row in rows:
            new = list(row)
            new[household], new[basket] = f"{row[household]}-{copy}", f"{row[basket]}-{copy}"
            if chance.random() < CHANGED:
                new[product] = chance.choice(rows)[product]
            yield ",".join(new)


def multiply(landing: Path, target: Path, times: int) -> int:
    """Land the same days with `times` as many households in `target`; returns the purchases."""
    shutil.copytree(landing, target)
    chance, count = random.Random(1), 0  # noqa: S311 (which products are changed)
    for file in sorted((target / "grocery" / "transactions").glob("*.csv")):
        head, *lines = file.read_text(encoding="utf-8").splitlines()
        with file.open("w", encoding="utf-8") as out:
            out.write(head + "\n")
            for line in repeated(lines, head.split(","), times, chance):
                out.write(line + "\n")
                count += 1
    return count


def take(ds: str, night: str, *, memory: str) -> Iterator[Cost]:
    """Every stage but the promotion. Raises NightfoldError when one fails."""
    submit = Path(sys.executable).with_name("spark-submit")
    for stage in (stage for stage in FLOW if stage.spark):
        job = str(ROOT / "spark_jobs" / f"{stage.name}.py")
        settings = ["--master", "local[*]", "--driver-memory", memory, "--conf", "spark.ui.enabled=false"]
        options = jvm_options(stage, pipeline=PIPELINE, ds=ds)
        command = ["env", f"SPARK_SUBMIT_OPTS={options}", str(submit), *settings, job, "--pipeline", PIPELINE, "--ds", ds]
        # no servers: the job alone; its words go beside the figures, not among them
        measured = measure(command, home=Path(os.devnull), stdout=sys.stderr)
        if measured.exit_code:
            raise NightfoldError(f"{stage.name} of {ds} ({night}) ended with {measured.exit_code}")
        yield Cost(night, stage.name, measured.seconds, measured.peak.bytes)


@contextmanager
def standing(folder: Path) -> Iterator[None]:
    """Servers of our own; the environment is that of a job."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(OURS)} | platform.free_ports()
    before = dict(os.environ)
    with platform.running(home=folder / "home", names=SERVERS, environ=environ, say=_say) as settings:
        os.environ.update(settings.job_environment() | {"PYTHONPATH": str(ROOT)})
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)


def as_text(costs: Sequence[Cost]) -> str:
    """A row a stage, two columns a night, and the last line for all."""
    nights = list(dict.fromkeys(cost.night for cost in costs))
    rows = [("stage", *(f"{night} {unit}" for night in nights for unit in ("s", "GiB")))]
    for stage in dict.fromkeys(cost.stage for cost in costs):
        found = [[cost for cost in costs if (cost.night, cost.stage) == (night, stage)] for night in nights]
        rows.append((stage, *(text for of_night in found for text in _cells(of_night))))
    whole = [[cost for cost in costs if cost.night == night] for night in nights]
    rows.append(("all", *(text for of_night in whole for text in _cells(of_night))))
    return aligned(rows)


def _cells(costs: Sequence[Cost]) -> tuple[str, str]:
    if not costs:
        return "–", "–"
    return f"{sum(cost.seconds for cost in costs):.1f}", f"{max(cost.bytes for cost in costs) / GIB:.2f}"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description="What a night more costs, and more rows.")
    parser.add_argument("--ds", default=DS, help=f"the first night (default: {DS})")
    parser.add_argument("--households", type=int, help="of the sample, the same ones every time (default: all)")
    parser.add_argument("--times", type=int, default=10, help="as many households (default: 10; 1: only the first two nights)")
    parser.add_argument("--memory", help="of the driver (default: as the pipeline file says)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args(argv)
    memory = args.memory or pipelines.named(PIPELINE).resources.driver_memory
    after = str(date.fromisoformat(args.ds) + timedelta(days=1))
    costs: list[Cost] = []
    with tempfile.TemporaryDirectory(prefix="nightfold-growth-") as name, standing(Path(name)):
        landed = land(households=args.households, until=after)
        _say(str(landed))
        more = f"{args.times} times"
        try:
            for ds, night in ((args.ds, "first"), (after, "next")):
                costs += _told(take(ds, night, memory=memory))
            if args.times > 1:
                began = time.monotonic()
                purchases = multiply(landed.folder.parent, Path(name) / "more", args.times)
                _say(f"{purchases:,} purchases of {args.times} times the households landed in {time.monotonic() - began:.0f} s")
                os.environ |= {"NIGHTFOLD_LANDING": f"file://{name}/more", "NIGHTFOLD_LAKE": f"file://{name}/lake"}
                costs += _told(take(args.ds, more, memory=memory))
        except (NightfoldError, subprocess.SubprocessError) as error:
            print(f"benchmarks.growth: {error}", file=sys.stderr)
            return 1
    print(json.dumps([asdict(cost) for cost in costs], indent=1) if args.json else "\n" + as_text(costs))
    return 0


def _told(costs: Iterator[Cost]) -> Iterator[Cost]:
    for cost in costs:
        _say(f"{cost.night:<10} {cost.stage:<10} {cost.seconds:7.1f} s {cost.bytes / GIB:6.2f} GiB")
        yield cost


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
