"""The state of the lake and the store between two faults: kept once, put back before each."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from benchmarks.faults.judging import Known, contents
from benchmarks.faults.shop import PIPELINE, STRANGER
from nightfold.errors import IncompleteVersion
from nightfold.lake import Lake
from nightfold.stages import FLOW
from nightfold.store import Store
from nightfold.whole import all_lists, lists_of, verify

import msgspec
import pyarrow.dataset
import redis

STAGES = [stage.name for stage in FLOW]
LAYERS = {"ingest": ("ingest", "raw"), "clean": ("clean", "rejected")}  # folders whose nights a stage commits
NEEDS = {
    "clean": ("ingest",),
    "profile": ("clean",),
    "features": ("clean",),
    "train": ("features",),
    "evaluate": ("train",),
    "score": ("evaluate",),
    "publish": ("evaluate", "score"),
    "promote": ("publish",),
}


def downstream(stage: str) -> list[str]:
    """The stage, all that read what it makes, and the lists' way to the readers, in the order of the flow."""
    found = {stage, "publish"}
    for name in STAGES:
        if found & set(NEEDS.get(name, ())):
            found.add(name)
    return [name for name in STAGES if name in found]


def keep_lake(lake: Path, copy: Path) -> None:
    """Keep all of the lake as it is now."""
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(lake, copy)


def put_lake_back(lake: Path, copy: Path, *, night: str, without: list[str]) -> None:
    """The lake as it was kept, but nothing committed for this night by these stages. The lake's own folder may be a mount."""
    for entry in lake.iterdir():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    shutil.copytree(copy, lake, dirs_exist_ok=True)
    datasets = {stage.name: stage.dataset for stage in FLOW}
    for stage in without:
        for layer in LAYERS.get(stage, (datasets[stage],)):
            for manifest in (lake / PIPELINE / layer).rglob(f"{night}*.json"):
                if "attempts" not in manifest.parts:
                    manifest.unlink()


@dataclass(frozen=True)
class Kept:
    """All that a store holds, but for what runs out by itself."""

    entries: dict[bytes, bytes]

    @classmethod
    def of(cls, client: redis.Redis) -> "Kept":
        return cls({key: client.dump(key) for key in client.scan_iter() if client.pttl(key) == -1})

    def put_back(self, client: redis.Redis) -> None:
        client.flushdb()
        for key, value in self.entries.items():
            client.restore(key, 0, value)


def what_it_holds(store: Store, version: str) -> dict[str, str]:
    """Key → digest of its list, of one version."""
    answers = [*all_lists(store, PIPELINE, version=version), *lists_of(store, PIPELINE, version, [STRANGER])]
    return contents(msgspec.to_builtins(answers))


def half_versions(store: Store, known: Known) -> list[str]:
    """What is wrong with the kept versions: each must hold what its manifest says, and what an undisturbed run made."""
    wrong = []
    for kept in store.versions(PIPELINE):
        manifest = kept.manifest
        try:
            verify(store, PIPELINE, manifest.version)
        except IncompleteVersion as error:
            wrong.append(f"{kept.state}: {error}")
            continue
        if manifest.version in known and what_it_holds(store, manifest.version) != known[manifest.version]:
            wrong.append(f"{manifest.version} ({kept.state}) is not what an undisturbed run made")
    return wrong


@dataclass(frozen=True)
class Rows:
    """Of all sources and nights up to one, counted in the data itself and not taken from what a manifest says."""

    landed: int
    raw: int
    clean: int
    rejected: int
    duplicates: int

    @property
    def lost(self) -> int:
        return abs(self.landed - self.raw) + abs(self.raw - self.clean - self.rejected - self.duplicates)


def rows_of(lake: Lake, night: str, *, landed: int) -> Rows:
    """Count the rows that a night of the lake consists of.

    :param landed: rows of the deliveries, counted where they lie
    """
    raw = _count(lake, [e["data"] for nights in lake.get("ingest", night).facts["sources"].values() for e in nights.values()])
    clean = _count(lake, [e["data"] for nights in lake.get("clean", night).facts["sources"].values() for e in nights.values()])
    rejected, duplicates = 0, 0
    for source, nights in lake.get("clean", night).facts["sources"].items():
        found = lake.find_all(f"rejected/{source}", nights)
        rejected += _count(lake, [manifest.data for manifest in found.values()])
        duplicates += sum(manifest.facts["by_reason"].get("duplicate", 0) for manifest in found.values())
    return Rows(landed=landed, raw=raw, clean=clean, rejected=rejected, duplicates=duplicates)


def _count(lake: Lake, folders: list[str | None]) -> int:
    paths = [lake.local_path(folder) for folder in folders if folder]
    return sum(pyarrow.dataset.dataset(path, filesystem=lake.fs, format="parquet").count_rows() for path in paths)
