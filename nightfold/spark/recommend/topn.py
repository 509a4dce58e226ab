"""The best n items of the whole catalogue for each user, by blocks of users, in the Python workers.

A score is  history_weight * decayed baskets + als_weight * x·y + popularity_weight * popularity (1 = the most popular item).
So all three are on the scale of one purchase tonight. Somebody without history gets the popularity alone.

A fast pass in float32 narrows the catalogue to few candidates; these are scored again in float64, one by one, so that a list
never depends on who else was in the block. Ties go to the lower item, which is the lower id: the index follows the ids' order.
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass

from nightfold.lake import filesystem

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from threadpoolctl import threadpool_limits

SCHEMA = "user int, items array<struct<item:int,score:double,times:int,last_day:int>>"
KEPT = ("relevant", "relevant_known")
"""Columns that are passed through, in this order."""
BLOCK_USERS = 256
BLOCK_CELLS = 2**24  # users x candidates of one block: 64 MB in float32
RESCORED_AT_ONCE = 2**16  # candidates; at 64 factors 32 MB in float64


@dataclass(frozen=True)
class Blend:
    """What a list depends on, besides the user."""

    history_weight: float
    als_weight: float
    popularity_weight: float
    n: int
    exclude_seen: bool
    popularity: str
    """URI of `item int, baskets double`: every item that may be listed."""
    item_factors: str | None
    """URI of `id int, factors array<float>`; None: no ALS."""


@dataclass(frozen=True)
class Candidates:
    """Items that may be listed, by ascending item: items (C,), factors (C, F) float32, popularity (C,) in 0..1."""

    items: np.ndarray
    factors: np.ndarray
    popularity: np.ndarray


@dataclass(frozen=True)
class Block:
    """Some users: ids (B,), known (B,), factors (B, F) float32; and their H past items: row (H,), then one value each."""

    users: np.ndarray
    known: np.ndarray
    factors: np.ndarray
    row: np.ndarray
    item: np.ndarray
    weight: np.ndarray
    times: np.ndarray
    last_day: np.ndarray


def top_n(batches: Iterator[pa.RecordBatch], blend: Blend) -> Iterator[pa.RecordBatch]:
    """Lists of users, for `mapInArrow`.

    :param batches: user int, taken array<struct<item, weight, times, last_day>> by ascending item, factors array<float>;
        the latter two NULL where the model does not know the user; columns of KEPT are passed through
    """
    candidates = read_candidates(blend.popularity, blend.item_factors)  # once per worker
    rows = max(1, min(BLOCK_USERS, BLOCK_CELLS // max(1, len(candidates.items))))
    with threadpool_limits(limits=1, user_api="blas"):
        for batch in batches:
            for first in range(0, batch.num_rows, rows):
                some = batch.slice(first, rows)
                listed = _lists(_block(some, candidates.factors.shape[1]), candidates, blend)
                for name in KEPT:
                    if name in some.schema.names:
                        listed = listed.append_column(name, some.column(name))
                yield listed


@functools.lru_cache(maxsize=2)
def read_candidates(popularity: str, item_factors: str | None) -> Candidates:
    """Read what all users share; a folder of a model never changes, so a worker keeps the last two."""
    listed = _read(popularity).sort_by("item")
    items, baskets = listed["item"].to_numpy(), listed["baskets"].to_numpy()
    most = baskets.max(initial=0.0)
    if item_factors is None:
        return Candidates(items, np.zeros((len(items), 0), np.float32), baskets / (most or 1.0))
    learned = _read(item_factors)
    vectors = learned["factors"].combine_chunks().flatten().to_numpy().reshape(learned.num_rows, -1)
    position, found = _find(items, learned["id"].to_numpy())
    factors = np.zeros((len(items), vectors.shape[1]), np.float32)
    factors[position[found]] = vectors[found]
    return Candidates(items, factors, baskets / (most or 1.0))


def _read(uri: str) -> pa.Table:
    files, path = filesystem(uri)
    return pq.read_table(path, filesystem=files, partitioning=None)


def _find(ascending: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Position of each wanted value, and whether it is there at all (if not, the position means nothing)."""
    if len(ascending) == 0:
        return np.zeros(len(wanted), np.int64), np.zeros(len(wanted), bool)
    position = np.minimum(np.searchsorted(ascending, wanted), len(ascending) - 1)
    return position, ascending[position] == wanted


