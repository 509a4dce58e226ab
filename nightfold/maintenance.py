"""What of the lake may go: attempts that never counted, or no longer do, and old nights of what can be computed anew.

Nothing is removed that a kept manifest leads to, whatever its name: roll-ups name data of other nights. A version that the store keeps
keeps its whole night; the last night of every dataset stays; and the last attempt's folder stays, for the next number is taken from it.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from nightfold.errors import NotCommitted
from nightfold.lake import STARTED, Lake, Manifest
from nightfold.pipeline import Pipeline
from nightfold.promotion import ABANDONED
from nightfold.stages import FLOW
from nightfold.store import Store

from pyarrow import fs as pafs

DERIVED = tuple(stage.dataset for stage in FLOW if stage.spark and stage.name not in ("ingest", "clean"))
"""What can be computed anew from clean rows."""


@dataclass(frozen=True)
class Doomed:
    """One thing to remove: a manifest, or the folder of an attempt."""

    path: str
    """Below the lake's root."""
    why: str
    size: int
    """Bytes."""


def doomed(lake: Lake, pipeline: Pipeline, store: Store, *, ds: str, now: datetime) -> list[Doomed]:
    """What retention lets go on the night `ds`; manifests before folders, so that a cut leaves only what nobody reads.

    :param now: what an attempt's age is counted to: one that may still be at work stays
    """
    wanted = {version.manifest.night for version in store.versions(pipeline.pipeline)}
    manifests, alive = _manifests(lake, pipeline, ds=ds, wanted=wanted)
    since = now - timedelta(days=pipeline.retention.attempts_days)
    return [*manifests, *_folders(lake, alive, since=since)]


def last_night(lake: Lake) -> str:
    """The last night whose rows are clean. Raises NotCommitted when none was ever taken."""
    nights = lake.nights("clean")
    if not nights:
        raise NotCommitted(f"{lake.pipeline}: no night was taken yet: there is nothing to maintain")
    return nights[-1]


def maintain(lake: Lake, pipeline: Pipeline, store: Store, *, ds: str, now: datetime, dry_run: bool = False) -> list[Doomed]:
    """Remove what retention lets go, in the lake and in the store; returns what went from the lake, or would go."""
    going = doomed(lake, pipeline, store, ds=ds, now=now)
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
    path = lake.local_path(what.path)
    if what.path.endswith(".json"):
        if lake.fs.get_file_info(path).type != pafs.FileType.NotFound:
            lake.fs.delete_file(path)
        return
    lake.fs.delete_dir_contents(path, missing_dir_ok=True)
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


def _manifests(lake: Lake, pipeline: Pipeline, *, ds: str, wanted: set[str]) -> tuple[list[Doomed], set[str]]:
    """Manifests to remove, and the attempts' folders that the others lead to."""
    days = pipeline.retention.nights_days
    oldest = str(date.fromisoformat(ds) - timedelta(days=days)) if days is not None else ""
    going: list[Doomed] = []
    alive: set[str] = set()
    for dataset in datasets(lake):
        committed = lake.committed(dataset)
        counts = lake.find_all(dataset, committed)
        for night, names in committed.items():
            old = dataset in DERIVED and night < oldest and night not in wanted and night != max(committed)
            for name in names:
                path = f"{lake.pipeline}/{dataset}/{name}"
                if old or name != names[-1]:
                    why = f"older than {days} nights" if old else "a later attempt counts"
                    going.append(Doomed(path, why, lake.fs.get_file_info(lake.local_path(path)).size or 0))
            if not old:
                alive |= set(_leads_to(counts[night]))
    return going, alive


def _leads_to(manifest: Manifest) -> Iterator[str]:
    """Folders of attempts, below the lake's root."""
    yield f"{manifest.pipeline}/{manifest.dataset}/attempts/{manifest.attempt}"
    entries = [entry for nights in manifest.facts.get("sources", {}).values() for entry in nights.values()]
    for data in filter(None, [manifest.data, *(entry["data"] for entry in entries)]):
        head, _, rest = data.partition("/attempts/")
        yield f"{head}/attempts/{rest.split('/')[0]}"


def _folders(lake: Lake, alive: set[str], *, since: datetime) -> Iterator[Doomed]:
    for dataset in datasets(lake):
        for attempt in lake.attempts(dataset)[:-1]:
            path = f"{lake.pipeline}/{dataset}/attempts/{attempt}"
            if path not in alive and _began(lake, path) < since:
                yield Doomed(path, "no manifest leads to it", _size(lake, path))


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
