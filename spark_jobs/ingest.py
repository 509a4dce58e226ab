"""ingest: deliveries -> raw, every column a string, each night of each source by itself.

Reads   landing files and databases, up to the night `ds`
Writes  raw/<source>   as delivered; malformed records with their text and reason
        ingest         the night's roll-up: which partitions it consists of
Raises  BadInput       when tonight's delivery is missing, its columns are not those declared, or the past has changed and
                       the pipeline refuses that: nothing is taken
"""

from dataclasses import dataclass, field

from nightfold import changes, fingerprint, forgotten, intake, landing, rollup, schemas
from nightfold.errors import BadInput
from nightfold.intake import Change, Plan
from nightfold.lake import Manifest
from nightfold.pipeline import FileSource, TableSource
from nightfold.rollup import Partitions
from nightfold.spark import databases, readers, tables, together
from nightfold.spark.job import Job, Outcome, run

from pyspark.sql import Column, DataFrame, Observation, SparkSession
from pyspark.sql import functions as F

FEW_NIGHTS = 8  # whose checksums are summed up while they are written; of more, what was written is read again


@dataclass(frozen=True)
class Taken:
    """All nights of a source up to `ds`, how many of them were read now, and what was noticed."""

    nights: dict[str, Manifest]
    fresh: int = 0
    changes: list[Change] = field(default_factory=list)


def take(spark: SparkSession, job: Job, name: str, wanted: Plan) -> Taken:
    """Write what is wanted of one source, and commit each of its nights."""
    source = job.pipeline.sources[name]
    nights = [*wanted.files, *wanted.nights]
    if isinstance(source, FileSource):
        written = _write(job, name, readers.read_files(spark, name, source, wanted.files), nights)
    else:
        read = sorted([*nights, *wanted.looked])
        window = databases.Window(read[0], read[-1]) if source.nightly else None
        with databases.table(spark, name, source, ds=job.ds, window=window, timezone=job.pipeline.timezone) as rows:
            written = _write(job, name, rows.where(F.col("night").isin(read)) if source.nightly else rows, read)
    kept, noticed = dict(wanted.kept), list(wanted.changes)
    for night, before in wanted.looked.items():
        change = _compared(job, name, night, before, written.get(night))
        if change is not None:
            noticed.append(change)
        if change is None or change["done"] == "kept":
            kept[night] = before
        else:
            nights.append(night)
    for night in [night for night, before in wanted.again.items() if source.nightly and before.rows and night not in written]:
        kept[night], change = intake.left(job.lake, name, source, wanted.again[night], where=_what(source, night), ds=job.ds)
        noticed.append(change)
        nights.remove(night)
    empty = [night for night in nights if night not in written]
    if source.empty == "refuse" and (job.ds in empty or (empty and wanted.files)):
        night = job.ds if job.ds in empty else empty[0]
        raise BadInput(
            f"{_what(source, night)}: the delivery for night {night} has no rows: have it delivered again, "
            f"or say sources.{name}.empty: accept"
        )
    prints = {night: _print(source, night, wanted, written.get(night)) for night in nights}
    noticed += [
        intake.change(name, night, "changed", "taken", was=before.fingerprint, now=prints[night])
        for night, before in wanted.again.items()
        if night in prints and before.fingerprint != prints[night] and before.facts.get("rules") == intake.rules(source)
    ]
    taken = {change["night"]: change for change in noticed if change["done"] == "taken"}
    manifests = {
        night: _manifest(job, name, night, wanted, rows=written.get(night, (0, ""))[0], made=made, change=taken.get(night))
        for night, made in prints.items()
    }
    job.lake.commit(*manifests.values())
    return Taken(nights={**kept, **manifests}, fresh=len(manifests), changes=noticed)


def _compared(job: Job, name: str, night: str, before: Manifest, found: tuple[int, str] | None) -> Change | None:
    """A table's night that was read again: what has changed of it."""
    source = job.pipeline.sources[name]
    now = fingerprint.digest(intake.rules(source), found[1] if found else "")
    if now == before.fingerprint:
        return None
    if found is None:  # emptied, or cleared away
        return intake.gone(name, source, night, where=_what(source, night), was=before.fingerprint)
    return intake.changed(job.pipeline.pipeline, name, source, night, where=_what(source, night), was=before.fingerprint, now=now)


def _write(job: Job, name: str, rows: DataFrame, nights: list[str]) -> dict[str, tuple[int, str]]:
    """Write rows by night; returns night → (rows, checksum of the content, in no order; files have their own hash)."""
    path = job.lake.spark_path(job.lake.place(f"raw/{name}", job.attempt))
    source = job.pipeline.sources[name]
    schema = schemas.raw(source)
    known = _known(job, name)
    if not isinstance(source, TableSource):
        tables.write(_of(rows, known), schema, path, by="night")
        checksums = {}
    elif len(nights) > FEW_NIGHTS and known is None:
        tables.write(rows, schema, path, by="night")
        stored = rows.sparkSession.read.schema(tables.struct(schema)).parquet(path)
        found = stored.groupBy("night").agg(F.sum(_hash(schema)).alias("checksum")).collect()  # a row per night
        checksums = {row["night"]: row["checksum"] for row in found}
    else:
        observation = Observation()
        sums = [F.sum(F.when(F.col("night") == night, _hash(schema))).alias(night) for night in nights]
        tables.write(_of(rows.observe(observation, *sums), known), schema, path, by="night")
        checksums = observation.get
    return {night: (count, str(checksums.get(night, ""))) for night, count in tables.written(path).items()}


