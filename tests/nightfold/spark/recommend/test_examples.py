"""Examples: what was known at a cutoff, what came true after it, and that the one never sees the other."""

from dataclasses import replace

from nightfold.spark.recommend import candidates, examples
from nightfold.spark.recommend.candidates import Limits
from nightfold.spark.recommend.examples import Settings
from nightfold.spark.windows import Window

import numpy as np
import pytest
from helpers import tiny_shop

NIGHT = 100
WINDOW = Window(2, NIGHT - 20, 10)
USERS, ITEMS = 12, 30
GROUPS = [["fruit" if item < 15 else "tools", None if item == 3 else f"type {item % 4}"] for item in range(ITEMS)]
SETTINGS = Settings(
    Limits(repeats=20, als=5, together=5, popular=5, segment=5, overall=5, exclude_seen=False), negatives=0.3, seed=5
)
CLIENT = {"id": {"type": "string", "required": True}, "age": {}, "region": {}}
LEAFLET = {"article": {}, "since": {"type": "date"}, "until": {"type": "date"}}
PIPELINE = tiny_shop(
    {
        "sources": {
            "goods": {"format": "jsonl", "path": "goods/{ds}", "columns": {"id": {}, "kind": {}, "type": {}}},
            "clients": {"format": "jsonl", "path": "clients", "delivery": "snapshot", "columns": CLIENT},
            "leaflet": {"format": "jsonl", "path": "leaflet/{ds}", "columns": LEAFLET},
        },
        "recommend": {
            "items": {"source": "goods", "id": "id", "category": "kind", "attributes": ["type"]},
            "users": {"source": "clients", "id": "id", "attributes": ["age", "region"]},
            "promotions": {"source": "leaflet", "item": "article", "first": "since", "last": "until"},
        },
    }
)


def shopping(last: int) -> list[tuple[int, int, int]]:
    """Even users like the first half of the items, odd ones the second; nobody comes every day."""
    draw = np.random.default_rng(3)
    taken = []
    for day in range(1, last + 1):
        for user in range(USERS - 1):  # the last user never came before the cutoff
            if draw.random() < 0.5:
                liked = draw.choice(15, size=4, replace=False) + 15 * (user % 2)
                taken += [(user, int(item), day) for item in liked if item != 7 or day > WINDOW.cutoff - 9]
    return taken


@pytest.fixture
def made(block, places):
    """The examples of some interactions as rows."""

    def rows(taken, *, name, settings=SETTINGS, whole=True, window=WINDOW, sold_out=(8,)):
        known = places(taken, users=USERS, groups=GROUPS, window=window, sold_out=sold_out, name=name)
        return examples.of_block(block(taken, USERS), window, known, settings, whole=whole)

    return rows


def test_where_nobody_takes_two_things_on_a_day_there_are_examples_all_the_same(made):
    single = [(user, (user * 7 + day) % ITEMS, day) for day in range(1, NIGHT) for user in range(USERS - 1)]
    found = made(single, name="single")
    assert found.num_rows > 100
    assert not any(np.array(found["source"]) & candidates.TOGETHER)


def test_events_after_the_cutoff_change_no_feature_and_no_candidate_of_it(made):
    """The leakage test: the past alone, then with the future, and then with a future that is quite another one."""
    everything = shopping(NIGHT)
    past = [row for row in everything if row[2] <= WINDOW.cutoff]
    strange = [(user, item, day) for user in range(0, USERS, 3) for item in range(ITEMS) for day in range(WINDOW.cutoff + 1, NIGHT)]
    settings = replace(SETTINGS, negatives=1.0)
    one, *others = (made(taken, name=f"f{len(taken)}", settings=settings) for taken in (past, everything, past + strange))
    assert one.num_rows > 100
    assert len({other["relevant"].to_numpy().sum() for other in others}) == 2, "the futures differ"
    for other in others:
        rows = other.filter(other["user"].to_numpy() < USERS - 1)  # the last user has no past, and so nothing to learn from
        plain = ["label", "relevant", "features"]
        assert rows.drop_columns(plain).equals(one.drop_columns(plain))
        np.testing.assert_array_equal(rows["features"].flatten().to_numpy(), one["features"].flatten().to_numpy())


