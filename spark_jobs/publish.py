"""publish: scores -> a new version, staged whole in the key-value store and read back; readers do not see it yet.

Reads   scores, evaluation
Writes  the store         every list, under a key of this attempt; then the version's manifest
        version           which version the night has, for promote
Raises  IncompleteVersion when the store does not hold what it was given: nothing is sealed, live stays
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

from nightfold import changes, schemas, settings
from nightfold.errors import IncompleteVersion
from nightfold.fingerprint import digest
from nightfold.lake import Manifest
from nightfold.spark import tables
from nightfold.spark.job import Job, Outcome, run
from nightfold.stages import BY_NAME, inputs_fingerprint
from nightfold.store import Store, VersionManifest, store_at
from nightfold.store.records import checksum, encode, record_digest
from nightfold.whole import is_whole

import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession

WRITTEN_ANEW = "the store had lost lists of it: it was written anew"
SAMPLE = 20  # one record in so many is read back and compared; all are counted
Records = dict[str, bytes]


def in_batches(lists: DataFrame, work: Callable[[Records], tuple[int, int]], *, batch: int) -> tuple[int, int]:
    """Run `work` in the executors on batches of encoded records; returns the sums of its two numbers.

    A row per Arrow batch comes to the driver, never a list.
    """

    def partition(arrow: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for part in arrow:
            for start in range(0, part.num_rows, batch):
                rows = part.slice(start, batch).to_pylist()
                one, two = work({row["key"]: encode((i["id"], i["score"], i["why"]) for i in row["items"]) for row in rows})
                yield pa.RecordBatch.from_pydict({"one": [str(one)], "two": [str(two)]})

    sums = lists.mapInArrow(partition, "one string, two string").collect()
    return sum(int(row["one"]) for row in sums), sum(int(row["two"]) for row in sums)


def digests(records: Records) -> tuple[int, int]:
    """How many records, and the sum of their hashes."""
    return len(records), sum(record_digest(key, record) for key, record in records.items())


def stage(store_uri: str, *, pipeline: str, version: str, attempt: str) -> Callable[[Records], tuple[int, int]]:
    """Write a batch."""

    def work(records: Records) -> tuple[int, int]:
        store_at(store_uri).write(pipeline, version, attempt, records)
        return digests(records)

    return work


def inspect(store_uri: str, *, pipeline: str, version: str, attempt: str) -> Callable[[Records], tuple[int, int]]:
    """Count a batch in the store, and compare a sample byte by byte; returns how many are there, how many differ."""

    def work(records: Records) -> tuple[int, int]:
        store = store_at(store_uri)
        sample = [key for key, record in records.items() if record_digest(key, record) % SAMPLE == 0]
        kept = store.read(pipeline, version, attempt, sample)
        there = store.count(pipeline, version, attempt, list(records))
        return there, sum(record != records[key] for key, record in zip(sample, kept, strict=True))

    return work


def publish(job: Job, lists: DataFrame, fallback: bytes, scores: Manifest, *, store: Store, uri: str) -> VersionManifest:
    """Stage and seal the night's version, or find it sealed before, and whole."""
    name, size, recipe = job.pipeline.pipeline, job.pipeline.publish.batch, scores.facts["recipe"]
    keys, total = in_batches(lists, digests, batch=size)
    content = checksum([total, record_digest("", fallback)])
    version = f"{job.ds.replace('-', '')}-{digest(scores.fingerprint, content)[:12]}"
    found = store.find(name, version)
    if found is not None and is_whole(store, found.manifest):
        return found.manifest
    place = {"pipeline": name, "version": version, "attempt": job.attempt}
    server = store.server_id()
    store.announce(name, version, job.attempt)
    written, _ = in_batches(lists, stage(uri, **place), batch=size)
    store.write_fallback(name, version, job.attempt, fallback)
    there, wrong = in_batches(lists, inspect(uri, **place), batch=size)
    if (written, there, wrong) != (keys, keys, 0) or store.fallback(name, version, job.attempt) != fallback:
        raise IncompleteVersion(
            f"{name}, night {job.ds}: of {keys} lists {written} were written, {there} are in the store, {wrong} of the sample differ: "
            "nothing is sealed, live stays; is the store full or restarting? Run the task again"
        )
    if store.server_id() != server:
        raise IncompleteVersion(
            f"{name}, night {job.ds}: the store restarted meanwhile: nothing is sealed, live stays; run the task again"
        )
    manifest = VersionManifest(
        **place,
        night=job.ds,
        published_at=datetime.now(UTC).isoformat(timespec="seconds"),
        keys=keys,
        checksum=content,
        model=recipe["model"] if recipe["kind"] == "model" else f"baseline {recipe['name']}",
        facts={
            "scores": scores.fingerprint,
            "top_n": job.pipeline.recommend.top_n if job.pipeline.recommend is not None else 1,
            "dimensions": dimensions(job),
            **about(job, scores),
        },
        metrics=job.lake.get("evaluation", job.ds).facts["served"],
    )
    if found is None:
        return store.seal(manifest, keep=job.pipeline.publish.keep)
    before = {"remarks": [*found.manifest.remarks, WRITTEN_ANEW], "published_at": found.manifest.published_at}
    return store.seal(manifest.model_copy(update=before), keep=job.pipeline.publish.keep, broken=found.manifest.attempt)


