"""What is judged side by side: the recipe, the champion's recipe, and the baselines, as columns of scores of the same keys."""

from typing import Any

from nightfold.pipeline import Pipeline
from nightfold.spark.predict.predictor import predictor

from pyspark.ml import PipelineModel
from pyspark.ml.regression import IsotonicRegression, IsotonicRegressionModel
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

PAST = {"past events": "past", "as before": "before", "own average": "average"}
"""Baselines that say what an example's past says → its column (see examples.SAID)."""
OF_ALL = ("base rate", "mean")
"""Baselines that say the same of everybody: the mean label of what was learned from."""
PROBABILITIES = ("recipe", "champion", "base rate")
"""Systems whose scores are probabilities."""


def said(name: str, mean: float) -> Column:
    """A baseline's scores.

    :param mean: of the labels that were learned from
    """
    return F.lit(mean) if name in OF_ALL else F.col(PAST[name])


def rates(learned: DataFrame, name: str) -> IsotonicRegressionModel:
    """A baseline that counts, as probabilities (`predicted`): how often it came true for so high a count, never falling as it grows.

    :param learned: examples with `label`
    :param name: of PAST
    """
    said = PAST[name]
    counted = learned.groupBy(said).agg(F.avg("label").alias("label"), F.count("*").cast("double").alias("rows"))
    return IsotonicRegression(featuresCol=said, labelCol="label", weightCol="rows", predictionCol="predicted").fit(counted)


def mean_label(learned: DataFrame) -> float:
    """Of the examples to learn from."""
    return float(learned.agg(F.avg("label")).first()[0] or 0.0)


def champion(pipeline: Pipeline, params: dict[str, Any], learned: DataFrame) -> PipelineModel:
    """The champion's point of the grid, fitted on what the challenger was fitted on."""
    estimator = predictor(pipeline)
    return estimator.fit(learned, {**estimator.param_map(params), estimator.calibrate: pipeline.task == "classify"})
