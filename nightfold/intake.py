"""What `ingest` is to take tonight: what has landed, held against what raw holds. No Spark: it only looks.

A night that was taken and has changed since, came late, or has left the landing place is a change: noticed here, and taken,
kept or refused as the source's `changed` and `gone` say.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from nightfold import fingerprint, landing
from nightfold.errors import BadInput, NotCommitted
from nightfold.lake import Lake, Manifest
from nightfold.landing import LandedFile
from nightfold.pipeline import FileSource, Pipeline, TableSource

CODE = ("spark_jobs/ingest.py", "nightfold/spark/readers.py", "nightfold/spark/databases.py")
"""Of what decides how a delivery is read: when it changes, every night is taken again."""
NOT_READING = {"closed", "duplicates", "references", "max_rejected", "empty", "columns", "changed", "gone", "look_back"}
"""Fields of a source that say nothing of how a delivery is read."""

AGAIN = "again"
"""Fact of a night of a source that somebody has asked to be taken again: it counts until it is."""

Change = dict[str, Any]
"""{"source", "night", "kind": changed | late | gone, "done": taken | kept, "was", "now": fingerprints, or None}"""


@dataclass(frozen=True)
class Plan:
    """What one source needs tonight."""

    kept: dict[str, Manifest]
    """Nights that are committed and count as they are."""
    files: dict[str, list[LandedFile]]
    """Nights to take from files."""
    nights: list[str]
    """Nights to take from a table."""
    looked: dict[str, Manifest] = field(default_factory=dict)
    """Nights of a table that are committed, and are read again to compare."""
    again: dict[str, Manifest] = field(default_factory=dict)
    """Those of `nights` and `files` that are taken, and are now to be read otherwise or again; of `files` a snapshot's only."""
    changes: list[Change] = field(default_factory=list)
    cleared: str | None = None
    """Deliveries of nights before this one have been cleared away from the landing place: that they are not there is no change."""

    @property
    def done(self) -> bool:
        return not self.files and not self.nights and not self.looked


def plan(lake: Lake, pipeline: Pipeline, ds: str, name: str) -> Plan:
    """Compare what has landed with what raw holds.

    Raises BadInput when tonight's delivery is missing, or a change is not allowed.
    """
    source = pipeline.sources[name]
    if not source.nightly:
        return _snapshot(lake, ds, name, source)
    if isinstance(source, FileSource):
        return _files(lake, pipeline, ds, name, source)
    return _table(lake, pipeline, ds, name, source)


def ask_again(lake: Lake, source: str, night: str) -> None:
    """The next `ingest` takes this night of a source again, whatever the source's `changed` says; until then it counts as it is.

    Raises NotCommitted when it was never taken.
    """
    taken = lake.find(f"raw/{source}", night)
    if taken is None:
        raise NotCommitted(
            f"{source}, night {night}: {lake.pipeline} has not taken it yet: run ingest, there is nothing to take again"
        )
    _rewrite(lake, taken, {**taken.facts, AGAIN: True})


def left(lake: Lake, name: str, source: TableSource, taken: Manifest, *, where: str, ds: str) -> tuple[Manifest, Change]:
    """A night of a table that was to be read otherwise, or again, and has no rows there any more: what was taken counts on, as if it were.

    Raises BadInput where the pipeline refuses that.
    """
    noticed = gone(name, source, taken.night, where=where, was=taken.fingerprint)
    facts = {key: value for key, value in taken.facts.items() if key != AGAIN}
    return _rewrite(lake, taken, {**facts, "rules": rules(source), "change": {**noticed, "by": ds}}), noticed


def _rewrite(lake: Lake, taken: Manifest, facts: dict[str, Any]) -> Manifest:
    """The same night with other facts, in the place of its manifest."""
    renewed = taken.model_copy(update={"facts": facts})
    name = lake.committed(taken.dataset)[taken.night][-1]
    lake.write_text(f"{lake.pipeline}/{taken.dataset}/{name}", renewed.model_dump_json(indent=1))
    return renewed


def _asked(manifest: Manifest | None) -> bool:
    return manifest is not None and manifest.facts.get(AGAIN, False)


def rules(source: FileSource | TableSource) -> str:
    """Of what decides how a delivery is read, and of the code that reads it."""
    reading = source.model_dump(mode="json", exclude=NOT_READING)
    optional = {name: column.optional for name, column in source.columns.items()}
    return fingerprint.digest(reading, optional, fingerprint.code_of(*CODE))


def file_fingerprint(source: FileSource | TableSource, files: Sequence[LandedFile]) -> str:
    """Of one night's files."""
    return fingerprint.digest(rules(source), _content([file.as_fact() for file in files]))


def change(name: str, night: str, kind: str, done: str, *, was: str | None = None, now: str | None = None) -> Change:
    """As the manifest of `ingest` keeps it."""
    return {"source": name, "night": night, "kind": kind, "done": done, "was": was, "now": now}


def changed(pipeline: str, name: str, source: FileSource | TableSource, night: str, *, where: str, was: str, now: str) -> Change:
    """A night whose content is another than that which was taken; raises BadInput where the pipeline refuses that."""
    if source.changed == "refuse":
        raise BadInput(
            f"{where}: night {night} has changed after it was taken, and sources.{name}.changed is refuse: "
            f"have the first delivery restored, or take this one: `nightfold retake {pipeline} {name} --ds {night}`, and clear ingest"
        )
    return change(name, night, "changed", "taken" if source.changed == "take" else "kept", was=was, now=now)


