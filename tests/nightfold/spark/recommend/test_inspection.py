"""What the evaluation says of the candidates and of the lists, counted by hand."""

from nightfold.spark.recommend import inspection
from nightfold.spark.recommend.candidates import POPULAR, REPEAT

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
