"""The job that `python -m benchmarks.als` runs: our ALS and top-N beside plain MLlib's, on one night's interactions, in one session.

Both fit the same four points on the same three cutoffs, as a grid with three folds would, and then give everybody's list from the first
point at the last cutoff; ours leaves out what he has had, as `exclude_seen` does, plain MLlib has no such filter. Prints JSON.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from nightfold.lake import Lake
from nightfold.spark.recommend import als, als_cluster
from nightfold.spark.recommend.als import AlsSettings
from nightfold.spark.recommend.nearest import nearest
from nightfold.spark.session import local, quiet
from nightfold.spark.windows import of_facts

import numpy as np
import pyarrow as pa
from pyspark.ml.recommendation import ALS
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from threadpoolctl import threadpool_limits

POINTS = [
    AlsSettings(factors=32, regularization=reg, alpha=alpha, iterations=6, seed=1) for reg in (10.0, 30.0) for alpha in (1.0, 2.0)
]
FOLDS, N, BLOCK = 3, 10, 512


def ours(spark: SparkSession, place: str, windows: list[Any], cutoff: int) -> tuple[dict[str, float], dict[int, list[int]]]:
    """Seconds, and user → items."""
    began = time.monotonic()
    fits = [als.factors(spark, place, windows, replace(point, engine="implicit")).collect() for point in POINTS]
    fitted = time.monotonic()
    last = {
        kind: sorted((row["id"], row["factors"]) for row in fits[0] if row["window"] == windows[0].number and row["kind"] == kind)
        for kind in ("user", "item")
    }
    known = spark.read.parquet(place).where((F.col("day") <= cutoff) & (F.col("weight") > 0)).select("user", "item").distinct()
    lists = _top(known, last)
    return {"fit": fitted - began, "top": time.monotonic() - fitted}, lists


def _top(known: DataFrame, factors: dict[str, list[tuple[int, list[float]]]]) -> dict[int, list[int]]:
    users, items = (np.array([row[0] for row in factors[kind]], np.int32) for kind in ("user", "item"))
    of_users, of_items = (np.array([row[1] for row in factors[kind]], np.float32) for kind in ("user", "item"))

    def listed(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        with threadpool_limits(limits=1, user_api="blas"):
            for batch in batches:
                for first in range(0, batch.num_rows, BLOCK):
                    part = batch.slice(first, BLOCK)
                    had = part.column("items")
                    row = np.repeat(np.arange(part.num_rows), had.value_lengths().to_numpy())
                    at = np.searchsorted(items, had.flatten().to_numpy())
                    place = np.searchsorted(users, part.column("user").to_numpy())
                    row, column = nearest(of_users[place], of_items, n=N, seen=(row, at))
                    yield pa.RecordBatch.from_arrays(
                        [pa.array(part.column("user").to_numpy()[row]), pa.array(items[column])], names=["user", "item"]
                    )

    rows = known.groupBy("user").agg(F.collect_list("item").alias("items")).mapInArrow(listed, "user int, item int").collect()
    found: dict[int, list[int]] = {}
    for row in rows:
        found.setdefault(row["user"], []).append(row["item"])
    return found


def plain(spark: SparkSession, place: str, windows: list[Any], cutoff: int) -> tuple[dict[str, float], dict[int, list[int]]]:
    """The same by MLlib, as its guide says; its lists hold what he has had, too: of as many more items the new ones are taken."""
    rows = spark.read.parquet(place).where("weight > 0")
    began, models = time.monotonic(), []
    for point in POINTS:
        for window in windows:
            pairs = (
                rows.where(F.col("day") <= window.cutoff)
                .groupBy("user", "item")
                .agg(F.greatest(point.alpha * F.sum("weight") - 1, F.lit(als_cluster.LEAST)).cast("float").alias("rating"))
            )
            sizes = pairs.agg(F.count("*").alias("pairs"), F.count_distinct("user").alias("users")).first()
            estimator = ALS(
                rank=point.factors, maxIter=point.iterations, regParam=point.regularization * sizes["users"] / sizes["pairs"]
            )
            estimator.setParams(alpha=1.0, implicitPrefs=True, userCol="user", itemCol="item", ratingCol="rating", seed=point.seed)
            models.append(estimator.fit(pairs))
    fitted = time.monotonic()
    models[0].recommendForAllUsers(N).write.format("noop").mode("overwrite").save()
    ended = time.monotonic()
    known = rows.where(F.col("day") <= cutoff).select("user", "item").distinct()
    vectors = {
        kind: sorted((row["id"], row["features"]) for row in frame.collect())
        for kind, frame in (("user", models[0].userFactors), ("item", models[0].itemFactors))
    }
    return {"fit": fitted - began, "top": ended - fitted}, _top(known, vectors)


def main() -> int:
    spark = (
        local(quiet(SparkSession.builder.appName("als race").master("local[2]")))
        .config("spark.sql.shuffle.partitions", 8)
        .getOrCreate()
    )
    lake, night = Lake(sys.argv[1]), sys.argv[2]
    features = lake.get("features", night)
    place = lake.spark_path(f"{features.data}/interactions")
    windows = of_facts(features.facts["windows"])[:FOLDS]
    cutoff = windows[0].cutoff
    ways: dict[str, Callable[..., Any]] = {"ours": ours, "plain": plain}
    found = {name: way(spark, place, windows, cutoff) for name, way in ways.items()}
    mine, theirs = found["ours"][1], found["plain"][1]
    shared = float(np.mean([len(set(mine[user]) & set(theirs[user])) / N for user in mine]))
    seconds = {name: took for name, (took, _) in found.items()}
    sys.stdout.write(json.dumps({**seconds, "shared": shared, "users": len(mine)}) + "\n")
    spark.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