def _known(job: Job, name: str) -> Column | None:
    """Which rows are not of somebody who was erased, or None: all. Checksums are of all: erasing somebody is no change of a table."""
    user, erased = job.pipeline.person_of(name), forgotten.read(job.lake)
    if not erased.digests or user not in job.pipeline.sources[name].columns:
        return None
    digest = F.sha2(F.concat(F.lit(erased.salt), F.col(f"`{user}`")), 256)
    return ~F.coalesce(digest.isin(*erased.digests), F.lit(False))


def _of(rows: DataFrame, known: Column | None) -> DataFrame:
    return rows if known is None else rows.where(known)


def _hash(schema: schemas.Schema) -> Column:
    return F.xxhash64(*(F.coalesce(F.col(f"`{c}`"), F.lit("\u0000")) for c in schema)).cast("decimal(38,0)")


def _print(source: FileSource | TableSource, night: str, wanted: Plan, written: tuple[int, str] | None) -> str:
    """The fingerprint of a night as it was read now."""
    files = wanted.files.get(night, [])
    checksum = written[1] if written is not None else ""
    return intake.file_fingerprint(source, files) if files else fingerprint.digest(intake.rules(source), checksum)


def _manifest(job: Job, name: str, night: str, wanted: Plan, *, rows: int, made: str, change: Change | None) -> Manifest:
    """:param made: see _print"""
    return job.manifest(
        f"raw/{name}",
        night,
        fingerprint=made,
        data=f"{job.lake.place(f'raw/{name}', job.attempt)}/part={night}" if rows else None,
        rows=rows,
        facts={
            "files": [file.as_fact() for file in wanted.files.get(night, [])],
            "rules": intake.rules(job.pipeline.sources[name]),
            "change": {**change, "by": job.ds} if change else None,
        },
    )


def _what(source: FileSource | TableSource, night: str) -> str:
    return f"table {source.table}" if isinstance(source, TableSource) else landing.place(source, night)


def planned(job: Job) -> str:
    """The fingerprint of the night if nothing is to be taken; else one that no night has."""
    job.plan = {name: intake.plan(job.lake, job.pipeline, job.ds, name) for name in job.pipeline.sources}
    if not all(plan.done for plan in job.plan.values()):
        return f"new in {job.attempt}"
    return _fingerprint({name: Taken(plan.kept, changes=plan.changes) for name, plan in job.plan.items()})


def _fingerprint(taken: dict[str, Taken]) -> str:
    """Of all partitions, and of what differs from them outside and is let be: that is said as long as it lasts."""
    kept = [change for each in taken.values() for change in each.changes if change["done"] == "kept"]
    whole = rollup.fingerprint_of({name: each.nights for name, each in taken.items()})
    return fingerprint.digest(whole, kept) if kept else whole


def _noticed_before(job: Job, taken: Taken) -> list[Change]:
    """What an earlier try at this very night has noticed and taken: it would not be noticed again."""
    now = {change["night"] for change in taken.changes}
    before = [m.facts.get("change") for night, m in sorted(taken.nights.items()) if night not in now]
    return [{key: value for key, value in c.items() if key != "by"} for c in before if c is not None and c["by"] == job.ds]


def main(spark: SparkSession, job: Job) -> Outcome:
    plans: dict[str, Plan] = job.plan
    wanted = [name for name, plan in plans.items() if not plan.done]
    results = together.each(wanted, lambda name: take(spark, job, name, plans[name]))
    taken = {name: results.get(name) or Taken(plan.kept, changes=plan.changes) for name, plan in plans.items()}
    partitions: Partitions = {name: each.nights for name, each in taken.items()}
    rows = {name: sum(m.rows or 0 for m in nights.values()) for name, nights in partitions.items()}
    noticed = [change for each in taken.values() for change in [*each.changes, *_noticed_before(job, each)]]
    return Outcome(
        summary=f"{sum(each.fresh for each in taken.values())} deliveries taken, {sum(rows.values()):,} rows up to {job.ds} ("
        + ", ".join(f"{name} {count:,}" for name, count in rows.items())
        + ")"
        + changes.summary(noticed),
        rows=sum(rows.values()),
        facts={
            **rollup.facts(partitions),
            **changes.facts(noticed),
            "cleared": {name: plan.cleared for name, plan in plans.items() if plan.cleared is not None},
        },
        fingerprint=_fingerprint(taken),
    )


if __name__ == "__main__":
    run("ingest", main, fingerprint=planned)
