"""Users alike: a segment is a value of an attribute of users, by number over all attributes; and what is popular in each.

Sums are as of each window's cutoff; who belongs to a segment is as tonight's snapshot has it, for every window.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from nightfold.errors import BadInput
from nightfold.pipeline.recommend import Users
from nightfold.schemas import Schema
from nightfold.spark.arrays import added, find, pair_key
from nightfold.spark.recommend.history import Block, of_windows
from nightfold.spark.recommend.item_statistics import ALL
from nightfold.spark.windows import Window

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

MOST = 1000  # segments
ATTRIBUTES: Schema = {"user": "int", "values": "array<string>", "segments": "array<int>"}
"""One row per user: the values of his attributes, NULL where not known, and their segments, -1 there."""
SCHEMA: Schema = {"segment": "int", "item": "int", "baskets": "bigint"}
"""Of one window: baskets of the days that say what is popular now; of the item ALL, of all visits."""


def of_users(users: DataFrame, rows: DataFrame, task: Users) -> DataFrame:
    """ATTRIBUTES of every user.

    :param rows: clean rows of the source
    Raises BadInput when the values are too many to be segments
    """
    values = F.array(*(F.col(f"`{column}`").cast("string") for column in task.attributes))
    known = rows.groupBy(F.col(f"`{task.id}`").alias("id")).agg(F.max(values).alias("values"))  # twice: one answer
    nothing = F.array_repeat(F.lit(None).cast("string"), len(task.attributes))
    placed = users.join(known, "id", "left").select("user", F.coalesce("values", nothing).alias("values"))
    single = placed.select("user", F.posexplode("values").alias("attribute", "value"))
    found = single.where(F.col("value").isNotNull()).select("attribute", "value").distinct().orderBy("attribute", "value")
    numbered = [(row["attribute"], row["value"], i) for i, row in enumerate(found.limit(MOST + 1).collect())]
    if len(numbered) > MOST:
        raise BadInput(
            f"{task.source}: the columns {', '.join(task.attributes)} have more than {MOST:,} values: users of one value are alike; "
            "name columns of few values in recommend.users.attributes"
        )
    segments = rows.sparkSession.createDataFrame(numbered, "attribute int, value string, segment int")
    entry = F.struct("attribute", "value", F.coalesce("segment", F.lit(-1)).alias("segment"))
    grouped = single.join(F.broadcast(segments), ["attribute", "value"], "left").groupBy("user")
    ordered = grouped.agg(F.array_sort(F.collect_list(entry)).alias("of"))
    return ordered.select("user", F.col("of.value").alias("values"), F.col("of.segment").alias("segments"))


def popularity(histories: DataFrame, windows: Sequence[Window], *, days: int) -> DataFrame:
    """`window` int and SCHEMA; a window in which nobody of a segment took anything has no row."""
    made = of_windows(histories, windows, partial(_of_block, days=days), SCHEMA)
    return made.groupBy("window", "segment", "item").agg(F.sum("baskets").alias("baskets"))


def _of_block(past: Block, window: Window, days: int) -> pa.RecordBatch:
    first = window.cutoff - days
    events, visits = (past.day > first) & (past.baskets > 0), past.visit_day > first
    row = np.concatenate([past.row[events], past.visit_row[visits]])
    item = np.concatenate([past.item[events], np.full(visits.sum(), ALL)])
    baskets = np.concatenate([past.baskets[events], past.visit_baskets[visits]]).astype(np.int64)
    segment = past.segments[row].T  # (S, N)
    known = segment >= 0
    each = np.broadcast_to(item, segment.shape)[known]
    width = int(item.max(initial=0)) + 2
    key, at = np.unique(pair_key(segment[known], each - ALL, width), return_inverse=True)
    sums = added(at, np.broadcast_to(baskets, segment.shape)[known], len(key))
    arrays = [
        pa.array(np.full(len(key), window.number), pa.int32()),
        pa.array(key // width, pa.int32()),
        pa.array(key % width + ALL, pa.int32()),
        pa.array(sums, pa.int64()),
    ]
    return pa.RecordBatch.from_arrays(arrays, names=["window", *SCHEMA])


@dataclass(frozen=True)
class Segments:
    """What is popular in each segment, of I items; sparse: what nobody of a segment took has no entry."""

    items: int
    segment: np.ndarray
    """(M,) of each entry, which go by segment and item."""
    item: np.ndarray
    baskets: np.ndarray
    total: np.ndarray
    """(G,) baskets of all visits, by segment."""
    best_segment: np.ndarray
    """(L,) of each entry whose item may be listed: each segment's most popular first, ties to the lower item."""
    best_item: np.ndarray

    @classmethod
    def of(cls, table: pa.Table | None, available: np.ndarray) -> "Segments":
        """Of what nobody of any segment took, with `table` None, nothing is known.

        :param table: SCHEMA
        :param available: (I,) what may be listed
        """
        if table is None:
            nothing = np.zeros(0, np.int64)
            return cls(len(available), *[nothing] * 6)
        table = table.sort_by([("segment", "ascending"), ("item", "ascending")])
        segment, item, baskets = (table[name].to_numpy().astype(np.int64) for name in SCHEMA)
        total = np.zeros(int(segment.max(initial=-1)) + 1, np.int64)
        total[segment[item == ALL]] = baskets[item == ALL]
        segment, item, baskets = (column[item != ALL] for column in (segment, item, baskets))
        order = np.lexsort((item, -baskets, segment))
        order = order[available[item[order]]]
        return cls(len(available), segment, item, baskets, total, segment[order], item[order])

    def popularity(self, segment: np.ndarray, item: np.ndarray) -> np.ndarray:
        """(N,) baskets with the item per 1,000 of the segment's; NaN for segment -1, and where a segment took nothing at all."""
        place = find(pair_key(self.segment, self.item, self.items), pair_key(segment, item, self.items))
        taken = np.zeros(len(segment))
        taken[place >= 0] = self.baskets[place[place >= 0]]
        known = (segment >= 0) & (segment < len(self.total))
        of_all = np.where(known, self.total[np.where(known, segment, 0)] if len(self.total) else 0, 0).astype(np.float64)
        return np.divide(1000 * taken, of_all, out=np.full(len(segment), np.nan), where=of_all > 0)

    def named(self, segment: np.ndarray, had: np.ndarray, *, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows and items: for each row of its segment's n best; where `had` says how many more, as many more.

        :param segment: (B,) of each row
        :param had: (B,)
        """
        rows, named = [], []
        for one in np.unique(segment[segment >= 0]):
            theirs = self.best_item[slice(*np.searchsorted(self.best_segment, [one, one + 1]))]
            alike = np.flatnonzero(segment == one)
            count = np.minimum(n + had[alike], len(theirs))
            rows.append(np.repeat(alike, count))
            named.append(theirs[np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)])
        if not rows:
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        return np.concatenate(rows), np.concatenate(named)
