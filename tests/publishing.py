"""Versions as the contract's tests publish them."""

from nightfold.client import Answer
from nightfold.client.reading import Reading
from nightfold.store import Store, VersionManifest
from nightfold.store.records import encode
from nightfold.whole import lists_of

import msgspec

FALLBACK = encode([("milk", 9.0, "popular")])


def lists(**items: str) -> dict[str, bytes]:
    return {key: encode([(item, 1.0, "")]) for key, item in items.items()}


def stage(
    store: Store,
    version: str,
    records: dict[str, bytes] | None = None,
    *,
    night: str = "2017-12-03",
    pipeline: str = "shop",
    attempt: str = "20171204T023000-0",
    keep: int = 3,
) -> VersionManifest:
    """Write and seal a version."""
    records = lists(anna="bread") if records is None else records
    store.announce(pipeline, version, attempt)
    store.write(pipeline, version, attempt, records)
    store.write_fallback(pipeline, version, attempt, FALLBACK)
    return store.seal(
        VersionManifest(
            pipeline=pipeline,
            version=version,
            night=night,
            attempt=attempt,
            published_at="2017-12-04T02:41:07+00:00",
            keys=len(records),
            checksum="0",
            model="m1",
        ),
        keep=keep,
    )


def serve(store: Store, version: str, records: dict[str, bytes] | None = None, *, keep: int = 3, **where: str) -> bool:
    """Stage a version, and point readers at it."""
    stage(store, version, records, **where)
    pipeline = where.get("pipeline", "shop")
    return store.promote(pipeline, version, store.begin(pipeline), keep)


def answers(
    store: Store, keys: list[str], *, n: int | None = None, version: str | None = None, pipeline: str = "shop"
) -> list[Answer]:
    """As a reader gets them who has asked nothing before."""
    if version is not None:
        return lists_of(store, pipeline, version, keys, n=n)
    steps = Reading(pointer_seconds=1, atomic=not store.wire.clustered).lists(pipeline, keys, n=n)
    try:
        wanted = next(steps)
        while True:
            wanted = steps.send(store.wire.get(wanted))
    except StopIteration as end:
        return end.value


def lookup(store: Store, pipeline: str, keys: list[str], **how) -> list[dict]:
    """The same as dictionaries, without their age."""
    found = [msgspec.to_builtins(answer) for answer in answers(store, keys, pipeline=pipeline, **how)]
    assert all(answer.pop("age_seconds") >= 0 for answer in found)
    return found


def first(store: Store, key: str, **how) -> str:
    [answer] = answers(store, [key], **how)
    return answer.items[0].id


def states(store: Store) -> dict[str, str]:
    return {kept.manifest.version: kept.state for kept in store.versions("shop")}


def three_nights(store: Store) -> None:
    for night, version, item in (("01", "v1", "bread"), ("02", "v2", "eggs"), ("03", "v3", "soap")):
        serve(store, version, lists(anna=item), night=f"2017-12-{night}")