def test_labels_are_what_was_taken_in_the_window_and_relevant_counts_all_of_it(made):
    taken = shopping(NIGHT)
    rows = made(taken, name="a").to_pylist()
    true = {(u, i) for u, i, day in taken if WINDOW.cutoff < day <= WINDOW.cutoff + WINDOW.days and i != 8}
    assert {(row["user"], row["item"]) for row in rows if row["label"]} == true & {(row["user"], row["item"]) for row in rows}
    for row in rows:
        assert row["relevant"] == len({i for u, i in true if u == row["user"]})
    assert 8 not in {row["item"] for row in rows}, "sold out"


def test_what_was_seen_and_not_liked_comes_true_for_nobody_and_is_not_listed_as_new(made, block, places):
    taken = shopping(NIGHT)
    known = places(taken, users=USERS, groups=GROUPS, window=WINDOW, name="seen")
    events = block(taken, USERS)
    disliked = replace(events, baskets=np.where(events.item % 2 == 0, 0, events.baskets))
    settings = replace(SETTINGS, limits=replace(SETTINGS.limits, exclude_seen=True))
    rows = examples.of_block(disliked, WINDOW, known, settings, whole=True).to_pylist()
    assert any(row["label"] for row in rows)
    assert not any(row["label"] and row["item"] % 2 == 0 for row in rows)
    seen = {(user, item) for user, item, day in taken if day <= WINDOW.cutoff}
    assert not seen & {(row["user"], row["item"]) for row in rows}


def test_models_learn_from_all_that_came_true_and_a_share_of_the_rest_and_lists_are_judged_on_all(made):
    taken = shopping(NIGHT)
    whole, sample = (made(taken, name=f"w{w}", whole=w).to_pylist() for w in (True, False))
    assert [(r["user"], r["item"], r["label"]) for r in whole if r["learn"]] == [(r["user"], r["item"], r["label"]) for r in sample]
    assert {(r["user"], r["item"]) for r in whole if r["label"] and r["known"]} == {
        (r["user"], r["item"]) for r in sample if r["label"]
    }
    negatives = [row["learn"] for row in whole if not row["label"] and row["known"]]
    assert 0.2 < np.mean(negatives) < 0.4
    again = made(taken, name="again", whole=False, settings=replace(SETTINGS, negatives=1.0)).to_pylist()
    assert len(again) == sum(row["known"] for row in whole)


def test_tonight_has_every_user_and_no_label(made):
    rows = made(shopping(NIGHT), name="tonight", window=Window(0, NIGHT, 10)).to_pylist()
    assert {row["user"] for row in rows} == set(range(USERS))
    assert not any(row["label"] or row["learn"] or row["relevant"] for row in rows)
    assert {row["known"] for row in rows if row["user"] == USERS - 1} == {False}


def test_features_are_what_a_person_counts(made):
    taken = [(0, 1, 10), (0, 1, 20), (0, 1, 34), (0, 2, 34), (1, 1, 34), (1, 2, 39), (2, 5, 1), (0, 4, 41)]
    window = Window(1, 40, 5)
    (row,) = [row for row in made(taken, name="count", window=window).to_pylist() if (row["user"], row["item"]) == (0, 1)]
    named = dict(zip(examples.names(PIPELINE), row["features"], strict=True))
    wanted = {
        "user_baskets": 3,
        "user_recency": 6,
        "user_basket_size": 4 / 3,
        "user_repeat_share": 1 / 2,
        "baskets": 3,
        "baskets_28": 2,
        "decayed_14": 0.5 ** (30 / 14) + 0.5 ** (20 / 14) + 0.5 ** (6 / 14),
        "recency": 6,
        "since_first": 30,
        "gap": 12,
        "gap_last": 14,
        "overdue": 0.5,
        "share": 1,
        "price_paid": 2,
        "discount_paid": 0.2,
        "popularity_7": 1000 * 2 / 3,
        "item_users": 1000 * 2 / 3,
        "item_repeat_rate": 0.5,
        "item_gap": 12,
        "item_recency": 6,
        "segment_age_popularity": 1000,
        "segment_age_lift": 1000.01 / 750.01,
        "segment_region_popularity": 1000,
        "promoted": 1,
        "group_kind_recency": 6,
        "group_kind_own_share": (0.5 ** (30 / 60) + 0.5 ** (20 / 60) + 0.5 ** (6 / 60))
        / (0.5 ** (30 / 60) + 0.5 ** (20 / 60) + 2 * 0.5 ** (6 / 60)),
    }
    assert {name: named[name] for name in wanted} == pytest.approx(wanted, rel=1e-5)
    assert (row["baskets"], row["last_day"]) == (3, 34)


