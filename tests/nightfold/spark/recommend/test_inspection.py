"""What the evaluation says of the candidates and of the lists, counted by hand."""

from nightfold.spark.recommend import inspection
from nightfold.spark.recommend.candidates import POPULAR, REPEAT

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


def test_the_recall_of_candidates_is_of_all_that_was_taken(utc):
    rows = [(1, REPEAT, True, 3), (1, REPEAT | POPULAR, True, 3), (1, POPULAR, False, 3), (2, POPULAR, True, 1)]
    scored = utc.createDataFrame(rows, "user int, source int, label boolean, relevant int")
    assert inspection.recall_of_candidates(scored) == {
        "all": {"recall": 0.75, "alone": 0.0, "per_user": 2.0},
        "repeats": {"recall": 0.5, "alone": 0.25, "per_user": 1.0},
        "popular": {"recall": 0.5, "alone": 0.25, "per_user": 1.5},
    }
