"""The command line: `nightfold validate|lookup|versions|rollback|release|retake|unlock|maintain|forget|report`.

Exit 0 only on success; 2 for wrong use; 1 otherwise, with one line on stderr (of `validate` one for each problem) that
names the file, field or key and the mend.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import metadata
from typing import Any, NoReturn

from nightfold import forgetting, intake, maintenance, nights, promotion, turns
from nightfold import pipeline as pipelines
from nightfold.errors import BadInput, BadPipeline, NightfoldError, NotCommitted
from nightfold.gate import HELD
from nightfold.lake import Lake
from nightfold.store import Store, Version, VersionManifest, open_store
from nightfold.store.lists import lookup, lookup_all
from nightfold.tracking import TrackingFailed

REPORTS = {"data": "profile", "evaluation": "evaluation"}
"""What people look at → the dataset that holds it."""


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _arguments(argv)
    command: Callable[[argparse.Namespace], int] = arguments.command
    try:
        code = command(arguments)
        sys.stdout.flush()
        return code
    except NightfoldError as error:
        _complain(str(error))
        return 1
    except BrokenPipeError:  # the reader of our output went away (`| head`): not a fault
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains when it flushes at its end
        return 1


def _complain(words: str) -> None:
    """In one line."""
    print(f"nightfold: {' '.join(words.split())}", file=sys.stderr)


def _validate(arguments: argparse.Namespace) -> int:
    try:
        pipeline = pipelines.load(arguments.file)
    except BadPipeline as error:
        for problem in error.problems:
            _complain(problem)
        return 1
    facts = {"file": arguments.file, "pipeline": pipeline.pipeline, "task": pipeline.task, "sources": list(pipeline.sources)}
    _show(arguments, {"valid": True, **facts}, f"{arguments.file}: valid: {pipeline.task} from {', '.join(pipeline.sources)}")
    return 0


def _lookup(arguments: argparse.Namespace) -> int:
    store = _store(arguments.pipeline)
    if arguments.all:
        for answer in lookup_all(store, arguments.pipeline, n=arguments.n, version=arguments.version):
            print(json.dumps(answer, ensure_ascii=False))
        return 0
    answers = lookup(store, arguments.pipeline, arguments.keys, n=arguments.n, version=arguments.version)
    for answer in answers:
        _show(arguments, answer, _list(answer))
    return 0


def _list(answer: dict[str, Any]) -> str:
    fallback = " · no list of its own: the fallback" if answer["source"] == "fallback" else ""
    head = f"{answer['pipeline']} {answer['key']} · night {answer['night']} · version {answer['version']}{fallback}"
    width = max((len(item["id"]) for item in answer["items"]), default=0)
    rows = [f"{n:3}. {item['id']:<{width}}  {item['score']:9.4f}  {item['why']}" for n, item in enumerate(answer["items"], 1)]
    return "\n".join([head, *(rows or ["     (empty list)"])])


def _versions(arguments: argparse.Namespace) -> int:
    store = _store(arguments.pipeline)
    kept, hold = store.versions(arguments.pipeline), store.held(arguments.pipeline)
    turn = store.turn(arguments.pipeline)
    facts = {
        "pipeline": arguments.pipeline,
        "held": hold,
        "turn": turn.model_dump(mode="json") if turn else None,
        "versions": [_version_facts(version) for version in kept],
    }
    lines = [f"{'version':<24} {'night':<11} {'state':<9} {'lists':>9}  published at"]
    lines += [f"{m.version:<24} {m.night:<11} {v.state:<9} {m.keys:>9,}  {m.published_at}" for v in kept for m in (v.manifest,)]
    lines += [f"  note on {v.manifest.version}: {remark}" for v in kept for remark in (*_gate(v.manifest), *v.manifest.remarks)]
    if not kept:
        lines = [f"{arguments.pipeline}: no version is published yet"]
    if hold is not None:
        lines.append(f"promotions are held ({hold}): `nightfold release {arguments.pipeline}` lets them go on")
    if turn is not None:
        whose = f"{turn.holder}, night {turn.night}" if turn.night else turn.holder
        lines.append(f"at work: {whose}; without a sign of life the next goes on in {turn.seconds_left:.0f} s")
    _show(arguments, facts, "\n".join(lines))
    return 0


def _gate(version: VersionManifest) -> list[str]:
    """What the gate said of a night whose own model is not served."""
    verdict = version.facts.get("verdict", {})
    return [f"{verdict['outcome']}: {verdict['reason']}"] if verdict.get("outcome") == HELD else []


def _version_facts(version: Version) -> dict[str, Any]:
    return {"state": version.state, **version.manifest.model_dump(mode="json", exclude={"pipeline"})}


def _rollback(arguments: argparse.Namespace) -> int:
    store = _store(arguments.pipeline)
    left, now = store.rollback(arguments.pipeline, to=arguments.to)
    facts = {"pipeline": arguments.pipeline, "from": left, "to": now, "held": True}
    text = f"{arguments.pipeline}: {now} is live, {left} is marked bad; promotions are held until `nightfold release {arguments.pipeline}`"
    _show(arguments, facts, text)
    sys.stdout.flush()
    if (live := store.find(arguments.pipeline, now)) is not None:
        try:
            promotion.crown(live.manifest)
        except (BadPipeline, TrackingFailed) as error:  # readers come first: they have the older lists by now
            print(f"nightfold: MLflow's alias champion still points to {left}: {error}", file=sys.stderr)
    return 0


def _release(arguments: argparse.Namespace) -> int:
    released = _store(arguments.pipeline).release(arguments.pipeline)
    text = f"{arguments.pipeline}: promotions go on" if released else f"{arguments.pipeline}: promotions were not held"
    _show(arguments, {"pipeline": arguments.pipeline, "released": released}, text)
    return 0


def _retake(arguments: argparse.Namespace) -> int:
    name, source, night = arguments.pipeline, arguments.source, arguments.ds
    sources = pipelines.named(name).sources
    if source not in sources:
        raise BadInput(f"{name}: no source {source!r}; there are: {', '.join(sources)}")
    intake.ask_again(Lake(name), source, night)
    text = f"{name}: {source} of night {night} is taken again by the next ingest: clear `ingest` of that night in Airflow"
    _show(arguments, {"pipeline": name, "source": source, "night": night}, text)
    return 0


def _unlock(arguments: argparse.Namespace) -> int:
    store = _store(arguments.pipeline)
    turn = store.turn(arguments.pipeline)
    freed = turn is not None and store.leave_turn(arguments.pipeline, turn.holder)
    facts = {"pipeline": arguments.pipeline, "freed": freed, "was": turn.model_dump(mode="json") if turn else None}
    text = f"it was that of {turn.holder}, night {turn.night}; the next one goes on" if turn and freed else "nobody had the turn"
    _show(arguments, facts, f"{arguments.pipeline}: {text}")
    return 0


def _maintain(arguments: argparse.Namespace) -> int:
    pipeline, name, lake = pipelines.named(arguments.pipeline), arguments.pipeline, Lake(arguments.pipeline)
    store, ds = _store(name), arguments.ds or maintenance.last_night(lake)
    with _turn(store, name, "maintenance", night=ds, dry_run=arguments.dry_run):
        going = maintenance.maintain(lake, pipeline, store, ds=ds, now=datetime.now(UTC), dry_run=arguments.dry_run)
    facts = {"pipeline": name, "ds": ds, "dry_run": arguments.dry_run, "removed": [asdict(one) for one in going]}
    lines = [f"{one.size / 2**20:9.1f} MB  {one.path}  ({one.why})" for one in going]
    _show(arguments, facts, "\n".join([*lines, maintenance.summary(name, going, dry_run=arguments.dry_run)]))
    return 0


def _forget(arguments: argparse.Namespace) -> int:
    pipeline, name, key, lake = pipelines.named(arguments.pipeline), arguments.pipeline, arguments.key, Lake(arguments.pipeline)
    store = _store(name)
    with _turn(store, name, "forgetting", night="", dry_run=arguments.dry_run):
        found = forgetting.forget(pipeline, lake, store, key, dry_run=arguments.dry_run)
    words = forgetting.lines(found, pipeline, key, dry_run=arguments.dry_run)
    _show(arguments, {"pipeline": name, "key": key, "dry_run": arguments.dry_run, **asdict(found)}, "\n".join(words))
    return 0


@contextmanager
def _turn(store: Store, pipeline: str, what: str, *, night: str, dry_run: bool) -> Iterator[None]:
    """Have the pipeline's turn while the block runs; who only looks needs none."""
    holder = f"{what} by hand, process {os.getpid()}"
    try:
        if not dry_run:
            store.take_turn(pipeline, holder, night, seconds=turns.GAP)
        yield
    finally:  # also of one that was not its turn: it waits no longer
        if not dry_run:
            store.leave_turn(pipeline, holder)


