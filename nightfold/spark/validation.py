"""Cross-validation in the order of time: every fold learns from the days before its validation window only.

Method: rolling origin (Tashman, "Out-of-sample tests of forecasting accuracy", 2000); see also "Spark: The Definitive Guide",
chapter 24, on CrossValidator.
"""

from collections.abc import Callable
from datetime import date, timedelta
from multiprocessing.pool import ThreadPool
from typing import Any

from nightfold.errors import Permanent

import numpy as np
from pyspark import inheritable_thread_target
from pyspark.ml import Estimator, Model
from pyspark.ml.evaluation import Evaluator
from pyspark.ml.param import Param
from pyspark.ml.tuning import CrossValidator, CrossValidatorModel
from pyspark.ml.util import _cache_spark_dataset
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

EPOCH = date(1970, 1, 1)


class HistoryTooShort(Permanent):
    """The days up to the night do not hold all windows, or one of them is empty."""


def assign_folds(interactions: DataFrame, ds: str, test_days: int, validation_days: int, folds: int) -> DataFrame:
    """The interactions up to night `ds`, with column `fold`: 0 warm-up, 1..folds validation windows, folds + 1 the test window.

    The windows end with `ds`, the latest is the test. The warm-up is at least as long as a validation window.

    :param interactions: column day, int, days since 1970-01-01
    Raises HistoryTooShort
    """
    night = (date.fromisoformat(ds) - EPOCH).days
    test_starts = night - test_days + 1
    first_window = test_starts - folds * validation_days
    day = F.col("day")
    fold = (
        F.when(day >= test_starts, folds + 1)
        .when(day < first_window, 0)
        .otherwise(F.floor((day - first_window) / validation_days).cast("int") + 1)
    )
    assigned = interactions.where(day <= night).withColumn("fold", fold.cast("int"))

    found = {row["fold"]: row["first"] for row in assigned.groupBy("fold").agg(F.min("day").alias("first")).collect()}  # folds + 2
    needed = test_days + (folds + 1) * validation_days
    held = night - min(found.values()) + 1 if found else 0
    if held < needed:
        raise HistoryTooShort(
            f"night {ds}: {held} days of history, but {needed} are needed (test {test_days} + (folds {folds} + 1) x "
            f"validation {validation_days}): lower split.folds, split.validation_days or split.test_days, or take a later night"
        )
    for number in range(1, folds + 1):
        if number not in found:
            first = EPOCH + timedelta(days=first_window + (number - 1) * validation_days)
            raise HistoryTooShort(
                f"night {ds}: nothing was taken in validation window {number} ({first}, {validation_days} days): "
                "raise split.validation_days, or lower split.folds"
            )
    return assigned


class RollingOriginCrossValidator(CrossValidator):
    """Fold i of numFolds learns from `foldCol` <= i and is judged on `foldCol` == i + 1; the best is then fitted on all rows.

    The result is a plain CrossValidatorModel, which loads anywhere; save that, never this. It has two attributes more, which
    are not saved: `fold_metrics` and `train_metrics`, [fold][parameter map]. The latter is the same metric on the last
    `windowDays` that the fold learned from: far above the former means that the model knows its days by heart.
    A model with `excludeSeen` may list what was seen there, for nothing else was taken in those days. One without it has one
    list for both: its `transform` then gives `relevant_known` beside `relevant` (see BlendModel).
    """

    def __init__(
        self,
        *,
        estimator: Estimator,
        estimatorParamMaps: list[dict[Param, Any]],
        evaluator: Evaluator,
        numFolds: int,
        windowDays: int,
        foldCol: str = "fold",
        dayCol: str = "day",
        parallelism: int = 1,
    ) -> None:
        """:param windowDays: as long as a validation window, so that the two metrics compare."""
        super().__init__(
            estimator=estimator,
            estimatorParamMaps=estimatorParamMaps,
            evaluator=evaluator,
            numFolds=numFolds,
            foldCol=foldCol,
            parallelism=parallelism,
        )
        self.windowDays = windowDays
        self.dayCol = dayCol

    def _kFold(self, dataset: DataFrame) -> list[tuple[DataFrame, DataFrame]]:
        fold = F.col(self.getFoldCol())
        return [(dataset.where(fold <= i), dataset.where(fold == i + 1)) for i in range(self.getNumFolds())]

    def _fit(self, dataset: DataFrame) -> CrossValidatorModel:
        """As CrossValidator's, but keeps every fold's metric, and takes the training metric while the model is there."""
        estimator, evaluator, maps = self.getEstimator(), self.getEvaluator(), self.getEstimatorParamMaps()
        judged: list[list[tuple[float, float]]] = []
        with ThreadPool(processes=min(self.getParallelism(), len(maps))) as pool:
            for train, validation in self._kFold(dataset):
                with _cache_spark_dataset(train) as learned, _cache_spark_dataset(validation) as later:
                    judge = self._judge(estimator, evaluator, maps, learned, later)
                    run = inheritable_thread_target(dataset.sparkSession)(judge)
                    judged.append([pair for _, pair in sorted(pool.imap_unordered(lambda _, run=run: run(), range(len(maps))))])
        metrics = np.array(judged)  # fold x map x (validation, training)
        average = metrics[:, :, 0].mean(axis=0)
        best = int(average.argmax() if evaluator.isLargerBetter() else average.argmin())
        model = CrossValidatorModel(
            estimator.fit(dataset, maps[best]), average.tolist(), None, metrics[:, :, 0].std(axis=0).tolist()
        )
        model.fold_metrics = metrics[:, :, 0].tolist()
        model.train_metrics = metrics[:, :, 1].tolist()
        return self._copyValues(model)

    def _judge(
        self, estimator: Estimator, evaluator: Evaluator, maps: list[dict[Param, Any]], learned: DataFrame, later: DataFrame
    ) -> Callable[[], tuple[int, tuple[float, float]]]:
        """Each call takes the next map: (its index, (metric on the later days, metric on the last days learned))."""
        models = estimator.fitMultiple(learned, maps)
        last = learned.agg(F.max(self.dayCol)).first()[0]
        if last is None:
            raise HistoryTooShort("a fold has no days to learn from: give every fold from 0 on some rows (see assign_folds)")
        known = learned.where(F.col(self.dayCol) > last - self.windowDays)

        both = later.withColumn("known", F.lit(False)).unionByName(known.withColumn("known", F.lit(True)))

        def judge() -> tuple[int, tuple[float, float]]:
            index, model = next(models)
            given = maps[index]
            if _never_repeats(model, given):  # not in these days' lists: what was taken there, it lists nowhere
                repeating = {**given, model.getParam("excludeSeen"): False}
                return index, (
                    evaluator.evaluate(model.transform(later, given)),
                    evaluator.evaluate(model.transform(known, repeating)),
                )
            with _cache_spark_dataset(model.transform(both, given)) as lists:  # a user's list is the same for both
                of_known = {evaluator.getParam("relevantCol"): "relevant_known"}
                return index, (evaluator.evaluate(lists), evaluator.evaluate(lists, of_known))

        return judge


def _never_repeats(model: Model, given: dict[Param, Any]) -> bool:
    return bool(model.copy(given).getOrDefault("excludeSeen"))
