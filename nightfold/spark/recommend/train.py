"""train: features -> the model that scores tonight, chosen on earlier windows only, then fitted on everything up to `ds`.

Reads   features
Writes  model/model      a plain CrossValidatorModel: examples in, lists out
        model/judged     the same recipe as a PipelineModel that has not seen the test window, for `evaluate`
        MLflow           one run: parameters, every fold's metrics
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from nightfold import stages, tracking
from nightfold.fingerprint import digest
from nightfold.spark.job import Job, Outcome
from nightfold.spark.recommend import examples
from nightfold.spark.recommend.grid_so_far import GridSoFar
from nightfold.spark.recommend.ranker import evaluator, ranker
from nightfold.spark.recommend.windows import LAST_VALIDATION, TEST
from nightfold.spark.validation import RollingOriginCrossValidator

import numpy as np
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F


def folded(spark: SparkSession, job: Job) -> DataFrame:
    """The examples with column `fold`: 1..folds the validation windows, folds + 1 the test window, less what is older."""
    folds = job.pipeline.split.folds
    oldest = len(job.lake.get("features", job.ds).facts["windows"]) - 1
    validation = range(LAST_VALIDATION, LAST_VALIDATION + folds)
    made = examples.written(spark, job, range(TEST, oldest + 1), whole=validation)
    return made.withColumn("fold", F.lit(folds + LAST_VALIDATION) - F.col("window"))


def validator(job: Job) -> RollingOriginCrossValidator:
    """The grid of the pipeline file; what an earlier try has found is not tried again."""
    training, made = job.pipeline.training, ranker(job.pipeline)
    inputs = stages.inputs_fingerprint(job.stage, pipeline=job.pipeline, ds=job.ds, lake=job.lake)
    return RollingOriginCrossValidator(
        estimator=made,
        estimatorParamMaps=[made.param_map(point) for point in training.families.points],
        evaluator=evaluator(job.pipeline),
        numFolds=job.pipeline.split.folds,
        remembered=training.windows,
        parallelism=training.parallelism,
        known=GridSoFar(job.lake, job.attempt, inputs),
    )


def grid(points: list[dict[str, Any]], metrics: np.ndarray, best: int, train: float) -> list[dict[str, Any]]:
    """Every point with its metric on each validation window; the best one's also on a window that it has learned from.

    :param metrics: (folds, points)
    """
    return [
        {
            "params": point,
            "validation": metrics[:, i].round(6).tolist(),
            "mean": round(float(metrics[:, i].mean()), 6),
            "std": round(float(metrics[:, i].std()), 6),
            "best": i == best,
            **({"train": [round(train, 6)]} if i == best else {}),
        }
        for i, point in enumerate(points)
    ]


def main(spark: SparkSession, job: Job) -> Outcome:
    dataset, chooser, folds = folded(spark, job), validator(job), job.pipeline.split.folds
    metrics = chooser.judge(dataset)
    best = chooser.best(metrics)
    with ThreadPoolExecutor(max_workers=2) as pool:
        whole = pool.submit(chooser.fitted, dataset, metrics)
        judged = chooser.fit_best(dataset, best, folds)
        train = chooser.getEvaluator().evaluate(judged.transform(dataset.where(F.col("window") == LAST_VALIDATION)))
        whole.result().save(f"{job.uri}/model")
    judged.save(f"{job.uri}/judged")
    job.discard_scratch()
    tried = grid(job.pipeline.training.families.points, metrics, best, train)
    metric = f"{job.pipeline.training.metric}@{job.pipeline.training.k}"
    tracked = tracking.log_training(
        job.pipeline,
        job.ds,
        grid=tried,
        metric=metric,
        model=job.lake.spark_path(f"{job.place}/model"),
        inputs=job.lake.get("features", job.ds).fingerprint,
    )
    params = tried[best]["params"]
    words = ", ".join(f"{name} {value if isinstance(value, str) else f'{value:g}'}" for name, value in params.items())
    return Outcome(
        summary=f"best of {len(tried)}: {words}; {metric} {tried[best]['mean']:.4f} on {folds} validation windows",
        facts={
            "best": params,
            "features": digest(*examples.names(job.pipeline)),
            "grid": tried,
            "metric": metric,
            "mlflow_run": tracked,
        },
    )
