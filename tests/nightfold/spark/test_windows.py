"""Which days a model learns from, is chosen on, and is judged on."""

from datetime import date

from nightfold.spark.windows import EPOCH, HistoryTooShort, plan

import pytest
from helpers import tiny_shop

NIGHT = "2026-03-01"
DAY = (date(2026, 3, 1) - EPOCH).days
SHOP = tiny_shop({"split": {"test_days": 4, "validation_days": 3, "folds": 2}, "training": {"windows": 2}})


def test_windows_end_with_the_night_and_follow_without_a_gap():
    found = plan(SHOP, NIGHT, DAY - 100)
    assert [(w.number, w.cutoff - DAY, w.days) for w in found] == [
        (0, 0, 4),
        (1, -4, 4),
        (2, -7, 3),
        (3, -10, 3),
        (4, -13, 3),
        (5, -16, 3),
    ]
    assert (found[1].eve, found[1].first, found[1].last) == ("2026-02-25", "2026-02-26", NIGHT)


def test_the_oldest_fold_has_a_window_to_learn_from_and_a_past_before_it():
    assert len(plan(SHOP, NIGHT, DAY - 15)) == 5, "the fifth window's cutoff has three days up to it"
    with pytest.raises(
        HistoryTooShort, match=r"2026-03-01: 15 days of history, but 16 are needed .*lower split.folds \(to 2 at least\), "
    ):
        plan(SHOP, NIGHT, DAY - 14)
