"""Average precision, lift and their intervals, held against scikit-learn."""

from nightfold.spark.evaluators import NothingToJudge
from nightfold.spark.predict import metrics
from nightfold.spark.predict.inspection import by_segment, furthest_off
from nightfold.spark.predict.metrics import AveragePrecisionEvaluator, calibration, ranked

import numpy as np
import pytest
from pyspark.sql import functions as F
from sklearn.metrics import average_precision_score

DRAW = np.random.default_rng(5)
LABELS = (DRAW.random(600) < 0.15).astype(float)
GOOD = np.round(LABELS * 0.3 + DRAW.random(600), 2)  # with ties
FLAT = np.zeros(600)


@pytest.fixture
def judged(utc):
    rows = [(f"k{i:03}", float(label), float(good), 0.0) for i, (label, good) in enumerate(zip(LABELS, GOOD, strict=True))]
    return utc.createDataFrame(rows, "key string, label double, recipe double, flat double").repartition(3)


def test_average_precision_is_that_of_scikit_learn_also_with_ties(judged):
    for column, scores in (("recipe", GOOD), ("flat", FLAT)):
        found = AveragePrecisionEvaluator().evaluate(judged.withColumn("predicted", judged[column]))
        assert found == pytest.approx(average_precision_score(LABELS, scores))


def test_nothing_happened_is_said(utc):
    rows = utc.createDataFrame([(0.5, 0.0), (0.4, 0.0)], "predicted double, label double")
    with pytest.raises(NothingToJudge, match="nothing happened in these days that was to be predicted"):
        AveragePrecisionEvaluator().evaluate(rows)


def test_the_mean_is_exact_and_the_intervals_are_paired(judged):
    found = ranked(judged, ["recipe", "flat"], seed=1, certainty=0.95)
    means = {name: found["means"][name]["average_precision"] for name in ("recipe", "flat")}
    assert means["recipe"]["mean"] == pytest.approx(average_precision_score(LABELS, GOOD), abs=1e-6)
    assert means["flat"]["mean"] == pytest.approx(LABELS.mean(), abs=1e-6)
    less = found["less"]["recipe", "flat"]
    assert less["mean"] == pytest.approx(means["recipe"]["mean"] - means["flat"]["mean"], abs=2e-6)
    assert 0 < less["low"] < less["mean"] < less["high"]
    assert less == ranked(judged.repartition(2), ["recipe", "flat"], seed=1, certainty=0.95)["less"]["recipe", "flat"]


def test_more_rows_than_bins_lose_little(judged, monkeypatch):
    monkeypatch.setattr(metrics, "BINS", 100)
    found = ranked(judged, ["recipe"], seed=1, certainty=0.95)["means"]["recipe"]["average_precision"]
    assert found["mean"] == pytest.approx(average_precision_score(LABELS, GOOD), abs=0.01)


def test_lift_is_how_much_more_often_it_happens_among_the_first_tenth(utc):
    rows = [(f"k{i}", float(i < 6), float(100 - i)) for i in range(100)]
    found = ranked(utc.createDataFrame(rows, "key string, label double, recipe double"), ["recipe"], seed=1, certainty=0.95)
    assert found["means"]["recipe"]["lift"]["mean"] == pytest.approx(10.0)


def test_calibration_is_by_tenths_of_the_rows(judged):
    found = calibration(judged)
    assert [entry["candidates"] for entry in found] == [60] * 10
    assert found[0]["predicted"] < found[-1]["predicted"]
    assert sum(entry["observed"] * entry["candidates"] for entry in found) == pytest.approx(LABELS.sum())


def again(values: int) -> np.ndarray:
    """Rows of a plain bootstrap: (500, values)."""
    return np.random.default_rng(9).integers(0, values, (500, values))


def spread_of_average_precision(labels: np.ndarray, scores: np.ndarray) -> float:
    found = [average_precision_score(labels[rows], scores[rows]) for rows in again(len(labels))]
    return float(np.subtract(*np.quantile(found, [0.975, 0.025])) / 2)


def roots(off: np.ndarray) -> np.ndarray:
    return np.sqrt((off[again(len(off))] ** 2).mean(axis=1))


def test_each_segment_has_its_own_figures(judged):
    halves = judged.withColumn("half", F.when(F.col("key") < "k250", "first").otherwise("second"))
    second, first = by_segment(halves, "half", ["recipe", "flat"], metric="average_precision", seed=1)
    assert [(row["segment"], row["users"]) for row in (second, first)] == [("second", 350), ("first", 250)], "the largest first"
    assert first["recipe"] == pytest.approx(average_precision_score(LABELS[:250], GOOD[:250]), abs=1e-6)
    assert second["flat"] == pytest.approx(LABELS[250:].mean(), abs=1e-6)
    off = np.abs(GOOD - LABELS)[:250]
    mean = by_segment(halves, "half", ["recipe"], metric="mae", seed=1)[1]
    assert mean["recipe"] == pytest.approx(off.mean(), abs=1e-6)
    assert mean["half_width"]["recipe"] == pytest.approx(1.96 * off.std(ddof=1) / np.sqrt(250), rel=1e-3)
    assert first["half_width"]["recipe"] == pytest.approx(spread_of_average_precision(LABELS[:250], GOOD[:250]), rel=0.25)
    assert 0 < second["half_width"]["flat"] < first["half_width"]["recipe"]
    root = by_segment(halves, "half", ["recipe"], metric="rmse", seed=1)[1]
    assert root["recipe"] == pytest.approx(np.sqrt((off**2).mean()), abs=1e-6)
    assert root["half_width"]["recipe"] == pytest.approx(1.96 * roots(off).std(), rel=0.15)


def test_a_segment_in_which_nothing_happened_has_no_average_precision(judged):
    none = judged.where("label = 0").withColumn("all", F.lit("all"))
    assert by_segment(none, "all", ["recipe"], metric="average_precision", seed=1) == [
        {"segment": "all", "users": int((LABELS == 0).sum()), "half_width": {}}
    ]


def test_those_furthest_off_come_first(judged):
    found = furthest_off(judged, ["recipe", "flat"])
    off = [abs(each["label"] - each["said"]["recipe"]) for each in found]
    assert off == sorted(off, reverse=True)
    assert off == pytest.approx(sorted(np.abs(GOOD - LABELS), reverse=True)[:10])
