"""Cross-validation in the order of time: every fold learns from the windows before its validation window only.

Method: rolling origin (Tashman, "Out-of-sample tests of forecasting accuracy", 2000); see also "Spark: The Definitive Guide",
chapter 24, on CrossValidator.
"""

from collections.abc import Callable, MutableMapping
from multiprocessing.pool import ThreadPool
from typing import Any

from nightfold.spark.families import FamilyEstimator

import numpy as np
from pyspark import inheritable_thread_target
from pyspark.ml import Estimator, Model
from pyspark.ml.evaluation import Evaluator
from pyspark.ml.param import Param
from pyspark.ml.tuning import CrossValidator, CrossValidatorModel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F


class RollingOriginCrossValidator(CrossValidator):
    """Fold i of numFolds learns from `foldCol` <= i and is judged on `foldCol` == i + 1; the best is then fitted on all folds.

    `foldCol` ascends with time; what is above numFolds (the test window) is in no fold, and in the final fit. A fit sees the
    last `remembered` folds only, and of them the rows whose `learnCol` is true; what is judged is whole.

    The result is a plain CrossValidatorModel, which loads anywhere; save that, never this. It has an attribute more, which is
    not saved: `fold_metrics`, [fold][parameter map].
    """

    def __init__(
        self,
        *,
        estimator: Estimator,
        estimatorParamMaps: list[dict[Param, Any]],
        evaluator: Evaluator,
        numFolds: int,
        remembered: int,
        foldCol: str = "fold",
        learnCol: str = "learn",
        parallelism: int = 1,
        known: MutableMapping[tuple[int, int], float] | None = None,
    ) -> None:
        """:param known: what an earlier try has found, by fold and parameter map: taken from there, and kept there."""
        super().__init__(
            estimator=estimator,
            estimatorParamMaps=estimatorParamMaps,
            evaluator=evaluator,
            numFolds=numFolds,
            foldCol=foldCol,
            parallelism=parallelism,
        )
        self.remembered = remembered
        self.learnCol = learnCol
        self.known = {} if known is None else known

    def learned(self, dataset: DataFrame, last: int) -> DataFrame:
        """The rows that a model learns from whose last fold is `last`."""
        fold = F.col(self.getFoldCol())
        return dataset.where((fold <= last) & (fold > last - self.remembered) & F.col(self.learnCol))

    def _kFold(self, dataset: DataFrame) -> list[tuple[DataFrame, DataFrame]]:
        fold = F.col(self.getFoldCol())
        return [(self.learned(dataset, i), dataset.where(fold == i + 1)) for i in range(self.getNumFolds())]

    def judge(self, dataset: DataFrame) -> np.ndarray:
        """(folds, parameter maps): the metric on the validation window."""
        estimator, evaluator, maps = self.getEstimator(), self.getEvaluator(), self.getEstimatorParamMaps()
        folds = self._kFold(dataset)
        wanted = [(i, j) for i in range(len(folds)) for j in range(len(maps)) if (i, j) not in self.known]
        if isinstance(estimator, FamilyEstimator):
            for i in {i for i, _ in wanted}:
                folds[i] = estimator.prepared(*folds[i])

        def one(asked: tuple[int, int]) -> None:
            i, j = asked
            learned, later = folds[i]
            self.known[asked] = evaluator.evaluate(estimator.fit(learned, maps[j]).transform(later))

        try:
            self._at_once(dataset, one, wanted)
        finally:
            for frame in (frame for fold in folds for frame in fold if frame is not dataset and frame.is_cached):
                frame.unpersist()
        return np.array([[self.known[i, j] for j in range(len(maps))] for i in range(len(folds))])

    def best(self, metrics: np.ndarray) -> int:
        """The parameter map with the best mean over the validation windows; the first of equals."""
        average = metrics.mean(axis=0)
        return int(average.argmax() if self.getEvaluator().isLargerBetter() else average.argmin())

    def fit_best(self, dataset: DataFrame, best: int, last: int) -> Model:
        """One parameter map's model, learned from the folds up to `last`."""
        return self.getEstimator().fit(self.learned(dataset, last), self.getEstimatorParamMaps()[best])

    def fitted(self, dataset: DataFrame, metrics: np.ndarray) -> CrossValidatorModel:
        """The best parameter map's model, learned from all folds."""
        fitted = self.fit_best(dataset, self.best(metrics), self.getNumFolds() + 1)
        average, spread = metrics.mean(axis=0), metrics.std(axis=0)
        model = CrossValidatorModel(fitted, average.tolist(), None, spread.tolist())
        model.fold_metrics = metrics.tolist()
        return self._copyValues(model)

    def _fit(self, dataset: DataFrame) -> CrossValidatorModel:
        return self.fitted(dataset, self.judge(dataset))

    def _at_once(self, dataset: DataFrame, work: Callable[[tuple[int, int]], None], wanted: list[tuple[int, int]]) -> None:
        """All of `wanted`, `parallelism` of them at once; the first error ends it."""
        if not wanted:
            return
        run = inheritable_thread_target(dataset.sparkSession)(work)
        with ThreadPool(processes=min(self.getParallelism(), len(wanted))) as pool:
            for _ in pool.imap_unordered(run, wanted):
                pass
