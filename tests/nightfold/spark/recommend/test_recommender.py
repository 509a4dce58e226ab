"""The blend: scores by hand, and lists that nothing but the data decides."""

import math

from nightfold.spark.evaluators import RankingEvaluator
from nightfold.spark.recommend.blend import BlendModel
from nightfold.spark.recommend.recommender import BASELINES, NothingToLearn

import numpy as np
import pytest

SMALL = {"factors": 4, "iterations": 4}
#      user, item, day, baskets; the cutoff is day 100
DAYS = [(0, 0, 100, 1.0), (0, 0, 90, 2.0), (0, 1, 90, 1.0), (1, 2, 100, 1.0), (1, 1, 80, 1.0), (2, 1, 100, 1.0)]


def test_a_basket_one_half_life_ago_counts_half(rows, shop, lists):
    model = shop(users=3, items=3, halfLife=10.0, alsWeight=0.0, popularityWeight=0.1, popularityDays=11).fit(rows(DAYS))
    # baskets of days 90..100: item 0: 3, item 1: 2, item 2: 1
    assert lists(model, [0, 1], 10) == {
        0: [(0, 1 + 2 / 2 + 0.1, 3, 100), (1, pytest.approx(1 / 2 + 0.1 * 2 / 3), 1, 90), (2, pytest.approx(0.1 / 3), 0, None)],
        1: [
            (2, pytest.approx(1 + 0.1 / 3), 1, 100),
            (1, pytest.approx(1 / 4 + 0.1 * 2 / 3), 1, 80),
            (0, pytest.approx(0.1), 0, None),
        ],
    }
    assert model.cutoff == 100


def test_a_half_life_of_zero_never_forgets(rows, shop, lists):
    model = shop(users=3, items=3, halfLife=0.0, alsWeight=0.0, popularityWeight=0.0).fit(rows(DAYS))
    assert [i[:2] for i in lists(model, [0], 2)[0]] == [(0, 3.0), (1, 1.0)]


def test_somebody_new_gets_the_fallback(rows, shop, lists):
    model = shop(users=4, items=3, popularityDays=11, **SMALL).fit(rows(DAYS))
    fallback = [(r["item"], r["score"]) for r in model.fallback(2).collect()]
    assert fallback == [(0, 1.0), (1, pytest.approx(2 / 3))]
    assert [(item, score) for item, score, _, _ in lists(model, [3], 2)[3]] == fallback


def test_seen_items_are_left_out_where_asked_even_if_nothing_is_left(rows, shop, lists):
    everything = [*DAYS, (2, 0, 99, 1.0), (2, 2, 99, 1.0)]
    model = shop(users=3, items=3, excludeSeen=True, **SMALL).fit(rows(everything))
    found = lists(model, [0, 2], 10)
    assert [i[0] for i in found[0]] == [2]
    assert found[2] == []
    assert {i[0] for i in lists(model, [0], 10, exclude_seen=False)[0]} == {0, 1, 2}


def test_what_may_not_be_listed_never_is(spark, rows, shop, lists):
    model = shop(users=4, items=5, sold_out=(0,), **SMALL).fit(rows(DAYS))
    found = lists(model, [0, 1, 2, 3], 10)
    assert {i[0] for listed in found.values() for i in listed} == {1, 2}, "0 is sold out; nobody ever took 3 or 4"
    assert 0 not in {r["item"] for r in model.fallback(10).collect()}
    judged = {
        r["user"]: r["relevant"] for r in model.transform(rows([(0, 0, 101, 1.0), (0, 3, 101, 1.0), (1, 0, 101, 1.0)])).collect()
    }
    assert judged == {0: [3], 1: []}, "nobody is blamed for not listing 0; item 3 was there to be found"


def test_later_days_are_judged_on_the_whole_catalogue_for_known_and_new_users(rows, shop):
    later = rows([(0, 1, 101, 1.0), (0, 1, 102, 1.0), (0, 2, 101, 1.0), (3, 2, 101, 1.0)])
    estimator = shop(users=4, items=3, k=2, halfLife=0.0, alsWeight=0.0, popularityDays=11)
    judged = estimator.fit(rows(DAYS)).transform(later)
    assert {r["user"]: (r["items"], r["relevant"]) for r in judged.collect()} == {0: ([0, 1], [1, 2]), 3: ([0, 1], [2])}
    estimator.set(estimator.excludeSeen, True)
    judged = estimator.fit(rows(DAYS)).transform(later)
    assert {r["user"]: (r["items"], r["relevant"]) for r in judged.collect()} == {0: ([2], [2]), 3: ([0, 1], [2])}


