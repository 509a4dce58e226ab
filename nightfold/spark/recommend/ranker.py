"""The ranker: a Spark ML pipeline of one family of models that ends with lists. Its parameters are the grid's."""

from typing import Any

from nightfold.pipeline import Pipeline as NightPipeline
from nightfold.spark.evaluators import RankingEvaluator
from nightfold.spark.families import FamilyEstimator
from nightfold.spark.recommend.list_maker import ListMaker, ListParams
from nightfold.spark.recommend.standardizer import Standardizer

from pyspark import keyword_only
from pyspark.ml import Pipeline, PipelineModel, Transformer
from pyspark.ml.classification import LogisticRegression
from pyspark.ml.feature import SQLTransformer
from pyspark.ml.util import DefaultParamsReadable, DefaultParamsWritable
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

BASELINES = {
    "personal frequency": "baskets - 1e-9 * popularity_place",
    "popularity": "-popularity_place",
    "als": "als",
}
"""Rules to beat (see pipeline.recommend.Recommend.baselines), as scores of a candidate; ties of what he bought go by popularity."""


class Ranker(ListParams, FamilyEstimator, DefaultParamsReadable, DefaultParamsWritable):
    """Learns to tell which candidates come true. Gives a PipelineModel: examples in, lists out (see ListMaker).

    Takes rows of examples.SCHEMA; learns from all that it is given. They go to ONE worker, put in order, so that the
    same rows give the same model: about 8 bytes a row and feature.
    """

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
        self._default_family()
        self._default_lists()
        self._set(**self._input_kwargs)

    def _fit(self, dataset: DataFrame) -> PipelineModel:
        stages = self._boosted() if self.getOrDefault(self.family) == "xgboost" else self._linear()
        lists = ListMaker(**self._of_lists())
        learned = dataset.withColumn("target", F.col("label").cast("double"))
        in_order = learned.repartition(1).sortWithinPartitions("window", "user", "item")
        return Pipeline(stages=[*stages, lists]).fit(in_order)

    def _boosted(self) -> list[Any]:
        from xgboost.spark import SparkXGBClassifier  # here: it takes a second

        return [SparkXGBClassifier(features_col="features", label_col="target", **self._of_trees())]

    def _linear(self) -> list[Any]:
        return [
            Standardizer(inputCol="features", outputCol="scaled"),
            LogisticRegression(featuresCol="scaled", labelCol="target", **self._of_linear()),
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
    return RankingEvaluator(metricName=pipeline.metric, k=pipeline.training.k)
