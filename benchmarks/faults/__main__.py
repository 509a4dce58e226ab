"""The fault table: `make bench-faults`, or `python -m benchmarks.faults [--only NAME ... [--keep]] [--list]`.

Starts a platform of its own on free ports, takes two nights, breaks one thing after the other, and writes what happened, after
each row. `--only` prints its rows; with `--keep` they take the place of the same rows in the table. Exit code 1 when a cell is
red.
"""

import argparse
import json
import os
import platform as machine
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.faults import kills, table, troubles
from benchmarks.faults.registry import FAULTS, Fault
from benchmarks.faults.scene import Scene
from benchmarks.faults.stand import NotInTime, Stand, standing
from embedded.errors import PlatformError
from nightfold.errors import NightfoldError

import psutil

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "faults.md"
FIGURES = HERE.parent / "faults.json"
ORDER = (kills, troubles)  # the modules that declare the rows

Say = Callable[[str], None]


def try_out(stand: Stand, chosen: Fault, *, say: Say) -> table.Row:
    """One row. A fault that cannot be brought to its end is red, and the next one starts from a healthy platform all the same."""
    today = datetime.now(UTC).strftime("%Y-%m-%d")
    row = table.Row(name=chosen.name, fault=chosen.title, not_run=chosen.why_not(stand), date=today)
    if row.not_run:
        say(f"{chosen.name:<22} not run here: {row.not_run}")
        return row
    began = time.monotonic()
    scene = Scene(stand, row)
    try:
        chosen.act(scene)
    except (NotInTime, PlatformError, NightfoldError, RuntimeError, psutil.Error) as error:
        row.blame("end", f"{type(error).__name__}: {error}")
        row.told = row.told or next((line.strip() for line in reversed(scene.said) if "nightfold: " in line), "")
        traceback.print_exc()
    finally:
        scene.close()
        row.minutes = (time.monotonic() - began) / 60
    why = "; ".join(f"{cell}: {', '.join(words)}" for cell, words in row.wrong.items())
    recovered = "" if row.seconds is None else f", {row.seconds:.0f} s to recover"
    say(f"{chosen.name:<22} {'RED' if row.red else 'good'} after {row.minutes * 60:.0f} s{recovered}  {why}".rstrip())
    return row


def about() -> str:
    """The machine, for whoever compares."""
    memory = psutil.virtual_memory().total / 2**30
    return f"{os.cpu_count()} cores, {memory:.0f} GiB, {machine.system()} {machine.release()}, Python {machine.python_version()}"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description="What breaks, and what happens then.")
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=FAULTS, help="only these rows")
    parser.add_argument("--keep", action="store_true", help="with --only: the other rows stay as the table has them")
    parser.add_argument("--list", action="store_true", help="the names of all rows")
    parser.add_argument("--markdown", type=Path, help=f"where the table goes (default: {PAGE.name}; with --only it is printed)")
    parser.add_argument("--json", type=Path, help=f"where the figures go (default: {FIGURES.name}; with --only nowhere)")
    args = parser.parse_args(argv)
    if args.list:
        print("\n".join(f"{name:<22} {found.title}" for name, found in FAULTS.items()))
        return 0
    lasting = not args.only or args.keep
    page, figures = args.markdown or (PAGE if lasting else None), args.json or (FIGURES if lasting else None)
    some = f"python -m benchmarks.faults {'--keep ' if args.keep else ''}--only {' '.join(args.only or ())}"
    command = "make bench-faults" if not args.only else f"make bench-faults` and, these rows anew, `{some}" if args.keep else some
    found = _rows_of(FIGURES) if args.only and args.keep else {}
    tried = []
    with (
        tempfile.TemporaryDirectory(prefix="nightfold-faults-") as name,  # as root, PostgreSQL's user must be able to get in
        standing(Path(name), say=_say) as stand,
    ):
        for chosen in args.only or FAULTS:
            row = try_out(stand, FAULTS[chosen], say=_say)
            tried.append(row)
            found[chosen] = row
            rows = [found[name] for name in FAULTS if name in found]
            text = table.markdown(rows, machine=about(), command=command)
            _write(page, text)
            values = {"machine": about(), "command": command, "rows": [table.as_json(row) for row in rows]}
            _write(figures, json.dumps(values, indent=1, ensure_ascii=False) + "\n")
    print("\n" + text)
    return 1 if any(row.red for row in tried) else 0


def _rows_of(figures: Path) -> dict[str, table.Row]:
    rows = json.loads(figures.read_text(encoding="utf-8"))["rows"] if figures.exists() else []
    return {row["name"]: table.from_json(row) for row in rows}


def _write(path: Path | None, text: str) -> None:
    if path is not None:
        path.write_text(text, encoding="utf-8")


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