@pytest.mark.parametrize("exclude_seen", [False, True])
def test_one_single_interaction_is_enough_and_gives_no_nan(rows, shop, lists, exclude_seen):
    model = shop(users=2, items=1, excludeSeen=exclude_seen, factors=32).fit(rows([(0, 0, 100, 1.0)]))
    found = lists(model, [0, 1], 10)
    assert [i[0] for i in found[1]] == [0]
    assert [i[0] for i in found[0]] == ([] if exclude_seen else [0])
    assert all(math.isfinite(i[1]) for listed in found.values() for i in listed)


def test_nothing_to_learn_from_is_said(rows, shop):
    with pytest.raises(NothingToLearn, match="choose a later night"):
        shop(users=1, items=1).fit(rows([]))


def tastes(*, users: int = 120, items: int = 60) -> tuple[list, list]:
    """Four tastes of 15 items; everybody repeats some favourites of his own and tries others of his taste, and best sellers."""
    random = np.random.default_rng(7)
    past, later = set(), set()
    for user in range(users):
        taste = np.arange(items)[np.arange(items) % 4 == user % 4]
        favourites = random.choice(taste, 5, replace=False)
        for day in range(100):
            for chosen, often in ((random.choice(favourites), 0.15), (random.choice(taste), 0.1), (random.integers(0, 4), 0.05)):
                if random.random() < often:
                    (past if day < 80 else later).add((user, int(chosen), day, 1.0))
    return sorted(past), sorted(later)


def test_the_same_lists_whatever_the_partitions(rows, shop, lists):
    past, _ = tastes(users=40)
    estimator = shop(users=40, items=60, **SMALL)
    everybody = list(range(40))
    first = lists(estimator.fit(rows(past).repartition(1)), everybody, 10)
    for partitions in (2, 7):
        assert lists(estimator.fit(rows(past[::-1]).repartition(partitions)), everybody, 10) == first


def test_parameter_maps_share_what_they_can_and_agree_with_single_fits(rows, shop, lists):
    past, _ = tastes(users=20)
    estimator = shop(users=20, items=60, **SMALL)
    maps = [{estimator.halfLife: h, estimator.alsWeight: a} for h in (30.0, 60.0) for a in (0.5, 1.0)]
    models = dict(estimator.fitMultiple(rows(past), maps))
    assert len({m.parts["item_factors"] for m in models.values()}) == 1
    assert len({m.parts["history"] for m in models.values()}) == 2
    assert lists(models[2], [0, 1], 5) == lists(estimator.fit(rows(past), maps[2]), [0, 1], 5)


def test_the_blend_is_at_least_as_good_as_each_part_alone(rows, shop):
    past, later = tastes()
    estimator = shop(users=120, items=60, factors=8, regularization=1.0)
    maps = [{}, *(estimator.baseline_params(name) for name in BASELINES)]
    judged = {i: RankingEvaluator().evaluate(m.transform(rows(later))) for i, m in estimator.fitMultiple(rows(past), maps)}
    blend, parts = judged.pop(0), judged
    assert blend >= max(parts.values()), f"blend {blend}, alone {dict(zip(BASELINES, parts.values(), strict=True))}"
    assert blend >= 0.5, "the floor"


def test_a_saved_model_needs_nothing_of_the_scratch(spark, rows, shop, lists, tmp_path):
    estimator = shop(users=3, items=3, **SMALL)
    model = estimator.fit(rows(DAYS))
    before = lists(model, [0, 1, 2, 3], 3)
    model.save(f"{tmp_path}/model")
    for place in ("scratch", "users", "items"):
        (tmp_path / place).rename(tmp_path / f"gone-{place}")
    loaded = BlendModel.load(f"{tmp_path}/model")
    assert lists(loaded, [0, 1, 2, 3], 3) == before
    assert sorted(r["id"] for r in loaded.part("users").collect()) == ["u0000", "u0001", "u0002"]
    assert (loaded.cutoff, loaded.uid) == (100, model.uid)
