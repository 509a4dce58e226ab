"""The job that `python -m benchmarks.als` runs: our ALS and top-N beside plain MLlib's, on one night's interactions, in one session.

Both fit the same four points on the same three cutoffs, as a grid with three folds would, and then give everybody's list from the first
point at the last cutoff; ours leaves out what he has had, as `exclude_seen` does, plain MLlib has no such filter. How much of two lists
is the same says little by itself: it stands beside how much MLlib's have in common when only the seed is another. Prints JSON.
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
import pyarrow.compute as pc
from pyspark.ml.recommendation import ALSModel
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
    fits = als.factors(spark, place, windows, [replace(point, engine="implicit") for point in POINTS]).toArrow()
    fitted = time.monotonic()
    last = fits.filter(pc.and_(pc.equal(fits["point"], 0), pc.equal(fits["window"], windows[0].number)))
    lists = _top(_known(spark, place, cutoff), *(_of_kind(last, kind) for kind in ("user", "item")))
    return {"fit": fitted - began, "top": time.monotonic() - fitted}, lists


def _of_kind(factors: pa.Table, kind: str) -> pa.Table:
    return factors.filter(pc.equal(factors["kind"], kind)).select(["id", "factors"])


def _taken(spark: SparkSession, place: str, cutoff: int) -> DataFrame:
    return spark.read.parquet(place).where((F.col("day") <= cutoff) & (F.col("weight") > 0))


def _known(spark: SparkSession, place: str, cutoff: int) -> DataFrame:
    return _taken(spark, place, cutoff).select("user", "item").distinct()


def _top(known: DataFrame, *factors: pa.Table) -> dict[int, list[int]]:
    """user → items.

    :param factors: of users and of items: id, factors
    """
    users, items = (table.sort_by("id").combine_chunks() for table in factors)
    of_users, of_items = (
        table["factors"].combine_chunks().flatten().to_numpy().astype(np.float32).reshape(table.num_rows, -1)
        for table in (users, items)
    )
    users, items = (table["id"].to_numpy() for table in (users, items))

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

    rows = known.groupBy("user").agg(F.collect_list("item").alias("items")).mapInArrow(listed, "user int, item int").toArrow()
    found: dict[int, list[int]] = {}
    for user, item in zip(rows["user"].to_pylist(), rows["item"].to_pylist(), strict=True):
        found.setdefault(user, []).append(item)
    return found


def plain(spark: SparkSession, place: str, windows: list[Any], cutoff: int) -> tuple[dict[str, float], dict[int, list[int]]]:
    """The same by MLlib, as its guide says; its lists hold what he has had, too: the new ones are taken from its factors."""
    began = time.monotonic()
    models = [_mllib(spark, place, window.cutoff, point) for point in POINTS for window in windows]
    fitted = time.monotonic()
    models[0].recommendForAllUsers(N).write.format("noop").mode("overwrite").save()
    ended = time.monotonic()
    return {"fit": fitted - began, "top": ended - fitted}, _new(spark, place, cutoff, models[0])


def _mllib(spark: SparkSession, place: str, cutoff: int, point: AlsSettings) -> ALSModel:
    return als_cluster.model(_taken(spark, place, cutoff), **point.of_fit)


def _new(spark: SparkSession, place: str, cutoff: int, model: ALSModel) -> dict[int, list[int]]:
    tables = (frame.withColumnRenamed("features", "factors").toArrow() for frame in (model.userFactors, model.itemFactors))
    return _top(_known(spark, place, cutoff), *tables)


def _shared(mine: dict[int, list[int]], theirs: dict[int, list[int]]) -> float:
    return float(np.mean([len(set(mine[user]) & set(theirs[user])) / N for user in mine]))


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
    (mine, theirs), seconds = (found[name][1] for name in ways), {name: took for name, (took, _) in found.items()}
    other = _new(spark, place, cutoff, _mllib(spark, place, cutoff, replace(POINTS[0], seed=POINTS[0].seed + 1)))
    shared = {"shared": _shared(mine, theirs), "shared_by_seeds": _shared(theirs, other)}
    sys.stdout.write(json.dumps({**seconds, **shared, "users": len(mine)}) + "\n")
    spark.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
