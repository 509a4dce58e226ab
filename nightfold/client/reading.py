"""How lists are read, without doing it: generators that say which keys they want, and are sent what is there.

So the same lines read for a thread and for an event loop. A reader remembers the pointer for a second at most, and a version's
fallback for as long; asks for a list and for its version's mark of being whole in one command; and believes that a key is unknown
only where the mark was there, or the pointer had not moved after. So it never takes a half-deleted version for a whole one.
"""

import time
from collections.abc import Generator, Sequence
from typing import TypeVar

from nightfold.buckets import B, bucket
from nightfold.client.answers import Answer, Side, answer, lost, unpublished
from nightfold.errors import StoreError
from nightfold.store.base import Split, VersionManifest
from nightfold.store.records import decode
from nightfold.store.valkey import names

from pydantic import ValidationError

T = TypeVar("T")
Steps = Generator[list[str], list[bytes | None], T]
"""Yields keys of the store, is sent what is under them, returns the answers."""
TRIES = 5  # versions that may vanish, one after the other, while one list is read


class Pointer:
    """What is served of a pipeline: the live version, and maybe one more for a share of the keys."""

    __slots__ = ("live", "other", "read_at", "said", "share")

    def __init__(self, said: tuple[bytes | None, ...], live: Side, other: Side | None, share: float, read_at: float) -> None:
        self.said, self.live, self.other, self.share, self.read_at = said, live, other, share, read_at

    def side(self, pipeline: str, key: str) -> tuple[Side, str | None]:
        """Whose list a key gets, and its bucket while there are two."""
        if self.other is None:
            return self.live, None
        name = bucket(pipeline, key, self.share)
        return (self.other if name == B else self.live), name


class Reading:
    """What a reader remembers. Threads may share it: the worst is that two of them ask for the pointer at once.

    :param pointer_seconds: how long a pointer is believed
    :param atomic: many keys are read at one moment: one server, not a cluster
    """

    def __init__(self, *, pointer_seconds: float, atomic: bool) -> None:
        self.pointer_seconds, self.atomic = pointer_seconds, atomic
        self.pointers: dict[str, Pointer] = {}

    def lists(self, pipeline: str, keys: Sequence[str], *, n: int | None) -> Steps[list[Answer]]:
        """The lists of some keys, all as of one pointer.

        Raises UnknownVersion when nothing is published, IncompleteVersion when the store has lost what it was given.
        """
        pointer = self.pointers.get(pipeline)
        if pointer is None:
            pointer = yield from self._load(pipeline)
        for _ in range(TRIES):
            sides = [pointer.side(pipeline, key) for key in keys]
            marks = list(dict.fromkeys(names.whole(*_place(side)) for side, _ in sides))
            asked = self._control(pipeline) if time.monotonic() - pointer.read_at >= self.pointer_seconds else []
            wanted = [names.record(*_place(side), key) for (side, _), key in zip(sides, keys, strict=True)]
            asked_at = time.monotonic()
            replies = yield [*asked, *marks, *wanted]
            said, records = tuple(replies[: len(asked)]), replies[len(asked) + len(marks) :]
            if asked and said != pointer.said:
                pointer = yield from self._load(pipeline)
                continue
            if asked:
                pointer.read_at = asked_at
            if None in records:
                found = replies[len(asked) : len(asked) + len(marks)] if self.atomic else (yield marks)
                if None in found:  # it is being deleted, or is of a release that made no mark
                    before, pointer = pointer, (yield from self._load(pipeline))
                    if pointer.said != before.said:
                        continue
            return [
                _found(side, key, record, n=n, bucket=name) for (side, name), key, record in zip(sides, keys, records, strict=True)
            ]
        raise StoreError(f"{pipeline}: {TRIES} versions vanished while one list was read: are nights published in a loop?")

    def live(self, pipeline: str) -> Steps[VersionManifest]:
        """The live version's manifest, at most as old as a pointer is believed. Raises UnknownVersion when nothing is published."""
        pointer = self.pointers.get(pipeline)
        asked_at = time.monotonic()
        if pointer is not None and asked_at - pointer.read_at >= self.pointer_seconds:
            if tuple((yield self._control(pipeline))) == pointer.said:
                pointer.read_at = asked_at
            else:
                pointer = None
        if pointer is None:
            pointer = yield from self._load(pipeline)
        return pointer.live.manifest

    def remembered(self, pipeline: str, keys: Sequence[str], *, n: int | None) -> list[Answer] | None:
        """The fallback for each key, said to be one for want of a store; None when nothing was ever read of the pipeline."""
        pointer = self.pointers.get(pipeline)
        if pointer is None or pointer.live.fallback is None:
            return None
        rows, now = decode(pointer.live.fallback), time.time()
        return [answer(pointer.live, key, rows, now=now, source="fallback", n=n, degraded=True) for key in keys]

    def _control(self, pipeline: str) -> list[str]:
        return [names.control(pipeline, "live"), names.control(pipeline, "split")]

    def _load(self, pipeline: str) -> Steps[Pointer]:
        for _ in range(TRIES):
            read_at = time.monotonic()
            live, split = yield self._control(pipeline)
            if live is None and pipeline in self.pointers:  # nothing ever takes it back
                raise StoreError(f"{pipeline}: the store has lost what was live: was it emptied, or is it another one?")
            if live is None:
                raise unpublished(pipeline)
            try:
                other = Split.model_validate_json(split) if split is not None else None
                manifests = [VersionManifest.model_validate_json(live), *([other.manifest] if other is not None else [])]
            except ValidationError as error:
                raise StoreError(f"{pipeline}: what is live was written by another release: use the same one here") from error
            fallbacks = yield [*(names.fallback(m.pipeline, m.version, m.attempt) for m in manifests), *self._control(pipeline)]
            if tuple(fallbacks[len(manifests) :]) != (live, split):
                continue
            sides = [Side(manifest, fallback) for manifest, fallback in zip(manifests, fallbacks, strict=False)]
            share = other.share if other is not None else 0.0
            pointer = Pointer((live, split), sides[0], sides[1] if other is not None else None, share, read_at)
            self.pointers[pipeline] = pointer
            return pointer
        raise StoreError(f"{pipeline}: the pointer moved {TRIES} times while it was read: are nights published in a loop?")


def _place(side: Side) -> tuple[str, str, str]:
    return side.manifest.pipeline, side.manifest.version, side.manifest.attempt


def _found(side: Side, key: str, record: bytes | None, *, n: int | None, bucket: str | None) -> Answer:
    source = "model" if record is not None else "fallback"
    kept = record if record is not None else side.fallback
    if kept is None:
        raise lost(side.manifest)
    return answer(side, key, decode(kept), now=time.time(), source=source, n=n, bucket=bucket)
