"""The gate: what is promoted, held and refused, and what it says of it."""

from nightfold.champion import CHALLENGER, Champion
from nightfold.gate import judge
from nightfold.pipeline.gate import Gate

import pytest

BASELINES = ["frequency", "popularity"]
MODEL = {"kind": "model", "night": "2026-01-01", "data": "d", "model": "m", "params": {"family": "linear"}, "features": "f"}
BEATEN, OPEN, WORSE, SAME = (0.02, 0.03, 0.04), (-0.01, 0.01, 0.03), (-0.04, -0.03, -0.02), (0.0, 0.0, 0.0)


def interval(low: float, mean: float, high: float) -> dict[str, float]:
    return {"low": low, "mean": mean, "high": high}


def champion(recipe: dict | None = MODEL, **facts: object) -> Champion:
    data = {"users": 1000, "active_users": 400}
    return Champion("v1", "2026-01-01", {"recipe": recipe, "data": data, **facts}, {"ndcg": 0.4})


def figures(
    frequency=BEATEN,
    popularity=BEATEN,
    against=None,
    theirs=None,
    ndcg: float = 0.42,
    users: int = 500,
    kept: bool = True,
    **data: object,
) -> dict:
    differences = {"frequency": interval(*frequency), "popularity": interval(*popularity)}
    if against is not None:
        differences["champion"] = interval(*against)
    means = {"recipe": ndcg, "frequency": 0.39, "popularity": 0.2}
    known = {"users": 1000, "active_users": 400, "last_day": "2026-01-02", "last_day_rows": 900, "repeated": 0.02}
    known |= {"compared_day": "2026-01-02", "last_day_users": 190, "usual_users": 200.0}
    return {
        "metric": "ndcg",
        "users": users,
        "systems": {name: {"ndcg": {"mean": mean}} for name, mean in means.items()},
        "differences": differences,
        "champion_differences": {name: interval(*(theirs or BEATEN)) for name in BASELINES} if against is not None else {},
        "champion_kept": kept,
        "ceiling": 0.8,
        "data": known | data,
        "features": "f",
        "measured": "ndcg@10",
    }


def verdict(*, served: Champion | None = None, gate: Gate | None = None, **found: object):
    return judge(figures(**found), gate or Gate(), BASELINES, served)


def test_a_challenger_that_beats_all_is_promoted_on_the_first_night_and_later():
    first = verdict()
    assert (first.outcome, first.serve, first.reason) == ("promoted", CHALLENGER, "first night: there is no champion to beat")
    later = verdict(served=champion(), against=SAME)
    assert (later.outcome, later.serve, later.reason) == (
        "promoted",
        CHALLENGER,
        "as good as the champion of night 2026-01-01, or better",
    )
    assert {check.outcome for check in later.checks} == {"passed"}


def test_on_the_first_night_the_best_baseline_stands_in_for_a_model_that_is_worse():
    found = verdict(frequency=WORSE)
    assert (found.outcome, found.serve) == ("held", {"kind": "baseline", "name": "frequency"})
    assert found.reason.startswith("first night: the best baseline, frequency, is published: frequency is not beaten (-0.0300, ")


def test_what_is_not_proven_goes_through_where_the_champion_is_not_proven_either():
    assert verdict(frequency=OPEN).outcome == "promoted"
    assert verdict(served=champion(), frequency=OPEN, against=SAME, theirs=OPEN).outcome == "promoted"
    held = verdict(served=champion(), frequency=OPEN, against=SAME, theirs=BEATEN)
    assert (held.outcome, held.serve) == ("held", MODEL)
    assert "frequency is not proven to be beaten" in held.reason


@pytest.mark.parametrize("against", [WORSE, (-0.04, -0.02, 0.01)])
def test_a_challenger_that_is_worse_than_the_champion_or_seems_so_is_held(against):
    held = verdict(served=champion(), against=against)
    assert (held.outcome, held.serve) == ("held", MODEL)
    assert held.reason.startswith("the champion of night 2026-01-01 scores tonight's data: champion is not ")
    assert verdict(served=champion(), against=(-0.03, -0.009, 0.02)).outcome == "promoted", "as the margin allows"


