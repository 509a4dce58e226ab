"""What may go: attempts that never counted, or no longer do, old nights of what can be computed anew, old rows, MLflow's old runs.

No attempt is removed that a kept manifest leads to, whatever its name: roll-ups name data of other nights. A version that the store
keeps keeps its whole night, and the lists and the model that it was made of, also when that night was taken again since; so do those
that were promoted last, by the lake's own word, for a store that has lost its versions is filled from them; the last
night of every dataset stays; and the last attempt's folder stays, for the next number is taken from it. Raw rows go by their age
alone: what is clean stays clean without them.
"""

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from nightfold import tracking
from nightfold.errors import NotCommitted
from nightfold.lake import STARTED, Lake, Manifest
from nightfold.pipeline import Pipeline
from nightfold.promotion import ABANDONED
from nightfold.stages import FLOW
from nightfold.store import Store

from pyarrow import fs as pafs

ANEW = tuple(stage.dataset for stage in FLOW if stage.spark)
"""What can be computed anew from raw and clean rows; of `ingest` and `clean`, what their nights consisted of."""
RUN = "mlflow:"
Kept = list[tuple[str, dict[str, Any]]]
"""Nights and facts of versions that must be had again."""


@dataclass(frozen=True)
class Doomed:
    """One thing to remove: a manifest, the folder of an attempt, that of one night's rows in it, or a run of MLflow."""

    path: str
    """Below the lake's root; of a run, mlflow:ID."""
    why: str
    size: int
    """Bytes."""


def doomed(lake: Lake, pipeline: Pipeline, store: Store, *, ds: str, now: datetime) -> list[Doomed]:
    """What retention lets go on the night `ds`; manifests before folders, so that a cut leaves only what nobody reads.

    :param now: what an attempt's age is counted to: one that may still be at work stays
    """
    kept = _kept(lake, store, pipeline)
    going, counting = _manifests(lake, pipeline, ds=ds, wanted=_wanted(kept))
    rows, without = _rows(lake, pipeline, counting, ds=ds)
    stay = [manifest for manifest in counting if (manifest.dataset, manifest.night) not in without]
    alive = {folder for manifest in stay for folder in _leads_to(manifest)} | _served(lake, pipeline, kept, ds=ds)
    since = now - timedelta(days=pipeline.retention.attempts_days)
    return [*going, *rows, *_folders(lake, alive, since=since)]


def old_runs(lake: Lake, pipeline: Pipeline, store: Store, *, ds: str) -> list[Doomed]:
    """Runs of MLflow that retention lets go on the night `ds`."""
    days = pipeline.retention.nights_days
    if days is None:
        return []
    runs = tracking.old_runs(pipeline.pipeline, before=_before(ds, days), kept=_wanted(_kept(lake, store, pipeline)) | {ds})
    return [Doomed(f"{RUN}{run}", f"night {night} is older than {days} nights", 0) for run, night in runs.items()]


def last_night(lake: Lake) -> str:
    """The last night whose rows are clean. Raises NotCommitted when none was ever taken."""
    nights = lake.nights("clean")
    if not nights:
        raise NotCommitted(f"{lake.pipeline}: no night was taken yet: there is nothing to maintain")
    return nights[-1]


def maintain(lake: Lake, pipeline: Pipeline, store: Store, *, ds: str, now: datetime, dry_run: bool = False) -> list[Doomed]:
    """Remove what retention lets go, in the lake, in MLflow and in the store; returns what went, or would go."""
    going = [*doomed(lake, pipeline, store, ds=ds, now=now), *old_runs(lake, pipeline, store, ds=ds)]
    if not dry_run:
        for one in going:
            remove(lake, one)
        store.collect(pipeline.pipeline, older_than=ABANDONED)
    return going


