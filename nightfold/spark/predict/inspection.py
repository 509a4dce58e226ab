"""What a person looks at to know how far to trust it: what the model sees, where it is good, and where it was furthest off."""

import math
from collections.abc import Sequence
from typing import Any

from nightfold.spark.judging import VALUES, half_width
from nightfold.spark.predict.metrics import average_precision, half_widths

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


def by_segment(judged: DataFrame, column: str, names: Sequence[str], *, metric: str, seed: int) -> list[dict[str, Any]]:
    """The metric of each system in each segment, those of most keys, and `half_width`: system → of its interval of CERTAINTY; no figure
    where it says nothing: no label came true there.

    :param judged: `key`, `label`, a column of scores for each system, and `column`, which says the segment
    :param metric: see pipeline.METRICS
    """
    segments = judged.groupBy(F.col(column).alias("segment")).agg(F.count("*").alias("users"))
    most = [row.asDict() for row in segments.orderBy(F.desc("users"), "segment").limit(VALUES).collect()]
    shown = [row["segment"] for row in most]
    if metric == "average_precision":
        found = _precision(judged, column, names, shown, seed)
    else:
        found = _error(judged, column, names, shown, metric)
    return [
        row
        | {name: value for name, (value, _) in found[row["segment"]].items()}
        | {"half_width": {name: half for name, (_, half) in found[row["segment"]].items()}}
        for row in most
    ]


Found = dict[str, dict[str, tuple[float, float | None]]]
"""Segment → system → the metric, and half of its interval's width; None of a single key."""


def _precision(judged: DataFrame, column: str, names: Sequence[str], segments: list[str], seed: int) -> Found:
    long = _long(judged, column, names, segments)
    measured = average_precision(long, "segment", "system").where("average_precision IS NOT NULL").collect()  # segments x systems
    half = half_widths(judged, names, by=column, segments=segments, seed=seed)
    found: Found = {segment: {} for segment in segments}
    for row in sorted(measured, key=lambda row: row["system"]):
        segment, i = row["segment"], row["system"]
        found[segment][names[i]] = (round(row["average_precision"], 6), half[segments.index(segment)][i])
    return found


def _error(judged: DataFrame, column: str, names: Sequence[str], segments: list[str], metric: str) -> Found:
    """As if means were normal; of the root by the delta method."""
    off = F.abs(F.col("predicted") - F.col("label"))
    sums = (F.avg("off").alias("mean"), F.stddev_samp("off").alias("spread"), F.count("*").alias("rows"))
    long = _long(judged, column, names, segments).withColumn("off", off if metric == "mae" else off * off)
    found: Found = {segment: {} for segment in segments}
    for row in long.groupBy("segment", "system").agg(*sums).orderBy("system").collect():
        mean, half = row["mean"], half_width(row["spread"], row["rows"])
        if metric == "rmse":
            mean = math.sqrt(mean)
            half = half if half is None or not mean else round(half / (2 * mean), 6)
        found[row["segment"]][names[row["system"]]] = (round(mean, 6), half)
    return found


def _long(judged: DataFrame, column: str, names: Sequence[str], segments: list[str]) -> DataFrame:
    """segment, label, system (its place in `names`), predicted."""
    scores = [F.struct(F.lit(i).alias("system"), F.col(name).alias("predicted")) for i, name in enumerate(names)]
    rows = judged.where(F.col(column).isin(segments))
    long = rows.select(F.col(column).alias("segment"), "label", F.explode(F.array(*scores)).alias("of"))
    return long.select("segment", "label", "of.*")


def furthest_off(judged: DataFrame, names: Sequence[str]) -> list[dict[str, Any]]:
    """The keys whose label was furthest from what the first system said; at most EXAMPLES come to the driver."""
    off = F.abs(F.col("label") - F.col(names[0]))
    rows = judged.select("key", "label", *names).orderBy(off.desc(), "key").limit(EXAMPLES).collect()
    return [
        {"user": row["key"], "label": round(row["label"], 6), "said": {name: round(row[name], 6) for name in names}} for row in rows
    ]
