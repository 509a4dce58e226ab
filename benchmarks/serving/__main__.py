"""The store and its readers: `make bench-serving`, or `python -m benchmarks.serving [--only PART ... [--keep]] [--scale 0.02]`.

Measures ours and a peer in turn, writes benchmarks/serving.md after each part, and prints it. `--only` prints its parts; with
`--keep` they take the place of the same parts on the page. Exit code 1 when a figure falls short.
"""

import argparse
import importlib
import json
import os
import platform as machine
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.serving import page
from benchmarks.serving.page import Part

import psutil

PAGE = Path(__file__).resolve().parent.parent / "serving.md"
FIGURES = PAGE.with_suffix(".json")
PARTS = {
    "load": "Into the store",
    "records": "What a record is made of",
    "client": "Out of the store: the client",
    "rest": "Out of the store: the REST API",
    "fuzz": "The REST API, asked nonsense",
    "faults": "What breaks, and what readers see",
}
Measure = Callable[[Part], None]


def try_out(name: str, scale: float) -> Part:
    """Measure one part."""
    part = Part(name, PARTS[name], scale=scale, date=datetime.now(UTC).strftime("%Y-%m-%d"), load=os.getloadavg()[0])
    began = time.monotonic()
    measure: Measure = importlib.import_module(f"benchmarks.serving.{name}").measure
    measure(part)
    part.seconds = time.monotonic() - began
    return part


def about() -> str:
    """The machine, for whoever compares."""
    memory = psutil.virtual_memory().total / 2**30
    return f"{os.cpu_count()} cores, {memory:.0f} GiB, {machine.system()} {machine.release()}, Python {machine.python_version()}"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description="The store and its readers.")
    parser.add_argument("--only", type=_parts, metavar="PART[,PART]", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--keep", action="store_true", help="with --only: the other parts stay as the page has them")
    parser.add_argument("--scale", type=float, default=1.0, help="of the numbers of lists and requests, for a quick try")
    args = parser.parse_args(argv)
    wanted = args.only or list(PARTS)
    lasting = not args.only or args.keep
    found = _kept() if args.only and args.keep else {}
    for name in wanted:
        print(f"{name} ...", flush=True)
        part = found[name] = try_out(name, args.scale)
        print(page.as_text(part), flush=True)
        if lasting:
            measured, without = [found[one] for one in PARTS if one in found], [one for one in PARTS if one not in found]
            text = page.markdown(measured, machine=about(), command="make bench-serving", without=without)
            PAGE.write_text(text, encoding="utf-8")
            values = [page.as_json(one) for one in measured]
            FIGURES.write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    short = [figure for name in wanted for figure in found[name].short]
    print(f"falls short: {'; '.join(short)}" if short else "no figure falls short")
    return 1 if short else 0


def _parts(words: str) -> list[str]:
    names = words.split(",")
    if unknown := [name for name in names if name not in PARTS]:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(PARTS)}")
    return names


def _kept() -> dict[str, Part]:
    values = json.loads(FIGURES.read_text(encoding="utf-8")) if FIGURES.exists() else []
    return {one["name"]: page.from_json(one) for one in values}


if __name__ == "__main__":
    sys.exit(main())
