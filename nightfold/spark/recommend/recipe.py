"""The recipe of a pipeline: its estimator, grid and evaluator, the same for choosing, judging and serving."""

from itertools import product
from typing import Any

from nightfold import schemas
from nightfold.pipeline import Pipeline
from nightfold.spark import tables
from nightfold.spark.evaluators import RankingEvaluator
from nightfold.spark.job import Job
from nightfold.spark.recommend.recommender import BlendRecommender

from pyspark.ml.param import Param
from pyspark.sql import DataFrame, SparkSession

ParamMap = dict[Param, Any]


def part(spark: SparkSession, job: Job, name: str, schema: schemas.Schema) -> DataFrame:
    """One of the night's features: users, items, interactions."""
    return tables.read(spark, schema, [f"{_features(job)}/{name}"], what=f"features/{name}")


def estimator(job: Job) -> BlendRecommender:
    """As the pipeline file says, with tonight's indexes; what it learns on the way goes into the attempt's own scratch."""
    training = job.pipeline.training
    made = BlendRecommender(
        usersPath=f"{_features(job)}/users",
        itemsPath=f"{_features(job)}/items",
        iterations=training.iterations,
        seed=training.seed,
        popularityDays=training.popularity_days,
        popularityWeight=training.popularity_weight,
        excludeSeen=job.pipeline.recommend.filters.exclude_seen,
        k=training.k,
    )
    made.scratch = f"{job.uri}/scratch"
    return made


def discard_scratch(job: Job) -> None:
    """What was learned on the way and is not part of the saved model."""
    job.lake.fs.delete_dir(job.lake.local_path(f"{job.place}/scratch"))


def evaluator(pipeline: Pipeline) -> RankingEvaluator:
    """The metric that chooses."""
    return RankingEvaluator(metricName=pipeline.training.metric, k=pipeline.training.k)


def points(pipeline: Pipeline) -> list[dict[str, float]]:
    """The grid's points, by the names of the pipeline file."""
    grid = pipeline.training.grid.model_dump()
    return [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]


def param_map(made: BlendRecommender, point: dict[str, float]) -> ParamMap:
    """One point as the estimator's parameters."""
    params = {
        "factors": made.factors,
        "regularization": made.regularization,
        "alpha": made.alpha,
        "half_life_days": made.halfLife,
        "als_weight": made.alsWeight,
    }
    return {params[name]: value for name, value in point.items()}


def _features(job: Job) -> str:
    return job.lake.spark_path(str(job.lake.get("features", job.ds).data))
