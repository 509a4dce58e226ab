"""Erase a person from the lake, the store, the reports, and the table of predictions.

Rows are taken out of the files where they lie, in every attempt, also those that never counted. Fingerprints stay, so that
nothing is computed anew for it; counts follow. Each file is replaced whole; killed in the middle, it is run again and ends the
same. What a killed job left half-written goes with all that is in it: nobody reads it. `ingest` takes no more rows of hers
(`nightfold/forgotten.py`). What it cannot reach, it says: trained models, and their portable twins, have learned from her, though they
hold no user's id, factors or rows; and what lies outside still names her.
"""

import contextlib
import json
import posixpath
import re
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from nightfold import forgotten, writeback
from nightfold.errors import NightfoldError
from nightfold.lake import Lake, Manifest
from nightfold.maintenance import datasets
from nightfold.pipeline import Pipeline
from nightfold.reports import attention, eda
from nightfold.reports.evaluation import render_evaluation
from nightfold.settings import connection_uri
from nightfold.store import Store

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import fs as pafs

FORGOTTEN = "(forgotten)"  # what stands in a report's figures where the key stood
MALFORMED = "_malformed"
TEMPORARY = ".tmp"
LAYERS = ("raw", "clean", "rejected")
LEFT_BEHIND = {"_temporary", "scratch"}  # folders of an attempt: of a task of Spark's that did not end, of a stage that did not
RENDER: dict[str, Callable[[dict[str, Any]], str]] = {"evaluation": render_evaluation, "profile": eda.render}
KEYED = {("scores", "lists"), ("features", "examples")}
"""Datasets and their parts that say a person in a column `key`."""
NUMBERED = {"attributes": "user", "interactions": "user", "histories": "user", "als": "id"}
"""Parts of features that say a user by his number, and in which column."""


@dataclass
class Found:
    """Where a person was: files with rows of hers, and how many; reports; versions of the store."""

    rows: dict[str, int] = field(default_factory=dict)
    reports: list[str] = field(default_factory=list)
    versions: list[str] = field(default_factory=list)
    written: int = 0
    """Rows of the table into which the predictions are written back."""
    models: list[str] = field(default_factory=list)
    """Nights with a model that may have learned from her rows: not reached."""
    others: list[str] = field(default_factory=list)
    """Other pipelines that have a lake of their own: not reached."""


def forget(pipeline: Pipeline, lake: Lake, store: Store, key: str, *, dry_run: bool = False) -> Found:
    """Erase `key`, a user id of the pipeline's interactions; with `dry_run` only say where it is.

    Columns that hold it: `recommend.users.id` of that source, and the interactions' user column in every other that has one of that name.
    """
    found = Found()
    if not dry_run:
        forgotten.remember(lake, key)
        _clear(lake)
    if (target := pipeline.write) is not None:
        found.written = writeback.erase(target, connection_uri(target.connection), key, dry_run=dry_run)
    for path in _files(lake, ".parquet"):
        dataset = _dataset(path)
        mask = _mask(lake, path, dataset, column=pipeline.person_of(dataset.split("/")[-1]), key=key)
        if mask is not None and (gone := _take_out(lake, path, mask, dry_run=dry_run)):
            found.rows[path] = gone
    if not dry_run:  # also where no row was found: one that was killed before it had counted
        _count_anew(lake)
        forgotten.erased(lake)
    found.models = lake.nights("model")
    lakes = lake.fs.get_file_info(pafs.FileSelector(lake.local_path(""), allow_not_found=True))
    found.others = sorted(one.base_name for one in lakes if not one.is_file and one.base_name != pipeline.pipeline)
    for path in _files(lake, ".json"):
        if _dataset(path) in RENDER and "/attempts/" in path and _redact(lake, path, key, dry_run=dry_run):
            found.reports.append(path)
    for version in store.versions(pipeline.pipeline):
        there = _has(store, version.manifest, key) if dry_run else store.forget(pipeline.pipeline, version.manifest.version, key)
        if there:
            found.versions.append(version.manifest.version)
    if not dry_run:
        store.collect(pipeline.pipeline, older_than=0)  # lists of a publisher that died before it had a version
    return found


def lines(found: Found, pipeline: Pipeline, key: str, *, dry_run: bool) -> list[str]:
    """For people: what was done, and what is not reached."""
    by_dataset: dict[str, int] = {}
    for path, rows in found.rows.items():
        by_dataset[_dataset(path)] = by_dataset.get(_dataset(path), 0) + rows
    verb = "would go" if dry_run else "erased"
    said = [f"{dataset:<24} {rows:>8,} rows {verb}" for dataset, rows in sorted(by_dataset.items())]
    said += [f"{len(found.reports)} reports {verb}", f"{len(found.versions)} versions in the store: the list {verb}"]
    if pipeline.write is not None:
        said += [f"{found.written} rows of table {pipeline.write.table} at connection {pipeline.write.connection!r} {verb}"]
    said += [
        f"not reached: {len(found.models)} trained models and their sums over all users: they hold no id, but may have learned from "
        "such rows; they go with later nights (retention)"
    ]
    landed = ", ".join(sorted(name for name, source in pipeline.sources.items() if pipeline.person_of(name) in source.columns))
    said += [
        f"not reached: the landing place and the databases ({landed}), MLflow's artifacts, Airflow's task logs (they quote "
        f"what is refused), the store's append-only file until the store writes it anew, back-ups: erase {key!r} there, too. "
        "Rows with it that are delivered again are left out, except in lines that cannot be read"
    ]
    if found.others:
        said += [
            f"not reached: the lakes and lists of other pipelines: `nightfold forget` for each of them: {', '.join(found.others)}"
        ]
    return said