def _block(batch: pa.RecordBatch, width: int) -> Block:
    taken, vectors = batch.column("taken"), batch.column("factors")
    lengths = taken.value_lengths().fill_null(0).to_numpy()
    past = taken.flatten()
    factors = np.zeros((batch.num_rows, width), np.float32)
    if width:
        has = vectors.is_valid().to_numpy(zero_copy_only=False)
        factors[has] = vectors.flatten().to_numpy().reshape(-1, width)
    return Block(
        users=batch.column("user").to_numpy(),
        known=taken.is_valid().to_numpy(zero_copy_only=False),
        factors=factors,
        row=np.repeat(np.arange(batch.num_rows), lengths),
        **{name: past.field(name).to_numpy() for name in ("item", "weight", "times", "last_day")},
    )


def _lists(block: Block, candidates: Candidates, blend: Blend) -> pa.RecordBatch:
    als = np.where(block.known, blend.als_weight, 0.0)
    popularity = np.where(block.known, blend.popularity_weight, 1.0)
    position, listed = _find(candidates.items, block.item)
    past_row, past_column = block.row[listed], position[listed]
    past_score = blend.history_weight * block.weight[listed]

    rough = (block.factors * als[:, None].astype(np.float32)) @ candidates.factors.T
    rough += popularity[:, None].astype(np.float32) * candidates.popularity.astype(np.float32)
    rough[past_row, past_column] += past_score.astype(np.float32)
    if blend.exclude_seen:
        rough[past_row, past_column] = -np.inf
    row, column = _near_the_top(rough, blend.n, _rounding(block, candidates, als))

    score = popularity[row] * candidates.popularity[column] + als[row] * _products(block, candidates, row, column, als)
    place, was_taken = _find(past_row * len(candidates.items) + past_column, row * len(candidates.items) + column)
    score[was_taken] += past_score[place[was_taken]]

    order = np.lexsort((column, -score, row))
    rank = np.arange(len(order)) - np.searchsorted(row, row)  # np.nonzero gave the rows in order
    best = order[rank < blend.n]
    times, last_day = np.zeros(len(best), np.int32), np.zeros(len(best), np.int32)
    again = was_taken[best]
    times[again] = block.times[listed][place[best][again]]
    last_day[again] = block.last_day[listed][place[best][again]]
    items = pa.StructArray.from_arrays(
        [
            pa.array(candidates.items[column[best]], pa.int32()),
            pa.array(score[best]),
            pa.array(times),
            pa.array(last_day, mask=~again),
        ],
        names=["item", "score", "times", "last_day"],
    )
    ends = np.cumsum(np.bincount(row[best], minlength=len(block.users)))
    offsets = pa.array(np.concatenate([[0], ends]).astype(np.int32))
    return pa.RecordBatch.from_arrays(
        [pa.array(block.users, pa.int32()), pa.ListArray.from_arrays(offsets, items)], names=["user", "items"]
    )


def _near_the_top(rough: np.ndarray, n: int, rounding: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of all that can be among the best n of its row, in order of the rows.

    The columns are dealt into groups. The n-th best of the groups' maxima is reached by n columns at least, so nothing below
    it counts; that is several times faster than a partition of every row. `rounding` (B,) is what float32 may have taken off.
    """
    columns = rough.shape[1]
    groups = min(columns, 32 * n)
    if groups < n or not groups:
        floor = np.full(len(rough), -np.inf, np.float32)
    else:
        deep = columns // groups
        maxima = rough[:, : deep * groups].reshape(len(rough), deep, groups).max(axis=1)
        floor = np.partition(maxima, groups - n, axis=1)[:, groups - n]
        finite = np.isfinite(floor)
        floor[finite] -= (rounding + 2.0**-21 * np.abs(floor))[finite]
    return np.nonzero((rough >= floor[:, None]) & (rough > -np.inf))


def _rounding(block: Block, candidates: Candidates, als: np.ndarray) -> np.ndarray:
    """(B,) an upper bound of a float32 product's error: (F + 4) * 2^-21 * |x| |y|, eight times what the theory says."""
    longest = np.linalg.norm(candidates.factors, axis=1).max(initial=0.0)
    return 2.0**-21 * (block.factors.shape[1] + 4) * als * np.linalg.norm(block.factors, axis=1) * longest


def _products(block: Block, candidates: Candidates, row: np.ndarray, column: np.ndarray, als: np.ndarray) -> np.ndarray:
    """x·y in float64 of the pairs named, each summed by itself."""
    products = np.zeros(len(row))
    wanted = np.flatnonzero(als[row] != 0) if block.factors.shape[1] else np.zeros(0, np.int64)
    for first in range(0, len(wanted), RESCORED_AT_ONCE):
        some = wanted[first : first + RESCORED_AT_ONCE]
        products[some] = (block.factors[row[some]].astype(np.float64) * candidates.factors[column[some]]).sum(axis=1)
    return products
