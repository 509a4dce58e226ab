"""Versions, published without Spark."""

from collections.abc import Iterable
from datetime import UTC, datetime

from benchmarks.faults.judging import digest
from benchmarks.serving.lists import GOODS, reasoned
from nightfold.store import Store, VersionManifest
from nightfold.store.records import checksum, decode, encode, total

PIPELINE = "faults"  # what the fault table's reader asks for
AT_ONCE = 500
LISTS, LENGTH = 300, 10  # of a version of the fault table
FALLBACK = encode([(str(800000 + n), 1.0 / (n + 1), f"goes with {goods}") for n, goods in enumerate(GOODS)])


def stage(
    store: Store,
    version: str,
    records: dict[str, bytes],
    *,
    night: str,
    attempt: str | None = None,
    at_once: int = AT_ONCE,
    pipeline: str = PIPELINE,
    twin: str | None = None,
) -> VersionManifest:
    """Written and sealed.

    :param twin: the folder of its model below the lake
    """
    attempt = attempt or datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
    store.announce(pipeline, version, attempt)
    keys = list(records)
    for first in range(0, len(keys), at_once):
        store.write(pipeline, version, attempt, {key: records[key] for key in keys[first : first + at_once]})
    store.write_fallback(pipeline, version, attempt, FALLBACK)
    manifest = VersionManifest(
        pipeline=pipeline,
        version=version,
        attempt=attempt,
        night=night,
        published_at=datetime.now(UTC).isoformat(timespec="seconds"),
        keys=len(records),
        checksum=checksum([total([*records.items(), ("", FALLBACK)])]),
        model="made up",
        facts={"twin": twin},
    )
    return store.seal(manifest)


def publish(
    store: Store, version: str, records: dict[str, bytes], *, night: str, pipeline: str = PIPELINE, twin: str | None = None
) -> VersionManifest:
    """The same, and live."""
    manifest = stage(store, version, records, night=night, pipeline=pipeline, twin=twin)
    store.promote(pipeline, version, store.begin(pipeline), 3)
    return manifest


def made(version: str) -> dict[str, bytes]:
    """What a version of the fault table holds, by its name alone (v7): most keys are in each, some only in every second one."""
    number = int(version.removeprefix("v"))
    return {
        f"user{n:08}": encode(reasoned(n + 100_003 * number, length=LENGTH))
        for n in range(LISTS)
        if n % 10 or (n // 10 + number) % 2
    }


def known(versions: Iterable[str]) -> dict[str, dict[str, str]]:
    """The same as the reader judges by it."""

    def shown(record: bytes) -> str:
        return digest([{"id": item, "score": score, "why": why} for item, score, why in decode(record)])

    return {version: {"": shown(FALLBACK), **{key: shown(record) for key, record in made(version).items()}} for version in versions}
