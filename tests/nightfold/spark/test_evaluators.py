"""Metrics on lists judged by hand."""

from nightfold.spark.evaluators import NothingToJudge, RankingEvaluator

import pytest

ROWS = [
    (1, [False, True, False, True], 2),  # the hit at rank 4 is beyond k = 3
    (2, [], 1),
    (3, [False, False], 0),  # nothing to find: left out
    (4, [True, False], 1),
]
SCHEMA = "user int, hits array<boolean>, relevant int"
# user 1: ndcg 0.63093 / 1.63093 = 0.386853; user 2: 0; user 4: all
BY_HAND = {"ndcg": (0.386853 + 0 + 1) / 3, "recall": (0.5 + 0 + 1) / 3, "map": (0.25 + 0 + 1) / 3, "precision": (1 + 0 + 1) / 9}


@pytest.mark.parametrize("metric", list(BY_HAND))
def test_a_metric_is_what_a_person_gets(spark, metric):
    lists = spark.createDataFrame(ROWS, SCHEMA)
    assert RankingEvaluator(metricName=metric, k=3).evaluate(lists) == pytest.approx(BY_HAND[metric], abs=1e-6)


def test_all_metrics_come_in_one_pass_with_the_number_of_users(spark):
    measured = RankingEvaluator(k=3).measure(spark.createDataFrame(ROWS, SCHEMA))
    assert measured == {**{name: pytest.approx(value, abs=1e-6) for name, value in BY_HAND.items()}, "users": 3}


def test_the_ideal_list_is_no_longer_than_k(spark):
    lists = spark.createDataFrame([(1, [True, True], 4)], SCHEMA)
    assert RankingEvaluator(k=2).measure(lists) == {"ndcg": 1.0, "recall": 0.5, "map": 1.0, "precision": 1.0, "users": 1}


def test_average_precision_counts_the_hits_so_far(spark):
    lists = spark.createDataFrame([(1, [True, False, True], 2)], SCHEMA)
    assert RankingEvaluator(metricName="map", k=3).evaluate(lists) == pytest.approx((1 / 1 + 2 / 3) / 2)


def test_metrics_per_user_keep_the_user(spark):
    judged = RankingEvaluator(k=3).per_user(spark.createDataFrame(ROWS, SCHEMA), metrics=("recall",))
    assert sorted(tuple(row) for row in judged.collect()) == [(1, 0.5), (2, 0.0), (4, 1.0)]


def test_the_order_of_the_rows_changes_no_bit(spark):
    rows = [(u, [place == u % 3 for place in range(3)], 2) for u in range(300)]
    one = RankingEvaluator(k=3).measure(spark.createDataFrame(rows, SCHEMA).repartition(1))
    assert RankingEvaluator(k=3).measure(spark.createDataFrame(rows[::-1], SCHEMA).repartition(7)) == one


def test_nobody_to_judge_is_said_and_not_a_number(spark):
    with pytest.raises(NothingToJudge, match="longer windows"):
        RankingEvaluator().evaluate(spark.createDataFrame([(1, [False], 0)], SCHEMA))


def test_it_is_saved_and_loaded(spark, tmp_path):
    RankingEvaluator(metricName="map", k=7).save(f"file://{tmp_path}/evaluator")
    loaded = RankingEvaluator.load(f"file://{tmp_path}/evaluator")
    assert (loaded.getOrDefault("metricName"), loaded.getOrDefault("k")) == ("map", 7)
