"""The recipe of classify and regress: from named columns to probabilities and numbers."""

from nightfold.spark.predict.inspection import importance
from nightfold.spark.predict.predictor import NothingToTell, Predictor

import numpy as np
import pytest
from pyspark.ml import PipelineModel
from pyspark.sql import functions as F

COLUMNS = "key string, window int, label double, much double, gap double, nowhere double, kind string"
FAMILIES = [
    {"family": "linear", "reg_param": 0.001},
    {"family": "xgboost", "n_estimators": 30, "max_depth": 3, "min_child_weight": 1.0},
]


def rows(n: int = 900, *, task: str = "classify", seed: int = 1) -> list[tuple]:
    """What follows from `much`, and from one `kind`; `gap` is not always known."""
    draw = np.random.default_rng(seed)
    made = []
    for i in range(n):
        much, kind, gap = float(draw.gamma(2, 20)), "abc"[draw.integers(3)], float(draw.random()) if i % 3 else None
        chance = 1 / (1 + np.exp(6 - much / 15 - 2 * (kind == "a")))
        label = float(draw.random() < chance) if task == "classify" else 3 * much + 20 * (kind == "a") + float(draw.gamma(2, 2))
        made.append((f"k{i:04}", 1 + i % 2, label, much, gap, None, kind if i % 5 else None))
    return made


def predictor(task: str = "classify", **more: object) -> Predictor:
    return Predictor(
        task=task, numbers=["much", "gap", "nowhere"], categories=["kind"], crosses=["much*gap", "much*nowhere"], **more
    )


def fitted(estimator: Predictor, frame, point: dict) -> PipelineModel:
    return estimator.fit(frame, estimator.param_map(point))


@pytest.mark.parametrize("point", FAMILIES, ids=lambda point: point["family"])
def test_probabilities_are_true_and_a_model_is_the_same_after_saving(utc, tmp_path, point):
    frame = utc.createDataFrame(rows(), COLUMNS)
    model = fitted(predictor(calibrate=True), frame, point)
    later = utc.createDataFrame(rows(seed=2), COLUMNS)
    said = model.transform(later).select("key", "label", "predicted").persist()
    mean = said.agg(F.avg("predicted").alias("said"), F.avg("label").alias("came")).first()
    assert mean["said"] == pytest.approx(mean["came"], abs=0.04), "positives weigh more, and the calibration takes that back"
    by = said.groupBy("label").agg(F.avg("predicted").alias("p")).collect()
    means = {row["label"]: row["p"] for row in by}
    assert means[1.0] > means[0.0] + 0.2
    model.save(f"file://{tmp_path}/model")
    again = PipelineModel.load(f"file://{tmp_path}/model").transform(later).select("key", "predicted")
    assert sorted(again.collect()) == sorted(said.select("key", "predicted").collect())
    named = [entry["feature"] for entry in importance(model)]
    assert named[0] == "much" or named[0] == "much x gap"
    assert {"gap", "kind = a", "kind = unknown"} <= set(named)
    assert not any("nowhere" in name for name in named), "what nobody knows is no feature"


@pytest.mark.parametrize("point", FAMILIES, ids=lambda point: point["family"])
@pytest.mark.parametrize("loss", ["absolute", "squared"])
def test_numbers_are_learned_on_their_own_scale(utc, point, loss):
    frame = utc.createDataFrame(rows(task="regress"), COLUMNS)
    said = fitted(predictor("regress", loss=loss), frame, point).transform(
        utc.createDataFrame(rows(task="regress", seed=2), COLUMNS)
    )
    error = said.agg(F.avg(F.abs(F.col("predicted") - F.col("label")))).first()[0]
    spread = said.agg(F.stddev("label")).first()[0]
    assert error < 0.4 * spread


def test_the_same_rows_in_another_order_give_the_same_model(utc):
    made = rows(300)
    one, other = (
        fitted(predictor(calibrate=True), utc.createDataFrame(given, COLUMNS).repartition(parts), FAMILIES[1])
        for given, parts in ((made, 1), (made[::-1], 3))
    )
    later = utc.createDataFrame(rows(50, seed=3), COLUMNS)
    assert sorted(one.transform(later).select("key", "predicted").collect()) == sorted(
        other.transform(later).select("key", "predicted").collect()
    )


def test_prepared_rows_give_what_the_examples_give(utc):
    frame, later = utc.createDataFrame(rows(300), COLUMNS), utc.createDataFrame(rows(50, seed=3), COLUMNS)
    estimator = predictor()
    point = estimator.param_map(FAMILIES[0])
    learned, judged = estimator.prepared(frame, later)
    found = estimator.fit(learned, point).transform(judged).select("key", "predicted").collect()
    assert sorted(found) == sorted(estimator.fit(frame, point).transform(later).select("key", "predicted").collect())
    learned.unpersist(), judged.unpersist()


def test_where_there_is_nothing_to_tell_apart_it_is_said(utc):
    frame = utc.createDataFrame(rows(20), COLUMNS).withColumn("label", F.lit(0.0))
    with pytest.raises(NothingToTell, match="all 20 examples to learn from have the label 0: there is nothing to tell apart"):
        fitted(predictor(), frame, FAMILIES[0])
