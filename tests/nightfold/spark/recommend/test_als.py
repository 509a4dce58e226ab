"""ALS: what depends on it, and what must not."""

from dataclasses import replace

from nightfold.spark.recommend import als, knowledge
from nightfold.spark.recommend.als import AlsSettings
from nightfold.spark.recommend.nearest import nearest
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
        made = als.factors(spark, place, windows, [settings]).drop("point")
        for row in made.collect():
            found.setdefault((row["window"], row["kind"]), {})[row["id"]] = row["factors"]
        made.write.partitionBy("window", "kind").parquet(f"{place}-saved")  # as the stage `features` does
        return found

    return fit


@pytest.fixture
def saved(tmp_path):
    """The same of what was saved, as lists are made of it: {(window, kind): {id: factors}}."""

    def read(name):
        found = {}
        for window in WINDOWS[1:]:
            for kind in ("user", "item"):
                table = knowledge.table(f"file://{tmp_path}/{name}-saved/window={window.number}/kind={kind}")
                found[window.number, kind] = dict(zip(table["id"].to_pylist(), table["factors"].to_pylist(), strict=True))
        return found

    return read


def best(found, taken, *, n=3):
    """user → his n best items of those that he has not had, best first."""
    users, items = ({key: np.array(of) for key, of in found[1, kind].items()} for kind in ("user", "item"))
    ids = sorted(items)
    had = [(row, ids.index(item)) for row, user in enumerate(sorted(users)) for item in ids if (user, item) in taken]
    vectors = [np.stack([of[key] for key in sorted(of)]).astype(np.float32) for of in (users, items)]
    row, column = nearest(*vectors, n=n, seen=tuple(np.array(had).T))
    return {user: [ids[c] for c in column[row == place]] for place, user in enumerate(sorted(users))}


def rows(taken):
    return [(user, item, 8, 1.0) for user, items in taken.items() for item in items]


ENGINES = pytest.mark.parametrize("engine", ["implicit", "mllib"])


@ENGINES
def test_it_fills_the_hole_in_a_taste_and_a_window_knows_no_later_day(learn, engine):
    settings = replace(SETTINGS, engine=engine)
    found = learn([*rows(TAKEN), *LATER], "holes", partitions=3, settings=settings)
    users, items = found[1, "user"], found[1, "item"]
    assert sorted(users) == [0, 1, 2, 3, 4, 5]
    assert sorted(items) == [10, 11, 12, 20, 21, 22]
    assert np.dot(users[2], items[12]) > 0.5 > 0.1 > abs(np.dot(users[2], items[20]))
    assert np.dot(users[5], items[20]) > 0.5 > 0.1 > abs(np.dot(users[5], items[12]))
    assert 7 in found[0, "user"]
    alone = learn(rows(TAKEN), "alone", windows=WINDOWS[1:], settings=settings)
    for key, vectors in alone.items():
        assert sorted(vectors) == sorted(found[key])
        if engine == "implicit":
            assert found[key] == vectors, "later days and partitions change no bit of an earlier window"


@ENGINES
def test_more_factors_than_users_and_items_give_finite_numbers(learn, engine):
    settings = AlsSettings(factors=16, regularization=10.0, alpha=1.0, iterations=3, seed=1, engine=engine)
    found = learn([(3, 8, 8, 1.0)], "single", settings=settings, windows=WINDOWS[:1])
    assert list(found[0, "user"]) == [3]
    assert np.isfinite(found[0, "user"][3] + found[0, "item"][8]).all()


@ENGINES
def test_what_was_seen_and_not_liked_teaches_nothing(learn, engine):
    found = learn([*rows(TAKEN), (9, 10, 8, 0.0)], "seen", windows=WINDOWS[1:], settings=replace(SETTINGS, engine=engine))
    assert 9 not in found[1, "user"]


def test_both_engines_prefer_the_same_and_give_the_same_lists_once_they_are_saved(learn, saved):
    draw = np.random.default_rng(3)
    taken = {(user, int(item) + 10 * (user % 3)) for user in range(30) for item in draw.integers(0, 10, 6)}
    tops = []
    for engine in ("implicit", "mllib"):
        made = [(user, item, 8, 1.0) for user, item in sorted(taken)]
        found = learn(made, engine, windows=WINDOWS[1:], settings=replace(SETTINGS, factors=3, engine=engine))
        tops.append(best(found, taken))
        assert best(saved(engine), taken) == tops[-1]
    shared = np.mean([len({*tops[0][user]} & {*tops[1][user]}) / 3 for user in tops[0]])
    assert shared > 0.8


def test_the_engine_follows_the_number_of_rows_and_says_why(spark, tmp_path):
    place = f"file://{tmp_path}/rows"
    spark.createDataFrame(rows(TAKEN), "user int, item int, day int, weight double").write.parquet(place)
    assert als.engine(place, SETTINGS) == ("implicit", "16 rows fit one worker (recommend.als.one_worker 50,000,000)")
    assert als.engine(place, replace(SETTINGS, one_worker=15)) == ("mllib", "16 rows are more than recommend.als.one_worker (15)")
    assert als.engine(place, replace(SETTINGS, engine="mllib")) == ("mllib", "as the pipeline file says")


def test_several_points_at_once_give_each_what_it_gives_alone(spark, tmp_path):
    place = f"file://{tmp_path}/several"
    spark.createDataFrame(rows(TAKEN), "user int, item int, day int, weight double").write.parquet(place)
    points = [SETTINGS, replace(SETTINGS, factors=3, alpha=5.0)]
    together = als.factors(spark, place, WINDOWS, points)
    assert together.rdd.getNumPartitions() == len(points) * len(WINDOWS), "a task for each fit"
    by = ("window", "kind", "id")
    for number, point in enumerate(points):
        alone = als.factors(spark, place, WINDOWS, [point]).drop("point").orderBy(*by).collect()
        assert together.where(f"point = {number}").drop("point").orderBy(*by).collect() == alone