def test_it_is_refused_where_the_champion_can_not_help():
    both = verdict(served=champion(), frequency=WORSE, against=SAME, theirs=WORSE)
    assert (both.outcome, both.serve) == ("refused", {})
    assert "the champion's recipe does not beat frequency either" in both.reason
    schema = verdict(served=champion({**MODEL, "features": "other"}), against=WORSE)
    assert schema.outcome == "refused"
    assert "was trained on other features" in schema.reason
    assert "no longer in the lake" in verdict(served=champion(), against=WORSE, kept=False).reason
    assert "older release" in verdict(served=champion(None), frequency=WORSE).reason


def test_figures_of_something_else_are_no_jump():
    """Other days, longer lists, another label: the champion's figure says nothing of tonight's."""
    assert verdict(served=champion(measured="ndcg@10"), against=BEATEN, ndcg=0.65).outcome == "refused"
    found = verdict(served=champion(measured="ndcg@30"), against=BEATEN, ndcg=0.65)
    assert found.outcome == "promoted"
    (jump,) = [check for check in found.checks if check.name == "jump"]
    assert jump.words == "the ndcg of the champion's night 2026-01-01 is of other days, lists or labels: not compared"


def test_a_champion_that_is_no_baseline_any_more_gives_way_to_the_best_that_there_is():
    served = champion({"kind": "baseline", "name": "als"})
    assert verdict(served=served).outcome == "promoted"
    held = verdict(served=served, frequency=WORSE)
    assert (held.outcome, held.serve) == ("held", {"kind": "baseline", "name": "frequency"})
    assert held.reason.startswith("the champion, als, is no baseline of this pipeline any more: the best baseline, frequency, is")


def test_a_champion_that_is_a_baseline_is_held_until_it_is_proven_worse():
    served = champion({"kind": "baseline", "name": "frequency"})
    found = figures(frequency=OPEN, against=OPEN)
    found["champion_differences"] = {"frequency": interval(*SAME), "popularity": interval(*BEATEN)}
    held = judge(found, Gate(), BASELINES, served)
    assert (held.outcome, held.serve) == ("held", {"kind": "baseline", "name": "frequency"})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ndcg": 0.79}, "too good to be true: 99% of what a perfect ordering reaches"),
        ({"ndcg": 0.65}, "too good to be true: ndcg 0.6500, 62% better than 0.4000 on the champion's night"),
        ({"users": 500, "repeated": 0.97}, "yesterday's data again\\? 97% of the last day, 2026-01-02"),
    ],
)
def test_what_is_too_good_or_delivered_twice_is_refused_however_good_it_looks(changes, words):
    import re

    found = verdict(served=champion(), against=BEATEN, **changes)
    assert found.outcome == "refused"
    assert re.search(words, found.reason)
    small = {name: value for name, value in changes.items() if name != "repeated"} | {"users": 99}
    few = {"last_day_rows": 99, "repeated": changes.get("repeated", 0.0)}
    assert verdict(served=champion(), against=BEATEN, **small, **few).outcome == "promoted", "of so few one cannot tell"


def test_users_who_have_vanished_are_noticed():
    data = figures(against=BEATEN)["data"] | {"users": 480}
    gone = judge({**figures(against=BEATEN), "data": data}, Gate(), BASELINES, champion())
    assert gone.outcome == "refused"
    assert "users have vanished: 480 users, 1,000 on the champion's night 2026-01-01" in gone.reason
    asleep = verdict(served=champion(), against=BEATEN, active_users=100)
    assert "100 active users, 400 on" in asleep.reason
    assert judge({**figures(against=BEATEN), "data": data}, Gate(users=0.4), BASELINES, champion()).outcome == "promoted"


