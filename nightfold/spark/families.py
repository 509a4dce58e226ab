"""The families of models that a training may try, as parameters of an estimator; names and values are those of the pipeline file."""

from typing import Any

from pyspark.ml import Estimator
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.sql import DataFrame

MAX_BIN = 64  # of a feature's histogram: half of the time of 256, the same lists
LINEAR_ITERATIONS = 30
OF_TREES = ("n_estimators", "max_depth", "learning_rate", "min_child_weight", "subsample", "colsample_bytree")


class FamilyEstimator(Estimator):
    """Its parameters are the grid's: a family, and the family's own. Fits a PipelineModel."""

    family = Param(Params._dummy(), "family", "xgboost or linear", TypeConverters.toString)
    n_estimators = Param(Params._dummy(), "n_estimators", "xgboost: trees", TypeConverters.toInt)
    max_depth = Param(Params._dummy(), "max_depth", "xgboost: of a tree", TypeConverters.toInt)
    learning_rate = Param(Params._dummy(), "learning_rate", "xgboost", TypeConverters.toFloat)
    min_child_weight = Param(Params._dummy(), "min_child_weight", "xgboost", TypeConverters.toFloat)
    subsample = Param(Params._dummy(), "subsample", "xgboost: share of the rows", TypeConverters.toFloat)
    colsample_bytree = Param(Params._dummy(), "colsample_bytree", "xgboost: share of the features", TypeConverters.toFloat)
    reg_param = Param(Params._dummy(), "reg_param", "linear: weight of the penalty", TypeConverters.toFloat)
    elastic_net_param = Param(Params._dummy(), "elastic_net_param", "linear: 0 ridge, 1 lasso", TypeConverters.toFloat)
    seed = Param(Params._dummy(), "seed", "of what is drawn", TypeConverters.toInt)

    def _default_family(self) -> None:
        self._setDefault(family="xgboost", n_estimators=100, max_depth=6, learning_rate=0.1, min_child_weight=20.0)
        self._setDefault(subsample=0.8, colsample_bytree=0.6, reg_param=0.001, elastic_net_param=0.0)
        self._setDefault(seed=20171203)

    def param_map(self, point: dict[str, Any]) -> dict[Param, Any]:
        """One point of the grid, by the names of the pipeline file, as this estimator's parameters."""
        return {self.getParam(name): value for name, value in point.items()}

    def prepared(self, learned: DataFrame, later: DataFrame) -> tuple[DataFrame, DataFrame]:
        """What all points of the grid see alike of the rows to learn from, and of those to judge on; to be unpersisted where persisted."""
        return learned, later

    def _of_trees(self) -> dict[str, Any]:
        """For an estimator of xgboost.spark: one worker, so that the same rows in the same order give the same trees."""
        ours = {name: self.getOrDefault(self.getParam(name)) for name in OF_TREES}
        fixed = {"num_workers": 1, "tree_method": "hist", "max_bin": MAX_BIN, "verbosity": 0, "verbose": False}
        return {**fixed, "random_state": self.getOrDefault(self.seed), **ours}

    def _of_linear(self) -> dict[str, Any]:
        """For a linear estimator of Spark ML, whose features are scaled already."""
        penalty = {"regParam": self.getOrDefault(self.reg_param), "elasticNetParam": self.getOrDefault(self.elastic_net_param)}
        return {"standardization": False, "maxIter": LINEAR_ITERATIONS, **penalty}