def test_with_exclude_seen_only_what_is_new_is_named_and_counts(made):
    taken = shopping(NIGHT)
    settings = replace(SETTINGS, limits=replace(SETTINGS.limits, exclude_seen=True))
    rows = made(taken, name="new", settings=settings).to_pylist()
    had = {(u, i) for u, i, day in taken if day <= WINDOW.cutoff}
    assert rows
    assert not {(row["user"], row["item"]) for row in rows} & had
    new = {(u, i) for u, i, d in taken if WINDOW.cutoff < d <= WINDOW.cutoff + WINDOW.days and (u, i) not in had and i != 8}
    assert {row["user"]: row["relevant"] for row in rows} == {
        row["user"]: len({i for u, i in new if u == row["user"]}) for row in rows
    }


def test_each_source_names_no_more_than_its_limit(made):
    limits = Limits(repeats=2, als=1, together=1, popular=2, segment=2, overall=2, exclude_seen=False)
    rows = made(shopping(NIGHT), name="few", settings=replace(SETTINGS, limits=limits)).to_pylist()
    for user in range(USERS):
        named = [row["source"] for row in rows if row["user"] == user]
        most = {"repeats": 4, "als": 1, "together": 1, "popular": 4, "segment": 2, "overall": 2}  # by two orders each
        for name, bit in candidates.SOURCES.items():
            assert sum(source & bit > 0 for source in named) <= most[name], (user, name)


def test_nothing_is_popular_before_anybody_has_taken_it(made):
    """Fewer are taken by then than the sources may name."""
    before, after = [(0, 1, 78), (1, 2, 79), (0, 2, 80)], [(user, item, 85) for user in range(USERS) for item in range(10, 20)]
    limits = replace(SETTINGS.limits, popular=20, overall=20)
    rows = made(before + after, name="few", settings=replace(SETTINGS, limits=limits)).to_pylist()
    assert {row["item"] for row in rows} == {1, 2}


@pytest.mark.parametrize(("days", "wanted"), [(None, {1, 2}), (20, {1, 2}), (19, {2})])
def test_what_was_sold_lately_is_counted_back_from_the_cutoff(made, places, block, days, wanted):
    """Item 1 is sold again in the days that are judged: that makes it no more available before them."""
    taken = [(0, 1, 61), (1, 2, 79), *((user, item, 85) for user in range(USERS) for item in (1, 2))]
    known = replace(places(taken, users=USERS, groups=GROUPS, window=WINDOW, name="sold"), sold_within=days)
    rows = examples.of_block(block(taken, USERS), WINDOW, known, SETTINGS, whole=True).to_pylist()
    assert {row["item"] for row in rows} == wanted
    assert {row["relevant"] for row in rows} == {len(wanted)}


def test_features_are_named_by_their_columns():
    """Another column in an attribute's place is another feature: a model that knew the one cannot score the other."""
    other = PIPELINE.model_copy(
        update={
            "recommend": PIPELINE.recommend.model_copy(
                update={"items": PIPELINE.recommend.items.model_copy(update={"attributes": ["kind"], "category": "type"})}
            )
        }
    )
    assert len(examples.names(other)) == len(examples.names(PIPELINE))
    assert examples.names(other) != examples.names(PIPELINE)


def test_the_sample_is_drawn_by_user_and_item_and_not_by_their_order():
    users, items = np.repeat(np.arange(300), 40), np.tile(np.arange(40), 300)
    drawn = examples._random(users, items, 11)
    assert 0.49 < drawn.mean() < 0.51
    order = np.random.default_rng(1).permutation(len(users))
    assert (examples._random(users[order], items[order], 11) == drawn[order]).all()
    assert (examples._random(users, items, 12) != drawn).any()
