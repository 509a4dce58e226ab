"""What is known of every item at a window's cutoff: sums over the users' pasts, exact, so that partitions change nothing.

Each Python worker sums its users in whole numbers; Spark adds the workers' sums up. `read` gives the ratios that people and
models read: counts are per 1,000 baskets of all users, so that a night compares with one of another size.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from nightfold.lake import filesystem
from nightfold.spark.arrays import added
from nightfold.spark.recommend.history import Block, Pairs, of_windows
from nightfold.spark.windows import Window

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

SPANS = (7, 28, 84, 364)
"""Days before the cutoff over which baskets are counted."""
STEP = 2.0**16  # of amounts in fixed point

SUMS = (
    *(f"baskets_{days}" for days in SPANS),
    "baskets",
    "users",
    "users_again",
    "gap_days",
    "gaps",
    "amount",
    "discount",
    "amount_7",
    "discount_7",
)
SCHEMA = {"item": "int", **dict.fromkeys(SUMS, "bigint"), "first_day": "int", "last_day": "int"}
"""Of one window; the window is the folder's name."""
ALL = -1
"""The `item` whose row holds the baskets of all visits, and the users."""


def statistics(histories: DataFrame, windows: Sequence[Window]) -> DataFrame:
    """`window` int and SCHEMA: for each window one row per item that somebody took up to its cutoff, and the row ALL."""
    sums = [F.sum(name).alias(name) for name in SUMS]
    edges = [F.min("first_day").alias("first_day"), F.max("last_day").alias("last_day")]
    return of_windows(histories, windows, _of_block, SCHEMA).groupBy("window", "item").agg(*sums, *edges)


def _of_block(past: Block, window: Window) -> pa.RecordBatch:
    cutoff = window.cutoff
    pairs = Pairs.of(past)
    items, at = np.unique(pairs.item, return_inverse=True)
    total: Callable[[np.ndarray], np.ndarray] = lambda values: added(at, values, len(items))  # noqa: E731
    baskets, amount, discount = past.baskets.astype(np.int64), _fixed(past.amount), _fixed(past.discount)
    age = cutoff - past.day
    first, last, days = pairs.firsts(past.day), pairs.lasts(past.day), pairs.lengths(len(past.day))
    again = days > 1
    sums = {f"baskets_{span}": total(pairs.sums(np.where(age < span, baskets, 0))) for span in SPANS}
    sums |= {
        "baskets": total(pairs.sums(baskets)),
        "users": total(np.ones(len(pairs.item), np.int64)),
        "users_again": total(again.astype(np.int64)),
        "gap_days": total(np.where(again, last - first, 0).astype(np.int64)),
        "gaps": total(np.where(again, days - 1, 0).astype(np.int64)),
        "amount": total(pairs.sums(amount)),
        "discount": total(pairs.sums(discount)),
        "amount_7": total(pairs.sums(np.where(age < 7, amount, 0))),
        "discount_7": total(pairs.sums(np.where(age < 7, discount, 0))),
    }
    first_day, last_day = np.full(len(items), np.iinfo(np.int32).max), np.full(len(items), -1)
    np.minimum.at(first_day, at, first)
    np.maximum.at(last_day, at, last)

    visits = past.visit_baskets.astype(np.int64)
    visit_age = cutoff - past.visit_day
    everything = dict.fromkeys(SUMS, 0) | {f"baskets_{span}": int(visits[visit_age < span].sum()) for span in SPANS}
    everything |= {"baskets": int(visits.sum()), "users": len(np.unique(past.visit_row))}
    numbers = np.full(len(items) + 1, window.number)
    columns = [numbers, np.append(items, ALL), *(np.append(sums[name], everything[name]) for name in SUMS)]
    edges = [np.append(first_day, past.visit_day.min(initial=cutoff)), np.append(last_day, past.visit_day.max(initial=-1))]
    types = [pa.int32(), pa.int32(), *[pa.int64()] * len(SUMS), pa.int32(), pa.int32()]
    arrays = [pa.array(column, kind) for column, kind in zip([*columns, *edges], types, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, names=["window", *SCHEMA])


def _fixed(values: np.ndarray) -> np.ndarray:
    return np.rint(np.nan_to_num(values) * STEP).astype(np.int64)


@dataclass(frozen=True)
class ItemStatistics:
    """Of I items, by their index, (I,) each; an item that nobody took yet has zeros, and NaN where nothing is known.

    popularity: {days: baskets per 1,000 of all users' baskets}; overall: the same of all days up to the cutoff; rank: by baskets of
    the last `recent` days, 0 the most popular, ties to the lower item.
    """

    popularity: dict[int, np.ndarray]
    overall: np.ndarray
    rank: np.ndarray
    users: np.ndarray
    repeat_rate: np.ndarray
    mean_gap: np.ndarray
    price: np.ndarray
    discount_share: np.ndarray
    discount_share_7: np.ndarray
    recency: np.ndarray
    age: np.ndarray


def read(uri: str, *, items: int, cutoff: int, recent: int) -> ItemStatistics:
    """What `statistics` gave, written as Parquet to a folder.

    :param recent: one of SPANS
    """
    fs, path = filesystem(uri)
    table = pq.read_table(path, filesystem=fs, partitioning=None)
    item = table["item"].to_numpy()
    known = item != ALL
    everything = table.filter(pa.array(~known)).to_pylist()
    totals = everything[0] if everything else {}

    def dense(name: str, missing: float = 0.0) -> np.ndarray:
        values = np.full(items, missing)
        values[item[known]] = table[name].to_numpy()[known]
        return values

    popularity = {span: 1000 * dense(f"baskets_{span}") / max(totals.get(f"baskets_{span}", 0), 1) for span in SPANS}
    order = np.lexsort((np.arange(items), -dense("baskets"), -popularity[recent]))
    rank = np.empty(items, np.int64)
    rank[order] = np.arange(items)
    with np.errstate(divide="ignore", invalid="ignore"):
        return ItemStatistics(
            popularity=popularity,
            overall=1000 * dense("baskets") / max(totals.get("baskets", 0), 1),
            rank=rank,
            users=1000 * dense("users") / max(totals.get("users", 0), 1),
            repeat_rate=dense("users_again") / dense("users"),
            mean_gap=dense("gap_days") / dense("gaps"),
            price=dense("amount") / STEP / dense("baskets"),
            discount_share=dense("discount") / (dense("amount") + dense("discount")),
            discount_share_7=dense("discount_7") / (dense("amount_7") + dense("discount_7")),
            recency=cutoff - dense("last_day", np.nan),
            age=cutoff - dense("first_day", np.nan),
        )
