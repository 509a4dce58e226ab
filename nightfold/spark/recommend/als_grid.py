"""Which settings of ALS, where the pipeline file gives several: each point is fitted as of every fold's cutoff, a Spark task for each
fit, and judged by the lists that ALS alone would make of it, on the days after. The test window is not looked at.

Reads   features/items, statistics, histories ... of this attempt
Writes  scratch/als    the factors of each point
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import reduce
from typing import Any

from nightfold.spark.arrays import pair_key
from nightfold.spark.choosing import grid
from nightfold.spark.evaluators import NothingToJudge
from nightfold.spark.job import Job
from nightfold.spark.recommend import als, knowledge
from nightfold.spark.recommend.als import AlsSettings
from nightfold.spark.recommend.candidates import best_by_als
from nightfold.spark.recommend.examples import taken_after
from nightfold.spark.recommend.history import Block, Pairs, blocks
from nightfold.spark.recommend.knowledge import Places
from nightfold.spark.recommend.ranker import evaluator
from nightfold.spark.windows import LAST_VALIDATION, Window

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame, SparkSession
from threadpoolctl import threadpool_limits

SCHEMA = "point int, window int, user int, hits array<boolean>, relevant int"


def points(job: Job) -> list[AlsSettings]:
    """All that the pipeline file gives, in the order of its points."""
    task = job.pipeline.recommend.als
    return [
        AlsSettings(**point, seed=job.pipeline.training.seed, engine=task.engine, one_worker=task.one_worker)
        for point in task.points
    ]


def choose(
    spark: SparkSession, job: Job, histories: DataFrame, planned: Sequence[Window], tried: Sequence[AlsSettings]
) -> tuple[int, list[dict[str, Any]]]:
    """The place of the best by the mean over the folds, the first among equals; and the grid, as choosing.grid tells it.

    :param planned: the night's windows
    :param tried: points(job)

    Raises NothingToJudge when nobody took anything that may be listed in a fold's days
    """
    folds = [window for window in planned if LAST_VALIDATION <= window.number < LAST_VALIDATION + job.pipeline.split.folds]
    place, task = f"{job.scratch}/als", job.pipeline.recommend
    fitted = als.factors(spark, f"{job.uri}/interactions", folds, tried)
    fitted.write.mode("error").partitionBy("point", "window", "kind").parquet(place)
    made = []
    for point in range(len(tried)):
        for window in folds:
            of = f"{place}/point={point}/window={window.number}"
            places = replace(Places.of(job.uri, window, task), user_factors=f"{of}/kind=user", item_factors=f"{of}/kind=item")
            judged = _judge(point, window, places, k=job.pipeline.training.k, exclude_seen=task.filters.exclude_seen)
            made.append(histories.mapInArrow(judged, SCHEMA))
    rows = evaluator(job.pipeline).means(reduce(DataFrame.unionAll, made), by=("point", "window")).collect()  # points x folds
    found = {(row["point"], row["window"]): row["mean"] for row in rows}
    oldest_first = sorted((window.number for window in folds), reverse=True)
    if len(found) < len(tried) * len(folds):
        raise NothingToJudge("ALS: no user took an item that may be listed in a fold's days: choose longer windows in the split")
    metrics = np.array([[found[point, number] for point in range(len(tried))] for number in oldest_first])
    best = int(np.argmax(metrics.mean(axis=0)))
    return best, grid(task.als.points, metrics, best)


def _judge(
    point: int, window: Window, places: Places, *, k: int, exclude_seen: bool
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def judged(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        with threadpool_limits(limits=1, user_api="blas"):
            for block in blocks(batches):
                users, hits, relevant = of_block(block, window, places, k=k, exclude_seen=exclude_seen)
                numbers = [pa.array(np.full(len(users), number, np.int32)) for number in (point, window.number)]
                columns = [*numbers, pa.array(users, pa.int32()), hits, pa.array(relevant, pa.int32())]
                yield pa.RecordBatch.from_arrays(columns, names=["point", "window", "user", "hits", "relevant"])

    return judged


def of_block(
    block: Block, window: Window, places: Places, *, k: int, exclude_seen: bool
) -> tuple[np.ndarray, pa.ListArray, np.ndarray]:
    """Users who took anything that may be listed; which of the k best of ALS each took, best first; how many items he took in sum."""
    known = knowledge.read(places)
    items, past = len(known.available), block.until(window.cutoff)
    pairs = Pairs.of(past)
    taken = taken_after(block, window, pairs, known.available, exclude_seen=exclude_seen)
    relevant = np.bincount(taken // items, minlength=len(block.users))

    row, item = best_by_als(block.users, pairs, known, n=k, exclude_seen=exclude_seen)
    wanted = relevant[row] > 0
    row, item = row[wanted], item[wanted]
    judged = np.flatnonzero(relevant > 0)
    length = np.bincount(row, minlength=len(block.users))[judged]
    hit = np.isin(pair_key(row, item, items), taken)
    start = np.concatenate([[0], np.cumsum(length)]).astype(np.int32)
    return block.users[judged], pa.ListArray.from_arrays(pa.array(start), pa.array(hit)), relevant[judged]
