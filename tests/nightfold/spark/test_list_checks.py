"""What the gate sees in the lists themselves."""

import json
import secrets

from nightfold import schemas
from nightfold.champion import Champion
from nightfold.errors import NightRefused
from nightfold.reports.evaluation import render_evaluation
from nightfold.spark import tables
from nightfold.spark.job import Job
from nightfold.spark.list_checks import SCORES, check, churn, most_common

import pytest
from helpers import job, tiny_shop

DS = "2026-01-03"
MODEL = {"kind": "model"}


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


@pytest.fixture
def night(home) -> Job:
    """Of a night whose evaluation has promoted the challenger; its page was written by then."""
    looked = job("evaluate", tiny_shop(), DS)
    figures = {"pipeline": "shop", "night": DS, "gate": {"outcome": "promoted", "reason": "it is better", "checks": []}}
    page, numbers = f"{looked.place}/report.html", f"{looked.place}/evaluation.json"
    looked.lake.write_text(numbers, json.dumps(figures))
    looked.lake.write_text(page, render_evaluation(figures))
    facts = {"report": page, "json": numbers}
    looked.lake.commit(looked.manifest("evaluation", DS, fingerprint="f", facts=facts, summary="looked at"))
    return job("score", tiny_shop(), DS)


def page(night: Job) -> str:
    return night.lake.read_text(night.lake.get("evaluation", DS).facts["report"])


def served(night: Job, made, nights: int = 0) -> Champion:
    """A version with these lists, which have not changed for so many nights."""
    place = f"{night.place}-{secrets.token_hex(4)}/lists"
    tables.write(made, schemas.SCORES, night.lake.spark_path(place))
    return Champion("v", "2026-01-02", {"lists": place, "unchanged_nights": nights}, {})


def test_nights_without_a_change_are_counted_and_then_stopped(utc, night, lists):
    made = lists({f"{i:03}": [str(i), "x"] for i in range(100)})
    assert check(utc, night, made, MODEL, served(night, made, 1)) == {"same_list": 0.01, "churn": 0.0, "unchanged_nights": 2}
    assert "promoted</span> tonight" in page(night)
    assert "100 of 100 lists are as on night 2026-01-02" in page(night)
    assert "0% of the items were not on the lists of night 2026-01-02" in page(night)
    stuck = "not one list differs from those of night 2026-01-02, for 3 nights now: does new data arrive"
    with pytest.raises(NightRefused, match=stuck):
        check(utc, night, made, MODEL, served(night, made, 2))
    assert stuck in page(night)
    assert "refused</span> nothing is published" in page(night)
    few = check(utc, night, made.limit(99), MODEL, served(night, made, 2))
    assert few["unchanged_nights"] == 3, "of so few one cannot tell"
    assert check(utc, night, made, MODEL, None) == {"same_list": 0.01}
    assert "promoted</span> tonight" in page(night)


def test_one_list_for_all_is_refused_unless_a_baseline_makes_it(utc, night, lists):
    made = lists({str(i): ["1", "2"] for i in range(100)})
    with pytest.raises(NightRefused, match=r"100% of the users get one and the same list \(gate.same_list 50%\)"):
        check(utc, night, made, MODEL, None)
    assert check(utc, night, made, {"kind": "baseline"}, None) == {"same_list": 1.0}


def test_of_predictions_the_numbers_are_looked_at(utc, night):
    said = lambda number: utc.createDataFrame(  # noqa: E731
        [(f"{i:03}", [("spent", number(i), "w")]) for i in range(100)], tables.struct(schemas.SCORES)
    )
    made = said(lambda i: float(i))
    with pytest.raises(NightRefused, match="100% of the keys get one and the same prediction"):
        check(utc, night, said(lambda _: 1.0), MODEL, None, by=SCORES)
    with pytest.raises(NightRefused, match="not one prediction differs from those of night 2026-01-02, for 3 nights now"):
        check(utc, night, made, MODEL, served(night, made, 2), by=SCORES)
    half = served(night, said(lambda i: float(i) + (i % 2)))
    assert check(utc, night, made, MODEL, half, by=SCORES) == {"same_list": 0.01, "churn": 0.5, "unchanged_nights": 0}
    assert "50% of the predictions are others than on night 2026-01-02" in page(night)
    rare = check(utc, night, made, {"kind": "baseline"}, served(night, made, 2), by=SCORES)
    assert rare["unchanged_nights"] == 3, "a count of rare events may stay as it is"
