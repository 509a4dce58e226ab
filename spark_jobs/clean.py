"""clean: raw -> clean, typed and valid; what is refused goes to rejected, each row with its reason.

Reads   ingest, raw/<source>     every night up to `ds` that is new or has changed
Writes  clean/<source>           typed
        rejected/<source>        as delivered, with `_reason`
        clean                    the night's roll-up
Raises  TooManyRejects           when the source has changed: stop the night, do not thin it
"""

from nightfold import fingerprint, rollup, schemas
from nightfold.errors import NightfoldError, TooManyRejects
from nightfold.lake import Manifest
from nightfold.pipeline import FileSource, TableSource
from nightfold.rollup import Partitions
from nightfold.spark import cleaning, tables
from nightfold.spark.job import Job, Outcome, run

from pyspark import StorageLevel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

CODE = ("spark_jobs/clean.py", "nightfold/spark/cleaning.py")
GOOD = "good"


class RowsLost(NightfoldError):
    """Rows in are not rows out: a fault of Nightfold's own, never to be published."""


def wanted(job: Job, name: str, ingested: Manifest) -> tuple[dict[str, Manifest], dict[str, str]]:
    """Nights that are clean already, and night → fingerprint of those that are not."""
    source = job.pipeline.sources[name]
    rules = fingerprint.digest(
        source.model_dump(mode="json", include={"columns", "duplicates", "references", "max_rejected"}),
        fingerprint.code_of(*CODE),
        job.pipeline.timezone,
    )
    nights = ingested.facts["sources"][name]
    prints = {night: fingerprint.digest(rules, entry["fingerprint"]) for night, entry in nights.items()}
    before = job.lake.find_all(f"clean/{name}", prints)
    kept = {night: m for night, m in before.items() if m.fingerprint == prints[night]}
    return kept, {night: value for night, value in prints.items() if night not in kept}


def judge(spark: SparkSession, job: Job, name: str, raw: DataFrame, done: Partitions) -> DataFrame:
    """All rules of one source, in order: types and ranges, references, duplicates."""
    source = job.pipeline.sources[name]
    frame = cleaning.judged(raw, source)
    for reference in source.references:
        if reference.missing == "refuse":
            known = _known(spark, job, done, reference.source, reference.source_column)
            frame = cleaning.referring(frame, reference.column, known, to=reference.to)
    return cleaning.one_per_key(cleaning.lean(frame), source)


def _known(spark: SparkSession, job: Job, done: Partitions, source: str, column: str) -> DataFrame:
    folders = [job.lake.spark_path(m.data) for m in done[source].values() if m.data]
    other = tables.read(spark, schemas.clean(job.pipeline.sources[source]), folders, what=f"clean/{source}")
    return other.select(F.col(f"`{column}`").alias("value")).where("value is not null").distinct()


def counts(frame: DataFrame) -> dict[str, dict[str, int]]:
    """night → reason (or `good`) → rows. A row per night and reason comes to the driver."""
    result: dict[str, dict[str, int]] = {}
    for row in frame.groupBy("night", F.coalesce("reason", F.lit(GOOD)).alias("reason")).count().collect():
        result.setdefault(row["night"], {})[row["reason"]] = row["count"]
    return result


def check(name: str, source: FileSource | TableSource, night: str, *, rows: int, by_reason: dict[str, int], where: str) -> None:
    """Raise RowsLost unless every row is accounted for; TooManyRejects when more were refused than the pipeline allows."""
    if sum(by_reason.values()) != rows:
        raise RowsLost(f"{name}, night {night}: {rows} rows in, {sum(by_reason.values())} out: report this as a fault of clean")
    refused = {r: n for r, n in by_reason.items() if r not in (GOOD, cleaning.DUPLICATE)}
    if rows and sum(refused.values()) / rows > source.max_rejected:
        worst = ", ".join(f"{reason} {n}" for reason, n in sorted(refused.items(), key=lambda item: (-item[1], item[0])))
        raise TooManyRejects(
            f"{name}, night {night}: {sum(refused.values())} of {rows} rows refused, more than max_rejected {source.max_rejected:g}: "
            f"{worst}; they are in {where}: have the delivery mended, or the rules in the pipeline file"
        )


