"""What the portable twin of collaborative filtering is written from: items, their columns, popularity and factors of the night."""

from nightfold.errors import NotServable
from nightfold.spark.recommend import twin
from nightfold.spark.windows import Window
from nightfold.twins.baskets import Baskets, Document

import numpy as np
import pytest

NIGHT = Window(0, 100, 7)
# two tastes: users 0-2 take items 0 and 1, users 3 and 4 items 2 and 3; item 4 was taken after the night
TAKEN = [
    *((user, item, 99) for user in range(3) for item in (0, 1)),
    *((user, item, 98) for user in (3, 4) for item in (2, 3)),
    (0, 4, 101),
]
GROUPS = [["bakery", "own"], ["dairy", None], ["dairy", "own"], None, ["toys", "other"]]


def test_a_twin_has_every_item_its_columns_and_what_is_popular(places):
    found, factors = twin.table(places(TAKEN, users=5, groups=GROUPS, window=NIGHT, sold_out=(1,)), ["shelf", "brand"])
    rows = found.to_pylist()
    assert [(row["id"], row["available"]) for row in rows] == [
        ("i0", True),
        ("i1", False),
        ("i2", True),
        ("i3", True),
        ("i4", True),
    ]
    assert [row["of"] for row in rows[:4]] == [
        {"shelf": "bakery", "brand": "own"},
        {"shelf": "dairy", "brand": None},
        {"shelf": "dairy", "brand": "own"},
        {"shelf": None, "brand": None},
    ]
    assert [row["place"] for row in rows] == [0, 1, 2, 3, 4], "by baskets, ties to the lower item"
    assert rows[0]["popularity"] == pytest.approx(600.0), "3 of 5 baskets, per 1,000"
    assert [any(row["factors"]) for row in rows] == [True, True, True, True, False], "of item 4 nothing was known that night"
    document = Document(factors=factors, alpha=1.0, regularization=0.1, columns=["shelf", "brand"])
    answer = Baskets(document, found).recommend({"i1": 1}, 5, exclude_seen=True)
    assert answer.items[0][0] == "i0"
    assert {item for item, _ in answer.items} == {"i0", "i2", "i3"}


def test_a_shop_without_columns_has_none(places):
    found, _ = twin.table(places(TAKEN, users=5, groups=[None] * 5, window=NIGHT), [])
    assert found.column_names == ["id", "available", "popularity", "place", "factors"]


def test_where_als_knows_nothing_there_is_no_twin(places, monkeypatch):
    of = places(TAKEN, users=5, groups=GROUPS, window=NIGHT)
    monkeypatch.setattr(twin.knowledge, "item_factors", lambda uri, items: np.zeros((items, 0)))
    with pytest.raises(NotServable, match="ALS: it knows no item of the night"):
        twin.table(of, ["shelf", "brand"])
