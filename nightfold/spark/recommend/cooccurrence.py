"""Which items go with which: item-item co-occurrence over what users took on one day, each window in one Spark task.

Score of a neighbour: (days with both) / (sqrt(days with one * days with the other) + SHRINK): the cosine, less where days are few
(Sarwar et al., "Item-based collaborative filtering recommendation algorithms", 2001; the shrinkage as in Koren and Bell).
"""

from collections.abc import Iterator, Sequence

from nightfold.lake import filesystem
from nightfold.spark.arrays import starts
from nightfold.spark.windows import Window

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession
from scipy.sparse import csr_array

SCHEMA = "window int, item int, neighbour int, score float"
SHRINK = 5.0
NEIGHBOURS = 20  # kept of each item
TOGETHER = 2  # days with both, at least: one is chance
ITEMS_OF_A_DAY = 300  # of a longer list (a reseller's) only the lowest indexes count


def neighbours(spark: SparkSession, interactions: str, windows: Sequence[Window], *, days: int) -> DataFrame:
    """SCHEMA: the NEIGHBOURS best neighbours of every item, for every window's cutoff.

    :param interactions: URI of a folder: user int, item int, day int, weight double; one row each. A task holds the pairs of `days` days
    """

    def fit(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for number, cutoff in zip(batch["window"].to_pylist(), batch["cutoff"].to_pylist(), strict=True):
                yield _fit(interactions, number, cutoff, days)

    asked = spark.createDataFrame([(w.number, w.cutoff) for w in windows], "window int, cutoff int")
    return asked.repartition(len(windows), "window").mapInArrow(fit, SCHEMA)


def _fit(interactions: str, number: int, cutoff: int, days: int) -> pa.RecordBatch:
    fs, path = filesystem(interactions)
    day = ds.field("day")
    wanted = (day <= cutoff) & (day > cutoff - days) & (ds.field("weight") > 0)
    table = pq.read_table(path, filesystem=fs, partitioning=None, columns=["user", "item", "day"], filters=wanted)
    user, item, when = (table[name].to_numpy() for name in ("user", "item", "day"))
    occasion = user.astype(np.int64) * (days + 1) + (cutoff - when)
    order = np.lexsort((item, occasion))
    occasion, item = occasion[order], item[order]
    start = starts(occasion)
    place = np.arange(len(occasion)) - np.repeat(start, np.diff(np.append(start, len(occasion))))
    kept = place < ITEMS_OF_A_DAY
    _, row = np.unique(occasion[kept], return_inverse=True)
    items, column = np.unique(item[kept], return_inverse=True)
    taken = csr_array((np.ones(len(row), np.float32), (row, column)), shape=(row.max(initial=-1) + 1, len(items)))
    taken.data[:] = 1.0
    times = np.bincount(column, minlength=len(items)).astype(np.float64)
    both = (taken.T @ taken).tocoo()
    often = (both.row != both.col) & (both.data >= TOGETHER)
    one, other, count = both.row[often], both.col[often], both.data[often].astype(np.float64)
    score = (count / (np.sqrt(times[one] * times[other]) + SHRINK)).astype(np.float32)
    order = np.lexsort((other, -score, one))
    one, other, score = one[order], other[order], score[order]
    rank = np.arange(len(one)) - np.searchsorted(one, one)
    best = rank < NEIGHBOURS
    columns = [
        pa.array(np.full(best.sum(), number), pa.int32()),
        pa.array(items[one[best]], pa.int32()),
        pa.array(items[other[best]], pa.int32()),
        pa.array(score[best], pa.float32()),
    ]
    return pa.RecordBatch.from_arrays(columns, names=["window", "item", "neighbour", "score"])
