"""ingest: deliveries -> raw, every column a string, each night of each source by itself.

Reads   landing files and databases, up to the night `ds`
Writes  raw/<source>   as delivered; malformed records with their text and reason
        ingest         the night's roll-up: which partitions it consists of
Raises  BadInput       when tonight's delivery is missing, or its columns are not those declared: nothing is taken
"""

from dataclasses import dataclass, field
from datetime import date, timedelta

from nightfold import changes, fingerprint, landing, rollup, schemas
from nightfold.errors import BadInput
from nightfold.lake import Manifest
from nightfold.landing import LandedFile
from nightfold.pipeline import FileSource, TableSource
from nightfold.rollup import Partitions
from nightfold.spark import databases, readers, tables
from nightfold.spark.job import Job, Outcome, run

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

CODE = ("spark_jobs/ingest.py", "nightfold/spark/readers.py", "nightfold/spark/databases.py")


@dataclass(frozen=True)
class Plan:
    """What one source needs tonight."""

    kept: dict[str, Manifest]
    """Nights that are committed and unchanged."""
    files: dict[str, list[LandedFile]]
    """Nights to take from files."""
    nights: list[str]
    """Nights to take from a table."""
    changes: dict[str, str] = field(default_factory=dict)
    """Night → changed, late or gone: deliveries that differ from what was taken of a night before."""

    @property
    def done(self) -> bool:
        return not self.files and not self.nights


def plan(job: Job, name: str) -> Plan:
    """Compare what has landed with what raw holds."""
    source = job.pipeline.sources[name]
    if not source.nightly:
        return _snapshot_plan(job, name, source)
    if isinstance(source, FileSource):
        return _file_plan(job, name, source)
    return _table_plan(job, name, source)


def _snapshot_plan(job: Job, name: str, source: FileSource | TableSource) -> Plan:
    taken = job.lake.find(f"raw/{name}", job.ds)
    if taken is not None and taken.facts.get("rules") == _rules(source):
        return Plan(kept={job.ds: taken}, files={}, nights=[])  # a snapshot is history once it is taken
    if isinstance(source, TableSource):
        return Plan(kept={}, files={}, nights=[job.ds])
    files = landing.snapshot(source)
    if not files:
        raise BadInput(
            f"{landing.location(source)}: the snapshot for night {job.ds} is not there: have it delivered, then run again"
        )
    return Plan(kept={}, files={job.ds: landing.hashed(files, [])}, nights=[])


def _file_plan(job: Job, name: str, source: FileSource) -> Plan:
    landed = landing.nightly(source, until=job.ds)
    taken = {night for night in job.lake.nights(f"raw/{name}") if night <= job.ds}
    if job.ds not in {*landed, *taken} and date.fromisoformat(job.ds) not in source.closed:
        raise BadInput(
            f"{landing.location(source).replace('{ds}', job.ds)}: no delivery for night {job.ds}: have it landed, "
            f"or declare the day under sources.{name}.closed"
        )
    before = job.lake.find_all(f"raw/{name}", {*landed, *taken})
    kept = {night: manifest for night, manifest in before.items() if night not in landed}  # landing is no archive; raw is
    files: dict[str, list[LandedFile]] = {}
    for night, found in landed.items():
        manifest = before.get(night)
        hashed = landing.hashed(found, manifest.facts["files"] if manifest else [])
        if manifest is not None and manifest.fingerprint == _file_fingerprint(source, hashed):
            kept[night] = manifest
        else:
            files[night] = hashed
    return Plan(kept=kept, files=files, nights=[], changes=_changes(source, before, landed=[*landed], fresh=[*files], ds=job.ds))


def _changes(source: FileSource, before: dict[str, Manifest], *, landed: list[str], fresh: list[str], ds: str) -> dict[str, str]:
    """What is otherwise than when it was taken. Old deliveries that were cleared away, the oldest first, are no change."""
    changed = {n: "changed" for n in fresh if n in before and before[n].facts["rules"] == _rules(source)}
    late = {n: "late" for n in fresh if n not in before and n < max(before, default="")}
    gone = {n: "gone" for n in before if n not in landed and n > min(landed, default=ds)}
    return {**changed, **late, **gone}


def _table_plan(job: Job, name: str, source: TableSource) -> Plan:
    first, last = job.pipeline.schedule.start, date.fromisoformat(job.ds)
    days = [str(first + timedelta(days=i)) for i in range((last - first).days + 1)]
    nights = [day for day in days if date.fromisoformat(day) not in source.closed]
    before = job.lake.find_all(f"raw/{name}", nights)
    kept = {night: m for night, m in before.items() if m.facts.get("rules") == _rules(source)}
    return Plan(kept=kept, files={}, nights=[night for night in nights if night not in kept])