def test_a_last_day_with_half_of_its_users_is_refused_also_on_the_first_night():
    half = verdict(last_day_users=100)
    assert half.outcome == "refused"
    assert "users have vanished: 100 users on the last day, 2026-01-02; 200 are usual on that weekday" in half.reason
    assert verdict(last_day_users=100, gate=Gate(last_day=0.5)).outcome == "promoted"
    assert verdict(last_day_users=10, usual_users=99.0).outcome == "promoted", "of so few one cannot tell"
    assert verdict(last_day_users=10, usual_users=None).outcome == "promoted", "there was none before"


def test_a_night_without_a_row_of_its_own_is_an_old_delivery_sent_again():
    again = verdict(last_day="2026-01-01", compared_day="2026-01-02", last_day_users=0)
    assert again.outcome == "refused"
    assert again.reason.startswith(
        "yesterday's data again? nothing is of 2026-01-02, the last rows are of 2026-01-01, and 200 users"
    )


BASELINE = {"kind": "baseline", "name": "frequency"}


def with_baseline_live(**found: object):
    """The night after one on which `frequency` had to stand in, and which asks for more than to be as good as it."""
    made = figures(**{"against": OPEN, **found})
    made["champion_differences"] = {"frequency": interval(*SAME), "popularity": interval(*BEATEN)}
    return judge(made, Gate(beat={"frequency": 0.01, "popularity": 0.0}), BASELINES, champion(BASELINE))


def test_a_baseline_that_is_live_need_not_beat_itself():
    held = with_baseline_live(frequency=WORSE, against=WORSE)
    assert (held.outcome, held.serve) == ("held", BASELINE)
    assert with_baseline_live(frequency=OPEN).outcome == "held", "until it is proven to be beaten"
    assert with_baseline_live(frequency=BEATEN, against=BEATEN).outcome == "promoted"


def test_a_model_may_be_far_above_a_baseline_that_is_live():
    assert with_baseline_live(ndcg=0.65, frequency=BEATEN, against=BEATEN).outcome == "promoted"
    assert verdict(served=champion(), against=BEATEN, ndcg=0.65).outcome == "refused"


def errors(ours: float) -> dict:
    """Of a night of `regress`."""
    made = figures()
    systems = {name: {"mae": {"mean": mean}} for name, mean in {"recipe": ours, "frequency": 60.0, "popularity": 100.0}.items()}
    return {**made, "metric": "mae", "larger_is_better": False, "ceiling": None, "systems": systems}


def test_an_error_of_next_to_nothing_is_too_good_to_be_true_also_on_the_first_night():
    leak = judge(errors(1.0), Gate(), BASELINES, None)
    assert leak.outcome == "refused"
    assert "too good to be true: 99% of the mae of popularity are gone (1.0000 of 100.0000)" in leak.reason
    assert judge(errors(40.0), Gate(), BASELINES, None).outcome == "promoted"


def test_a_margin_is_in_the_unit_of_the_metric():
    assert Gate(champion=-5.0).champion == -5.0


def test_the_pipeline_file_says_what_must_be_beaten_and_by_how_much():
    assert verdict(frequency=WORSE, gate=Gate(beat={"popularity": 0.0})).outcome == "promoted"
    assert verdict(gate=Gate(beat={"popularity": 0.05})).outcome == "held"
    assert verdict(gate=Gate(beat={})).outcome == "promoted"


def test_of_errors_the_smaller_is_better():
    found = figures(frequency=WORSE) | {"metric": "mae", "larger_is_better": False, "ceiling": None}
    found["systems"] = {
        name: {"mae": {"mean": mean}} for name, mean in (("recipe", 40.0), ("frequency", 45.0), ("popularity", 90.0))
    }
    assert judge(found, Gate(), BASELINES, None).serve == {"kind": "baseline", "name": "frequency"}
    served = Champion("v1", "2026-01-01", {"recipe": MODEL}, {"mae": 80.0})
    better = figures(against=BEATEN) | {key: found[key] for key in ("metric", "larger_is_better", "ceiling", "systems")}
    assert "mae 40.0000, 100% better than 80.0000" in judge(better, Gate(), BASELINES, served).reason
