"""What a model looks at, by the names of the pipeline file."""

from typing import Any

from pyspark.ml import PipelineModel
from pyspark.ml.classification import LogisticRegressionModel
from pyspark.ml.feature import ImputerModel, Interaction, StringIndexerModel
from pyspark.ml.regression import LinearRegressionModel

SHOWN = 20


def names(prepared: PipelineModel) -> list[str]:
    """Of every place of the vector that a model sees."""
    numbers, crossed, ones = list[str](), list[str](), list[str]()
    for stage in prepared.stages:
        if isinstance(stage, ImputerModel):
            numbers = list(stage.getInputCols())
        elif isinstance(stage, Interaction):
            crossed.append(" x ".join(name.removesuffix("_log") for name in stage.getInputCols()))
        elif isinstance(stage, StringIndexerModel):
            for column, values in zip(stage.getInputCols(), stage.labelsArray, strict=True):
                ones += [f"{column} = {value}" for value in (*values, "unknown")]
    return [*numbers, *crossed, *ones]


def importance(recipe: PipelineModel) -> list[dict[str, Any]]:
    """The features that matter most: share of the trees' gain, or of the absolute coefficients of scaled features."""
    prepared, model = recipe.stages[:2]
    known = names(prepared)
    if isinstance(model, LogisticRegressionModel | LinearRegressionModel):
        weights = {name: abs(float(weight)) for name, weight in zip(known, model.coefficients.toArray(), strict=True)}
    else:
        gains = model.get_feature_importances(importance_type="total_gain")
        weights = {name: gains.get(f"f{i}", 0.0) for i, name in enumerate(known)}
    total = sum(weights.values()) or 1.0
    largest = sorted(weights.items(), key=lambda item: (-item[1], item[0]))[:SHOWN]
    return [{"feature": name, "share": round(weight / total, 6)} for name, weight in largest]
