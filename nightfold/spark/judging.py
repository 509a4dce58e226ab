"""Judge several systems on the same users: means with bootstrap intervals, paired differences, segments.

Method: Poisson bootstrap (Chamandy et al., "Estimating Uncertainty for Massive Data Streams", 2012): each user enters each
replicate a Poisson(1) number of times, drawn from a generator seeded by the user, so that the result does not depend on
partitions and nothing but sums per replicate comes to the driver.
"""

import math
from collections.abc import Iterable, Iterator
from functools import reduce
from statistics import NormalDist
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

REPLICATES = 1000
CERTAINTY = 0.95
NORMAL = NormalDist().inv_cdf((1 + CERTAINTY) / 2)

SEGMENTS = ((0, 0, "new"), (1, 9, "1–9 days"), (10, 29, "10–29 days"), (30, 99, "30–99 days"), (100, None, "100+ days"))
"""Users by the number of days on which they took something before the cutoff."""
VALUES = 20  # of an attribute, shown
NOT_KNOWN = "not known"  # the segment of who has no value

Interval = dict[str, float]


def intervals(per_user: DataFrame, columns: list[str], *, seed: int, certainty: float = CERTAINTY) -> dict[str, Interval]:
    """column → mean, and the low and high end of its interval, over the users.

    :param per_user: `user` int and the columns, double; a difference of two systems is a column like any other
    """

    def partition(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        sums = np.zeros((len(columns) + 1, REPLICATES + 1))  # the first replicate is the sample itself
        for batch in batches:
            values = np.column_stack([*(batch.column(c).to_numpy(zero_copy_only=False) for c in columns), np.ones(batch.num_rows)])
            if batch.num_rows:
                sums += values.T @ np.stack([drawn(user, seed, REPLICATES) for user in batch.column("user").to_pylist()])
        yield pa.RecordBatch.from_arrays([pa.array(range(len(sums)), pa.int32()), pa.array(sums.tolist())], names=["row", "sums"])

    parts = per_user.select("user", *columns).mapInArrow(partition, "row int, sums array<double>").collect()  # columns x partitions
    total = np.zeros((len(columns) + 1, REPLICATES + 1))
    for part in parts:
        total[part["row"]] += np.array(part["sums"])
    means = total[:-1] / np.maximum(total[-1], 1e-12)
    return {column: interval(means[i], certainty) for i, column in enumerate(columns)}


def drawn(user: int, seed: int, replicates: int) -> np.ndarray:
    """How often a user enters the sample itself, once, and then each replicate."""
    return np.concatenate([[1.0], np.random.Generator(np.random.Philox(key=[seed, user])).poisson(1.0, replicates)])


def number_of(key: str) -> Column:
    """What `drawn` knows a user by who has no number: a hash of the column `key`, in [0, 2^31)."""
    return F.pmod(F.xxhash64(key), F.lit(2**31))


def interval(means: np.ndarray, certainty: float) -> Interval:
    """Of the replicates after the first, which is the sample itself.

    :param means: (1 + replicates,)
    """
    low, high = np.quantile(means[1:], [(1 - certainty) / 2, (1 + certainty) / 2])
    return {"mean": round(float(means[0]), 6), "low": round(float(low), 6), "high": round(float(high), 6)}


def by_activity(measured: DataFrame, learned: DataFrame, systems: list[str], *, metric: str) -> list[dict[str, Any]]:
    """A metric of each system by how much was known of the user. A row per segment comes to the driver."""
    days = learned.groupBy("user").agg(F.count_distinct("day").alias("days"))
    known = measured.join(days, "user", "left").fillna(0, "days")
    return in_order(_means(known, segment_of(F.col("days")), systems, metric, most=len(SEGMENTS)))


def segment_of(days: Column) -> Column:
    """The name of the segment of so many days."""
    label: Column = F.lit(None).cast("string")
    for low, high, name in reversed(SEGMENTS):
        inside = (days >= low) & (days <= high) if high is not None else days >= low
        label = F.when(inside, F.lit(name)).otherwise(label)
    return label


def in_order(segments: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of SEGMENTS, the least active first."""
    order = [name for *_, name in SEGMENTS]
    return sorted(segments, key=lambda row: order.index(row["segment"]))


def by_value(measured: DataFrame, attributes: DataFrame, systems: list[str], *, metric: str) -> list[dict[str, Any]]:
    """The same by the first attribute of the users, the values of most users.

    :param attributes: `user`, and `values`: an array of strings
    """
    label = F.coalesce(F.col("values")[0], F.lit(NOT_KNOWN))
    return _means(measured.join(attributes, "user", "left"), label, systems, metric, most=VALUES)


def _means(measured: DataFrame, label: Column, systems: list[str], metric: str, *, most: int) -> list[dict[str, Any]]:
    columns = {name: f"{metric}_{i}" for i, name in enumerate(systems)}
    means = [F.avg(column).alias(column) for column in columns.values()]
    spreads = [F.stddev_samp(column).alias(f"{column}_spread") for column in columns.values()]
    grouped = measured.groupBy(label.alias("segment")).agg(F.count("*").alias("users"), *means, *spreads)
    return [
        {
            "segment": row["segment"],
            "users": row["users"],
            **{name: round(float(row[column]), 6) for name, column in columns.items()},
            "half_width": {name: half_width(row[f"{column}_spread"], row["users"]) for name, column in columns.items()},
        }
        for row in grouped.orderBy(F.desc("users"), "segment").limit(most).collect()
    ]


def half_width(spread: float | None, users: int) -> float | None:
    """Of a mean's interval of CERTAINTY, as if means were normal; None of a single user."""
    return None if spread is None else round(NORMAL * float(spread) / math.sqrt(users), 6)


def reach(judged: dict[str, DataFrame], learned: DataFrame, available: int) -> dict[str, dict[str, float]]:
    """system → `user_coverage`: share of the judged users who were known; `item_coverage`: share of the catalogue that is on some list;
    `new_share`: mean share of a list that its user never took; `novelty_bits`: mean self-information of the items, -log2 of the share
    of users who took them (Zhou et al., "Solving the apparent diversity-accuracy dilemma of recommender systems", 2010).

    :param judged: name → `user` int, `items` array<int>, `baskets` array<int>, how often the user took each
    :param learned: `user`, `item`, of all that was known
    :param available: items that may be listed
    """
    numbered = (frame.select(F.lit(i).alias("system"), "user", "items", "baskets") for i, frame in enumerate(judged.values()))
    lists = reduce(DataFrame.union, numbered)
    users = learned.select("user").distinct()
    taken = learned.groupBy("item").agg(F.count_distinct("user").alias("takers"))
    known = lists.join(users.withColumn("known", F.lit(True)), "user", "left").groupBy("system")
    shares = {
        row["system"]: row["share"] for row in known.agg(F.avg(F.col("known").isNotNull().cast("double")).alias("share")).collect()
    }
    bits = -F.log2(F.greatest(F.coalesce("takers", F.lit(0)), F.lit(1)) / F.lit(float(max(users.count(), 1))))
    listed = lists.select("system", F.explode(F.arrays_zip("items", "baskets")).alias("of"))
    sums = (
        F.count_distinct("of.items").alias("items"),
        F.avg((F.col("of.baskets") == 0).cast("double")).alias("new"),
        F.avg(bits).alias("bits"),
    )
    rows = listed.join(taken, F.col("of.items") == F.col("item"), "left").groupBy("system").agg(*sums).collect()  # one per system
    found = {row["system"]: row for row in rows}
    nothing = {"items": 0, "new": 0.0, "bits": 0.0}
    return {
        name: {
            "user_coverage": round(shares.get(i, 0.0), 6),
            "item_coverage": round(found.get(i, nothing)["items"] / max(available, 1), 6),
            "new_share": round(found.get(i, nothing)["new"], 6),
            "novelty_bits": round(found.get(i, nothing)["bits"], 4),
        }
        for i, name in enumerate(judged)
    }
