"""Lists into the store, in parallel: encoded once, written batch by batch, counted and compared. The driver sees sums, never a list.

An executor's task has one batch on its way at a time, and goes on when the store has it: a slow store slows the job, and fills no memory.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from nightfold.store import Store, store_at
from nightfold.store.encoding import encode_all
from nightfold.store.records import record_digest

import pyarrow as pa
from pyspark import StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

ENCODED = "key string, record binary, digest bigint"
SAMPLE = 20  # one record in so many is read back and compared; all are counted
TELL_EVERY = 5.0  # seconds between two lines of progress
Keys = list[str]
Records = list[bytes]
Work = Callable[[Keys, Records], tuple[int, int]]


@dataclass(frozen=True)
class Place:
    """Where an attempt writes."""

    uri: str
    pipeline: str
    version: str
    attempt: str

    @property
    def name(self) -> tuple[str, str, str]:
        """As the store's methods take it."""
        return self.pipeline, self.version, self.attempt


@contextmanager
def encoded(lists: DataFrame) -> Iterator[DataFrame]:
    """The same as ENCODED, kept on the executors' disks for as long as the block runs: it is read three times.

    digest: of the record with its key, 64 bits as a signed number.
    """

    def encode(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            keys, records = batch["key"].to_pylist(), encode_all(batch["items"])
            digests = [record_digest(key, record) for key, record in zip(keys, records, strict=True)]
            signed = [digest - 2**64 if digest >= 2**63 else digest for digest in digests]
            yield pa.RecordBatch.from_arrays(
                [batch["key"], pa.array(records, pa.binary()), pa.array(signed, pa.int64())], names=["key", "record", "digest"]
            )

    kept = lists.select("key", "items").mapInArrow(encode, ENCODED).persist(StorageLevel.DISK_ONLY)
    try:
        yield kept
    finally:
        kept.unpersist()


def summed(records: DataFrame) -> tuple[int, int]:
    """How many, and the sum of their digests."""
    row = records.agg(F.count("*").alias("keys"), F.sum(F.col("digest").cast("decimal(38,0)")).alias("total")).first()
    return row["keys"], int(row["total"] or 0)


def in_batches(records: DataFrame, work: Work, *, batch: int) -> tuple[int, int]:
    """Run `work` in the executors on batches of keys and records; returns the sums of its two numbers."""

    def partition(arrow: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        one, two = 0, 0
        keys: Keys = []
        values: Records = []
        for part in arrow:
            keys += part["key"].to_pylist()
            values += part["record"].to_pylist()
            while len(keys) >= batch:
                first, second = work(keys[:batch], values[:batch])
                one, two, keys, values = one + first, two + second, keys[batch:], values[batch:]
        if keys:
            first, second = work(keys, values)
            one, two = one + first, two + second
        yield pa.RecordBatch.from_pydict({"one": [one], "two": [two]})

    row = records.select("key", "record").mapInArrow(partition, "one bigint, two bigint").agg(F.sum("one"), F.sum("two")).first()
    return row[0] or 0, row[1] or 0


def write(place: Place) -> Work:
    """Write a batch; returns how many."""

    def work(keys: Keys, records: Records) -> tuple[int, int]:
        store = store_at(place.uri)
        store.write(*place.name, dict(zip(keys, records, strict=True)))
        store.progress(*place.name, more=len(keys))
        return len(keys), 0

    return work


def inspect(place: Place) -> Work:
    """Count a batch in the store, and compare a sample byte by byte; returns how many are there, how many differ."""

    def work(keys: Keys, records: Records) -> tuple[int, int]:
        store = store_at(place.uri)
        sample = [(key, record) for key, record in zip(keys, records, strict=True) if record_digest(key, record) % SAMPLE == 0]
        kept = store.read(*place.name, [key for key, _ in sample])
        there = store.count(*place.name, keys)
        return there, sum(record != kept_record for (_, record), kept_record in zip(sample, kept, strict=True))

    return work


@contextmanager
def told(store: Store, place: Place, keys: int, say: Callable[[str], None]) -> Iterator[None]:
    """Say every few seconds how far it is, while the block runs."""
    over, began = threading.Event(), time.monotonic()

    def tell() -> None:
        while not over.wait(TELL_EVERY):
            done = store.progress(*place.name)
            say(f"{done:,} of {keys:,} lists written, {done / (time.monotonic() - began):,.0f} a second")

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        over.set()
        teller.join()
