"""Every user's past as one row of arrays, and how the Python workers read it: blocks of users as flat columns.

Written once a night from the daily aggregates; what a window may know is cut off in the block, never later (`Block.until`).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields

from nightfold.schemas import Schema
from nightfold.spark import tables
from nightfold.spark.arrays import pair_key, starts
from nightfold.spark.windows import Window

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

EVENT = "struct<item:int,day:int,baskets:int,amount:float,discount:float>"
SCHEMA = {"user": "int", "events": f"array<{EVENT}>", "visits": "array<struct<day:int,baskets:int>>", "segments": "array<int>"}
BLOCK_USERS = 256


def histories(interactions: DataFrame, visits: DataFrame, alike: DataFrame | None, *, partitions: int) -> DataFrame:
    """SCHEMA, one row per user: events by item and day, visits by day. The same rows lie in the same order, whoever comes first.

    :param interactions: user, item, day, weight (baskets), amount, discount: one row per user, item and day
    :param visits: user, day, baskets: one row per user and day
    :param alike: segments.ATTRIBUTES of every user
    """
    event = F.struct("item", "day", F.col("weight").cast("int").alias("baskets"), "amount", "discount")
    visit = F.struct("day", "baskets")
    events, days = (
        frame.repartition(partitions, "user")
        .groupBy("user")
        .agg(F.sort_array(F.collect_list(entry)).cast(SCHEMA[name]).alias(name))
        for frame, entry, name in ((interactions, event, "events"), (visits, visit, "visits"))
    )
    both = events.join(days, "user")
    nothing = F.array().cast(SCHEMA["segments"]).alias("segments")
    told = both.join(alike, "user") if alike is not None else both.select("*", nothing)
    return told.select(*SCHEMA).sortWithinPartitions("user")


@dataclass(frozen=True)
class Block:
    """Some users: ids (B,); their events by row, item and day, (E,) each; their visits by row and day, (V,) each; and for each of
    their S attributes the segment, (B, S), -1 where it is not known."""

    users: np.ndarray
    row: np.ndarray
    item: np.ndarray
    day: np.ndarray
    baskets: np.ndarray
    amount: np.ndarray
    discount: np.ndarray
    visit_row: np.ndarray
    visit_day: np.ndarray
    visit_baskets: np.ndarray
    segments: np.ndarray

    @classmethod
    def of_nobody(cls, attributes: int) -> "Block":
        """No user, who would have so many attributes."""
        nothing = np.zeros(0, np.int64)
        return cls(*[nothing] * (len(fields(cls)) - 1), segments=np.zeros((0, attributes), np.int64))

    def _where(self, events: np.ndarray, visits: np.ndarray) -> "Block":
        return Block(
            self.users,
            *(getattr(self, name)[events] for name in ("row", "item", "day", "baskets", "amount", "discount")),
            *(getattr(self, name)[visits] for name in ("visit_row", "visit_day", "visit_baskets")),
            segments=self.segments,
        )

    def until(self, cutoff: int) -> "Block":
        """What was known at the end of day `cutoff`."""
        return self._where(self.day <= cutoff, self.visit_day <= cutoff)

    def after(self, cutoff: int, days: int) -> "Block":
        """What came in the `days` days after `cutoff`."""
        return self._where(
            (self.day > cutoff) & (self.day <= cutoff + days), (self.visit_day > cutoff) & (self.visit_day <= cutoff + days)
        )


def blocks(batches: Iterator[pa.RecordBatch]) -> Iterator[Block]:
    """Batches of SCHEMA as blocks of at most BLOCK_USERS users."""
    for batch in batches:
        for first in range(0, batch.num_rows, BLOCK_USERS):
            yield _block(batch.slice(first, BLOCK_USERS))


def _block(batch: pa.RecordBatch) -> Block:
    events, visits = batch.column("events"), batch.column("visits")
    taken, days = events.flatten(), visits.flatten()
    rows = np.arange(batch.num_rows)
    return Block(
        users=batch.column("user").to_numpy(),
        row=np.repeat(rows, events.value_lengths().to_numpy()),
        **{name: taken.field(name).to_numpy() for name in ("item", "day", "baskets")},
        **{name: taken.field(name).to_numpy(zero_copy_only=False).astype(np.float64) for name in ("amount", "discount")},
        visit_row=np.repeat(rows, visits.value_lengths().to_numpy()),
        visit_day=days.field("day").to_numpy(),
        visit_baskets=days.field("baskets").to_numpy(),
        segments=batch.column("segments").flatten().to_numpy().astype(np.int64).reshape(batch.num_rows, -1),
    )


def of_windows(
    histories: DataFrame, windows: Sequence[Window], made: Callable[[Block, Window], pa.RecordBatch], schema: Schema
) -> DataFrame:
    """`window` int and `schema`: what `made` gives for each block as of the cutoff of each window, not yet summed over the blocks."""

    def of_all(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for block in blocks(batches):
            for window in windows:
                yield made(block.until(window.cutoff), window)

    return histories.mapInArrow(of_all, tables.struct({"window": "int", **schema}))


@dataclass(frozen=True)
class Pairs:
    """What each user of a block took, one entry per user and item, (P,) each, by row and item; `start` (P,) into its events."""

    row: np.ndarray
    item: np.ndarray
    start: np.ndarray

    @classmethod
    def of(cls, past: Block) -> "Pairs":
        """Of all events of a block."""
        start = starts(pair_key(past.row, past.item, int(past.item.max(initial=0)) + 1))
        return cls(past.row[start], past.item[start], start)

    def sums(self, values: np.ndarray) -> np.ndarray:
        """(P,) of a value per event (E,)."""
        return np.add.reduceat(values, self.start) if len(self.start) else np.zeros(0, np.asarray(values).dtype)

    def lasts(self, values: np.ndarray) -> np.ndarray:
        """(P,) the value of each pair's latest event."""
        ends = np.append(self.start[1:], len(values)) - 1
        return values[ends] if len(self.start) else values[:0]

    def firsts(self, values: np.ndarray) -> np.ndarray:
        """(P,) the value of each pair's earliest event."""
        return values[self.start]

    def lengths(self, events: int) -> np.ndarray:
        """(P,) number of events, that is, of days."""
        return np.diff(np.append(self.start, events))
