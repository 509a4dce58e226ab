"""The commands and their arguments, parsed and checked."""

import argparse
from collections.abc import Callable, Sequence
from importlib import metadata
from typing import NoReturn

from nightfold import api_keys, nights
from nightfold.cli import changing, looking


def _percent(text: str) -> float:
    try:
        percent = float(text.removesuffix("%"))
    except ValueError:
        percent = 0.0
    if not 0 < percent < 100:
        raise argparse.ArgumentTypeError(f"must be above 0 and below 100, not {text!r}")
    return percent


def _names(text: str) -> list[str]:
    return [name for name in text.replace(" ", "").split(",") if name]


def _length(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 on, not {text!r}")
    return int(text)


def parsed(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parsed and checked; keys may stand on both sides of an option, which argparse alone refuses."""
    parser = _parser()
    arguments, rest = parser.parse_known_args(argv)
    if arguments.command is looking.lookup:
        end = rest.index("--") if "--" in rest else len(rest)
        more, rest = rest, [word for word in rest[:end] if word.startswith("-") and not word[1:].isdecimal()]
        arguments.keys += more[:end] + more[end + 1 :]
    if rest:
        parser.error(f"{rest[0]!r} is not understood")
    if arguments.command is looking.lookup:
        if bool(arguments.keys) == arguments.all:
            parser.error("lookup: give keys, or --all")
        odd = [key for key in arguments.keys if key.encode("utf-8", "replace").decode() != key]
        if odd:
            parser.error(f"lookup: key {odd[0]!r} is not UTF-8: give it in UTF-8")
    if arguments.command is changing.keys and (arguments.do == "list") is (arguments.which is not None):
        parser.error(f"keys {arguments.do}: " + ("takes no name" if arguments.which is not None else "say which"))
    return arguments


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage before it."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see `{self.prog} --help`\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="nightfold", description="Look at pipelines and at what they publish.")
    parser.add_argument("--json", action="store_true", help="answer in JSON")
    parser.add_argument("--version", action="version", version=f"nightfold {metadata.version('nightfold')}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[argparse.Namespace], int], help_: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=help_, description=help_)
        sub.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="answer in JSON")
        sub.set_defaults(command=run)
        if name not in ("validate", "keys"):
            sub.add_argument("pipeline", metavar="PIPELINE")
        return sub

    checked = command("validate", looking.validate, "Check a pipeline file, or all.")
    checked.add_argument("file", metavar="FILE", nargs="?", help="without it: every one of NIGHTFOLD_PIPELINES")
    found = command("lookup", looking.lookup, "The lists of some keys, as a reader gets them.")
    found.add_argument("keys", metavar="KEY", nargs="*")
    found.add_argument("-n", type=_length, default=None, metavar="N", help="only the first N items")
    found.add_argument("--all", action="store_true", help="every key, as JSON lines")
    found.add_argument("--version", default=None, metavar="V", help="another version than live")
    command("versions", looking.versions, "The versions that are kept, and which is live.")
    command("history", looking.history, "What became of versions: every change of a state, with its time and cause.")
    check = command("verify", looking.verify, "Read every list of a version again and compare its checksum.")
    check.add_argument("--version", default=None, metavar="V", help="another version than live")
    back = command("rollback", changing.rollback, "Go back to an older promoted version; promotions wait until released.")
    back.add_argument("--to", default=None, metavar="VERSION", help="which one; without it, the one before")
    back.add_argument("--because", default="", metavar="WORDS", help="for the history, and for who asks why promotions are held")
    both = command("split", changing.split, "Serve a second version beside the live one, to a share of the keys.")
    of_split = both.add_mutually_exclusive_group(required=True)
    of_split.add_argument("--version", default=None, metavar="V", help="which one")
    of_split.add_argument("--end", action="store_true", help="all get the live version again")
    both.add_argument("--percent", type=_percent, default=10.0, metavar="P", help="of the keys; without it, 10")
    access = command("keys", changing.keys, "API keys of the REST API: `keys`, `keys add NAME`, `keys revoke ID`.")
    access.add_argument("do", nargs="?", choices=("list", "add", "revoke"), default="list")
    access.add_argument("which", nargs="?", default=None, metavar="NAME|ID")
    access.add_argument("--pipelines", type=_names, default=[api_keys.EVERY], metavar="A,B", help="only these; without it, all")
    access.add_argument(
        "--scopes", type=_names, default=["lists"], metavar="A,B", help=f"of {', '.join(api_keys.SCOPES)}; without it, lists"
    )
    freed = command("release", changing.release, "Let promotions go on after a rollback.")
    freed.add_argument(
        "--version", default=None, metavar="V", help="was rolled back from by mistake: it may be promoted again, too"
    )
    again = command(
        "retake", changing.retake, "Have a night of a source taken again by the next ingest, as when its delivery was mended."
    )
    again.add_argument("source", metavar="SOURCE")
    again.add_argument("--ds", required=True, type=nights.argument, metavar="NIGHT", help="the night, YYYY-MM-DD")
    command("unlock", changing.unlock, "Let the next run have its turn, when the one that has it is known to be dead.")
    upkeep = command("maintain", changing.maintain, "Remove what retention lets go: dead attempts, old nights, rows and runs.")
    of = {"default": None, "type": nights.argument, "metavar": "NIGHT"}
    upkeep.add_argument("--ds", **of, help="count back from this night; without it, from the last one")
    upkeep.add_argument("--dry-run", action="store_true", help="only say what would go")
    erase = command("forget", changing.forget, "Erase a person wherever Nightfold has written; says what it cannot reach.")
    erase.add_argument("key", metavar="KEY")
    erase.add_argument("--dry-run", action="store_true", help="only say where it is")
    reports = command("report", looking.report, "Where the data report and the evaluation are.")
    reports.add_argument("--ds", **of, help="of this night; without it, of the last one")

    return parser
