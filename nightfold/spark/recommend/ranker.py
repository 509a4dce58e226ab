"""The ranker: a Spark ML pipeline of one family of models that ends with lists. Its parameters are the grid's."""

from typing import Any

from nightfold.pipeline import Pipeline as NightPipeline
from nightfold.spark.evaluators import RankingEvaluator
from nightfold.spark.recommend.list_maker import ListMaker, ListParams
from nightfold.spark.recommend.standardizer import Standardizer

from pyspark import keyword_only
from pyspark.ml import Estimator, Pipeline, PipelineModel, Transformer
from pyspark.ml.classification import LogisticRegression
from pyspark.ml.feature import SQLTransformer
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.util import DefaultParamsReadable, DefaultParamsWritable
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

MAX_BIN = 64  # of a feature's histogram: half of the time of 256, the same lists
LINEAR_ITERATIONS = 30

BASELINES = {
    "personal frequency": "baskets - 1e-9 * popularity_place",
    "popularity": "-popularity_place",
    "als": "als",
}
"""Rules to beat (see pipeline.recommend.Recommend.baselines), as scores of a candidate; ties of what he bought go by popularity."""


class Ranker(ListParams, Estimator, DefaultParamsReadable, DefaultParamsWritable):
    """Learns to tell which candidates come true. Gives a PipelineModel: examples in, lists out (see ListMaker).

    Takes rows of examples.SCHEMA; learns from all that it is given. They go to ONE worker, put in order, so that the
    same rows give the same model: about 8 bytes a row and feature.
    """

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

    @keyword_only
    def __init__(
        self,
        *,
        seed: int | None = None,
        k: int | None = None,
        repeats: float | None = None,
        perCategory: int | None = None,
        negatives: float | None = None,
    ) -> None:
        super().__init__()
        self._setDefault(family="xgboost", n_estimators=100, max_depth=6, learning_rate=0.1, min_child_weight=20.0)
        self._setDefault(subsample=0.8, colsample_bytree=0.6, reg_param=0.001, elastic_net_param=0.0)
        self._setDefault(seed=20171203)
        self._default_lists()
        self._set(**self._input_kwargs)

    def param_map(self, point: dict[str, Any]) -> dict[Param, Any]:
        """One point of the grid, by the names of the pipeline file, as this estimator's parameters."""
        return {self.getParam(name): value for name, value in point.items()}

    def _fit(self, dataset: DataFrame) -> PipelineModel:
        value = self.getOrDefault
        stages = self._boosted() if value(self.family) == "xgboost" else self._linear()
        lists = ListMaker(**self._of_lists())
        learned = dataset.withColumn("target", F.col("label").cast("double"))
        in_order = learned.repartition(1).sortWithinPartitions("window", "user", "item")
        return Pipeline(stages=[*stages, lists]).fit(in_order)

    def _boosted(self) -> list[Any]:
        from xgboost.spark import SparkXGBClassifier  # here: it takes a second

        value = self.getOrDefault
        names = ("n_estimators", "max_depth", "learning_rate", "min_child_weight", "subsample", "colsample_bytree")
        return [
            SparkXGBClassifier(
                features_col="features",
                label_col="target",
                num_workers=1,
                tree_method="hist",
                max_bin=MAX_BIN,
                random_state=value(self.seed),
                verbosity=0,
                **{name: value(self.getParam(name)) for name in names},
            )
        ]

    def _linear(self) -> list[Any]:
        value = self.getOrDefault
        return [
            Standardizer(inputCol="features", outputCol="scaled"),
            LogisticRegression(
                featuresCol="scaled",
                labelCol="target",
                standardization=False,
                maxIter=LINEAR_ITERATIONS,
                regParam=value(self.reg_param),
                elasticNetParam=value(self.elastic_net_param),
            ),
        ]


def ranker(pipeline: NightPipeline) -> Ranker:
    """As the pipeline file says; its lists are as long as the metric looks at."""
    mix = pipeline.recommend.mix
    return Ranker(
        seed=pipeline.training.seed,
        k=pipeline.training.k,
        repeats=mix.repeats,
        perCategory=mix.per_category or 0,
        negatives=pipeline.training.negatives,
    )


def baseline(name: str, lists: ListMaker) -> Transformer:
    """One of BASELINES: the same candidates and rules, another score."""
    score = SQLTransformer(statement=f"SELECT *, {BASELINES[name]} AS score FROM __THIS__")  # noqa: S608
    return PipelineModel([score, lists.copy({lists.scoreCol: "score"})])


def evaluator(pipeline: NightPipeline) -> RankingEvaluator:
    """The metric that chooses."""
    return RankingEvaluator(metricName=pipeline.training.metric, k=pipeline.training.k)