def gone(name: str, source: FileSource | TableSource, night: str, *, where: str, was: str) -> Change:
    """A night that was taken, and is no longer delivered; raises BadInput where the pipeline refuses that."""
    if source.gone == "refuse":
        raise BadInput(
            f"{where}: night {night} was taken and is gone now, and sources.{name}.gone is refuse: "
            "have it delivered again, or say `gone: keep`"
        )
    return change(name, night, "gone", "kept", was=was)


def _snapshot(lake: Lake, ds: str, name: str, source: FileSource | TableSource) -> Plan:
    taken = lake.find(f"raw/{name}", ds)
    if taken is not None and taken.facts.get("rules") == rules(source) and not _asked(taken):
        return Plan(kept={ds: taken}, files={}, nights=[])  # a snapshot is history once it is taken
    again = {} if taken is None else {ds: taken}
    if isinstance(source, TableSource):
        return Plan(kept={}, files={}, nights=[ds], again=again)
    files = landing.snapshot(source)
    if not files:
        raise BadInput(f"{landing.location(source)}: the snapshot for night {ds} is not there: have it delivered, then run again")
    return Plan(kept={}, files={ds: landing.hashed(files, [])}, nights=[], again=again)


def _files(lake: Lake, pipeline: Pipeline, ds: str, name: str, source: FileSource) -> Plan:
    since = pipeline.history(ds)
    landed = landing.nightly(source, since=since, until=ds)
    taken, runs = lake.nights(f"raw/{name}"), lake.nights("ingest")  # of any run, also a later one
    before = lake.find_all(f"raw/{name}", [night for night in taken if since <= night <= ds])
    if ds not in landed and ds not in before and date.fromisoformat(ds) not in source.closed:
        raise BadInput(
            f"{landing.place(source, ds)}: no delivery for night {ds}: have it landed, or declare the day under sources.{name}.closed"
        )
    kept = {night: manifest for night, manifest in before.items() if night not in landed}  # landing is no archive; raw is
    if asked := [night for night, manifest in kept.items() if _asked(manifest)]:
        raise BadInput(f"{landing.place(source, asked[0])}: night {asked[0]} is to be taken again and is not there: have it landed")
    cleared = _cleared(lake, name, landed, before, runs=runs, ds=ds)
    changes = [
        gone(name, source, night, where=landing.place(source, night), was=manifest.fingerprint)
        for night, manifest in kept.items()
        if night > cleared
    ]
    files: dict[str, list[LandedFile]] = {}
    for night, found in landed.items():
        manifest = before.get(night)
        hashed = landing.hashed(found, manifest.facts["files"] if manifest else [])
        now = file_fingerprint(source, hashed)
        if manifest is None:
            files[night] = hashed
            if night < max(taken, default="") and night <= max(runs, default=""):
                changes.append(change(name, night, "late", "taken", now=now))
        elif _asked(manifest):
            files[night] = hashed
            if manifest.fingerprint != now:
                changes.append(change(name, night, "changed", "taken", was=manifest.fingerprint, now=now))
        elif manifest.fingerprint == now:
            kept[night] = manifest
        elif _content(manifest.facts["files"]) == _content([file.as_fact() for file in hashed]):
            files[night] = hashed  # it is to be read otherwise
        else:
            noticed = changed(
                lake.pipeline, name, source, night, where=landing.place(source, night), was=manifest.fingerprint, now=now
            )
            changes.append(noticed)
            if noticed["done"] == "taken":
                files[night] = hashed
            else:
                kept[night] = manifest
    return Plan(kept=kept, files=files, nights=[], changes=sorted(changes, key=lambda each: each["night"]), cleared=cleared)


def _table(lake: Lake, pipeline: Pipeline, ds: str, name: str, source: TableSource) -> Plan:
    first, last = max(pipeline.schedule.start, date.fromisoformat(pipeline.history(ds))), date.fromisoformat(ds)
    days = [str(first + timedelta(days=i)) for i in range((last - first).days + 1)]
    nights = [day for day in days if date.fromisoformat(day) not in source.closed]
    before = lake.find_all(f"raw/{name}", nights)
    kept = {night: m for night, m in before.items() if m.facts.get("rules") == rules(source) and not _asked(m)}
    since = str(last - timedelta(days=source.look_back))
    looked = {night: m for night, m in kept.items() if since <= night < ds}
    return Plan(
        kept={night: m for night, m in kept.items() if night not in looked},
        files={},
        nights=[night for night in nights if night not in kept],
        again={night: m for night, m in before.items() if night not in kept},
        looked=looked,
    )


def _cleared(lake: Lake, name: str, landed: Iterable[str], before: Mapping[str, Manifest], *, runs: Sequence[str], ds: str) -> str:
    """Old deliveries are cleared away, the oldest first: before which night. One that lies there once more, because it was asked for
    or came late, does not bring back those after it: what a run before this one has seen of the clearing counts on."""
    known = lake.find("ingest", runs[-1]) if runs else None
    seen = known.facts.get("cleared", {}).get(name, "") if known is not None else ""
    return min((night for night in landed if night >= seen and not _asked(before.get(night))), default=ds)


def _content(files: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    """Names and hashes: neither the folder nor the time of a file is content."""
    return [(file["uri"].rsplit("/", 1)[-1], file["sha256"]) for file in files]
