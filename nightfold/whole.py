"""All lists of a version: read by its name, counted, and summed up again."""

import time
from collections.abc import Iterator
from itertools import islice

from nightfold.client.answers import Answer, Side, answer, lost, unpublished
from nightfold.errors import IncompleteVersion, UnknownVersion
from nightfold.store.base import Store, VersionManifest
from nightfold.store.records import checksum, decode, record_digest, total

BATCH = 500  # lists that are read at once


def lists_of(store: Store, pipeline: str, version: str, keys: list[str], *, n: int | None = None) -> list[Answer]:
    """The lists of some keys in a version that is kept, live or not; an unknown key gets its fallback.

    Raises UnknownVersion when it is not kept (any more), IncompleteVersion when the store has lost what it was given.
    """
    manifest = named(store, pipeline, version)
    records = store.read(pipeline, version, manifest.attempt, keys)
    unknown = store.fallback(pipeline, version, manifest.attempt) if None in records else None
    if None in records and named(store, pipeline, version) != manifest:  # dropped while we read, or written anew
        return lists_of(store, pipeline, version, keys, n=n)
    if None in records and unknown is None:
        raise lost(manifest)
    side, now, found = Side(manifest, unknown), time.time(), []
    for key, record in zip(keys, records, strict=True):
        source = "model" if record is not None else "fallback"
        found.append(answer(side, key, decode(record if record is not None else unknown or b"[]"), now=now, source=source, n=n))
    return found


def all_lists(store: Store, pipeline: str, *, version: str | None = None, n: int | None = None) -> Iterator[Answer]:
    """Every key's list, each once, in no order: of the live version, or of another.

    Raises what `lists_of` does; IncompleteVersion too when there were fewer or more than the version has.
    """
    manifest, found = named(store, pipeline, version), 0
    for keys in _batches(store.keys(pipeline, manifest.version, manifest.attempt)):
        found += len(keys)
        yield from lists_of(store, pipeline, manifest.version, keys, n=n)
    named(store, pipeline, manifest.version)  # raises when it was dropped meanwhile
    if found != manifest.keys:
        raise IncompleteVersion(
            f"{pipeline}: version {manifest.version} holds {found} of its {manifest.keys} lists: {manifest.mend}"
        )


def is_whole(store: Store, manifest: VersionManifest) -> bool:
    """Whether the store still has as many lists as the version was given, and its fallback."""
    held = sum(1 for _ in store.keys(manifest.pipeline, manifest.version, manifest.attempt))
    return held == manifest.keys and store.fallback(manifest.pipeline, manifest.version, manifest.attempt) is not None


def verify(store: Store, pipeline: str, version: str | None = None) -> VersionManifest:
    """Read every list of a version, and compare their number and their checksum with its manifest; returns that.

    Raises IncompleteVersion when they differ, UnknownVersion when it is not kept.
    """
    manifest = named(store, pipeline, version)
    place = (pipeline, manifest.version, manifest.attempt)
    fallback = store.fallback(*place)
    summed, found = record_digest("", fallback) if fallback is not None else 0, 0
    for keys in _batches(store.keys(*place)):
        there = [(key, record) for key, record in zip(keys, store.read(*place, keys), strict=True) if record is not None]
        summed, found = summed + total(there), found + len(there)
    if named(store, pipeline, manifest.version) != manifest:  # forgotten, remarked on, or written anew while we read
        return verify(store, pipeline, manifest.version)
    if fallback is None or (found, checksum([summed])) != (manifest.keys, manifest.checksum):
        less = " and no fallback" if fallback is None else ""
        raise IncompleteVersion(
            f"{pipeline}: version {manifest.version} holds {found} of its {manifest.keys} lists{less}, checksum {checksum([summed])} "
            f"instead of {manifest.checksum}: {manifest.mend}"
        )
    return manifest


def named(store: Store, pipeline: str, version: str | None) -> VersionManifest:
    """A kept version's manifest; the live one's without a name. Raises UnknownVersion."""
    if version is None:
        if (live := store.live(pipeline)) is None:
            raise unpublished(pipeline)
        return live
    if (found := store.find(pipeline, version)) is None:
        kept = ", ".join(v.manifest.version for v in store.versions(pipeline)) or "none"
        raise UnknownVersion(f"{pipeline}: no version {version!r}; kept are: {kept}")
    return found.manifest


def _batches(keys: Iterator[str]) -> Iterator[list[str]]:
    while batch := list(islice(keys, BATCH)):
        yield batch
