"""ALS: what depends on it, and what must not."""

from nightfold.spark.recommend import als
from nightfold.spark.recommend.als import AlsSettings, TooManyInteractions
from nightfold.spark.windows import Window

import numpy as np
import pytest

SETTINGS = AlsSettings(factors=2, regularization=0.1, alpha=1.0, iterations=8, seed=1)
# two tastes: users 0-2 take items 10-12, users 3-5 take items 20-22; user 2 has never had item 12, nor user 5 item 20
TAKEN = {0: [10, 11, 12], 1: [10, 11, 12], 2: [10, 11], 3: [20, 21, 22], 4: [20, 21, 22], 5: [21, 22]}
LATER = [(2, 12, 9, 1.0), (7, 99, 9, 1.0)]
WINDOWS = [Window(0, 9, 1), Window(1, 8, 1)]


@pytest.fixture
def learn(spark, tmp_path):
    """{(window, kind): {id: factors}}."""

    def fit(rows, name, *, settings=SETTINGS, partitions=1, windows=WINDOWS):
        place = f"file://{tmp_path}/{name}"
        spark.createDataFrame(rows, "user int, item int, day int, weight double").repartition(partitions).write.parquet(place)
        found = {}
        for row in als.factors(spark, place, windows, settings).collect():
            found.setdefault((row["window"], row["kind"]), {})[row["id"]] = row["factors"]
        return found

    return fit


def rows(taken):
    return [(user, item, 8, 1.0) for user, items in taken.items() for item in items]


def test_it_fills_the_hole_in_a_taste_and_a_window_knows_no_later_day(learn):
    found = learn([*rows(TAKEN), *LATER], "holes", partitions=3)
    users, items = found[1, "user"], found[1, "item"]
    assert sorted(users) == [0, 1, 2, 3, 4, 5]
    assert sorted(items) == [10, 11, 12, 20, 21, 22]
    assert np.dot(users[2], items[12]) > 0.5 > 0.1 > abs(np.dot(users[2], items[20]))
    assert np.dot(users[5], items[20]) > 0.5 > 0.1 > abs(np.dot(users[5], items[12]))
    assert 7 in found[0, "user"]
    alone = learn(rows(TAKEN), "alone", windows=WINDOWS[1:])
    assert {key: found[key] for key in alone} == alone, "later days and partitions change no bit of an earlier window"


def test_more_factors_than_users_and_items_give_finite_numbers(learn):
    settings = AlsSettings(factors=16, regularization=10.0, alpha=1.0, iterations=3, seed=1)
    found = learn([(3, 8, 8, 1.0)], "single", settings=settings, windows=WINDOWS[:1])
    assert list(found[0, "user"]) == [3]
    assert np.isfinite(found[0, "user"][3] + found[0, "item"][8]).all()


def test_more_than_a_worker_holds_is_refused_with_the_mend(learn, monkeypatch):
    monkeypatch.setattr(als, "MAX_INTERACTIONS", 3)
    with pytest.raises(
        TooManyInteractions, match=r"16 interactions, but ALS takes at most 3 in one worker: lower retention\.clean_days"
    ):
        learn(rows(TAKEN), "many")
