"""What the gate sees in the lists themselves."""

from nightfold import schemas
from nightfold.champion import Champion
from nightfold.errors import NightRefused
from nightfold.spark import tables
from nightfold.spark.recommend.list_checks import check, churn, most_common

import pytest
from helpers import job, tiny_shop

DS = "2026-01-03"


@pytest.fixture
def lists(utc):
    """Of a mapping from key to ids."""
    return lambda made: utc.createDataFrame(
        [(key, [(i, 1.0, "w") for i in ids]) for key, ids in made.items()], tables.struct(schemas.SCORES)
    )


def test_churn_is_the_share_of_items_that_are_new_on_a_list(lists):
    now, before = (
        lists({"a": ["1", "2"], "b": ["3", "4"], "c": [], "d": ["5"]}),
        lists({"a": ["2", "1"], "b": ["3", "9"], "c": ["1"]}),
    )
    assert churn(now, before) == {"keys": 2, "churn": 0.25, "unchanged": 0}
    assert churn(now, now) == {"keys": 3, "churn": 0.0, "unchanged": 3}
    assert churn(lists({"z": []}), before) == {"keys": 0, "churn": 0.0, "unchanged": 0}


def test_the_most_common_list_is_counted_in_its_order(lists):
    assert most_common(lists({"a": ["1", "2"], "b": ["1", "2"], "c": ["2", "1"], "d": []})) == pytest.approx(2 / 3)
    assert most_common(lists({"a": []})) == 0.0


def test_nights_without_a_change_are_counted_and_then_stopped(utc, home, lists):
    made = lists({f"{i:03}": [str(i), "x"] for i in range(100)})
    night = job("score", tiny_shop(), DS)
    tables.write(made, schemas.SCORES, f"{night.uri}/lists")
    champion = lambda nights: Champion("v", "2026-01-02", {"lists": f"{night.place}/lists", "unchanged_nights": nights}, {})  # noqa: E731
    recipe = {"kind": "model"}
    assert check(utc, night, made, recipe, champion(1)) == {"same_list": 0.01, "churn": 0.0, "unchanged_nights": 2}
    with pytest.raises(
        NightRefused, match="not one list differs from those of night 2026-01-02, for 3 nights now: does new data arrive"
    ):
        check(utc, night, made, recipe, champion(2))
    assert check(utc, night, made.limit(99), recipe, champion(2))["unchanged_nights"] == 3, "of so few one cannot tell"
    assert check(utc, night, made, recipe, None) == {"same_list": 0.01}


def test_one_list_for_all_is_refused_unless_a_baseline_makes_it(utc, home, lists):
    made = lists({str(i): ["1", "2"] for i in range(100)})
    with pytest.raises(NightRefused, match=r"100% of the users get one and the same list \(gate.same_list 50%\)"):
        check(utc, job("score", tiny_shop(), DS), made, {"kind": "model"}, None)
    assert check(utc, job("score", tiny_shop(), DS), made, {"kind": "baseline"}, None) == {"same_list": 1.0}
