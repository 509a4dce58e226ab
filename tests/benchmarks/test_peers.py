"""Truth and baselines on receipts typed by hand, and the figures of MEASURED on the real ones."""

from benchmarks import judge, peers
from benchmarks.peers import Lists, Purchases
from nightfold.errors import BadInput

import numpy as np
import pytest

KNOWN = np.array([10, 20, 30, 40])


def receipts(*rows: tuple[int, int, int, str]) -> Purchases:
    """Rows of (household, basket, product, day)."""
    household, basket, product, day = zip(*rows, strict=True)
    return Purchases(np.array(household), np.array(basket), np.array(product), np.array(day, dtype="datetime64[D]"))


HISTORY = receipts(
    (1, 100, 20, "2017-01-01"),
    (1, 100, 20, "2017-01-01"),  # a second line of one basket: still one basket
    (1, 101, 10, "2017-01-02"),
    (1, 102, 10, "2017-01-03"),
    (1, 102, 40, "2017-01-03"),
    (2, 103, 20, "2017-01-03"),
    (2, 103, 30, "2017-01-03"),
    (2, 104, 30, "2017-01-04"),
    (2, 105, 30, "2017-01-05"),
)


def test_personal_frequency_counts_distinct_baskets_and_breaks_ties_by_popularity_in_baskets():
    lists = peers.personal_frequency(HISTORY, n=10)
    assert lists.own["1"] == ["10", "20", "40"], "20 and 40 once each; 20 is in two baskets of all, 40 in one"
    assert lists.own["2"] == ["30", "20"]


def test_personal_frequency_falls_back_to_what_is_popular():
    assert peers.personal_frequency(HISTORY, n=2).of("9") == ["30", "10"]


def test_popularity_is_by_baskets_or_by_households_and_ties_go_to_the_smaller_id():
    assert peers.popularity(HISTORY, by="basket", n=10) == ["30", "10", "20", "40"]
    assert peers.popularity(HISTORY, by="household", n=3) == ["20", "10", "30"]


def test_history_ends_with_the_night_itself():
    assert peers.popularity(HISTORY.up_to("2017-01-02"), by="basket", n=10) == ["10", "20"]


def test_truth_is_known_products_of_the_28_days_after_the_night():
    lines = receipts(
        (1, 1, 10, "2017-12-03"),  # the night itself
        (1, 2, 20, "2017-12-04"),
        (1, 3, 99, "2017-12-05"),  # not known
        (2, 4, 30, "2017-12-31"),
        (2, 5, 40, "2018-01-01"),  # too late
        (3, 6, 99, "2017-12-05"),  # bought nothing that is known
    )
    assert peers.window("2017-12-03") == ("2017-12-04", "2017-12-31")
    assert peers.truth(lines, "2017-12-03", known=KNOWN) == {"1": {"20"}, "2": {"30"}}


def test_a_night_whose_window_is_not_over_is_refused():
    with pytest.raises(BadInput, match="sales after 2017-01-05 are unknown"):
        peers.truth(HISTORY, "2017-01-04", known=KNOWN)
    with pytest.raises(BadInput, match="give a day as YYYY-MM-DD"):
        peers.truth(HISTORY, "tonight", known=KNOWN)


@pytest.fixture(scope="module")
def grocer() -> tuple[Purchases, Purchases]:
    lines = peers.purchases()
    return lines, lines.up_to("2017-12-03")


@pytest.fixture(scope="module")
def baselines(grocer) -> dict[str, Lists]:
    _, history = grocer
    popular = {by: Lists(own={}, fallback=peers.popularity(history, by=by, n=10)) for by in ("basket", "household")}
    return {"personal": peers.personal_frequency(history, n=10), **popular}


@pytest.mark.parametrize(
    ("known", "households", "figures"),
    [
        ("catalogue", 2_011, {"personal": 0.3951, "basket": 0.1828, "household": 0.1694}),
        ("history", 2_009, {"personal": 0.3980, "basket": 0.1831, "household": 0.1696}),
    ],
)
def test_the_baselines_of_the_real_grocer_are_reproduced(grocer, baselines, known, households, figures):
    lines, history = grocer
    truth = peers.truth(lines, "2017-12-03", known=peers.catalogue() if known == "catalogue" else history.product)
    assert len(truth) == households
    for name, figure in figures.items():
        assert judge.judged(name, baselines[name], truth).ndcg == pytest.approx(figure, abs=5e-5), name


def test_of_the_judged_households_2004_had_bought_before(grocer, baselines):
    lines, history = grocer
    truth = peers.truth(lines, "2017-12-03", known=history.product)
    assert len(truth.keys() & baselines["personal"].own.keys()) == 2_004


def test_of_new_products_what_was_bought_before_is_neither_true_nor_listed():
    assert peers.unseen({"1": {"10", "30"}, "2": {"30"}, "3": {"20"}}, HISTORY) == {"1": {"30"}, "3": {"20"}}
    lists = peers.popular_unseen(HISTORY, n=2)
    assert lists.own == {"1": ["30"], "2": ["10", "40"]}
    assert lists.fallback == ["30", "10"]
