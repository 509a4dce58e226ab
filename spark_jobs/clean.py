"""clean: raw -> clean, typed and valid; what is refused goes to rejected, each row with its reason.

Reads   ingest, raw/<source>     every night up to `ds` that is new or has changed
Writes  clean/<source>           typed
        rejected/<source>        as delivered, with `_reason`
        clean                    the night's roll-up
Raises  TooManyRejects           when the source has changed: stop the night, do not thin it
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product

from nightfold import fingerprint, rollup, schemas
from nightfold.errors import BadInput, NightfoldError, TooManyRejects
from nightfold.lake import Manifest
from nightfold.pipeline import FileSource, TableSource
from nightfold.rollup import Partitions
from nightfold.spark import cleaning, layers, tables, together
from nightfold.spark.job import Job, Outcome, run

from pyspark import StorageLevel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

CODE = ("spark_jobs/clean.py", "nightfold/spark/cleaning.py")
GOOD = "good"
FEW_ROWS = 250_000  # rows of a source that one task cleans: fewer are done sooner by one than shuffled among several
SHOWN = 10  # nights without rows that a message names

Counts = dict[str, dict[str, int]]
"""Night → reason (or `good`) → rows."""


class RowsLost(NightfoldError):
    """Rows in are not rows out: a fault of Nightfold's own, never to be published."""


@dataclass(frozen=True)
class Wanted:
    """What one source needs: nights that are clean already, and those to be cleaned."""

    kept: dict[str, Manifest]
    entries: dict[str, dict]
    """Night → what the roll-up of `ingest` says of it."""
    prints: dict[str, str]
    """Night → fingerprint that its clean rows will have."""
    judged_by: dict[str, dict[str, str]] = field(default_factory=dict)
    """Night → source → the fingerprint of its clean rows of that same night, which decide what is refused of this one."""
    left: int = 0
    """Of those kept: nights whose raw rows retention has let go, so that they stay as older rules have cleaned them."""

    def print_of(self, night: str) -> str | None:
        """The fingerprint of a night's clean rows."""
        return self.prints.get(night) or (self.kept[night].fingerprint if night in self.kept else None)


def plan(job: Job, name: str, ingested: Manifest, others: Mapping[str, Wanted]) -> Wanted:
    """Hold raw against what is clean.

    :param others: of those that it refers to
    """
    source = job.pipeline.sources[name]
    rules = fingerprint.digest(
        source.model_dump(
            mode="json", include={"columns", "duplicates", "references", "max_rejected"}, exclude={"columns": {"__all__": {"also"}}}
        ),
        fingerprint.code_of(*CODE),
        job.pipeline.timezone,
    )
    nights = ingested.facts["sources"][name]
    before = job.lake.find_all(f"clean/{name}", nights)
    judges = {other: others[other] for other in looked_up(source)}
    judged_by = {night: _judged_by(job, judges, night, before.get(night)) for night in nights}
    prints = {night: fingerprint.digest(rules, entry["fingerprint"], judged_by[night]) for night, entry in nights.items()}
    kept = {night: m for night, m in before.items() if m.fingerprint == prints[night]}
    gone = [night for night in prints if night not in kept and nights[night]["data"] and not job.lake.exists(nights[night]["data"])]
    if lost := [n for n in gone if n not in before or before[n].facts.get("raw") != nights[n]["fingerprint"]]:
        more = f"; the same for {', '.join(lost[1:SHOWN])}" if len(lost) > 1 else ""
        more += f" and {len(lost) - SHOWN} more nights" if len(lost) > SHOWN else ""
        raise BadInput(
            f"{name}, night {lost[0]}: its raw rows are gone (retention.raw_days) and no clean rows were made from them: have that "
            f"delivery landed, then `nightfold retake {job.pipeline.pipeline} {name} --ds {lost[0]}`{more}, and run ingest"
        )
    kept |= {night: before[night] for night in gone}
    fresh = [night for night in prints if night not in kept]
    wanted = ({night: of[night] for night in fresh} for of in (nights, prints, judged_by))
    return Wanted(kept, *wanted, left=len(gone))


def _judged_by(job: Job, judges: Mapping[str, Wanted], night: str, before: Manifest | None) -> dict[str, str]:
    """What is, or was, known of a night's own rows of the sources that decide. A snapshot that was not there yet when the night was
    cleaned decides nothing of it later (docs/decisions/0013)."""
    found = dict(before.facts.get("judged_by", {})) if before is not None else {}
    for other, wanted in judges.items():
        now = wanted.print_of(night)
        if now is not None and (before is None or other in found or job.pipeline.sources[other].nightly):
            found[other] = now
    return found


def looked_up(source: FileSource | TableSource) -> list[str]:
    """Sources whose clean values decide which rows of this one are refused."""
    return [reference.source for reference in source.references if reference.missing == "refuse"]


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
    folders = [m.data for m in done[source].values() if m.data]
    other = layers.nights(spark, job.pipeline, job.lake, f"clean/{source}", folders)
    return other.select(F.col(f"`{column}`").alias("value")).where("value is not null").distinct()


def reasons(bad: DataFrame) -> dict[str, dict[str, int]]:
    """night → reason → rows. A row per night and reason comes to the driver."""
    result: dict[str, dict[str, int]] = {}
    for row in bad.groupBy("night", "reason").count().collect():
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