def take(
    spark: SparkSession, job: Job, name: str, ingested: Manifest, done: Partitions
) -> tuple[dict[str, Manifest], dict[str, int]]:
    """Clean what is new of one source and commit it; returns all its nights, and rows by reason of those taken now."""
    source = job.pipeline.sources[name]
    kept, prints = wanted(job, name, ingested)
    if not prints:
        return kept, {}
    entries = {night: ingested.facts["sources"][name][night] for night in prints}
    folders = [job.lake.spark_path(entry["data"]) for entry in entries.values() if entry["data"]]
    raw = tables.read(spark, schemas.raw(source), folders, what=f"raw/{name}")
    if len(prints) >= job.pipeline.resources.shuffle_partitions:  # history: one shuffle serves duplicates and writing
        raw = raw.repartition("night")
    frame = judge(spark, job, name, raw, done).persist(StorageLevel.MEMORY_AND_DISK)
    found = counts(frame)
    place = {layer: job.lake.place(f"{layer}/{name}", job.attempt) for layer in ("clean", "rejected")}
    tables.write(cleaning.refused(frame), schemas.rejected(source), job.lake.spark_path(place["rejected"]), by="night")
    for night in sorted(prints):
        check(
            name,
            source,
            night,
            rows=entries[night]["rows"],
            by_reason=found.get(night, {}),
            where=job.lake.spark_path(place["rejected"]),
        )
    tables.write(cleaning.good(frame), schemas.clean(source), job.lake.spark_path(place["clean"]), by="night")
    frame.unpersist()
    manifests: dict[str, dict[str, Manifest]] = {"clean": {}, "rejected": {}}
    for night, value in prints.items():
        by_reason = found.get(night, {})
        rows = {"clean": by_reason.get(GOOD, 0)}
        rows["rejected"] = sum(by_reason.values()) - rows["clean"] - by_reason.get(cleaning.DUPLICATE, 0)
        for layer in manifests:
            data = f"{place[layer]}/part={night}" if rows[layer] else None
            facts = {"by_reason": by_reason}
            manifests[layer][night] = job.manifest(
                f"{layer}/{name}", night, fingerprint=value, data=data, rows=rows[layer], facts=facts
            )
    job.lake.commit(*manifests["rejected"].values())
    job.lake.commit(*manifests["clean"].values())
    total: dict[str, int] = {}
    for by_reason in found.values():
        for reason, rows_of_it in by_reason.items():
            total[reason] = total.get(reason, 0) + rows_of_it
    return {**kept, **manifests["clean"]}, total


def planned(job: Job) -> str:
    """The roll-up's fingerprint if nothing is to be cleaned; else one that no roll-up has."""
    ingested = job.lake.get("ingest", job.ds)
    partitions: Partitions = {}
    for name in job.pipeline.sources:
        kept, prints = wanted(job, name, ingested)
        if prints:
            return f"new in {job.attempt}"
        partitions[name] = kept
    return rollup.fingerprint_of(partitions)


def main(spark: SparkSession, job: Job) -> Outcome:
    ingested = job.lake.get("ingest", job.ds)
    partitions: Partitions = {}
    total = {GOOD: 0, cleaning.DUPLICATE: 0}
    for name in job.pipeline.sources_in_order():
        partitions[name], found = take(spark, job, name, ingested, partitions)
        for reason, rows in found.items():
            key = reason if reason in total else "rejected"
            total[key] = total.get(key, 0) + rows
    return Outcome(
        summary=f"{total[GOOD]:,} rows cleaned, {total.get('rejected', 0):,} rejected, {total[cleaning.DUPLICATE]:,} duplicates",
        rows=sum(m.rows or 0 for nights in partitions.values() for m in nights.values()),
        facts=rollup.facts(partitions),
        fingerprint=rollup.fingerprint_of(partitions),
    )


if __name__ == "__main__":
    run("clean", main, fingerprint=planned)
