"""Lists from scored candidates, by hand."""

from nightfold.spark.recommend.list_maker import ListMaker, chance

import pytest
from pyspark.ml.linalg import Vectors
from pyspark.sql import functions as F

SCHEMA = (
    "window int, user int, item int, known boolean, source int, last_day int, category int, popularity_place int, label boolean, "
    "relevant int, score double"
)
ROWS = [
    # user 1: repeats 10, 11, 12 score best; 10 to 12 are of category 5
    (0, 1, 10, True, 1, 7, 5, 9, True, 3, 0.9),
    (0, 1, 11, True, 3, 8, 5, 8, False, 3, 0.8),
    (0, 1, 12, True, 1, 9, 5, 7, True, 3, 0.7),
    (0, 1, 13, True, 2, None, -1, 6, False, 3, 0.2),
    (0, 1, 14, True, 8, None, 6, 5, False, 3, 0.2),
    # user 2 has no past: what is popular, whatever the score says
    (0, 2, 10, False, 8, None, 5, 2, False, 1, 0.9),
    (0, 2, 14, False, 8, None, 6, 0, True, 1, 0.1),
]


@pytest.fixture
def lists(utc):
    def made(**rules):
        frame = utc.createDataFrame(ROWS, SCHEMA)
        return {row["user"]: row for row in ListMaker(scoreCol="score", **rules).transform(frame).collect()}

    return made


def test_the_best_come_first_and_equals_by_item(lists):
    found = lists(k=4, carried=["source"])
    assert (found[1]["items"], found[1]["hits"], found[1]["relevant"]) == ([10, 11, 12, 13], [True, False, True, False], 3)
    assert found[1]["scores"] == [0.9, 0.8, 0.7, 0.2]
    assert found[1]["source"] == [1, 3, 1, 2]


def test_who_has_no_past_gets_what_is_popular(lists):
    assert (lists(k=2)[2]["items"], lists(k=2)[2]["hits"]) == ([14, 10], [True, False])


def test_no_more_than_a_share_are_repeats_at_any_length_of_the_list(lists):
    assert lists(k=4, repeats=0.5)[1]["items"] == [10, 13, 11, 14]
    assert lists(k=4, repeats=0.0)[1]["items"] == [13, 14]


def test_what_he_took_is_a_repeat_whichever_source_has_named_it(utc):
    named_as_popular = [(*row[:4], 8, *row[5:]) for row in ROWS]
    frame = utc.createDataFrame(named_as_popular, SCHEMA).where("user = 1")
    (row,) = ListMaker(scoreCol="score", k=4, repeats=0.5).transform(frame).collect()
    assert row["items"] == [10, 13, 11, 14]


def test_no_more_than_so_many_of_one_category_and_none_is_no_category(lists):
    assert lists(k=4, perCategory=1)[1]["items"] == [10, 13, 14]
    assert lists(k=4, perCategory=2, carried=["source"])[1]["source"] == [1, 3, 2, 8]


def test_a_probability_learned_from_a_share_of_the_negatives_is_said_of_all_of_them(utc):
    """9 of 10 of the sample came true; with ten times the negatives it is 9 of 19."""
    frame = utc.createDataFrame([(Vectors.dense(0.1, 0.9),), (Vectors.dense(1.0, 0.0),)], ["probability"])
    said = frame.select(chance(F.col("probability"), 0.1)).collect()
    assert [row[0] for row in said] == pytest.approx([9 / 19, 0.0])


def test_it_is_saved_and_loaded(utc, tmp_path):
    ListMaker(k=3, repeats=0.7, perCategory=2).save(f"file://{tmp_path}/lists")
    loaded = ListMaker.load(f"file://{tmp_path}/lists")
    assert [loaded.getOrDefault(name) for name in ("k", "repeats", "perCategory", "scoreCol")] == [3, 0.7, 2, "probability"]