def summary(pipeline: str, going: list[Doomed], *, dry_run: bool = False) -> str:
    """In one line."""
    verb = "would go" if dry_run else "went"
    return f"{pipeline}: {len(going)} things {verb}, {sum(one.size for one in going) / 2**20:,.1f} MB"


def remove(lake: Lake, what: Doomed) -> None:
    """Remove one thing; one that is gone already is no error."""
    if what.path.startswith(RUN):
        tracking.remove_run(what.path.removeprefix(RUN))
        return
    path = lake.local_path(what.path)
    with suppress(FileNotFoundError):
        if what.path.endswith(".json"):
            lake.fs.delete_file(path)
        else:
            lake.fs.delete_dir(path)


def datasets(lake: Lake) -> list[str]:
    """Every dataset that has anything in the lake, such as raw/sales and model."""
    root = lake.local_path(lake.pipeline)
    entries = lake.fs.get_file_info(pafs.FileSelector(root, allow_not_found=True))
    found = []
    for name in sorted(e.base_name for e in entries if not e.is_file):
        below = lake.fs.get_file_info(pafs.FileSelector(f"{root}/{name}"))
        layered = name in ("raw", "clean", "rejected")
        found += [f"{name}/{e.base_name}" for e in below if layered and not e.is_file and e.base_name != "attempts"]
        if not layered or any(e.base_name == "attempts" or e.is_file for e in below):
            found.append(name)
    return sorted(found)


def _kept(lake: Lake, store: Store, pipeline: Pipeline) -> Kept:
    """What is live, and what it can be rolled back to: of what the store keeps, and of what was promoted last."""
    promoted = lake.find_all("promotion", lake.nights("promotion")[-pipeline.publish.keep :]).values()
    there = [version.manifest for version in store.versions(pipeline.pipeline)]
    return [*((m.night, m.facts) for m in there), *((m.night, m.facts["facts"]) for m in promoted)]


def _wanted(kept: Kept) -> set[str]:
    """The nights of these versions, and those whose models made them."""
    recipes = [facts.get("recipe", {}) for _, facts in kept]
    return {night for night, _ in kept} | {recipe["night"] for recipe in recipes if "night" in recipe}


def _served(lake: Lake, pipeline: Pipeline, kept: Kept, *, ds: str) -> set[str]:
    """Folders of the attempts that a kept version was made by, below the lake's root, though its night may have been taken again since:
    its lists, its model and the twin of it; and lists that readers got, for they are yet to be judged by what came true."""
    days = pipeline.retention.nights_days
    nights = [night for night in lake.nights("promotion") if days is None or night >= _before(ds, days)]
    read = [promoted.facts["facts"].get("lists") for promoted in lake.find_all("promotion", nights).values()]
    made = [path for _, facts in kept for path in (facts.get("twin"), facts.get("lists"), facts.get("recipe", {}).get("data"))]
    return {_attempt_of(path) for path in (*made, *read) if path is not None}


def _before(ds: str, days: int) -> str:
    return str(date.fromisoformat(ds) - timedelta(days=days))


def _manifests(lake: Lake, pipeline: Pipeline, *, ds: str, wanted: set[str]) -> tuple[list[Doomed], list[Manifest]]:
    """Manifests to remove, and those that count and stay."""
    days = pipeline.retention.nights_days
    oldest = _before(ds, days) if days is not None else ""
    going: list[Doomed] = []
    counting: list[Manifest] = []
    for dataset in datasets(lake):
        committed = lake.committed(dataset)
        counts = lake.find_all(dataset, committed)
        for night, names in committed.items():
            old = dataset in ANEW and night < oldest and night not in wanted and night != max(committed)
            for name in names:
                if old or name != names[-1]:
                    why = f"older than {days} nights" if old else "a later attempt counts"
                    going.append(_manifest(lake, f"{lake.pipeline}/{dataset}/{name}", why))
            if not old:
                counting.append(counts[night])
    return going, counting


