"""The commands that change nothing."""

import argparse
from typing import Any

from nightfold import pipeline as pipelines
from nightfold.cli.showing import complain, show, store_of
from nightfold.client import Answer, Client
from nightfold.errors import BadPipeline, NotCommitted
from nightfold.gate import HELD
from nightfold.lake import Lake
from nightfold.settings import connection_uri, pipelines_dir
from nightfold.store import Version, VersionManifest
from nightfold.whole import all_lists, lists_of
from nightfold.whole import verify as read_again

import msgspec

PATIENCE = 5.0  # seconds for one try of a lookup by hand
REPORTS = {"data": "profile", "evaluation": "evaluation"}
"""What people look at → the dataset that holds it."""


def validate(arguments: argparse.Namespace) -> int:
    files = [arguments.file] if arguments.file is not None else [str(path) for path in pipelines.files()]
    if not files:
        raise BadPipeline(f"no pipeline file in {pipelines_dir()}: name one, or mend NIGHTFOLD_PIPELINES")
    return max([_validate(arguments, file) for file in files])


def _validate(arguments: argparse.Namespace, file: str) -> int:
    try:
        pipeline = pipelines.load(file)
    except BadPipeline as error:
        for problem in error.problems:
            complain(problem)
        return 1
    facts = {"file": file, "pipeline": pipeline.pipeline, "task": pipeline.task, "sources": list(pipeline.sources)}
    show(arguments, {"valid": True, **facts}, f"{file}: valid: {pipeline.task} from {', '.join(pipeline.sources)}")
    return 0


def lookup(arguments: argparse.Namespace) -> int:
    name, keys, n = arguments.pipeline, arguments.keys, arguments.n
    if arguments.all:
        for answer in all_lists(store_of(name), name, n=n, version=arguments.version):
            print(msgspec.json.encode(answer).decode())
        return 0
    if arguments.version is not None:
        answers = lists_of(store_of(name), name, arguments.version, keys, n=n)
    else:
        with Client(connection_uri(pipelines.named(name).publish.connection), timeout=PATIENCE) as client:
            answers = client.lookup_many(name, keys, n=n)
    for answer in answers:
        show(arguments, msgspec.to_builtins(answer), _list(answer))
    return 0


def _list(answer: Answer) -> str:
    fallback = " · no list of its own: the fallback" if answer.source == "fallback" else ""
    bucket = f" · bucket {answer.bucket}" if answer.bucket is not None else ""
    head = f"{answer.pipeline} {answer.key} · night {answer.night} · version {answer.version}{bucket}{fallback}"
    width = max((len(item.id) for item in answer.items), default=0)
    rows = [f"{n:3}. {item.id:<{width}}  {item.score:#9.4g}  {item.why}" for n, item in enumerate(answer.items, 1)]
    return "\n".join([head, *(rows or ["     (empty list)"])])


def versions(arguments: argparse.Namespace) -> int:
    store = store_of(arguments.pipeline)
    kept, hold = store.versions(arguments.pipeline), store.held(arguments.pipeline)
    turn, staged, split = store.turn(arguments.pipeline), store.staged(arguments.pipeline), store.divided(arguments.pipeline)
    facts = {
        "pipeline": arguments.pipeline,
        "held": hold,
        "split": {"version": split.manifest.version, "share": split.share} if split else None,
        "staged": [one.model_dump(mode="json") for one in staged],
        "turn": turn.model_dump(mode="json") if turn else None,
        "versions": [_version_facts(version) for version in kept],
    }
    lines = [f"{'version':<24} {'night':<11} {'state':<9} {'lists':>9}  published at"]
    lines += [f"{m.version:<24} {m.night:<11} {v.state:<9} {m.keys:>9,}  {m.published_at}" for v in kept for m in (v.manifest,)]
    lines += [f"  note on {v.manifest.version}: {remark}" for v in kept for remark in (*_gate(v.manifest), *v.manifest.remarks)]
    if not kept:
        lines = [f"{arguments.pipeline}: no version is published yet"]
    lines += [f"{one.version:<24} is being written since {one.since} by attempt {one.attempt}" for one in staged]
    if split is not None:
        lines.append(f"split: a share of {split.share:g} of the keys get {split.manifest.version} (bucket B)")
    if hold is not None:
        lines.append(f"promotions are held ({hold}): `nightfold release {arguments.pipeline}` lets them go on")
    if turn is not None:
        if turn.seconds_left > 0:
            lines.append(f"at work: {turn.whose}; without a sign of life the next goes on in {turn.seconds_left:.0f} s")
        else:
            lines.append(
                f"not heard of any more: {turn.whose}; newer nights wait a while for it, or `nightfold unlock {arguments.pipeline}`"
            )
    show(arguments, facts, "\n".join(lines))
    return 0


def _gate(version: VersionManifest) -> list[str]:
    """What the gate said of a night whose own model is not served."""
    verdict = version.facts.get("verdict", {})
    return [f"{verdict['outcome']}: {verdict['reason']}"] if verdict.get("outcome") == HELD else []


def _version_facts(version: Version) -> dict[str, Any]:
    return {"state": version.state, **version.manifest.model_dump(mode="json", exclude={"pipeline"})}


def history(arguments: argparse.Namespace) -> int:
    changes = store_of(arguments.pipeline).history(arguments.pipeline)
    facts = {"pipeline": arguments.pipeline, "changes": [change.model_dump(mode="json") for change in changes]}
    lines = [f"{change.at:<26} {change.version:<24} {change.state:<9} {change.cause}" for change in changes]
    show(arguments, facts, "\n".join(lines or [f"{arguments.pipeline}: nothing has happened yet"]))
    return 0


def verify(arguments: argparse.Namespace) -> int:
    whole = read_again(store_of(arguments.pipeline), arguments.pipeline, arguments.version)
    facts = {"pipeline": arguments.pipeline, "version": whole.version, "keys": whole.keys, "checksum": whole.checksum}
    text = f"{arguments.pipeline}: version {whole.version} is whole: {whole.keys:,} lists, checksum {whole.checksum}"
    show(arguments, {**facts, "whole": True}, text)
    return 0


def report(arguments: argparse.Namespace) -> int:
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
    show(
        arguments,
        {"pipeline": arguments.pipeline, **found},
        "\n".join(f"{name:<11} {f['night']}  {f['page']}" for name, f in found.items()),
    )
    return 0