def about(job: Job, scores: Manifest) -> dict[str, Any]:
    """What later nights are compared with: who made the lists and why, where they are, what serves the same model without
    Spark (a folder, or None), and the data of the night."""
    verdict, data = job.lake.get("evaluation", job.ds).facts["verdict"], job.lake.get("features", job.ds).facts
    return {
        "recipe": scores.facts["recipe"],
        "twin": scores.facts["recipe"].get("twin"),
        "verdict": {"outcome": verdict["outcome"], "reason": verdict["reason"]},
        "lists": f"{scores.data}/lists",
        "data": {name: data[name] for name in ("users", "active_users")},
        **{name: scores.facts[name] for name in ("churn", "unchanged_nights", "same_list") if name in scores.facts},
    }


def dimensions(job: Job) -> dict[str, str]:
    """Snapshots that were taken when the night was long over: the catalogue of another day."""
    morning = str(date.fromisoformat(job.ds) + timedelta(days=1))
    taken = {n: job.lake.find(f"raw/{n}", job.ds) for n, source in job.pipeline.sources.items() if not source.nightly}
    days = {name: manifest.committed_at[:10] for name, manifest in taken.items() if manifest is not None}
    return {name: f"as of {day}" for name, day in days.items() if day > morning}


def planned(job: Job) -> str:
    """What the stages before give; something that was never committed when the store has lost the version, or lists of it, since."""
    before = job.lake.find("version", job.ds)
    if before is not None:
        store = store_at(settings.connection_uri(job.pipeline.publish.connection))
        kept = store.find(job.pipeline.pipeline, before.facts["version"])
        if kept is None or not is_whole(store, kept.manifest):
            return f"gone from the store, again in {job.attempt}"
    return inputs_fingerprint(BY_NAME["publish"], pipeline=job.pipeline, ds=job.ds, lake=job.lake)


def main(spark: SparkSession, job: Job) -> Outcome:
    uri = settings.connection_uri(job.pipeline.publish.connection)
    scores = job.lake.get("scores", job.ds)
    lists, fallback = (
        tables.read(spark, schemas.SCORES, [job.lake.spark_path(f"{scores.data}/{part}")], what=f"scores/{part}")
        for part in ("lists", "fallback")
    )
    rows = fallback.collect()  # one row
    unknown = encode((i["id"], i["score"], i["why"]) for i in rows[0]["items"])
    ingested = job.lake.find("ingest", job.ds)
    noticed = ingested.facts.get("changes", []) if ingested is not None else []
    version = publish(job, lists, unknown, scores, store=store_at(uri), uri=uri)
    marked = changes.mark(store_at(uri), job.pipeline.pipeline, ds=job.ds, changes=noticed, but=version.version)
    from_old_data = f"; from older data, and marked so: {', '.join(marked)}" if marked else ""
    return Outcome(
        summary=f"version {version.version} staged and verified: {version.keys:,} lists, checksum {version.checksum}{from_old_data}",
        rows=version.keys,
        facts={"version": version.version, "keys": version.keys, "checksum": version.checksum},
        fingerprint=inputs_fingerprint(job.stage, pipeline=job.pipeline, ds=job.ds, lake=job.lake),
    )


if __name__ == "__main__":
    run("publish", main, fingerprint=planned)
