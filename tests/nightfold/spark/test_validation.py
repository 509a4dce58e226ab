"""Folds in the order of time, and the model that comes out."""

import json
import subprocess
import sys
from datetime import date

from nightfold.spark.evaluators import RankingEvaluator
from nightfold.spark.recommend.blend import BlendModel
from nightfold.spark.validation import HistoryTooShort, RollingOriginCrossValidator, assign_folds

import pytest
from pyspark.ml.tuning import CrossValidatorModel

NIGHT = "2017-03-01"
LAST = (date(2017, 3, 1) - date(1970, 1, 1)).days


def shopping(days: int) -> list:
    """Users 0-5 take their own item every day, and a best seller every third day."""
    rows = []
    for day in range(LAST - days + 1, LAST + 1):
        rows += [(user, user, day, 1.0) for user in range(6)]
        rows += [(user, 6 + (day + user) % 2, day, 1.0) for user in range(6) if (day + user) % 3 == 0]
    return rows


def folded(rows, *, days=20, later=()):
    return assign_folds(rows([*shopping(days), *later]), NIGHT, test_days=4, validation_days=3, folds=2)


def validator(estimator, **options):
    maps = [{estimator.halfLife: h, estimator.alsWeight: a} for h in (0.0, 5.0) for a in (0.0, 1.0)]
    return RollingOriginCrossValidator(
        estimator=estimator, estimatorParamMaps=maps, evaluator=RankingEvaluator(k=2), numFolds=2, windowDays=3, **options
    )


def test_windows_end_with_the_night_and_later_days_are_gone(rows):
    found = folded(rows, later=[(0, 0, LAST + 1, 1.0)]).groupBy("fold").agg({"day": "min"}).collect()
    assert sorted((r[0], r[1] - LAST) for r in found) == [(0, -19), (1, -9), (2, -6), (3, -3)]
    last = folded(rows, later=[(0, 0, LAST + 1, 1.0)]).agg({"day": "max"}).first()[0]
    assert last == LAST


def test_a_short_history_is_refused_with_the_numbers_and_the_mend(rows):
    assert folded(rows, days=13).count() > 0
    with pytest.raises(HistoryTooShort, match=r"2017-03-01: 12 days of history, but 13 are needed .*lower split.folds"):
        folded(rows, days=12)


def test_an_empty_window_is_refused_by_its_day(rows):
    closed = [row for row in shopping(20) if not LAST - 9 <= row[2] <= LAST - 7]
    with pytest.raises(HistoryTooShort, match=r"validation window 1 \(2017-02-20, 3 days\)"):
        assign_folds(rows(closed), NIGHT, test_days=4, validation_days=3, folds=2)


def test_a_fold_learns_from_earlier_days_only(rows, shop):
    pairs = validator(shop(users=6, items=9))._kFold(folded(rows))
    days = [[(p.agg({"day": "min"}).first()[0] - LAST, p.agg({"day": "max"}).first()[0] - LAST) for p in pair] for pair in pairs]
    assert days == [[(-19, -10), (-9, -7)], [(-19, -7), (-6, -4)]]


def test_rows_of_the_test_window_change_no_fold_and_parallelism_no_metric(spark, rows, shop):
    estimator = shop(users=6, items=9, factors=4, iterations=3)
    plain = validator(estimator, parallelism=2).fit(folded(rows))
    other = validator(estimator).fit(folded(rows, later=[(u, 8, LAST - 1, 50.0) for u in range(6)]))
    assert plain.fold_metrics == other.fold_metrics
    assert plain.avgMetrics == other.avgMetrics
    assert plain.train_metrics == other.train_metrics
    assert [i["item"] for i in other.bestModel.fallback(1).collect()] == [8], "the refit has seen the test window"
    assert [len(fold) for fold in plain.train_metrics] == [4, 4]
    assert len(plain.stdMetrics) == 4
    assert type(plain) is CrossValidatorModel
    assert not spark.sparkContext._jsc.getPersistentRDDs(), "nothing stays cached"


@pytest.mark.parametrize(("exclude_seen", "passes"), [(False, 8), (True, 16)])  # 2 folds x 4 points
def test_one_pass_over_the_users_judges_both_windows_where_their_lists_are_the_same(rows, shop, monkeypatch, exclude_seen, passes):
    made = []
    monkeypatch.setattr(BlendModel, "_lists", lambda *given, plain=BlendModel._lists: made.append(1) or plain(*given))
    extra = [(u, (u + 1 + d // 3) % 6, LAST - d, 1.0) for u in range(6) for d in (8, 5, 2)]
    estimator = shop(users=6, items=9, factors=4, iterations=3, excludeSeen=exclude_seen)
    judged = validator(estimator).fit(folded(rows, later=extra))
    assert len(made) == passes
    assert all(metric > 0 for fold in [*judged.fold_metrics, *judged.train_metrics] for metric in fold)


@pytest.mark.parametrize("exclude_seen", [False, True])
def test_both_windows_metrics_are_those_of_each_judged_by_itself(rows, shop, exclude_seen):
    extra = [(u, (u + 1 + d // 3) % 6, LAST - d, 1.0) for u in range(6) for d in (8, 5, 2)]
    estimator = shop(users=6, items=9, factors=4, iterations=3, excludeSeen=exclude_seen)
    both = validator(estimator)
    days = folded(rows, later=extra)
    found = both.fit(days)
    learned, later = both._kFold(days)[0]
    known = learned.where(f"day > {LAST - 10 - 3}")
    for i, given in enumerate(both.getEstimatorParamMaps()):
        model = estimator.fit(learned, given)
        assert found.fold_metrics[0][i] == both.getEvaluator().evaluate(model.transform(later))
        assert found.train_metrics[0][i] == both.getEvaluator().evaluate(model.copy({model.excludeSeen: False}).transform(known))


LOAD = """
import json, sys
import nightfold.spark
from pyspark.ml.tuning import CrossValidatorModel
from pyspark.sql import SparkSession
spark = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate()
model = CrossValidatorModel.load(sys.argv[1]).bestModel
lists = model.recommend(model.part("users").select("user"), 3).collect()
print(json.dumps(sorted([r["user"], [list(i) for i in r["items"]]] for r in lists)))
"""


@pytest.mark.parametrize("exclude_seen", [False, True])
def test_another_process_loads_the_model_and_lists_the_same(spark, rows, shop, tmp_path, exclude_seen):
    estimator = shop(users=6, items=9, factors=4, iterations=3, excludeSeen=exclude_seen)
    extra = [(u, (u + 1 + d // 3) % 6, LAST - d, 1.0) for u in range(6) for d in (8, 5, 2)]  # something new in every window
    model = validator(estimator, parallelism=2).fit(folded(rows, later=extra))
    here = model.bestModel.recommend(model.bestModel.part("users").select("user"), 3).collect()
    model.save(f"{tmp_path}/saved")
    for place in ("scratch", "users", "items"):
        (tmp_path / place).rename(tmp_path / f"gone-{place}")
    there = subprocess.run([sys.executable, "-c", LOAD, f"{tmp_path}/saved"], capture_output=True, text=True, check=True)
    assert json.loads(there.stdout.splitlines()[-1]) == sorted([r["user"], [list(i) for i in r["items"]]] for r in here)
    assert CrossValidatorModel.load(f"{tmp_path}/saved").stdMetrics == model.stdMetrics