def _report(arguments: argparse.Namespace) -> int:
    pipelines.named(arguments.pipeline)
    lake = Lake(arguments.pipeline)
    found: dict[str, Any] = {}
    for name, dataset in REPORTS.items():
        taken = lake.nights(dataset)
        night = arguments.ds or (taken[-1] if taken else None)
        manifest = lake.find(dataset, night) if night else None
        if manifest is not None:
            found[name] = {
                "night": night,
                "page": lake.local_path(manifest.facts["report"]),
                "figures": lake.local_path(manifest.facts["json"]),
            }
    if not found:
        night = f" for night {arguments.ds}" if arguments.ds else ""
        raise NotCommitted(f"{arguments.pipeline}: there are no reports{night}: run a night first")
    _show(
        arguments,
        {"pipeline": arguments.pipeline, **found},
        "\n".join(f"{name:<11} {f['night']}  {f['page']}" for name, f in found.items()),
    )
    return 0


def _store(pipeline: str) -> Store:
    return open_store(pipelines.named(pipeline).publish.connection)


def _show(arguments: argparse.Namespace, facts: dict[str, Any], text: str) -> None:
    print(json.dumps(facts, ensure_ascii=False) if arguments.json else text)


def _length(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 on, not {text!r}")
    return int(text)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parsed and checked; keys may stand on both sides of an option, which argparse alone refuses."""
    parser = _parser()
    arguments, rest = parser.parse_known_args(argv)
    if arguments.command is _lookup:
        end = rest.index("--") if "--" in rest else len(rest)
        more, rest = rest, [word for word in rest[:end] if word.startswith("-") and not word[1:].isdecimal()]
        arguments.keys += more[:end] + more[end + 1 :]
    if rest:
        parser.error(f"{rest[0]!r} is not understood")
    if arguments.command is _lookup:
        if bool(arguments.keys) == arguments.all:
            parser.error("lookup: give keys, or --all")
        odd = [key for key in arguments.keys if key.encode("utf-8", "replace").decode() != key]
        if odd:
            parser.error(f"lookup: key {odd[0]!r} is not UTF-8: give it in UTF-8")
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
        if name != "validate":
            sub.add_argument("pipeline", metavar="PIPELINE")
        return sub

    command("validate", _validate, "Check a pipeline file.").add_argument("file", metavar="FILE")
    found = command("lookup", _lookup, "The lists of some keys, as a reader gets them.")
    found.add_argument("keys", metavar="KEY", nargs="*")
    found.add_argument("-n", type=_length, default=None, metavar="N", help="only the first N items")
    found.add_argument("--all", action="store_true", help="every key, as JSON lines")
    found.add_argument("--version", default=None, metavar="V", help="another version than live")
    command("versions", _versions, "The versions that are kept, and which is live.")
    back = command("rollback", _rollback, "Go back to an older promoted version; promotions wait until released.")
    back.add_argument("--to", default=None, metavar="VERSION", help="which one; without it, the one before")
    command("release", _release, "Let promotions go on after a rollback.")
    again = command("retake", _retake, "Have a night of a source taken again by the next ingest, as when its delivery was mended.")
    again.add_argument("source", metavar="SOURCE")
    again.add_argument("--ds", required=True, type=nights.argument, metavar="NIGHT", help="the night, YYYY-MM-DD")
    command("unlock", _unlock, "Let the next run have its turn, when the one that has it is known to be dead.")
    upkeep = command("maintain", _maintain, "Remove what retention lets go: dead attempts, old nights, rows and runs.")
    of = {"default": None, "type": nights.argument, "metavar": "NIGHT"}
    upkeep.add_argument("--ds", **of, help="count back from this night; without it, from the last one")
    upkeep.add_argument("--dry-run", action="store_true", help="only say what would go")
    erase = command("forget", _forget, "Erase a person wherever Nightfold has written; says what it cannot reach.")
    erase.add_argument("key", metavar="KEY")
    erase.add_argument("--dry-run", action="store_true", help="only say where it is")
    reports = command("report", _report, "Where the data report and the evaluation are.")
    reports.add_argument("--ds", **of, help="of this night; without it, of the last one")

    return parser


if __name__ == "__main__":
    sys.exit(main())