def take(spark: SparkSession, job: Job, name: str, wanted: Plan) -> dict[str, Manifest]:
    """Write what is wanted of one source, and commit each of its nights; returns all nights up to `ds`."""
    source = job.pipeline.sources[name]
    nights = [*wanted.files, *wanted.nights]
    if isinstance(source, FileSource):
        written = _write(job, name, readers.read_files(spark, name, source, wanted.files))
    else:
        window = databases.Window(nights[0], nights[-1], job.pipeline.timezone) if source.nightly else None
        with databases.table(spark, name, source, ds=job.ds, window=window) as rows:
            written = _write(job, name, rows.where(F.col("night").isin(nights)))
    empty = [night for night in nights if night not in written]
    if source.empty == "refuse" and (job.ds in empty or (empty and wanted.files)):
        night = job.ds if job.ds in empty else empty[0]
        raise BadInput(
            f"{_what(source, night)}: the delivery for night {night} has no rows: have it delivered again, "
            f"or say sources.{name}.empty: accept"
        )
    manifests = {night: _manifest(job, name, source, night, wanted, written.get(night)) for night in nights}
    job.lake.commit(*manifests.values())
    return {**wanted.kept, **manifests}


def _write(job: Job, name: str, rows: DataFrame) -> dict[str, tuple[int, str]]:
    """Write rows by night; returns night → (rows, checksum of the content, in no order)."""
    path = job.lake.spark_path(job.lake.place(f"raw/{name}", job.attempt))
    source = job.pipeline.sources[name]
    schema = schemas.raw(source)
    tables.write(rows, schema, path, by="night")
    content: Column = F.lit("")  # files have their own hash
    if isinstance(source, TableSource):
        content = F.sum(F.xxhash64(*(F.coalesce(F.col(f"`{c}`"), F.lit("\u0000")) for c in schema)).cast("decimal(38,0)"))
    stored = rows.sparkSession.read.schema(tables.struct(schema)).parquet(path)
    counts = stored.groupBy("night").agg(F.count("*").alias("rows"), content.alias("checksum")).collect()  # a row per night
    return {row["night"]: (row["rows"], str(row["checksum"])) for row in counts}


def _manifest(job: Job, name: str, source: FileSource | TableSource, night: str, wanted: Plan, written: tuple | None) -> Manifest:
    rows, checksum = written or (0, "")
    files = wanted.files.get(night, [])
    return job.manifest(
        f"raw/{name}",
        night,
        fingerprint=_file_fingerprint(source, files) if files else fingerprint.digest(_rules(source), checksum),
        data=f"{job.lake.place(f'raw/{name}', job.attempt)}/part={night}" if rows else None,
        rows=rows,
        facts={"files": [file.as_fact() for file in files], "rules": _rules(source)},
    )


def _file_fingerprint(source: FileSource | TableSource, files: list[LandedFile]) -> str:
    return fingerprint.digest(_rules(source), [(file.uri.rsplit("/", 1)[-1], file.sha256) for file in files])


def _rules(source: FileSource | TableSource) -> str:
    """Of what decides how a delivery is read, and of the code that reads it."""
    reading = source.model_dump(mode="json", exclude={"closed", "duplicates", "references", "max_rejected", "empty", "columns"})
    return fingerprint.digest(
        reading, {name: column.optional for name, column in source.columns.items()}, fingerprint.code_of(*CODE)
    )


def _what(source: FileSource | TableSource, night: str) -> str:
    return f"table {source.table}" if isinstance(source, TableSource) else landing.location(source).replace("{ds}", night)


def planned(job: Job) -> str:
    """The roll-up's fingerprint if nothing is to be taken; else one that no roll-up has."""
    plans = {name: plan(job, name) for name in job.pipeline.sources}
    if not all(p.done for p in plans.values()):
        return f"new in {job.attempt}"
    return rollup.fingerprint_of({name: p.kept for name, p in plans.items()})


def main(spark: SparkSession, job: Job) -> Outcome:
    partitions: Partitions = {}
    plans = {name: plan(job, name) for name in job.pipeline.sources}
    for name, wanted in plans.items():
        partitions[name] = wanted.kept if wanted.done else take(spark, job, name, wanted)
    rows = {name: sum(m.rows or 0 for m in nights.values()) for name, nights in partitions.items()}
    fresh = sum(len(p.files) + len(p.nights) for p in plans.values())
    noticed = [{"source": s, "night": n, "kind": kind} for s, p in plans.items() for n, kind in sorted(p.changes.items())]
    return Outcome(
        summary=f"{fresh} deliveries taken, {sum(rows.values()):,} rows up to {job.ds} ("
        + ", ".join(f"{name} {count:,}" for name, count in rows.items())
        + ")"
        + changes.summary(noticed),
        rows=sum(rows.values()),
        facts={**rollup.facts(partitions), "changes": noticed[: changes.SHOWN], "changes_noticed": len(noticed)},
        fingerprint=rollup.fingerprint_of(partitions),
    )


if __name__ == "__main__":
    run("ingest", main, fingerprint=planned)
