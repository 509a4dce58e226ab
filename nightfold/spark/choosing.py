"""How every task chooses its model: a grid, cross-validated on windows that ascend with time, judged on later windows only.

Writes  model/model      a plain CrossValidatorModel, fitted on everything up to `ds`
        model/judged     the same recipe as a PipelineModel that has not seen the test window, for `evaluate`
        model/twin       what serves without Spark (nightfold/twins), where there is a twin of such a model
        MLflow           one run: parameters, every fold's metrics, the model
"""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from nightfold import settings, stages, tracking
from nightfold.errors import NotServable
from nightfold.fingerprint import digest
from nightfold.spark.families import FamilyEstimator
from nightfold.spark.grid_so_far import GridSoFar
from nightfold.spark.job import Job, Outcome
from nightfold.spark.validation import RollingOriginCrossValidator
from nightfold.spark.windows import LAST_VALIDATION

import numpy as np
from pyspark.ml import PipelineModel
from pyspark.ml.evaluation import Evaluator
from pyspark.ml.param import Param
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F


def fold(folds: int) -> Column:
    """Of an example: 1..folds the validation windows, folds + 1 the test window, less what is older."""
    return F.lit(folds + LAST_VALIDATION) - F.col("window")


def validator(job: Job, estimator: FamilyEstimator, evaluator: Evaluator) -> RollingOriginCrossValidator:
    """The grid of the pipeline file; what an earlier try has found is not tried again."""
    training = job.pipeline.training
    inputs = stages.inputs_fingerprint(job.stage, pipeline=job.pipeline, ds=job.ds, lake=job.lake)
    return RollingOriginCrossValidator(
        estimator=estimator,
        estimatorParamMaps=[estimator.param_map(point) for point in training.families.points],
        evaluator=evaluator,
        numFolds=job.pipeline.split.folds,
        remembered=training.windows,
        parallelism=training.parallelism,
        known=GridSoFar(job.lake, job.attempt, inputs),
    )


def grid(points: list[dict[str, Any]], metrics: np.ndarray, best: int, train: float | None = None) -> list[dict[str, Any]]:
    """Every point with its metric on each validation window, the oldest first; the best one's also on a window that it has learned from.

    :param metrics: (folds, points)
    """
    return [
        {
            "params": point,
            "validation": metrics[:, i].round(6).tolist(),
            "mean": round(float(metrics[:, i].mean()), 6),
            "std": round(float(metrics[:, i].std()), 6),
            "best": i == best,
            **({"train": [round(train, 6)]} if i == best and train is not None else {}),
        }
        for i, point in enumerate(points)
    ]


def with_twin(job: Job, model: PipelineModel, write: Callable[[PipelineModel, str], None]) -> dict[str, Any]:
    """Write the twin of a model; the facts of it: where it is, below the lake's root, or why there is none."""
    try:
        write(model, f"{job.uri}/twin")
    except NotServable as error:
        return {"twin": None, "not_servable": str(error)}
    return {"twin": f"{job.place}/twin"}


def with_mlflow(run: str, model: PipelineModel, *, scratch: str) -> None:
    """Put a model beside a run, as MLflow's flavour `spark`; no pickle. `mlflow.spark.load_model("models:/PIPELINE@champion")` gives it.

    :param scratch: URI of a folder that all of Spark can write
    """
    import mlflow.spark  # takes a second: only this needs it

    with tempfile.TemporaryDirectory(prefix="nightfold-model-") as folder:
        lock = str(settings.ROOT / "requirements.lock")
        mlflow.spark.save_model(model, f"{folder}/model", pip_requirements=lock, dfs_tmpdir=scratch, signature=False)
        tracking.log_model(run, f"{folder}/model")


def choose(
    job: Job,
    dataset: DataFrame,
    estimator: FamilyEstimator,
    evaluator: Evaluator,
    *,
    metric: str,
    features: Sequence[str],
    twin: Callable[[PipelineModel, str], None],
    at_last: dict[Param, Any] | None = None,
    chosen_before: Mapping[str, Any] | None = None,
) -> Outcome:
    """Choose, fit, save and log.

    :param dataset: `window`, `fold`, `learn`, and what the estimator takes
    :param metric: its name, for people
    :param features: their names, in the model's order
    :param twin: writes what serves without Spark of a model into a folder (URI); raises NotServable
    :param at_last: parameters of the two models that are kept, beside their point's
    :param chosen_before: what the stage before has chosen, for MLflow
    """
    chooser, folds, points = validator(job, estimator, evaluator), job.pipeline.split.folds, job.pipeline.training.families.points
    metrics = chooser.judge(dataset)
    best = chooser.best(metrics)
    if at_last:
        chooser.setEstimatorParamMaps([{**point, **at_last} for point in chooser.getEstimatorParamMaps()])
    with ThreadPoolExecutor(max_workers=2) as pool:
        whole = pool.submit(chooser.fitted, dataset, metrics)
        judged = chooser.fit_best(dataset, best, folds)
        train = evaluator.evaluate(judged.transform(dataset.where(F.col("window") == LAST_VALIDATION)))
        model = whole.result()
        model.save(f"{job.uri}/model")
    judged.save(f"{job.uri}/judged")
    served = with_twin(job, model.bestModel, twin)
    tried = grid(points, metrics, best, train)
    tracked = tracking.log_training(
        job.pipeline,
        job.ds,
        grid=tried,
        chosen_before=chosen_before or {},
        metric=metric,
        model=job.lake.spark_path(f"{job.place}/model"),
        inputs=job.lake.get("features", job.ds).fingerprint,
    )
    with_mlflow(tracked, model.bestModel, scratch=f"{job.scratch}/mlflow")
    job.discard_scratch()
    params = tried[best]["params"]
    words = ", ".join(f"{name} {value if isinstance(value, str) else f'{value:g}'}" for name, value in params.items())
    unserved = f"; cannot be served over REST: {served['not_servable']}" if served["twin"] is None else ""
    return Outcome(
        summary=f"best of {len(tried)}: {words}; {metric} {tried[best]['mean']:.4f} on {folds} validation windows{unserved}",
        facts={
            "best": params,
            "features": digest(*features, job.pipeline.asked),
            "grid": tried,
            "metric": metric,
            "mlflow_run": tracked,
            **served,
        },
    )
