"""Pages are self-contained, escaped, and say what the figures say."""

import re
import xml.etree.ElementTree as ET

from nightfold.reports import page, plots
from nightfold.reports.evaluation import render_evaluation, verdict

import pytest

EVIL = '<script>alert("x")</script>'

FIGURES = {
    "pipeline": "grocery",
    "night": "2017-12-03",
    "cutoff": "2017-11-05",
    "test_first": "2017-11-06",
    "test_last": "2017-12-03",
    "k": 10,
    "users": 2011,
    "systems": {
        "popularity": {"ndcg": {"mean": 0.17, "low": 0.16, "high": 0.18}, "user_coverage": 1.0, "item_coverage": 0.0002},
        "recipe": {
            "ndcg": {"mean": 0.407, "low": 0.398, "high": 0.416},
            "recall": {"mean": 0.11, "low": 0.1, "high": 0.12},
            "user_coverage": 1.0,
            "item_coverage": 0.11,
        },
    },
    "differences": {
        "popularity": {"mean": 0.237, "low": 0.22, "high": 0.25},
        "personal frequency": {"mean": 0.001, "low": -0.004, "high": 0.006},
        "als": {"mean": -0.02, "low": -0.03, "high": -0.01},
    },
    "grid": [
        {"params": {"family": "linear", "reg_param": 0.3}, "train": [0.5], "validation": [0.4, 0.42], "mean": 0.41, "best": True},
        {"params": {"family": "linear", "reg_param": 1.0}, "validation": [0.3, 0.32], "mean": 0.31, "best": False},
    ],
    "test": 0.407,
    "candidates": {
        "all": {"recall": 0.31, "alone": 0.0, "per_user": 160.0},
        "repeats": {"recall": 0.28, "alone": 0.2, "per_user": 90.0},
    },
    "importance": [{"feature": "decayed_120", "share": 0.45}, {"feature": "overdue", "share": 0.2}],
    "calibration": [
        {"candidates": 9000, "predicted": 0.02, "observed": 0.01},
        {"candidates": 50, "predicted": 0.5, "observed": 0.051},
    ],
    "by_activity": [{"segment": "1–9 baskets", "users": 101, "recipe": 0.2, "popularity": 0.1}],
    "attribute": "region",
    "by_attribute": [{"segment": EVIL, "users": 77, "recipe": 0.213, "popularity": 0.1}],
    "by_category": [{"segment": "DAIRY", "places": 4321, "recipe": 0.345}],
    "history": [{"night": "2017-12-02", "ndcg": 0.404, "ndcg_personal_frequency": 0.397, "truth": {"ndcg": 0.39}}],
    "came_true": {"night": "2017-11-05", "version": "v7", "metrics": {"ndcg": 0.4012, "users": 9}, "forecast": {"ndcg": 0.4129}},
    "examples": [
        {
            "user": EVIL,
            "history": [{"id": "0981", "title": EVIL, "times": 31, "last": "2017-11-04"}],
            "list": [
                {"id": "0981", "title": EVIL, "why": EVIL, "hit": True},
                {"id": "2", "title": None, "why": None, "hit": False},
            ],
        }
    ],
}


def outside_text(html: str) -> str:
    """The page's tags with their attributes, and its style."""
    return " ".join(re.findall(r"<[^>]*>", html)) + page.page(title="", subtitle="", contents=[], body=[])


def test_everything_that_is_not_html_is_escaped():
    assert page.tag("p", EVIL, title='"') == '<p title="&quot;">&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;</p>'
    assert page.tag("p", page.tag("b", "1 < 2")) == "<p><b>1 &lt; 2</b></p>"
    assert "<script" not in page.bars([(EVIL, 0.5, EVIL, EVIL)]) + page.table([EVIL], [[EVIL]]) + page.facts([(EVIL, EVIL)])


def test_the_evaluation_is_self_contained_and_escaped():
    html = render_evaluation(FIGURES)
    assert "Content-Security-Policy" in html
    assert "<script" not in html
    assert html.count("&lt;script&gt;") == 6, "the user, the title in both tables, the reason, and a segment in its plot and table"
    assert not re.search(r"https?://|url\((?!#)|@import|javascript:", outside_text(html))


