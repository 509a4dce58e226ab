"""ALS: what depends on it, and what must not."""

from nightfold.spark.recommend.als import AlsSettings, write_factors

import numpy as np
import pytest

SETTINGS = AlsSettings(factors=2, regularization=0.1, alpha=1.0, iterations=8, seed=1)
HISTORY = "user int, taken array<struct<item:int,weight:double,times:int,last_day:int>>"
# two tastes: users 0-2 take items 10-12, users 3-5 take items 20-22; user 2 has never had item 12, nor user 5 item 20
TAKEN = {0: [10, 11, 12], 1: [10, 11, 12], 2: [10, 11], 3: [20, 21, 22], 4: [20, 21, 22], 5: [21, 22]}


@pytest.fixture
def learn(spark, tmp_path):
    def fit(taken, name, partitions=1, settings=SETTINGS):
        rows = [(u, [(i, 1.0, 1, 7) for i in items]) for u, items in taken.items()]
        places = write_factors(spark.createDataFrame(rows, HISTORY).repartition(partitions), f"file://{tmp_path}/{name}", settings)
        read = {kind: {r["id"]: r["factors"] for r in spark.read.parquet(place).collect()} for kind, place in places.items()}
        return read["user_factors"], read["item_factors"]

    return fit


def test_it_fills_the_hole_in_a_taste(learn):
    users, items = learn(TAKEN, "holes")
    assert sorted(users) == [0, 1, 2, 3, 4, 5]
    assert sorted(items) == [10, 11, 12, 20, 21, 22]
    assert np.dot(users[2], items[12]) > 0.5 > 0.1 > abs(np.dot(users[2], items[20]))
    assert np.dot(users[5], items[20]) > 0.5 > 0.1 > abs(np.dot(users[5], items[12]))


def test_partitions_change_no_bit(learn):
    assert learn(TAKEN, "one") == learn(TAKEN, "two", partitions=2) == learn(TAKEN, "seven", partitions=7)


def test_more_factors_than_users_and_items_give_finite_numbers(learn):
    users, items = learn({3: [8]}, "single", settings=AlsSettings(factors=16, regularization=10.0, alpha=1.0, iterations=3, seed=1))
    assert list(users) == [3]
    assert list(items) == [8]
    assert np.isfinite(users[3] + items[8]).all()
