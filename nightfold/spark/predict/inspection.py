"""What a person looks at to know how far to trust it: what the model sees, where it is good, and where it was furthest off."""

from collections.abc import Sequence
from typing import Any

from nightfold.spark.judging import VALUES
from nightfold.spark.predict.metrics import average_precision

from pyspark.ml import PipelineModel
from pyspark.ml.classification import LogisticRegressionModel
from pyspark.ml.feature import ImputerModel, Interaction, StringIndexerModel
from pyspark.ml.regression import LinearRegressionModel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

SHOWN = 20
EXAMPLES = 10  # shown


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


def by_segment(judged: DataFrame, column: str, names: Sequence[str], *, metric: str) -> list[dict[str, Any]]:
    """The metric of each system in each segment, those of most keys; none where it says nothing: no label came true there.

    :param judged: `label`, a column of scores for each system, and `column`, which says the segment
    :param metric: see pipeline.METRICS
    """
    users = judged.groupBy(F.col(column).alias("segment")).agg(F.count("*").alias("users"))
    most = users.orderBy(F.desc("users"), "segment").limit(VALUES)
    scores = [F.struct(F.lit(i).alias("system"), F.col(name).alias("predicted")) for i, name in enumerate(names)]
    long = judged.select(F.col(column).alias("segment"), "label", F.explode(F.array(*scores)).alias("of"))
    long = long.select("segment", "label", "of.*")
    off = F.col("predicted") - F.col("label")
    if metric == "average_precision":
        measured = average_precision(long, "segment", "system").withColumnRenamed(metric, "value")
    else:
        value = F.avg(F.abs(off)) if metric == "mae" else F.sqrt(F.avg(off * off))
        measured = long.groupBy("segment", "system").agg(value.alias("value"))
    of = F.map_from_entries(F.collect_list(F.struct("system", "value"))).alias("of")  # one entry per system
    rows = most.join(measured, "segment").groupBy("segment", "users").agg(of).orderBy(F.desc("users"), "segment").collect()
    return [
        {"segment": row["segment"], "users": row["users"]}
        | {name: round(row["of"][i], 6) for i, name in enumerate(names) if row["of"][i] is not None}
        for row in rows
    ]


def furthest_off(judged: DataFrame, names: Sequence[str]) -> list[dict[str, Any]]:
    """The keys whose label was furthest from what the first system said; at most EXAMPLES come to the driver."""
    off = F.abs(F.col("label") - F.col(names[0]))
    rows = judged.select("key", "label", *names).orderBy(off.desc(), "key").limit(EXAMPLES).collect()
    return [
        {"user": row["key"], "label": round(row["label"], 6), "said": {name: round(row[name], 6) for name in names}} for row in rows
    ]