def test_the_evaluation_shows_the_figures_that_it_was_given():
    html = render_evaluation(FIGURES)
    for shown in (
        *("0.398 to 0.416", "reg_param 0.3", "0.400 · 0.420", "1.220", "11.0%", "1–9 baskets", "✓ taken", ": 1 of 2 taken"),
        *("31.0% of what the users took", "decayed_120", "5.1%"),
        *("By region, the values", "0.213", "DAIRY", "4,321", "0.345"),
    ):
        assert shown in html, shown


def test_ids_are_never_broken_and_who_took_nothing_before_has_no_empty_table():
    listed = [{"id": "79132", "title": None, "why": "popular now", "hit": False}]
    page = render_evaluation({"examples": [{"user": "u", "history": [], "list": listed}]})
    assert '<td class="w">79132</td>' in page
    assert "<h4>History</h4><p>Nothing.</p>" in page


def test_predictions_that_were_furthest_off_are_shown_beside_what_came_true():
    example = {"user": EVIL, "label": 1.0, "said": {"recipe": 0.0124, "past events": 3.0}}
    html = render_evaluation({**FIGURES, "task": "classify", "examples": [example]})
    for shown in ("furthest off", "&lt;script&gt;alert(", "1.000", "0.012", "past events"):
        assert shown in html, shown


def test_the_verdict_says_better_even_and_worse_in_words():
    assert verdict(FIGURES) == (
        "The recipe reaches NDCG@10 0.407 (0.398 to 0.416), judged on 2,011 users. "
        "It is better than popularity (+0.237, +0.220 to +0.250). "
        "It cannot be told from personal frequency (+0.001, -0.004 to +0.006): the interval holds zero. "
        "It is worse than als (-0.020, -0.030 to -0.010)."
    )


def test_differences_of_roots_are_said_to_be_of_squares():
    errors = {name: {"rmse": {"mean": 10.0}} for name in ("recipe", "mean")}
    found = {"metric": "rmse", "task": "regress", "larger_is_better": False, "systems": errors}
    found |= {"differences": {"mean": {"mean": 2100.0, "low": 1000.0, "high": 3000.0}}}
    assert "mean (+2100.000, +1000.000 to +3000.000 of the mean square error)" in verdict(found)
    assert "mean square error: baseline minus recipe" in render_evaluation(found)


def test_what_readers_got_in_the_judged_days_stands_beside_the_verdict():
    words = "What readers really got in these days, version v7 of night 2017-11-05: NDCG@10 0.401"
    assert f"{words}; the gate had said 0.413 of it, by the days before." in render_evaluation(FIGURES)
    assert f"{words}." in render_evaluation(FIGURES | {"came_true": {**FIGURES["came_true"], "forecast": {}}})
    assert "really got" not in render_evaluation(FIGURES | {"came_true": {**FIGURES["came_true"], "metrics": {"users": 0}}})


@pytest.mark.parametrize("key", sorted(FIGURES))
def test_a_missing_key_is_just_not_shown(key):
    assert render_evaluation({name: value for name, value in FIGURES.items() if name != key}).endswith("</html>\n")


def test_no_figures_at_all_still_give_a_page():
    assert "<h2" not in render_evaluation({})


def test_a_plot_is_well_formed_follows_the_theme_and_keeps_its_numbers():
    svg = plots.intervals({EVIL[:20]: {"mean": 0.12345, "low": 0.1, "high": 0.15}, "b": {"mean": 0.4}}, label="NDCG@10")
    ET.fromstring(svg)  # noqa: S314 (our own)
    assert "0.123" in svg, "numbers in text are not cut like coordinates are"
    assert "var(--one)" in svg
    assert not re.search("#0[1-9]0[1-9]0[1-9]|http|xmlns|<script", svg)


def test_a_dollar_or_a_line_break_in_the_data_is_no_formula():
    assert "$5 off \\frac$" in plots.classes(["$5 off \\frac$", "a\nb"], [0.5, 0.5], [0.1, 0.9])


def test_a_plot_of_the_same_numbers_is_the_same_twice():
    drawn = [plots.lines(["2017-12-01", "2017-12-02"], {"users": [1, None]}, label="users") for _ in range(2)]
    assert drawn[0] == drawn[1]
