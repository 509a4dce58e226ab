"""The measures, on values worked out by hand."""

from benchmarks.metrics import hit, ndcg, paired_interval, recall

import numpy as np
import pytest


def test_hits_are_discounted_by_the_logarithm_of_their_place():
    # gain 1/log2(2) + 1/log2(4) = 1.5; ideal 1 + 0.63093 + 0.5 = 2.13093
    assert ndcg(["a", "b", "c"], {"a", "c", "d"}) == pytest.approx(0.70392, abs=1e-5)
    assert ndcg(["b", "a"], {"a"}) == pytest.approx(0.63093, abs=1e-5)


def test_the_ideal_is_capped_at_ten():
    ten = [f"p{n}" for n in range(10)]
    assert ndcg(ten, {*ten, "x", "y"}) == pytest.approx(1.0)


def test_places_after_the_tenth_count_nothing():
    eleven = [f"p{n}" for n in range(11)]
    assert ndcg(eleven, {"p10"}) == 0.0
    assert recall(eleven, {"p10", "p9"}) == 0.5
    assert hit(eleven, {"p10"}) == 0.0


def test_a_short_list_is_judged_against_the_whole_ideal():
    assert ndcg(["a"], {"a", "b"}) == pytest.approx(1 / 1.63093, abs=1e-5)
    assert ndcg([], {"a"}) == 0.0


def test_recall_is_of_all_that_was_bought():
    assert recall(["a", "b", "c"], {"a", "c", "d"}) == pytest.approx(2 / 3)


def test_one_hit_is_a_hit():
    assert hit(["a", "b"], {"b", "c"}) == 1.0
    assert hit(["a"], {"b"}) == 0.0


def test_a_list_with_an_item_twice_is_refused_rather_than_counted_twice():
    with pytest.raises(ValueError, match="names an item twice"):
        ndcg(["a", "a"], {"a"})


def test_a_user_without_purchases_is_refused():
    with pytest.raises(ValueError, match="nothing was bought"):
        recall(["a"], set())


def test_the_interval_of_a_constant_difference_is_that_difference():
    low, high = paired_interval(np.array([0.5, 0.3, 0.9]), np.array([0.4, 0.2, 0.8]))
    assert (low, high) == (pytest.approx(0.1), pytest.approx(0.1))


def test_the_interval_is_of_pairs_not_of_two_samples():
    ours, theirs = np.array([1.0, 0.0] * 50), np.array([0.9, -0.1] * 50)
    low, high = paired_interval(ours, theirs)
    assert high - low < 1e-9, "both differ by 0.1 everywhere, however much users differ"


def test_two_users_give_an_interval_as_wide_as_their_differences_and_the_same_each_time():
    ours, theirs = np.array([1.0, 0.0]), np.array([0.0, 0.0])
    assert paired_interval(ours, theirs) == (0.0, 1.0)
    assert paired_interval(ours, theirs) == paired_interval(ours, theirs)


def test_users_that_do_not_pair_are_refused():
    with pytest.raises(ValueError, match="one value per user"):
        paired_interval(np.zeros(2), np.zeros(3))
