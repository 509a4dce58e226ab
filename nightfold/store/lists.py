"""The record of one list, and what a reader is told about it."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from typing import Any

from nightfold.errors import IncompleteVersion, UnknownVersion
from nightfold.store.base import Store, VersionManifest


def encode(items: Iterable[tuple[str, float, str]]) -> bytes:
    """A list as compact JSON: [[id, score, why], ...], best first; the same list gives the same bytes."""
    rows = [[item, round(score, 6), why] for item, score, why in items]
    return json.dumps(rows, separators=(",", ":"), ensure_ascii=False).encode()


def decode(record: bytes) -> list[dict[str, Any]]:
    """The items of a record, as a reader sees them."""
    return [{"id": item, "score": score, "why": why} for item, score, why in json.loads(record)]


def record_digest(key: str, record: bytes) -> int:
    """A 64-bit hash of one key and its record."""
    return int.from_bytes(
        hashlib.blake2b(record, digest_size=8, key=hashlib.blake2b(key.encode(), digest_size=32).digest()).digest()
    )


def checksum(digests: Iterable[int]) -> str:
    """Over all records: the sum of their hashes modulo 2^64, so that neither order nor partitioning matters."""
    return f"{sum(digests) % 2**64:016x}"


def lookup(
    store: Store, pipeline: str, keys: list[str], *, n: int | None = None, version: str | None = None
) -> list[dict[str, Any]]:
    """The lists of some keys, all from one version: the live one unless `version` says otherwise.

    An unknown key gets the fallback list, marked so.

    Raises UnknownVersion when nothing is published, IncompleteVersion when the store has lost what it was given.
    """
    manifest = _manifest(store, pipeline, version)
    records = store.read(pipeline, manifest.version, manifest.attempt, keys)
    unknown = None
    if None in records:
        unknown = store.fallback(pipeline, manifest.version, manifest.attempt)
        if _manifest(store, pipeline, version) != manifest:  # dropped while we read: what seems unknown may have been deleted
            return lookup(store, pipeline, keys, n=n, version=version)
        if unknown is None:
            raise IncompleteVersion(f"{pipeline}: version {manifest.version} has lost its records: {_mend(manifest)}")
    return [
        _answer(manifest, key, record if record is not None else unknown, fallback=record is None, n=n)
        for key, record in zip(keys, records, strict=True)
    ]


def lookup_all(
    store: Store, pipeline: str, *, n: int | None = None, version: str | None = None, batch: int = 500
) -> Iterator[dict]:
    """Every key's list, each once, in no order.

    Raises what `lookup` does; IncompleteVersion too when there were fewer or more than the version has.
    """
    manifest = _manifest(store, pipeline, version)
    waiting: list[str] = []
    found = 0
    for key in store.keys(pipeline, manifest.version, manifest.attempt):
        waiting.append(key)
        found += 1
        if len(waiting) == batch:
            yield from lookup(store, pipeline, waiting, n=n, version=manifest.version)
            waiting = []
    yield from lookup(store, pipeline, waiting, n=n, version=manifest.version)  # raises when it was dropped meanwhile
    if found != manifest.keys:
        raise IncompleteVersion(
            f"{pipeline}: version {manifest.version} holds {found} of its {manifest.keys} lists: {_mend(manifest)}"
        )


def is_whole(store: Store, manifest: VersionManifest) -> bool:
    """Whether the store still has as many lists as the version was given, and its fallback."""
    held = sum(1 for _ in store.keys(manifest.pipeline, manifest.version, manifest.attempt))
    return held == manifest.keys and store.fallback(manifest.pipeline, manifest.version, manifest.attempt) is not None


def _mend(manifest: VersionManifest) -> str:
    return f"clear `publish` of night {manifest.night} in Airflow, which writes it anew"


def _manifest(store: Store, pipeline: str, version: str | None) -> VersionManifest:
    if version is None:
        if (live := store.live(pipeline)) is None:
            raise UnknownVersion(
                f"{pipeline}: nothing is published yet: run a night first (`make run`, or trigger nightly_{pipeline})"
            )
        return live
    if (found := store.find(pipeline, version)) is None:
        kept = ", ".join(v.manifest.version for v in store.versions(pipeline)) or "none"
        raise UnknownVersion(f"{pipeline}: no version {version!r}; kept are: {kept}")
    return found.manifest


def _answer(manifest: VersionManifest, key: str, record: bytes | None, *, fallback: bool, n: int | None) -> dict[str, Any]:
    items = decode(record or b"[]")
    return {
        "pipeline": manifest.pipeline,
        "key": key,
        "version": manifest.version,
        "night": manifest.night,
        "published_at": manifest.published_at,
        "source": "fallback" if fallback else "model",
        "items": items if n is None else items[:n],
    }
