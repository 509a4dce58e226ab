"""Writes the portable twin of a model that predictor.py has fitted; what it says is applied by nightfold/twins/predictions.py."""

from collections.abc import Sequence
from typing import Any

from nightfold.errors import NotServable
from nightfold.spark.predict.predictor import INPUTS, Answer, logarithms
from nightfold.twins import folder
from nightfold.twins.predictions import BOOSTER, Boosted, Category, Cross, Document, Linear, Number

from pydantic import ValidationError
from pyspark.ml import PipelineModel
from pyspark.ml.classification import LogisticRegressionModel
from pyspark.ml.feature import (
    ImputerModel,
    Interaction,
    OneHotEncoderModel,
    SQLTransformer,
    StandardScalerModel,
    StringIndexerModel,
    VectorAssembler,
)
from pyspark.ml.regression import LinearRegressionModel

PREPARED = (
    ImputerModel,
    SQLTransformer,
    Interaction,
    VectorAssembler,
    StandardScalerModel,
    StringIndexerModel,
    OneHotEncoderModel,
)
"""Stages of a preparation that a twin repeats."""
WHOLE = [[PipelineModel, Answer], [PipelineModel, LogisticRegressionModel, Answer]]
"""What stands before and after the model."""


def write(recipe: PipelineModel, uri: str, *, numbers: Sequence[str]) -> None:
    """Write the twin into a folder.

    :param recipe: examples in, `predicted` out
    :param numbers: all that the pipeline file names; what nobody had is no feature of the model

    Raises NotServable, which names the stage, when the recipe does something that no twin repeats.
    """
    if [type(stage) for stage in (*recipe.stages[:1], *recipe.stages[2:])] not in WHOLE:
        raise NotServable(
            f"{', '.join(map(_name, recipe.stages))}: is not the preparation, model, calibration and Answer of predictor.py"
        )
    prepared, model, *calibration, answer = recipe.stages
    try:
        made, files = _model(model)
        document = Document(
            **_preparation(prepared, numbers),
            model=made,
            calibration=_linear(calibration[0]) if calibration else None,
            answer=answer.getOrDefault(answer.kind),
        )
    except ValidationError as error:  # a weight that is not finite
        raise NotServable(f"{_name(model)}: {folder.first_problem(error)}") from error
    folder.write(uri, document, files)


def _preparation(prepared: PipelineModel, numbers: Sequence[str]) -> dict[str, Any]:
    """numbers, unused, crosses and categories of a document."""
    of: dict[type, list[Any]] = {kind: [] for kind in PREPARED}
    for stage in prepared.stages:
        if type(stage) not in of:
            raise NotServable(f"{_name(stage)}: a twin does not know this stage")
        of[type(stage)].append(stage)
    for kind in (once := (ImputerModel, SQLTransformer, StandardScalerModel)):
        if len(of[kind]) != 1:
            raise NotServable(f"{kind.__name__}: there are {len(of[kind])}, and a twin repeats one")
    imputer, logs, scaler = (of[kind][0] for kind in once)
    known = list(imputer.getInputCols())
    if logs.getStatement() != logarithms(known):
        raise NotServable(f"{_name(logs)}: a twin takes the logarithms of predictor.py, not another statement")
    crossed = [tuple(name.removesuffix("_log") for name in stage.getInputCols()) for stage in of[Interaction]]
    indexed = [(name, values) for stage in of[StringIndexerModel] for name, values in _values(stage)]
    columns = [*(f"{name}_log" for name in known), *(stage.getOutputCol() for stage in of[Interaction])]
    wanted = {"numbers": columns, INPUTS: ["scaled", *(f"{name}_one" for name, _ in indexed)]}
    if (found := {stage.getOutputCol(): list(stage.getInputCols()) for stage in of[VectorAssembler]}) != wanted:
        raise NotServable(f"VectorAssembler: the columns are put together as {found}, not as in predictor.py")
    medians = imputer.surrogateDF.first()
    means = [float(mean) for mean in scaler.mean]
    scales = [1 / float(spread) if spread else 0.0 for spread in scaler.std]  # as Spark: what never varies says nothing
    scaled = [{"mean": mean, "scale": scale} for mean, scale in zip(means, scales, strict=True)]
    return {
        "numbers": [Number(name=name, median=medians[name], **scaled[i]) for i, name in enumerate(known)],
        "unused": [name for name in numbers if name not in known],
        "crosses": [Cross(of=pair, **scaled[len(known) + i]) for i, pair in enumerate(crossed)],
        "categories": [Category(name=name, values=values) for name, values in indexed],
    }


def _values(indexer: StringIndexerModel) -> list[tuple[str, list[str]]]:
    """Column → its values, in the order of their places."""
    return [(name, list(values)) for name, values in zip(indexer.getInputCols(), indexer.labelsArray, strict=True)]


def _model(model: Any) -> tuple[Linear | Boosted, dict[str, bytes]]:
    if isinstance(model, LogisticRegressionModel | LinearRegressionModel):
        return _linear(model), {}
    from xgboost.spark import SparkXGBClassifierModel, SparkXGBRegressorModel  # here: it takes a second

    if not isinstance(model, SparkXGBClassifierModel | SparkXGBRegressorModel):
        raise NotServable(f"{_name(model)}: a twin knows logistic and linear regression, and XGBoost")
    return Boosted(), {BOOSTER: bytes(model.get_booster().save_raw("ubj"))}


def _linear(model: Any) -> Linear:
    """Of a logistic or linear regression; of a calibration, too."""
    return Linear(coefficients=[float(weight) for weight in model.coefficients], intercept=float(model.intercept))


def _name(stage: Any) -> str:
    return type(stage).__name__
