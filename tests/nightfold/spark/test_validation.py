"""Folds in the order of time, and the model that comes out."""

from nightfold.spark.validation import RollingOriginCrossValidator

import numpy as np
import pytest
from pyspark.ml.classification import LogisticRegression
from pyspark.ml.evaluation import BinaryClassificationEvaluator
from pyspark.ml.linalg import Vectors
from pyspark.ml.tuning import CrossValidatorModel

FOLDS = range(-1, 5)  # 1 to 3: validation windows; 4: the test window


def rows(*, test_slope: float = 1.0) -> list[tuple]:
    """(fold, learn, features, label): the label follows the feature; in the test window by `test_slope`."""
    draw = np.random.default_rng(4)
    made = []
    for fold in FOLDS:
        for place, x in enumerate(draw.normal(size=30)):
            slope = test_slope if fold == 4 else 1.0
            made.append((fold, place % 3 > 0, Vectors.dense(float(x)), float(slope * x + draw.normal() > 0)))
    return made


@pytest.fixture
def dataset(spark):
    """Rows as a frame."""
    return lambda made: spark.createDataFrame(made, ["fold", "learn", "features", "label"]).coalesce(1)


def validator(**options) -> RollingOriginCrossValidator:
    estimator = LogisticRegression(maxIter=5)
    maps = [{estimator.regParam: value} for value in (0.01, 10.0)]
    return RollingOriginCrossValidator(
        estimator=estimator, estimatorParamMaps=maps, evaluator=BinaryClassificationEvaluator(), numFolds=3, remembered=2, **options
    )


def test_a_fold_learns_from_the_latest_folds_before_it_and_its_sample_only_and_is_judged_on_all(dataset):
    pairs = validator()._kFold(dataset(rows()))
    folds = lambda frame: sorted(row[0] for row in frame.select("fold").distinct().collect())  # noqa: E731
    assert [(folds(learned), folds(later)) for learned, later in pairs] == [([-1, 0], [1]), ([0, 1], [2]), ([1, 2], [3])]
    assert pairs[0][0].where("learn").count() == pairs[0][0].count() == 40
    assert pairs[0][1].count() == 30


def test_rows_of_the_test_window_change_no_fold_and_parallelism_no_metric_and_the_refit_sees_them(spark, dataset):
    cached = set(spark.sparkContext._jsc.getPersistentRDDs())  # MLlib's ALS leaves its factors until the JVM collects them
    plain = validator(parallelism=2).fit(dataset(rows()))
    other = validator().fit(dataset(rows(test_slope=-9.0)))
    assert plain.fold_metrics == other.fold_metrics
    assert plain.avgMetrics == other.avgMetrics == np.mean(plain.fold_metrics, axis=0).tolist()
    assert plain.bestModel.coefficients[0] > 0.5 > other.bestModel.coefficients[0]
    assert len(plain.stdMetrics) == 2
    assert type(plain) is CrossValidatorModel
    assert set(spark.sparkContext._jsc.getPersistentRDDs()) <= cached, "nothing stays cached"


def test_the_recipe_without_the_test_window_is_the_best_point_learned_from_the_folds_before_it(dataset):
    chooser = validator()
    one, other = (chooser.fit_best(dataset(rows(test_slope=slope)), 0, 3) for slope in (1.0, -9.0))
    assert one.coefficients == other.coefficients


def test_what_an_earlier_try_has_found_is_not_tried_again(dataset, monkeypatch):
    found = {}
    first = validator(known=found).judge(dataset(rows()))
    assert sorted(found) == [(fold, point) for fold in range(3) for point in range(2)]
    del found[1, 1]
    fits = []
    fit = LogisticRegression.fit
    monkeypatch.setattr(LogisticRegression, "fit", lambda self, *given: fits.append(1) or fit(self, *given))
    assert (validator(known=found).judge(dataset(rows())) == first).all()
    assert len(fits) == 1


def test_an_error_in_one_fit_ends_the_choice(dataset, monkeypatch):
    def broken(*_):
        raise ArithmeticError("no")

    monkeypatch.setattr(LogisticRegression, "fit", broken)
    with pytest.raises(ArithmeticError):
        validator(parallelism=2).fit(dataset(rows()))
