"""How good predictions are: average precision and lift with paired bootstrap intervals; errors of numbers.

A rank says all that average precision needs: rows are put into BINS by their rank, and only sums per bin and replicate leave the
executors. Up to BINS rows it is exact.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from nightfold.spark.evaluators import NothingToJudge
from nightfold.spark.judging import CERTAINTY, drawn, interval, number_of

import numpy as np
import pyarrow as pa
from pyspark.ml.evaluation import Evaluator
from pyspark.ml.util import DefaultParamsReadable, DefaultParamsWritable
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

BINS, REPLICATES = 4096, 200
FEW_BINS, FEW_REPLICATES = 128, 100  # for each segment and system
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
    (hits,), (counts,) = _binned(judged, systems, group=F.lit(0), groups=1, bins=BINS, replicates=REPLICATES, seed=seed)
    precision = {name: _average_precision(hits[i], counts[i]) for i, name in enumerate(systems)}
    lift = {name: _lift(hits[i], counts[i]) for i, name in enumerate(systems)}
    return {
        "means": {
            name: {"average_precision": interval(precision[name], certainty), "lift": interval(lift[name], certainty)}
            for name in systems
        },
        "less": {(a, b): interval(precision[a] - precision[b], certainty) for a in systems for b in systems if a != b},
    }


def half_widths(judged: DataFrame, systems: Sequence[str], *, by: str, segments: Sequence[str], seed: int) -> list[list[float]]:
    """For each segment and system, half of the width of the average precision's interval of CERTAINTY; of coarser BINS than `ranked`.

    :param judged: as for `ranked`, and the column `by`, which says the segment
    """
    place = F.array_position(F.array(*map(F.lit, segments)), F.col(by)).cast("int")
    group = F.when(place > 0, place - 1)
    sums = _binned(judged, systems, group=group, groups=len(segments), bins=FEW_BINS, replicates=FEW_REPLICATES, seed=seed)
    ends = [
        [interval(_average_precision(*each), CERTAINTY) for each in zip(*segment, strict=True)]
        for segment in zip(*sums, strict=True)
    ]
    return [[round((found["high"] - found["low"]) / 2, 6) for found in segment] for segment in ends]


def _binned(
    judged: DataFrame, systems: Sequence[str], *, group: Column, groups: int, bins: int, replicates: int, seed: int
) -> np.ndarray:
    """(2, groups, systems, 1 + replicates, bins): what came true, and how many rows, by the rank in the group, the best bin first.

    :param judged: key, label, and a column of scores for each system
    :param group: of each row, below `groups`; rows of NULL are left out
    """
    wide = judged.select(group.alias("group"), "label", number_of("key").alias("user"), *systems).where(F.col("group").isNotNull())
    in_group = Window.partitionBy("group")
    wide = wide.withColumn("rows", F.greatest(F.count("*").over(in_group), F.lit(bins)))
    for name in systems:
        place = F.rank().over(in_group.orderBy(F.desc(name))) - 1
        wide = wide.withColumn(name, F.floor(place * bins / F.col("rows")).cast("int"))
    shape = (2, groups, len(systems), 1 + replicates, bins)
    total = np.zeros(shape)
    for part in wide.mapInArrow(_summed(list(systems), shape, seed), "sums array<double>").toLocalIterator():
        total += np.reshape(part["sums"], shape)
    return total


def _summed(systems: list[str], shape: tuple[int, ...], seed: int) -> Any:
    def partition(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        hits, rows = sums = np.zeros(shape)
        for batch in batches:
            columns = (batch.column(name).to_pylist() for name in ("group", "user", "label", *systems))
            for group, user, came_true, *places in zip(*columns, strict=True):
                weights = drawn(user, seed, shape[3] - 1)
                for i, place in enumerate(places):
                    rows[group, i, :, place] += weights
                    hits[group, i, :, place] += weights * came_true
        if rows.any():
            yield pa.RecordBatch.from_arrays([pa.array([sums.ravel()])], names=["sums"])

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