def judged(spark: SparkSession, job: Job, name: str, entries: Mapping[str, Mapping], done: Partitions) -> DataFrame:
    """The rows of some nights of raw, judged; laid out so that as little as possible is shuffled."""
    folders = [entry["data"] for entry in entries.values() if entry["data"]]
    raw = layers.nights(spark, job.pipeline, job.lake, f"raw/{name}", folders)
    if sum(entry["rows"] for entry in entries.values()) <= FEW_ROWS:
        raw = raw.coalesce(1)  # in one partition nothing is shuffled at all
    elif len(entries) >= job.pipeline.resources.shuffle_partitions:  # history: one shuffle serves duplicates and writing
        raw = raw.repartition("night")
    return judge(spark, job, name, raw, done)


def take(spark: SparkSession, job: Job, name: str, wanted: Wanted, done: Partitions) -> Counts:
    """Clean what is new of one source, and commit it; `done` gets all its nights. Returns the rows of each night by reason.

    The good rows are written first. Only where they are fewer than came in, the others are looked for: most nights have none.
    """
    source, entries = job.pipeline.sources[name], wanted.entries
    place = {layer: job.lake.place(f"{layer}/{name}", job.attempt) for layer in ("clean", "rejected")}
    where = {layer: job.lake.spark_path(folder) for layer, folder in place.items()}
    frame = judged(spark, job, name, entries, done)
    tables.write(cleaning.good(frame), schemas.clean(source), where["clean"], by="night")
    rows = {"clean": tables.written(where["clean"]), "rejected": {}}
    short = [night for night, entry in entries.items() if rows["clean"].get(night, 0) != entry["rows"]]
    bad: Counts = {}
    if short:
        others = judged(spark, job, name, {night: entries[night] for night in short}, done).where("reason is not null")
        others = others.persist(StorageLevel.MEMORY_AND_DISK)
        bad = reasons(others)
        if any(reason != cleaning.DUPLICATE for of_night in bad.values() for reason in of_night):
            tables.write(cleaning.refused(others), schemas.rejected(source), where["rejected"], by="night")
            rows["rejected"] = tables.written(where["rejected"])
        others.unpersist()
    found: Counts = {night: {GOOD: rows["clean"].get(night, 0), **bad.get(night, {})} for night in sorted(entries)}
    for night, by_reason in found.items():
        check(name, source, night, rows=entries[night]["rows"], by_reason=by_reason, where=where["rejected"])
    manifests: dict[str, dict[str, Manifest]] = {"clean": {}, "rejected": {}}
    for layer, night in product(manifests, entries):
        count = rows[layer].get(night, 0)
        manifests[layer][night] = job.manifest(
            f"{layer}/{name}",
            night,
            fingerprint=wanted.prints[night],
            data=f"{place[layer]}/part={night}" if count else None,
            rows=count,
            facts={"by_reason": found[night], "raw": entries[night]["fingerprint"], "judged_by": wanted.judged_by[night]},
        )
    job.lake.commit(*manifests["rejected"].values())
    job.lake.commit(*manifests["clean"].values())
    done[name] = {**wanted.kept, **manifests["clean"]}
    return found


def planned(job: Job) -> str:
    """The roll-up's fingerprint if nothing is to be cleaned; else one that no roll-up has."""
    ingested = job.lake.get("ingest", job.ds)
    job.plan = {}
    for name in job.pipeline.sources_in_order():
        job.plan[name] = plan(job, name, ingested, job.plan)
    if any(wanted.prints for wanted in job.plan.values()):
        return f"new in {job.attempt}"
    return rollup.fingerprint_of({name: wanted.kept for name, wanted in job.plan.items()})


def main(spark: SparkSession, job: Job) -> Outcome:
    plans: dict[str, Wanted] = job.plan
    partitions: Partitions = {name: wanted.kept for name, wanted in plans.items() if not wanted.prints}
    fresh = [name for name, wanted in plans.items() if wanted.prints]
    refers = {name: [other for other in looked_up(job.pipeline.sources[name]) if other in fresh] for name in fresh}
    found = together.each(fresh, lambda name: take(spark, job, name, plans[name], partitions), after=refers)
    total = {GOOD: 0, cleaning.DUPLICATE: 0, "rejected": 0}
    for by_reason in (of_night for of_source in found.values() for of_night in of_source.values()):
        for reason, rows in by_reason.items():
            total[reason if reason in (GOOD, cleaning.DUPLICATE) else "rejected"] += rows
    left = sum(wanted.left for wanted in plans.values())
    return Outcome(
        summary=f"{total[GOOD]:,} rows cleaned, {total['rejected']:,} rejected, {total[cleaning.DUPLICATE]:,} duplicates"
        + (f"; nights that stay as older rules cleaned them: {left} (retention.raw_days: their raw rows are gone)" if left else ""),
        rows=sum(m.rows or 0 for nights in partitions.values() for m in nights.values()),
        facts=rollup.facts(partitions),
        fingerprint=rollup.fingerprint_of(partitions),
    )


if __name__ == "__main__":
    run("clean", main, fingerprint=planned)
