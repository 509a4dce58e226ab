"""`python -m embedded run|up|up-serving|restart-serving|down|clean|status|airflow`: what the Makefile's targets call.

Exit codes: 0, 1 failed, 2 wrong use.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence

from embedded import airflow_parts, ending, night, platform, rolling
from embedded.errors import PlatformError
from embedded.settings import load
from nightfold import nights
from nightfold.errors import NightfoldError

WORKERS = "2"  # of `make up-cluster`, unless the environment says otherwise


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m embedded", description="The platform's servers on this machine.")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="start everything, take one night of a pipeline through Airflow, show its lists")
    run.add_argument("--pipeline", required=True)
    run.add_argument("--ds", required=True, type=nights.argument, help="the night, YYYY-MM-DD")
    up = commands.add_parser("up", help="start what is not running")
    up.add_argument("--sample", action="store_true", help="with the sample shop's PostgreSQL")
    up.add_argument("--cluster", action="store_true", help="with a Spark master and two workers (NIGHTFOLD_SPARK_WORKERS)")
    commands.add_parser(
        "up-serving", help="start the REST API: replicas (NIGHTFOLD_SERVING_REPLICAS) behind a balancer, and the store"
    )
    commands.add_parser("restart-serving", help="restart the replicas one after the other; readers notice nothing")
    commands.add_parser("down", help="stop what was started")
    commands.add_parser("clean", help="stop everything, then remove all state")
    commands.add_parser("airflow", help="Airflow's own command line", add_help=False)
    commands.add_parser("status", help="the parts: state, process, address, memory")
    return parser


def say(line: str) -> None:
    """In one piece: parts that start at once say so at once."""
    print(f"{line}\n", end="", flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the command line says; errors are one line on stderr."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["airflow"]:  # its words are not ours to parse
        return subprocess.run(
            [sys.executable, "-m", "airflow", *words[1:]], env=airflow_parts.environment(load()), check=False
        ).returncode
    options = _parser().parse_args(words)
    try:
        if options.command == "run":
            return night.run(pipeline=options.pipeline, ds=options.ds, say=say)
        if options.command == "up":
            names = platform.EVERYTHING if options.sample else platform.PLATFORM
            workers = {"NIGHTFOLD_SPARK_WORKERS": WORKERS if options.cluster else "0"}
            settings = platform.up(names=names, environ={**workers, **os.environ}, say=say)
            ending.say_addresses(settings, say=say)
        elif options.command == "up-serving":
            store = () if load().other_store else ("valkey",)
            ending.say_api(platform.up(names=(*store, platform.SERVING), say=say), say=say)
        elif options.command == "restart-serving":
            rolling.restart(say=say)
        elif options.command == "down":
            platform.down(say=say)
        elif options.command == "clean":
            platform.clean(say=say)
        else:
            _say_status()
    except (PlatformError, NightfoldError) as error:
        print(f"nightfold: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("nightfold: interrupted; what was started keeps running: make down", file=sys.stderr)
        return 1
    return 0


def _say_status() -> None:
    lines = platform.status()
    for line in lines:
        say(f"{line.name:<18} {line.state:<8} {line.pid or '':>8}  {line.address:<21} {line.memory / 2**20:6.0f} MB")
    say(f"{'together':<18} {'':<8} {'':>8}  {'':<21} {sum(line.memory for line in lines) / 2**20:6.0f} MB")


if __name__ == "__main__":
    sys.exit(main())
