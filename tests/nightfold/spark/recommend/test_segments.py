"""Users alike: who belongs to which segment, and what is popular in each."""

from nightfold.errors import BadInput
from nightfold.pipeline.recommend import Users
from nightfold.spark.recommend import segments
from nightfold.spark.recommend.item_statistics import ALL
from nightfold.spark.recommend.segments import Segments

import numpy as np
import pyarrow as pa
import pytest

TASK = Users(source="clients", id="id", attributes=["age", "region"])


def of_users(spark, users: list[str], rows: list[tuple]) -> dict[int, tuple[list, list]]:
    indexed = spark.createDataFrame(list(enumerate(users)), "user int, id string")
    known = spark.createDataFrame(rows, "id string, age int, region string")
    return {
        row["user"]: (row["values"], row["segments"])
        for row in segments.of_users(indexed.select("user", "id"), known, TASK).collect()
    }


def test_a_segment_is_a_value_of_an_attribute_and_who_is_not_known_has_none(utc):
    rows = [("ann", 30, "north"), ("bob", 30, None), ("cid", 7, "north"), ("nobody's", 99, "south")]
    assert of_users(utc, ["ann", "bob", "cid", "dora"], rows) == {
        0: (["30", "north"], [0, 2]),
        1: (["30", None], [0, -1]),
        2: (["7", "north"], [1, 2]),
        3: ([None, None], [-1, -1]),
    }


def test_two_rows_of_one_user_give_one_answer(utc):
    rows = [("ann", 30, "north"), ("ann", 31, "south")]
    assert of_users(utc, ["ann"], rows) == of_users(utc, ["ann"], rows[::-1]) == {0: (["31", "south"], [0, 1])}


def test_an_attribute_of_too_many_values_is_refused(utc, monkeypatch):
    monkeypatch.setattr(segments, "MOST", 3)
    with pytest.raises(BadInput, match=r"^clients: the columns age, region have more than 3 values: .*name columns of few values"):
        of_users(utc, ["ann", "bob"], [("ann", 30, "north"), ("bob", 31, "south")])


SOLD = [(0, ALL, 10), (0, 2, 4), (0, 1, 4), (0, 0, 5), (2, ALL, 4), (2, 1, 4)]  # nobody of segment 1 took anything
TABLE = pa.table(dict(zip(segments.SCHEMA, np.array(SOLD).T, strict=True)))
ALL_ITEMS = np.array([True, True, True])
FEW = Segments.of(TABLE, ALL_ITEMS)


def test_popularity_is_per_1000_baskets_of_the_segment():
    segment, item = np.array([0, 0, 2, 2, 1, -1, 9]), np.array([0, 2, 1, 0, 0, 0, 0])
    assert np.array_equal(FEW.popularity(segment, item), [500, 400, 1000, 0, np.nan, np.nan, np.nan], equal_nan=True)


def test_the_best_of_a_segment_go_by_sales_then_item_and_only_what_may_be_listed():
    row, item = Segments.of(TABLE, np.array([False, True, True])).named(np.array([2, 0, 1, -1]), np.array([5, 0, 0, 0]), n=1)
    assert list(zip(row.tolist(), item.tolist(), strict=True)) == [(1, 1), (0, 1)]
    row, item = FEW.named(np.array([0]), np.array([1]), n=1)
    assert item.tolist() == [0, 1], "one more for the one that he already has"


def test_nothing_sold_is_popular_nowhere():
    nothing = Segments.of(None, ALL_ITEMS)
    assert np.isnan(nothing.popularity(np.array([0, -1]), np.array([1, 1]))).all()
    assert [len(found) for found in nothing.named(np.array([0, 1]), np.zeros(2, int), n=5)] == [0, 0]
