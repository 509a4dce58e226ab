"""Means with intervals on columns made by hand."""

from nightfold.spark.judging import by_activity, by_value, intervals, reach

import pytest

HALF_WIDTH = 0.195996  # 1.96 x 0.1414 / sqrt(2)


def measured(spark, values, partitions=1):
    frame = spark.createDataFrame(
        [(user, value, value / 2, 0.0) for user, value in enumerate(values)], "user int, a double, b double, same double"
    )
    return frame.repartition(partitions)


def test_the_mean_is_exact_and_inside_its_interval(utc):
    found = intervals(measured(utc, [0.0, 0.25, 0.5, 0.25] * 25), ["a", "b"], seed=7)
    assert (found["a"]["mean"], found["b"]["mean"]) == (0.25, 0.125)
    assert 0.2 < found["a"]["low"] < 0.25 < found["a"]["high"] < 0.3, "2 * 0.177 / sqrt(100) = 0.035 on each side"


def test_partitions_and_order_change_no_digit_and_another_seed_does(utc):
    values = [i % 7 / 7 for i in range(60)]
    one, many = (intervals(measured(utc, values, partitions), ["a"], seed=7) for partitions in (1, 5))
    assert one == many
    assert intervals(measured(utc, values), ["a"], seed=8)["a"]["low"] != one["a"]["low"]


def test_a_system_against_itself_differs_by_nothing(utc):
    assert intervals(measured(utc, [0.1, 0.7, 0.3]), ["same"], seed=1)["same"] == {"mean": 0.0, "low": 0.0, "high": 0.0}


def test_a_difference_is_paired(utc):
    frame = measured(utc, [0.0, 1.0] * 20).selectExpr("user", "a", "a + 0.1 as better", "a + 0.1 - a as less")
    found = intervals(frame, ["a", "better", "less"], seed=3)
    assert found["better"]["low"] < found["a"]["high"], "taken apart they cannot be told"
    assert found["less"] == {"mean": 0.1, "low": 0.1, "high": 0.1}


def test_segments_are_by_the_days_that_were_known_of_a_user(utc):
    learned = utc.createDataFrame([(1, 5), (1, 5), (1, 6), *((2, day) for day in range(10))], "user int, day int")
    judged = utc.createDataFrame([(0, 0.1), (1, 0.2), (2, 0.3), (3, 0.3)], "user int, ndcg_0 double")
    assert by_activity(judged, learned, ["recipe"], metric="ndcg") == [
        {"segment": "new", "users": 2, "recipe": pytest.approx(0.2), "half_width": {"recipe": HALF_WIDTH}},
        {"segment": "1–9 days", "users": 1, "recipe": 0.2, "half_width": {"recipe": None}},
        {"segment": "10–29 days", "users": 1, "recipe": 0.3, "half_width": {"recipe": None}},
    ]


def test_segments_are_by_the_first_attribute_the_largest_first(utc):
    judged = utc.createDataFrame([(0, 0.1), (1, 0.2), (2, 0.3), (3, 0.5)], "user int, map_0 double")
    attributes = utc.createDataFrame(
        [(0, ["old", "x"]), (1, ["young", "x"]), (2, ["old", None]), (3, [None, "x"])], "user int, values array<string>"
    )
    assert by_value(judged, attributes, ["recipe"], metric="map") == [
        {"segment": "old", "users": 2, "recipe": pytest.approx(0.2), "half_width": {"recipe": HALF_WIDTH}},
        {"segment": "not known", "users": 1, "recipe": 0.5, "half_width": {"recipe": None}},
        {"segment": "young", "users": 1, "recipe": 0.2, "half_width": {"recipe": None}},
    ]


def test_reach_is_of_users_known_items_listed_and_what_is_new_and_rare(utc):
    schema = "user int, items array<int>, baskets array<int>"
    lists = utc.createDataFrame([(1, [10, 11], [2, 0]), (2, [10], [0]), (3, [], []), (4, [11], [0])], schema)
    same = utc.createDataFrame([(1, [10], [2])], schema)
    nothing = utc.createDataFrame([], schema)
    learned = utc.createDataFrame([(1, 10), (1, 10), (9, 10), (9, 11)], "user int, item int")
    assert reach({"mine": lists, "other": same, "none": nothing}, learned, 4) == {
        "mine": {"user_coverage": 0.25, "item_coverage": 0.5, "new_share": 0.75, "novelty_bits": 0.5},
        "other": {"user_coverage": 1.0, "item_coverage": 0.25, "new_share": 0.0, "novelty_bits": 0.0},
        "none": {"user_coverage": 0.0, "item_coverage": 0.0, "new_share": 0.0, "novelty_bits": 0.0},
    }
