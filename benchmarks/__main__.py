"""All figures of one night, side by side: `python -m benchmarks [--pipeline grocery] [--ds 2017-12-03] [--json]`.

Judges the published lists under both readings of "known product" and prints the time of each stage of the last run of that
night. The peak of memory needs a run of its own: `python -m benchmarks.memory -- make run`.
"""

import argparse
import json
import sys

from benchmarks import judge, stages
from nightfold.errors import NightfoldError

NIGHT = "2017-12-03"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="The judge, and the time of each stage.")
    parser.add_argument("--pipeline", default="grocery")
    parser.add_argument("--ds", default=NIGHT, metavar="YYYY-MM-DD", help="the night (default: %(default)s)")
    parser.add_argument("--version", metavar="V", help="judge another version than live")
    parser.add_argument("--als", action="store_true", help="judge ALS alone, too, which takes some seconds")
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args(argv)
    try:
        verdicts = judge.judge(args.pipeline, args.ds, version=args.version, with_als=args.als)
        times = stages.measure(args.pipeline, args.ds)
    except NightfoldError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    if args.json:
        print(json.dumps({"judge": [judge.as_json(verdict) for verdict in verdicts], "stages": stages.as_json(times)}))
    else:
        print("\n\n".join([*(judge.as_text(verdict) for verdict in verdicts), stages.as_text(times)]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
