"""The best of all items for a user, against the plain way."""

from nightfold.spark.recommend.nearest import nearest

import numpy as np
import pytest

NOTHING = (np.zeros(0, np.int64), np.zeros(0, np.int64))


def plain(users, items, n, seen=NOTHING):
    score = users.astype(np.float64) @ items.astype(np.float64).T
    score[seen] = -np.inf
    return [[int(i) for i in np.lexsort((np.arange(len(items)), -row))[:n] if row[i] > -np.inf] for row in score]


def lists(found, users):
    return [found[1][found[0] == row].tolist() for row in range(users)]


@pytest.mark.parametrize(("count", "n"), [(3000, 7), (40, 5), (3, 10), (0, 3), (50, 0)])
def test_it_is_what_the_plain_way_gives(count, n):
    draw = np.random.default_rng(7)
    users, items = draw.normal(size=(9, 6)).astype(np.float32), draw.normal(size=(count, 6)).astype(np.float32)
    assert lists(nearest(users, items, n=n, seen=NOTHING), 9) == plain(users, items, n)


def test_what_was_seen_is_left_out_and_the_next_best_takes_its_place():
    draw = np.random.default_rng(8)
    users, items = draw.normal(size=(4, 5)).astype(np.float32), draw.normal(size=(600, 5)).astype(np.float32)
    best = nearest(users, items, n=3, seen=NOTHING)
    assert lists(nearest(users, items, n=3, seen=best), 4) == plain(users, items, 3, best)


def test_equals_go_to_the_lower_item_whatever_the_block():
    draw = np.random.default_rng(9)
    users = draw.normal(size=(50, 8)).astype(np.float32)
    items = np.repeat(draw.normal(size=(40, 8)).astype(np.float32), 5, axis=0)
    whole = lists(nearest(users, items, n=6, seen=NOTHING), 50)
    assert whole == [lists(nearest(users[i : i + 1], items, n=6, seen=NOTHING), 1)[0] for i in range(50)]
    assert all(first % 5 == 0 and items_[:5] == list(range(first, first + 5)) for items_ in whole for first in items_[:1])
