"""The commands that change what is served, kept or waited for."""

import argparse
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime

from nightfold import api_keys, forgetting, intake, maintenance, promotion, turns, writeback
from nightfold import pipeline as pipelines
from nightfold.cli.showing import show, store_of
from nightfold.errors import BadInput, BadPipeline
from nightfold.lake import Lake
from nightfold.settings import connection_uri
from nightfold.store import Store
from nightfold.tracking import TrackingFailed
from nightfold.writeback import WriteBackFailed


def split(arguments: argparse.Namespace) -> int:
    store, name, version = store_of(arguments.pipeline), arguments.pipeline, arguments.version
    if arguments.end:
        ended = store.unsplit(name)
        show(arguments, {"pipeline": name, "ended": ended}, f"{name}: all get the live version" + ("" if ended else ", as before"))
        return 0
    share = arguments.percent / 100
    store.split(name, version, share)
    facts = {"pipeline": name, "version": version, "share": share}
    show(arguments, facts, f"{name}: {arguments.percent:g} % of the keys get {version} (bucket B), the others the live version")
    return 0


def rollback(arguments: argparse.Namespace) -> int:
    store = store_of(arguments.pipeline)
    left, now = store.rollback(arguments.pipeline, to=arguments.to, because=arguments.because)
    facts = {"pipeline": arguments.pipeline, "from": left, "to": now, "held": True}
    text = f"{arguments.pipeline}: {now} is live, {left} is marked bad; promotions are held until `nightfold release {arguments.pipeline}`"
    show(arguments, facts, text)
    sys.stdout.flush()
    live = store.find(arguments.pipeline, now)
    if live is None:
        return 0
    target, code = pipelines.named(arguments.pipeline).write, 0
    if target is not None:
        try:
            said = writeback.withdraw(target, connection_uri(target.connection), Lake(arguments.pipeline), live.manifest)
            print(said, file=sys.stderr)
        except (BadPipeline, WriteBackFailed) as error:  # readers come first: they have the older lists by now
            _say(f"table {target.table} does not hold what is live, {now}: {error}")
            code = 1
    try:
        promotion.crown(live.manifest)
    except (BadPipeline, TrackingFailed) as error:
        _say(f"MLflow's alias champion still points to {left}: {error}")
    return code


def release(arguments: argparse.Namespace) -> int:
    store, name, version = store_of(arguments.pipeline), arguments.pipeline, arguments.version
    if version is not None:
        store.absolve(name, version)
    released = store.release(name)
    text = f"{name}: promotions go on" if released else f"{name}: promotions were not held"
    if version is not None:
        text += f"; {version} is not bad: clear `promote` of its night in Airflow"
    show(arguments, {"pipeline": name, "released": released, "absolved": version}, text)
    return 0


def retake(arguments: argparse.Namespace) -> int:
    name, source, night = arguments.pipeline, arguments.source, arguments.ds
    sources = pipelines.named(name).sources
    if source not in sources:
        raise BadInput(f"{name}: no source {source!r}; there are: {', '.join(sources)}")
    intake.ask_again(Lake(name), source, night)
    text = f"{name}: {source} of night {night} is taken again by the next ingest: clear `ingest` of that night or of a later one in Airflow"
    show(arguments, {"pipeline": name, "source": source, "night": night}, text)
    return 0


def unlock(arguments: argparse.Namespace) -> int:
    store = store_of(arguments.pipeline)
    turn = store.turn(arguments.pipeline)
    freed = turn is not None and store.leave_turn(arguments.pipeline, turn.holder)
    facts = {"pipeline": arguments.pipeline, "freed": freed, "was": turn.model_dump(mode="json") if turn else None}
    text = f"it was that of {turn.whose}; the next one goes on" if turn and freed else "nobody had the turn"
    show(arguments, facts, f"{arguments.pipeline}: {text}")
    return 0


def keys(arguments: argparse.Namespace) -> int:
    file = api_keys.path()
    if arguments.do == "add":
        key, text = api_keys.add(file, arguments.which, pipelines=arguments.pipelines, scopes=arguments.scopes)
        facts = {**key.model_dump(exclude={"sha256"}), "key": text}
        show(arguments, facts, f"{text}\n  for {key.name}: {_about(key)}. It is not shown again; its hash is in {file}")
        return 0
    if arguments.do == "revoke":
        gone = api_keys.revoke(file, arguments.which)
        show(
            arguments,
            gone.model_dump(exclude={"sha256"}),
            f"{gone.id} of {gone.name} is revoked: within a second nobody is let in by it",
        )
        return 0
    kept = api_keys.load(file).by_id.values()
    lines = [f"{key.id}  {key.created_at}  {key.name:<20} {_about(key)}" for key in kept]
    facts = {"file": str(file), "keys": [key.model_dump(exclude={"sha256"}) for key in kept]}
    shown = [*lines, f"in {file}"] if lines else [f"no keys yet: `nightfold keys add NAME` makes one, in {file}"]
    show(arguments, facts, "\n".join(shown))
    return 0


def _about(key: api_keys.ApiKey) -> str:
    which = "all pipelines" if api_keys.EVERY in key.pipelines else ", ".join(key.pipelines)
    return f"{', '.join(key.scopes)} of {which}"


def maintain(arguments: argparse.Namespace) -> int:
    pipeline, name, lake = pipelines.named(arguments.pipeline), arguments.pipeline, Lake(arguments.pipeline)
    store, ds = store_of(name), arguments.ds or maintenance.last_night(lake)
    with _turn(store, name, "maintenance", night=ds, dry_run=arguments.dry_run):
        going = maintenance.maintain(lake, pipeline, store, ds=ds, now=datetime.now(UTC), dry_run=arguments.dry_run)
    facts = {"pipeline": name, "ds": ds, "dry_run": arguments.dry_run, "removed": [asdict(one) for one in going]}
    lines = [f"{one.size / 2**20:9.1f} MB  {one.path}  ({one.why})" for one in going]
    show(arguments, facts, "\n".join([*lines, maintenance.summary(name, going, dry_run=arguments.dry_run)]))
    return 0


def forget(arguments: argparse.Namespace) -> int:
    pipeline, name, key, lake = pipelines.named(arguments.pipeline), arguments.pipeline, arguments.key, Lake(arguments.pipeline)
    store = store_of(name)
    with _turn(store, name, "forgetting", night="", dry_run=arguments.dry_run):
        found = forgetting.forget(pipeline, lake, store, key, dry_run=arguments.dry_run)
    words = forgetting.lines(found, pipeline, key, dry_run=arguments.dry_run)
    show(arguments, {"pipeline": name, "key": key, "dry_run": arguments.dry_run, **asdict(found)}, "\n".join(words))
    return 0


def _say(words: str) -> None:
    print(f"nightfold: {words}", file=sys.stderr)


@contextmanager
def _turn(store: Store, pipeline: str, what: str, *, night: str, dry_run: bool) -> Iterator[None]:
    """Have the pipeline's turn while the block runs; who only looks needs none."""
    if dry_run:
        yield
        return
    holder = f"{what} by hand, process {os.getpid()} of {socket.gethostname()}"
    try:
        store.take_turn(pipeline, holder, night, seconds=turns.LEASE)
        with turns.kept(store, pipeline, holder, night, say=_say):
            yield
    finally:  # also of one that was not its turn: it waits no longer
        store.leave_turn(pipeline, holder)
