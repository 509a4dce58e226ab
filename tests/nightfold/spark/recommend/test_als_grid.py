"""The lists of ALS alone, by which its settings are chosen."""

from dataclasses import replace

from nightfold.spark.recommend import als_grid, knowledge
from nightfold.spark.windows import Window

import numpy as np
import pytest

WINDOW = Window(2, 100, 28)
# two tastes; user 2 takes item 2 again later and user 3 item 4, which is new to him
TAKEN = [(user, item, 90 + item) for user in (0, 2) for item in (0, 1, 2)]
TAKEN += [(user, item, 90 + item) for user in (1, 3) for item in (3, 4, 5) if (user, item) != (3, 4)]
LATER = [(2, 2, 110), (3, 4, 111), (3, 3, 112), (0, 6, 113)]
GROUPS = [["a"]] * 10


@pytest.fixture
def judged(block, places):
    def of(*, exclude_seen, k=2, sold_out=(), window=WINDOW):
        place = places([*TAKEN, *LATER], users=4, groups=GROUPS, window=window, sold_out=sold_out)
        knowledge.read.cache_clear()
        users, hits, relevant = als_grid.of_block(
            block([*TAKEN, *LATER], 4), window, replace(place, sold_within=None), k=k, exclude_seen=exclude_seen
        )
        return dict(zip(users.tolist(), zip(hits.to_pylist(), relevant.tolist(), strict=True), strict=True))

    return of


def test_lists_of_what_is_new_leave_out_what_he_had_and_count_what_is_new_only(judged):
    found = judged(exclude_seen=True)
    assert found[3] == ([True, False], 1), "item 4 first, of his taste; item 3 he had"
    assert 2 not in found, "what he took again is not new"
    assert found[0] == ([False, False], 1), "item 6 is known to nobody by then, and counts all the same"


def test_lists_for_buying_again_hold_what_he_had(judged):
    found = judged(exclude_seen=False, k=3)
    assert found[2][1] == 1
    assert found[2][0].count(True) == 1
    assert found[3][1] == 2
    assert found[3][0].count(True) == 2


def test_what_may_not_be_listed_is_neither_listed_nor_counted(judged):
    found = judged(exclude_seen=True, sold_out=(4,))
    assert 3 not in found
    assert np.array(found[0][0]).sum() == 0
