"""MLflow: one run per training, with all that a person wants to compare."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from nightfold import fingerprint, settings
from nightfold.errors import BadPipeline, NightfoldError
from nightfold.pipeline import Pipeline

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

RETRIES = "3"  # of one request, about 15 s in all: MLflow's own 7 would keep a task silent for minutes
CHAMPION = "champion"
MODEL = "model"  # folder of a run's artifacts: the model, where it is in the lake, and all that reproduces it
PAGE = 1000  # runs that are asked for at once


class TrackingFailed(NightfoldError):
    """MLflow did not take the run; a retry may help."""


def log_training(
    pipeline: Pipeline,
    night: str,
    *,
    grid: list[dict[str, Any]],
    chosen_before: Mapping[str, Any],
    metric: str,
    model: str,
    inputs: str,
) -> str:
    """Log one training; returns the run's id.

    Its artifacts hold all that reproduces the model: the pipeline file, and the fingerprints of code and inputs.
    The experiment is the pipeline's; `train_*` stands beside `validation_*`, with the fold as the step.

    Raises BadPipeline when MLFLOW_TRACKING_URI is not set, TrackingFailed when the server refuses.
    """
    from mlflow.entities import Metric, Param, RunTag

    now = int(datetime.now(UTC).timestamp() * 1000)
    best = next(point for point in grid if point["best"])
    metrics = [Metric(_name(f"validation {metric} mean"), best["mean"], now, 0)]
    for number, point in enumerate(grid):
        for kind in ("train", "validation"):
            label = f"{kind} {metric}" if point["best"] else f"{kind} {metric} point {number}"
            metrics += [Metric(_name(label), value, now, fold) for fold, value in enumerate(point.get(kind, ()), 1)]
    params = {
        **best["params"],
        **chosen_before,
        "metric": metric,
        "points": len(grid),
        **{f"split_{k}": v for k, v in pipeline.split.model_dump().items()},
    }
    tags = {
        "pipeline": pipeline.pipeline,
        "night": night,
        "model": model,
        "code": fingerprint.code(),
        "mlflow.runName": f"night {night}",
    }
    with _mlflow() as client:
        experiment = client.get_experiment_by_name(pipeline.pipeline)
        experiment_id = experiment.experiment_id if experiment else client.create_experiment(pipeline.pipeline)
        run = client.create_run(experiment_id)
        client.log_batch(
            run.info.run_id,
            metrics=metrics,
            params=[Param(key, str(value)) for key, value in params.items()],
            tags=[RunTag(key, value) for key, value in tags.items()],
        )
        client.log_dict(run.info.run_id, {"grid": grid}, "grid.json")
        client.log_dict(
            run.info.run_id, {"model": model, "inputs": inputs, "code": tags["code"], "night": night}, f"{MODEL}/model.json"
        )
        client.log_dict(run.info.run_id, pipeline.model_dump(mode="json"), f"{MODEL}/pipeline.json")
        client.set_terminated(run.info.run_id)
    return run.info.run_id


def log_model(run: str, folder: str) -> None:
    """Put a model beside a run of log_training: a folder in which one of MLflow's flavours has saved it. Raises as log_training."""
    with _mlflow() as client:
        client.log_artifacts(run, folder, MODEL)


def crown(pipeline: str, run: str | None, *, version: str, night: str) -> None:
    """Let the alias `champion` of the registered model, which is named as the pipeline is, point to the model of a run.

    :param run: whose model makes the lists that are served; None: a baseline does, and the alias goes

    Raises as log_training.
    """
    with _mlflow() as client:
        if not client.search_registered_models(f"name = '{pipeline}'"):
            client.create_registered_model(pipeline, description=f"What makes the lists of {pipeline}: alias {CHAMPION} is served.")
        if run is None:
            if CHAMPION in client.get_registered_model(pipeline).aliases:
                client.delete_registered_model_alias(pipeline, CHAMPION)
            return
        known = client.search_model_versions(f"name = '{pipeline}' and run_id = '{run}'")
        if known:
            number = known[0].version
        else:
            source = f"{client.get_run(run).info.artifact_uri}/{MODEL}"
            number = client.create_model_version(pipeline, source, run_id=run, tags={"night": night, "version": version}).version
        client.set_registered_model_alias(pipeline, CHAMPION, number)


def old_runs(pipeline: str, *, before: str, kept: Collection[str]) -> dict[str, str]:
    """Run id → night of the pipeline's runs of nights before `before` that are not in `kept`. Raises as log_training."""
    found: dict[str, str] = {}
    with _mlflow() as client:
        experiment = client.get_experiment_by_name(pipeline)
        token = None
        while experiment is not None:
            runs = client.search_runs([experiment.experiment_id], max_results=PAGE, page_token=token)
            nights = {run.info.run_id: run.data.tags.get("night", before) for run in runs}
            found |= {run: night for run, night in nights.items() if night < before and night not in kept}
            if not (token := runs.token):
                break
    return found


def remove_run(run_id: str) -> None:
    """MLflow no longer shows it; `mlflow gc` frees its space. Raises as log_training."""
    with _mlflow() as client:
        client.delete_run(run_id)


@contextmanager
def _mlflow() -> Iterator["MlflowClient"]:
    import os  # MLflow reads its login from the environment only

    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    uri = settings.setting("MLFLOW_TRACKING_URI")
    if uri is None:
        raise BadPipeline("MLFLOW_TRACKING_URI is not set: run `make up` on a laptop; elsewhere set it to your MLflow server")
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        if (value := settings.setting(name)) is not None:
            os.environ[name] = value
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", RETRIES)
    try:
        yield MlflowClient(tracking_uri=uri)
    except MlflowException as error:
        words = " ".join(str(error).split())
        raise TrackingFailed(
            f"MLflow at {settings.without_password(uri)}: {words}: is it up, and MLFLOW_TRACKING_USERNAME right?"
        ) from error


def _name(text: str) -> str:
    return text.replace("@", "_at_").replace(" ", "_")  # MLflow allows no @ in a metric's name