def _entries(lake: Lake) -> list[pafs.FileInfo]:
    """All files and folders of the pipeline, by their names."""
    everything = pafs.FileSelector(lake.local_path(lake.pipeline), recursive=True, allow_not_found=True)
    return sorted(lake.fs.get_file_info(everything), key=lambda entry: entry.path)


def _files(lake: Lake, ending: str) -> Iterator[str]:
    """Every file of that kind, below the lake's root; the other parts of features before its users, which say her number."""
    root = lake.local_path("")
    for entry in _entries(lake):
        path = posixpath.relpath(entry.path, root)
        if entry.is_file and path.endswith(ending) and not LEFT_BEHIND.intersection(path.split("/")):
            yield path


def _clear(lake: Lake) -> None:
    """Remove what was killed half-way, of a stage or of `forget` itself: it holds whole rows of people, and no list of files names it."""
    for entry in _entries(lake):
        if "/attempts/" not in entry.path:
            continue
        with contextlib.suppress(FileNotFoundError):  # it was in one of these folders
            if entry.base_name in LEFT_BEHIND and not entry.is_file:
                lake.fs.delete_dir(entry.path)
            elif entry.is_file and ".parquet." in entry.base_name and entry.base_name.endswith(TEMPORARY):
                lake.fs.delete_file(entry.path)


def _dataset(path: str) -> str:
    """raw/sales, features, ... of a path below the lake's root."""
    parts = path.split("/")
    return "/".join(parts[1:3]) if parts[1] in LAYERS else parts[1]


def _equal(column: str, value: object) -> pc.Expression:
    return pc.field(column) == pa.scalar(value)


def _mask(lake: Lake, path: str, dataset: str, *, column: str, key: str) -> pc.Expression | None:
    """Which rows of a file are hers; None when it can hold none."""
    part = path.split("/attempts/")[1].split("/")[1] if "/attempts/" in path else ""
    if dataset.split("/")[0] in LAYERS:
        with _readable(path):
            names = pq.read_schema(lake.local_path(path), filesystem=lake.fs).names
        mask = _equal(column, key) if column in names else None
        if MALFORMED in names:
            within = pc.match_substring_regex(pc.field(MALFORMED), rf"(^|[^0-9A-Za-z]){re.escape(key)}([^0-9A-Za-z]|$)")
            mask = within if mask is None else mask | within
        return mask
    if (dataset, part) in KEYED:
        return _equal("key", key)
    if dataset == "features" and part == "users":
        return _equal("id", key)
    number = NUMBERED.get(part) if dataset == "features" else None
    if number is None or (part == "als" and "/kind=user/" not in path):
        return None
    index = _index(lake, path.split(f"/{part}/")[0], key)
    return None if index is None else _equal(number, index)


def _index(lake: Lake, attempt: str, key: str) -> int | None:
    """The user's number in an attempt's features; its own row is taken out last, for files are walked in the order of names."""
    entries = lake.fs.get_file_info(pafs.FileSelector(lake.local_path(f"{attempt}/users"), allow_not_found=True))
    for entry in entries:
        if entry.base_name.endswith(".parquet"):
            rows = pq.read_table(entry.path, filesystem=lake.fs, partitioning=None).filter(_equal("id", key))
            if rows.num_rows:
                return int(rows.column("user")[0].as_py())
    return None


def _take_out(lake: Lake, path: str, mask: pc.Expression, *, dry_run: bool) -> int:
    """Replace a file by one without these rows; returns how many there were."""
    target = lake.local_path(path)
    with _readable(path):
        table = pq.read_table(target, filesystem=lake.fs, partitioning=None)
    hers = table.filter(mask).num_rows
    if hers and not dry_run:
        kept = table.filter(~pc.coalesce(mask, pa.scalar(False)))
        folder, name = posixpath.split(target)
        temporary = f"{folder}/.{name}.{secrets.token_hex(4)}{TEMPORARY}"  # with a dot before it: no reader takes it for data
        old = any(c.physical_type == "INT96" for c in pq.ParquetFile(target, filesystem=lake.fs).schema)  # as Spark wrote it
        pq.write_table(kept, temporary, filesystem=lake.fs, use_deprecated_int96_timestamps=old)
        crc = f"{folder}/.{name}.crc"  # Hadoop's, of the old content
        if lake.fs.get_file_info(crc).type != pafs.FileType.NotFound:
            lake.fs.delete_file(crc)
        lake.fs.move(temporary, target)
    return int(hers)


