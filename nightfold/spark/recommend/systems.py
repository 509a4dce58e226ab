"""The systems that are judged side by side: the recipe, the champion's recipe, baselines, and the ceiling; all rank the same candidates."""

from collections.abc import Sequence
from typing import Any

from nightfold.pipeline import Pipeline
from nightfold.spark.evaluators import RankingEvaluator
from nightfold.spark.recommend.ranker import baseline, ranker

from pyspark.ml import PipelineModel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

CARRIED = ("baskets",)  # of a list's items: what is new to the user
METRICS = ("ndcg", "recall", "map")
NOT_A_FEATURE = ("features", "scaled")  # what is left of an example once it has its score


def scored(recipe: PipelineModel, examples: DataFrame) -> DataFrame:
    """The examples with the recipe's score, without their features."""
    return PipelineModel(recipe.stages[:-1]).transform(examples).drop(*NOT_A_FEATURE)


def list_maker(recipe: PipelineModel, carried: Sequence[str] = CARRIED) -> Any:
    """A recipe's last stage, whose lists carry these columns of their items."""
    to_lists = recipe.stages[-1]
    return to_lists.copy({to_lists.carried: list(carried)})


def baselines(recipe: PipelineModel, examples: DataFrame, names: list[str]) -> dict[str, DataFrame]:
    """Lists of each baseline, by the recipe's rules."""
    return {name: baseline(name, list_maker(recipe)).transform(examples) for name in names}


def champion(pipeline: Pipeline, params: dict[str, Any], learned: DataFrame) -> PipelineModel:
    """The champion's point of the grid, fitted on what the challenger was fitted on."""
    estimator = ranker(pipeline)
    return estimator.fit(learned, estimator.param_map(params))


def perfect(candidates: DataFrame, *, k: int) -> DataFrame:
    """hits, relevant of a list that has all that came true of each user's candidates on top: no ordering of them is better."""
    found = candidates.groupBy("user").agg(F.count_if("label").cast("int").alias("n"), F.max("relevant").alias("relevant"))
    return found.select("user", F.array_repeat(F.lit(True), F.least(F.col("n"), F.lit(k))).alias("hits"), "relevant")


def per_user(measure: RankingEvaluator, judged: dict[str, DataFrame]) -> DataFrame:
    """user, and for each system METRICS: `ndcg_0`, `recall_0`, ... in the order of the systems."""
    joined: DataFrame | None = None
    for i, frame in enumerate(judged.values()):
        measured = measure.per_user(frame, metrics=METRICS).select("user", *(F.col(name).alias(f"{name}_{i}") for name in METRICS))
        joined = measured if joined is None else joined.join(measured, "user")
    assert joined is not None  # noqa: S101 (there is always the recipe)
    return joined
