"""Sections of the evaluation that say what a ranker works with: its candidates, its features, and whether its probabilities are true.

Keys of the figures; what is missing is not shown:

    candidates   source → {"recall", "alone": shares of what the users took, "per_user": candidates}; "all" is their union
    importance   [{"feature", "share"}], the largest first
    calibration  [{"candidates", "predicted", "observed"}], by predicted probability
"""

from collections.abc import Iterator, Mapping
from typing import Any

from nightfold.reports import plots
from nightfold.reports.page import Html, bars, figure, table, tag
from nightfold.reports.systems import makes_lists
from nightfold.reports.words import number, percent


def candidates(figures: Mapping[str, Any]) -> Iterator[Html]:
    """The ceiling: what no source names cannot be listed."""
    found = figures.get("candidates")
    if not found:
        return
    rows = [
        [name, number(source["per_user"]), percent(source["recall"]), percent(source["alone"]) if name != "all" else ""]
        for name, source in found.items()
    ]
    yield tag("p", f"{percent(found['all']['recall'])} of what the users took in these days was among their candidates.")
    yield tag("div", table(("source", "candidates per user", "recall", "named by it alone"), rows, numeric=(1, 2, 3)), cls="card")


def importance(figures: Mapping[str, Any]) -> Iterator[Html]:
    """Bars."""
    found = figures.get("importance")
    if not found:
        return
    most = max(entry["share"] for entry in found) or 1.0
    rows = [(entry["feature"], entry["share"] / most, percent(entry["share"]), "") for entry in found]
    names = (
        "nightfold/spark/recommend/ranking_features.py says what each is"
        if makes_lists(figures)
        else "docs/pipelines.md says how they are named"
    )
    yield tag("p", f"Share of the trees' gain, or of a linear model's coefficients; {names}.")
    yield tag("div", bars(rows), cls="card")


def calibration(figures: Mapping[str, Any]) -> Iterator[Html]:
    """Of those that were given about a third, about a third should have come true."""
    found = figures.get("calibration")
    if not found:
        return
    each = "candidates" if makes_lists(figures) else "keys"
    yield tag(
        "div",
        figure(
            plots.calibration(found),
            f"Each point: {each} of about the same predicted probability. On the line, they came true as often as was said.",
        ),
        tag(
            "div",
            table(
                (each, "predicted", "came true"),
                [[number(entry["candidates"]), percent(entry["predicted"]), percent(entry["observed"])] for entry in found],
                numeric=(0, 1, 2),
            ),
            cls="card",
        ),
        cls="pair",
    )
