"""The ranker: a Spark ML pipeline of one family of models that ends with lists. Its parameters are the grid's."""

from nightfold.pipeline import Pipeline as NightPipeline
from nightfold.spark.evaluators import RankingEvaluator
from nightfold.spark.families import FamilyEstimator
from nightfold.spark.recommend.list_maker import ListMaker, ListParams
from nightfold.spark.recommend.standardizer import Standardizer

from pyspark import keyword_only
from pyspark.ml import PipelineModel, Transformer
from pyspark.ml.classification import LogisticRegression
from pyspark.ml.feature import SQLTransformer
from pyspark.ml.util import DefaultParamsReadable, DefaultParamsWritable
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

TARGET = "target"  # 1.0 where the candidate came true
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

    def prepared(self, learned: DataFrame, later: DataFrame) -> tuple[DataFrame, DataFrame]:
        """The rows to learn from in their order, put so once; a model that is fitted on them is the same."""
        return _in_order(learned).persist(), later

    def _fit(self, dataset: DataFrame) -> PipelineModel:
        in_order = dataset if TARGET in dataset.columns else _in_order(dataset)
        learned = self._boosted(in_order) if self.getOrDefault(self.family) == "xgboost" else self._linear(in_order)
        return PipelineModel([*learned, ListMaker(**self._of_lists())])

    def _boosted(self, in_order: DataFrame) -> list[Transformer]:
        from xgboost.spark import SparkXGBClassifier  # here: it takes a second

        return [SparkXGBClassifier(features_col="features", label_col=TARGET, **self._of_trees()).fit(in_order)]

    def _linear(self, in_order: DataFrame) -> list[Transformer]:
        scaler = Standardizer(inputCol="features", outputCol="scaled").fit(in_order)
        scaled = scaler.transform(in_order).select("scaled", TARGET).persist()  # else made anew for each of its passes
        try:
            return [scaler, LogisticRegression(featuresCol="scaled", labelCol=TARGET, **self._of_linear()).fit(scaled)]
        finally:
            scaled.unpersist()


def _in_order(learned: DataFrame) -> DataFrame:
    """The rows with TARGET, in one partition, in one order."""
    with_target = learned.withColumn(TARGET, F.col("label").cast("double"))
    return with_target.repartition(1).sortWithinPartitions("window", "user", "item")


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
