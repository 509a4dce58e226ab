"""What a reader is told: a list, which version it is of, how old it is, and how it was found."""

from collections.abc import Sequence

from nightfold.errors import IncompleteVersion, UnknownVersion
from nightfold.store.base import VersionManifest
from nightfold.store.records import Row

import msgspec


class Item(msgspec.Struct, frozen=True, gc=False):  # it holds nothing that could hold it
    """One line of a list."""

    id: str
    score: float
    why: str = ""
    """For the person who reads it: bought 3 times, popular now, ..."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """One key's list. `nightfold lookup --json` and the REST API say the same."""

    pipeline: str
    key: str
    version: str
    night: str
    published_at: str
    age_seconds: float
    """Since it was published."""
    source: str
    """model, or fallback: the version has no list for this key."""
    bucket: str | None = None
    """While two versions are served: A for the live one, B for the other."""
    degraded: bool = False
    """True when the store could not be reached: this is the fallback that was kept in memory."""
    items: list[Item]


class Side:
    """A version as a reader knows it: what stands in each of its answers, and its fallback."""

    __slots__ = ("fallback", "manifest", "published")

    def __init__(self, manifest: VersionManifest, fallback: bytes | None) -> None:
        self.manifest, self.fallback = manifest, fallback
        self.published = manifest.published


def answer(
    side: Side,
    key: str,
    rows: Sequence[Row],
    *,
    now: float,
    source: str,
    n: int | None,
    bucket: str | None = None,
    degraded: bool = False,
) -> Answer:
    """:param now: seconds since 1970
    :param n: the first n items only
    """
    manifest = side.manifest
    return Answer(
        pipeline=manifest.pipeline,
        key=key,
        version=manifest.version,
        night=manifest.night,
        published_at=manifest.published_at,
        age_seconds=round(max(0.0, now - side.published), 1),
        source=source,
        bucket=bucket,
        degraded=degraded,
        items=[Item(*row) for row in (rows if n is None else rows[:n])],
    )


def unpublished(pipeline: str) -> UnknownVersion:
    """What is said where nothing is live."""
    return UnknownVersion(f"{pipeline}: nothing is published yet: run a night first (`make run`, or trigger nightly_{pipeline})")


def lost(manifest: VersionManifest) -> IncompleteVersion:
    """What is said of a version whose lists and fallback are gone."""
    return IncompleteVersion(f"{manifest.pipeline}: version {manifest.version} has lost its records: {manifest.mend}")
