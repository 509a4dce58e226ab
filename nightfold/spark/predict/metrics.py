"""How good predictions are: average precision and lift with paired bootstrap intervals; errors of numbers.

A rank says all that average precision needs: rows are put into BINS by their rank, and only sums per bin and replicate leave the
executors. Up to BINS rows it is exact.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from nightfold.spark.evaluators import NothingToJudge
from nightfold.spark.judging import drawn, interval

import numpy as np
import pyarrow as pa
from pyspark.ml.evaluation import Evaluator
from pyspark.ml.util import DefaultParamsReadable, DefaultParamsWritable
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

BINS = 4096
REPLICATES = 200
TOP = 0.1  # of all, for the lift


class AveragePrecisionEvaluator(Evaluator, DefaultParamsReadable, DefaultParamsWritable):
    """Sum over the scores, best first, of precision times the gain in recall, of columns `predicted` and `label`; equal scores are one
    step (Zhu, "Recall, precision and average precision", 2004; scikit-learn's average_precision_score)."""

    def isLargerBetter(self) -> bool:
        return True

    def _evaluate(self, dataset: DataFrame) -> float:
        found = average_precision(dataset).first()["average_precision"]
        if found is None:
            raise NothingToJudge("nothing happened in these days that was to be predicted: choose longer windows in the split")
        return float(found)


def average_precision(rows: DataFrame, *by: str) -> DataFrame:
    """The columns `by`, and the `average_precision` of their rows; NULL where no label is 1.

    :param rows: `predicted` and `label`
    """
    steps = rows.groupBy(*by, "predicted").agg(F.sum("label").alias("hits"), F.count("*").alias("rows"))
    so_far = Window.partitionBy(*by).orderBy(F.desc("predicted")).rowsBetween(Window.unboundedPreceding, Window.currentRow)
    gained = F.col("hits") * F.sum("hits").over(so_far) / F.sum("rows").over(so_far)
    found = steps.select(*by, "hits", gained.alias("gained")).groupBy(*by)
    return found.agg(F.try_divide(F.sum("gained"), F.sum("hits")).alias("average_precision"))


def ranked(judged: DataFrame, systems: Sequence[str], *, seed: int, certainty: float) -> dict[str, Any]:
    """`means`: system → metric → interval; `less`: (a, b) → interval of a's average precision less b's, on the same rows.

    :param judged: key, label, and a column of scores for each system
    """
    rows = judged.count()
    wide = judged.select("label", F.pmod(F.xxhash64("key"), F.lit(2**31)).alias("user"), *systems)
    for name in systems:
        place = F.rank().over(Window.orderBy(F.desc(name))) - 1
        wide = wide.withColumn(name, F.floor(place * BINS / max(rows, BINS)).cast("int"))
    parts = wide.mapInArrow(_summed(list(systems), seed), "system int, hits array<double>, rows array<double>").collect()
    shape = (len(systems), REPLICATES + 1, BINS)
    hits, counts = np.zeros(shape), np.zeros(shape)
    for part in parts:  # systems x partitions of bounded size
        hits[part["system"]] += np.reshape(part["hits"], shape[1:])
        counts[part["system"]] += np.reshape(part["rows"], shape[1:])
    precision = {name: _average_precision(hits[i], counts[i]) for i, name in enumerate(systems)}
    lift = {name: _lift(hits[i], counts[i]) for i, name in enumerate(systems)}
    return {
        "means": {
            name: {"average_precision": interval(precision[name], certainty), "lift": interval(lift[name], certainty)}
            for name in systems
        },
        "less": {(a, b): interval(precision[a] - precision[b], certainty) for a in systems for b in systems if a != b},
    }


def _summed(systems: list[str], seed: int) -> Any:
    def partition(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        shape = (REPLICATES + 1, BINS)
        hits, rows = (np.zeros((len(systems), *shape)) for _ in range(2))
        for batch in batches:
            label = batch.column("label").to_numpy(zero_copy_only=False)
            for user, came_true, *places in zip(
                batch.column("user").to_pylist(), label, *(batch.column(name).to_pylist() for name in systems), strict=True
            ):
                weights = drawn(user, seed, REPLICATES)
                for i, place in enumerate(places):
                    rows[i, :, place] += weights
                    hits[i, :, place] += weights * came_true
        yield pa.RecordBatch.from_arrays(
            [pa.array(range(len(systems)), pa.int32()), *(pa.array([part.ravel() for part in sums]) for sums in (hits, rows))],
            names=["system", "hits", "rows"],
        )

    return partition


def _average_precision(hits: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """(replicates,) of (replicates, bins), the best bin first."""
    so_far = np.cumsum(hits, axis=1) / np.maximum(np.cumsum(rows, axis=1), 1.0)
    return (hits * so_far).sum(axis=1) / np.maximum(hits.sum(axis=1), 1.0)


def _lift(hits: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """(replicates,): how much more often it came true in the first TOP of all than in all."""
    found = []
    for one, of in zip(np.cumsum(hits, axis=1), np.cumsum(rows, axis=1), strict=True):
        top = np.interp(TOP * of[-1], np.concatenate([[0.0], of]), np.concatenate([[0.0], one]))
        found.append(top / max(TOP * one[-1], 1e-12))
    return np.array(found)


def calibration(judged: DataFrame, *, bins: int = 10) -> list[dict[str, float]]:
    """For each tenth of the rows by predicted probability: how many, their mean prediction, and the share that came true."""
    placed = judged.withColumn("bin", F.ntile(bins).over(Window.orderBy("recipe", "key")))
    sums = (F.count("*").alias("candidates"), F.avg("recipe").alias("predicted"), F.avg("label").alias("observed"))
    rows = placed.groupBy("bin").agg(*sums).orderBy("bin").collect()
    return [{"candidates": row["candidates"], **{name: round(row[name], 6) for name in ("predicted", "observed")}} for row in rows]
