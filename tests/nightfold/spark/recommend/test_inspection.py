"""What the evaluation says of the candidates and of the lists, counted by hand."""

from nightfold.spark.recommend import inspection
from nightfold.spark.recommend.candidates import POPULAR, REPEAT, TOGETHER

import pytest
from pyspark.ml.linalg import Vectors

JUDGED = "user int, items array<int>, hits array<boolean>"


def test_what_is_listed_is_counted_by_category_for_each_system(utc):
    items = utc.createDataFrame([(0, "dairy"), (1, "dairy"), (2, "bread"), (3, None)], "item int, category string")
    judged = {
        "recipe": utc.createDataFrame([(7, [0, 2, 3], [True, False, True]), (8, [1, 0], [False, True])], JUDGED),
        "popularity": utc.createDataFrame([(7, [2, 3], [True, False]), (8, [2], [False])], JUDGED),
    }
    assert inspection.by_category(judged, items) == [
        {"segment": "dairy", "places": 3, "recipe": 0.666667},
        {"segment": "bread", "places": 1, "recipe": 0.0, "popularity": 0.5},
    ]


def test_probabilities_are_held_against_what_came_true_also_of_who_took_nothing(utc):
    """Half of those who took nothing are there, each for two."""
    rows = [(True, 2, 0.61, True), (True, 2, 0.62, False), (True, 0, 0.6, False), (True, 0, 0.11, False), (False, 2, 0.6, True)]
    known = [(known, relevant, Vectors.dense(1 - p, p), label) for known, relevant, p, label in rows]
    scored = utc.createDataFrame(known, ["known", "relevant", "probability", "label"])
    found = inspection.calibration(scored, negatives=0.5)
    assert [(one["candidates"], one["observed"]) for one in found] == [(2, 0.0), (4, 0.25)]
    p = [0.5 * p / (1 - p + 0.5 * p) for p in (0.11, 0.61, 0.62, 0.6)]
    assert [one["predicted"] for one in found] == pytest.approx([p[0], (p[1] + p[2] + 2 * p[3]) / 4], abs=1e-6)


def test_the_recall_of_candidates_is_of_all_that_was_taken(utc):
    rows = [(1, REPEAT, True, 3), (1, REPEAT | POPULAR, True, 3), (1, POPULAR, False, 3), (2, POPULAR, True, 1)]
    scored = utc.createDataFrame(rows, "user int, source int, label boolean, relevant int")
    assert inspection.recall_of_candidates(scored) == {
        "all": {"recall": 0.75, "alone": 0.0, "per_user": 2.0},
        "repeats": {"recall": 0.5, "alone": 0.25, "per_user": 1.0},
        "popular": {"recall": 0.5, "alone": 0.25, "per_user": 1.5},
    }


def test_those_with_a_past_are_shown_first_and_every_item_says_why_it_is_listed(utc):
    new, known = list(range(inspection.USERS)), inspection.USERS
    lists = [(user, [1], [0.5], [0], [None], [None], [POPULAR], [False], [False]) for user in new]
    lists.append((known, [1, 0], [0.5, 0.4], [0, 3], [None, 20454], [0, None], [TOGETHER, REPEAT], [True, False], [True, True]))
    arrays = (
        "items array<int>, scores array<double>, baskets array<int>, last_day array<int>, goes_with array<int>, source array<int>"
    )
    judged = utc.createDataFrame(lists, f"user int, {arrays}, hits array<boolean>, known array<boolean>")
    learned = utc.createDataFrame([(known, 0, 20453, 2), (known, 0, 20454, 1)], "user int, item int, day int, weight int")
    items = utc.createDataFrame([(0, "00", "milk"), (1, "01", None)], "item int, id string, title string")
    users = utc.createDataFrame([(user, f"u{user}") for user in (*new, known)], "user int, id string")
    first, *others = inspection.some_lists(judged, learned, items, users, verb="played")
    assert first == {
        "user": f"u{known}",
        "history": [{"id": "00", "title": "milk", "times": 3, "last": "2026-01-01"}],
        "list": [
            {"id": "01", "title": None, "why": "goes with milk", "hit": True},
            {"id": "00", "title": "milk", "why": "played 3 times, last on 2026-01-01", "hit": False},
        ],
    }
    assert len(others) == inspection.USERS - 1
    assert [(one["history"], one["list"][0]["why"]) for one in others] == [([], "popular now")] * len(others)
