"""publish: scores -> a new version, staged whole in the key-value store and read back; readers do not see it yet.

Reads   scores, evaluation
Writes  the store         every list, under a key of this attempt; then the version's manifest
        version           which version the night has, for promote
Raises  IncompleteVersion when the store does not hold what it was given: nothing is sealed, live stays
"""

import contextlib
import functools
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

from nightfold import changes, schemas, settings
from nightfold.errors import IncompleteVersion, StoreError
from nightfold.fingerprint import digest
from nightfold.lake import Manifest
from nightfold.spark import loading, tables
from nightfold.spark.job import Job, Outcome, run
from nightfold.stages import BY_NAME, inputs_fingerprint
from nightfold.store import Store, VersionManifest, store_at
from nightfold.store.records import checksum, encode, record_digest
from nightfold.whole import is_whole

from pyspark.sql import DataFrame, SparkSession

WRITTEN_ANEW = "the store had lost lists of it: it was written anew"


def publish(job: Job, lists: DataFrame, fallback: bytes, scores: Manifest, *, store: Store, uri: str) -> VersionManifest:
    """Stage and seal the night's version, or find it sealed before, and whole."""
    with loading.encoded(lists) as records:
        return _publish(job, records, fallback, scores, store=store, uri=uri)


def _publish(job: Job, records: DataFrame, fallback: bytes, scores: Manifest, *, store: Store, uri: str) -> VersionManifest:
    name = job.pipeline.pipeline
    keys, total = loading.summed(records)
    content = checksum([total, record_digest("", fallback)])
    version = f"{job.ds.replace('-', '')}-{digest(scores.fingerprint, content)[:12]}"
    found = store.find(name, version)
    if found is not None and is_whole(store, found.manifest):
        return found.manifest
    place, size, recipe = loading.Place(uri, name, version, job.attempt), job.pipeline.publish.batch, scores.facts["recipe"]
    with _whole_or_nothing(place):
        server = store.server_id()
        store.announce(*place.name)
        with loading.told(store, place, keys, functools.partial(print, flush=True)):
            written, _ = loading.in_batches(records, loading.write(place), batch=size)
        store.write_fallback(*place.name, fallback)
        there, wrong = loading.in_batches(records, loading.inspect(place), batch=size)
        if (written, there, wrong) != (keys, keys, 0) or store.fallback(*place.name) != fallback:
            raise IncompleteVersion(
                f"{name}, night {job.ds}: of {keys} lists {written} were written, {there} are in the store, {wrong} of the sample differ: "
                "nothing is sealed, live stays; is the store full or restarting? Run the task again"
            )
        if store.server_id() != server:
            raise IncompleteVersion(
                f"{name}, night {job.ds}: the store restarted meanwhile: nothing is sealed, live stays; run the task again"
            )
        manifest = VersionManifest(
            pipeline=name,
            version=version,
            attempt=job.attempt,
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


@contextlib.contextmanager
def _whole_or_nothing(place: loading.Place) -> Iterator[None]:
    """What a failed attempt has written makes room for the next one; whom that does not reach, `collect` takes by and by."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(StoreError):  # why it failed says more
            store_at(place.uri, timeout=5.0, retries=0).discard(*place.name)
        raise


def about(job: Job, scores: Manifest) -> dict[str, Any]:
    """What later nights are compared with: who made the lists and why, where they are, what serves the same model without
    Spark (a folder, or None), and the data of the night."""
    judged, data = job.lake.get("evaluation", job.ds).facts, job.lake.get("features", job.ds).facts
    verdict = judged["verdict"]
    return {
        "recipe": scores.facts["recipe"],
        "twin": scores.facts["recipe"].get("twin"),
        "verdict": {"outcome": verdict["outcome"], "reason": verdict["reason"]},
        "lists": f"{scores.data}/lists",
        "measured": judged.get("measured"),
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
    version = publish(job, lists, unknown, scores, store=store_at(uri), uri=uri)
    marked = changes.mark(store_at(uri), job.lake, job.pipeline.sources, but=version.version)
    from_old_data = f"; from older data, and marked so: {', '.join(marked)}" if marked else ""
    return Outcome(
        summary=f"version {version.version} staged and verified: {version.keys:,} lists, checksum {version.checksum}{from_old_data}",
        rows=version.keys,
        facts={"version": version.version, "keys": version.keys, "checksum": version.checksum},
        fingerprint=inputs_fingerprint(job.stage, pipeline=job.pipeline, ds=job.ds, lake=job.lake),
    )


if __name__ == "__main__":
    run("publish", main, fingerprint=planned)