@contextlib.contextmanager
def _readable(path: str) -> Iterator[None]:
    try:
        yield
    except pa.ArrowInvalid as error:
        words = " ".join(str(error).split())
        raise NightfoldError(
            f"{path}: rows of the person may be in it, and it cannot be read ({words}): when no manifest names its attempt, remove the "
            "file; then run forget again"
        ) from error


def _redact(lake: Lake, path: str, key: str, *, dry_run: bool) -> bool:
    """Take a person out of a report's figures and of what its manifest tells, and draw its page anew; False when she is in neither."""
    figures = json.loads(lake.read_text(path))
    if not isinstance(figures, dict):
        return False
    manifest = _manifest(lake, path, figures) if "attention" in figures else None
    told = manifest.facts.get("attention", []) if manifest else []
    if not _holds([figures, told], key):
        return False
    if not dry_run:
        figures = _redacted(figures, key)
        if manifest and told:
            facts = {**manifest.facts, "attention": figures["attention"][: len(told)]}
            lake.write_text(_manifest_path(path, figures), manifest.model_copy(update={"facts": facts}).model_dump_json(indent=1))
        lake.write_text(f"{posixpath.dirname(path)}/report.html", RENDER[_dataset(path)](figures))
        lake.write_text(path, json.dumps(figures, ensure_ascii=False))
    return True


def _redacted(figures: dict[str, Any], key: str) -> dict[str, Any]:
    """The same figures without her; what is found in them is said anew."""
    if "examples" in figures:
        figures["examples"] = [each for each in figures["examples"] if each["user"] != key]
    for source in figures.get("sources", {}).values():
        source["rejected"]["examples"] = [row for row in source["rejected"]["examples"] if not _holds(row, key)]
    figures = _without(figures, key)
    if "attention" in figures:
        figures["attention"] = attention.findings(figures["sources"], figures["night"])
    return figures


def _manifest(lake: Lake, path: str, figures: dict[str, Any]) -> Manifest | None:
    """That of the attempt which a report is of; None when it was never committed."""
    try:
        return Manifest.model_validate(json.loads(lake.read_text(_manifest_path(path, figures))))
    except FileNotFoundError:
        return None


def _manifest_path(path: str, figures: dict[str, Any]) -> str:
    folder, _, within = path.partition("/attempts/")
    return f"{folder}/{figures['night']}.{within.split('/')[0]}.json"


def _holds(value: Any, key: str) -> bool:
    """Whether it is the key, one of its values is, or a finding names it; of a line that could not be read, whether the key is in it."""
    if isinstance(value, dict):
        return key in (value.get(MALFORMED) or "") or any(_holds(each, key) for each in (*value, *value.values()))
    if isinstance(value, list):
        return any(_holds(each, key) for each in value)
    return value == key or (isinstance(value, str) and attention.names(value, key))


def _without(value: Any, key: str) -> Any:
    if isinstance(value, dict):
        return {_without(name, key): _without(each, key) for name, each in value.items()}
    if isinstance(value, list):
        return [_without(each, key) for each in value]
    return FORGOTTEN if value == key else value


def _count_anew(lake: Lake) -> None:
    """Bring the rows that manifests and roll-ups name to what the files hold; where retention has let these go, they stay as they are."""
    rows: dict[str, int | None] = {}

    def of(data: str, before: int | None) -> int | None:
        if data not in rows:
            rows[data] = _rows(lake, data)
        return before if rows[data] is None else rows[data]

    for dataset in datasets(lake):
        layer = dataset.split("/")[0]
        for names in lake.committed(dataset).values():
            for name in names:
                path = f"{lake.pipeline}/{dataset}/{name}"
                before = Manifest.model_validate(json.loads(lake.read_text(path)))
                facts = json.loads(json.dumps(before.facts))
                for entry in [e for nights in facts.get("sources", {}).values() for e in nights.values() if e["data"]]:
                    entry["rows"] = of(entry["data"], entry["rows"])
                count = of(before.data, before.rows) if layer in LAYERS and "/" in dataset and before.data else before.rows
                after = before.model_copy(update={"facts": facts, "rows": count})
                if after != before:
                    lake.write_text(path, after.model_dump_json(indent=1))


def _rows(lake: Lake, data: str) -> int | None:
    """Of all files of a folder; None when there is no such folder."""
    try:
        entries = lake.fs.get_file_info(pafs.FileSelector(lake.local_path(data), recursive=True))
    except FileNotFoundError:
        return None
    files = [entry.path for entry in entries if entry.base_name.endswith(".parquet")]
    return sum(pq.read_metadata(file, filesystem=lake.fs).num_rows for file in files)


def _has(store: Store, manifest: Any, key: str) -> bool:
    return bool(store.count(manifest.pipeline, manifest.version, manifest.attempt, [key]))