def _rows(lake: Lake, pipeline: Pipeline, counting: list[Manifest], *, ds: str) -> tuple[list[Doomed], set[tuple[str, str]]]:
    """Rows to remove, and datasets and nights whose manifests go with them, for no kept night consists of them."""
    keep, history = pipeline.retention, pipeline.history(ds)
    days = keep.raw_days or keep.clean_days
    if days is None:
        return [], set()
    young = {"raw": _before(ds, days - 1), "rejected": _before(ds, days - 1), "clean": history}
    named = {name for manifest in counting for name in _consists_of(manifest)}
    cleaned = {(m.dataset.removeprefix("clean/"), m.night): m.facts.get("raw") for m in counting if m.dataset.startswith("clean/")}
    going: list[Doomed] = []
    without: set[tuple[str, str]] = set()
    for manifest in counting:
        layer, _, source = manifest.dataset.partition("/")
        if not source or manifest.night >= young[layer]:
            continue
        whole = manifest.night < history and (manifest.dataset, manifest.night) not in named
        if not whole and (layer == "clean" or (layer == "raw" and cleaned.get((source, manifest.night)) != manifest.fingerprint)):
            continue  # clean rows of a kept night; raw ones of which none were made yet, for it failed
        why = f"rows older than {keep.clean_days if whole else days} days"
        if whole:
            path = f"{lake.pipeline}/{manifest.dataset}/{manifest.night}.{manifest.attempt}.json"
            going.append(_manifest(lake, path, why))
            without.add((manifest.dataset, manifest.night))
        if manifest.data and lake.exists(manifest.data):
            going.append(Doomed(manifest.data, why, _size(lake, manifest.data)))
    return going, without


def _consists_of(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """Datasets and nights that a roll-up names; what was refused goes with what came in."""
    layers = {"ingest": ("raw", "rejected"), "clean": ("clean",)}.get(manifest.dataset, ())
    for source, nights in manifest.facts.get("sources", {}).items():
        yield from ((f"{layer}/{source}", night) for layer in layers for night in nights)


def _leads_to(manifest: Manifest) -> Iterator[str]:
    """Folders of attempts, below the lake's root."""
    yield f"{manifest.pipeline}/{manifest.dataset}/attempts/{manifest.attempt}"
    entries = [entry for nights in manifest.facts.get("sources", {}).values() for entry in nights.values()]
    yield from map(_attempt_of, filter(None, [manifest.data, *(entry["data"] for entry in entries)]))


def _attempt_of(data: str) -> str:
    """The folder of the attempt that a path is in."""
    head, _, rest = data.partition("/attempts/")
    return f"{head}/attempts/{rest.split('/')[0]}"


def _folders(lake: Lake, alive: set[str], *, since: datetime) -> Iterator[Doomed]:
    for dataset in datasets(lake):
        for attempt in lake.attempts(dataset)[:-1]:
            path = f"{lake.pipeline}/{dataset}/attempts/{attempt}"
            if path not in alive and _began(lake, path) < since:
                yield Doomed(path, "no manifest leads to it", _size(lake, path))


def _manifest(lake: Lake, path: str, why: str) -> Doomed:
    return Doomed(path, why, lake.fs.get_file_info(lake.local_path(path)).size or 0)


def _began(lake: Lake, path: str) -> datetime:
    """When an attempt was announced; of a folder without its announcement, when it was last changed."""
    try:
        about: dict[str, Any] = json.loads(lake.read_text(f"{path}/{STARTED}"))
        return datetime.fromisoformat(about["started_at"])
    except FileNotFoundError:
        changed = lake.fs.get_file_info(lake.local_path(path)).mtime
        return changed.astimezone(UTC) if changed is not None else datetime.now(UTC)


def _size(lake: Lake, path: str) -> int:
    below = lake.fs.get_file_info(pafs.FileSelector(lake.local_path(path), recursive=True, allow_not_found=True))
    return sum(entry.size or 0 for entry in below if entry.is_file)
