"""ALS and everybody's first ten, ours beside plain MLlib's, in one run: `python -m benchmarks.als [--pipeline grocery] [--ds 2017-12-03]`.

Needs   a night whose `features` are in the lake (`make run`)
Prints  seconds of the fits (four points, three cutoffs) and of the lists, their ratio, and how much of the lists is the same
Raises  the job fails, or there is no such night: one line, exit 1
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.tables import aligned
from nightfold.errors import NightfoldError
from nightfold.settings import ROOT

JOB = ROOT / "nightfold" / "spark" / "recommend" / "als_race.py"


def race(pipeline: str, ds: str) -> dict:
    """As the job prints it. Raises NightfoldError with its last word when it fails."""
    command = [str(Path(sys.executable).with_name("spark-submit")), "--driver-memory", "3g", str(JOB), pipeline, ds]
    environment = {**os.environ, "PYSPARK_PYTHON": sys.executable}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not lines:
        raise NightfoldError((done.stderr.strip() or "no word of why").splitlines()[-1])
    return json.loads(lines[-1])


def as_text(found: dict) -> str:
    """For a terminal."""
    rows = [("", "fits s", "lists s", "together s")]
    sums = {name: sum(found[name].values()) for name in ("ours", "plain")}
    rows += [(name, f"{found[name]['fit']:.1f}", f"{found[name]['top']:.1f}", f"{sums[name]:.1f}") for name in ("ours", "plain")]
    ratio = sums["ours"] / sums["plain"]
    same = f"{found['shared']:.0%} of the first ten of {found['users']:,} users are the same"
    same += f" ({found['shared_by_seeds']:.0%} of MLlib's with another seed)"
    return f"{aligned(rows)}\nours takes {ratio:.2f} of plain MLlib's time; {same}"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.als", description="ALS and top-N beside plain MLlib.")
    parser.add_argument("--pipeline", default="grocery")
    parser.add_argument("--ds", default="2017-12-03", metavar="YYYY-MM-DD")
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args(argv)
    try:
        found = race(args.pipeline, args.ds)
    except NightfoldError as error:
        print(f"benchmarks.als: {error}", file=sys.stderr)
        return 1
    print(json.dumps(found) if args.json else as_text(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
