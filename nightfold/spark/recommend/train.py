"""train: features -> the model that scores tonight, chosen on earlier days only, then fitted on everything up to `ds`.

Reads   features
Writes  model/model      a plain CrossValidatorModel, with the user and item index it was trained with
        MLflow           one run: parameters, every fold's metrics, training beside validation
Raises  HistoryTooShort  when the days do not hold the split's windows
"""

from collections.abc import Callable
from typing import Any

from nightfold import schemas, tracking
from nightfold.spark.job import Job, Outcome
from nightfold.spark.recommend import recipe
from nightfold.spark.validation import RollingOriginCrossValidator, assign_folds

from pyspark.ml.tuning import CrossValidatorModel
from pyspark.sql import DataFrame, SparkSession


def choose(interactions: DataFrame, job: Job) -> CrossValidatorModel:
    """Cross-validate the grid on rolling-origin folds; the test window is in no fold, and in the final fit."""
    split, training = job.pipeline.split, job.pipeline.training
    folded = assign_folds(interactions, job.ds, split.test_days, split.validation_days, split.folds)
    made = recipe.estimator(job)
    validator = RollingOriginCrossValidator(
        estimator=made,
        estimatorParamMaps=[recipe.param_map(made, point) for point in recipe.points(job.pipeline)],
        evaluator=recipe.evaluator(job.pipeline),
        numFolds=split.folds,
        windowDays=split.validation_days,
        parallelism=training.parallelism,
    )
    return validator.fit(folded)


def judged_grid(job: Job, model: CrossValidatorModel) -> list[dict[str, Any]]:
    """Every point with its metric on each fold's last training days and on its validation days."""
    by_point: Callable[[list[list[float]], int], list[float]] = lambda folds, i: [round(fold[i], 6) for fold in folds]  # noqa: E731
    best = max(range(len(model.avgMetrics)), key=lambda i: model.avgMetrics[i])
    return [
        {
            "params": point,
            "train": by_point(model.train_metrics, i),
            "validation": by_point(model.fold_metrics, i),
            "mean": round(model.avgMetrics[i], 6),
            "std": round(model.stdMetrics[i], 6),
            "best": i == best,
        }
        for i, point in enumerate(recipe.points(job.pipeline))
    ]


def main(spark: SparkSession, job: Job) -> Outcome:
    interactions = recipe.part(spark, job, "interactions", schemas.INTERACTIONS)
    model = choose(interactions, job)
    model.save(f"{job.uri}/model")
    recipe.discard_scratch(job)
    grid = judged_grid(job, model)
    best = next(point for point in grid if point["best"])
    metric = f"{job.pipeline.training.metric}@{job.pipeline.training.k}"
    tracked = tracking.log_training(job.pipeline, job.ds, grid=grid, metric=metric, model=job.lake.spark_path(f"{job.place}/model"))
    return Outcome(
        summary=f"best of {len(grid)}: {', '.join(f'{name} {value:g}' for name, value in best['params'].items())}; "
        f"{metric} {best['mean']:.4f} on {len(best['validation'])} validation windows",
        facts={"best": best["params"], "grid": grid, "metric": metric, "mlflow_run": tracked},
    )
