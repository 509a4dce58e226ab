"""The systems of an evaluation side by side.

Keys of the figures; what is missing is not shown:

    metric, larger_is_better   what chooses; absent: ndcg, True
    systems      name → metric → {"mean", "low", "high"}: ndcg, recall (recommend), average_precision, lift, log_loss (classify), mae,
                 rmse (regress); recommend: and "user_coverage", "item_coverage", "new_share", "novelty_bits"
    certainty    of the intervals; absent: 0.95
    mean_label   of the test window: the share that came true, or the mean number
    differences  baseline → {"mean", "low", "high"}
"""

from collections.abc import Iterator, Mapping
from typing import Any

from nightfold.reports import plots
from nightfold.reports.page import Html, figure, table, tag
from nightfold.reports.words import NONE, number, percent

OURS = "recipe"
WORDS = {
    "average_precision": "average precision",
    "lift": "lift at 10%",
    "log_loss": "log loss",
    "mae": "mean absolute error",
    "rmse": "root mean square error",
}


def key_of(figures: Mapping[str, Any]) -> str:
    """The metric, as the figures name it."""
    return str(figures.get("metric", "ndcg"))


def makes_lists(figures: Mapping[str, Any]) -> bool:
    """Whether they are of lists, not of predictions."""
    return bool(figures.get("task", "recommend") == "recommend")


def metric_of(figures: Mapping[str, Any]) -> str:
    """The metric, for people."""
    key = key_of(figures)
    words = WORDS.get(key, key.upper())
    return f"{words}@{figures['k']}" if "k" in figures else words


def compared_of(figures: Mapping[str, Any]) -> str:
    """What is compared, for people: roots do not add up, so it is their squares."""
    return "mean square error" if key_of(figures) == "rmse" else metric_of(figures)


def certainty_of(figures: Mapping[str, Any]) -> str:
    """Of the intervals."""
    return f"{100 * figures.get('certainty', 0.95):.3g}%"


def systems(figures: Mapping[str, Any]) -> Iterator[Html]:
    """Means and differences as plots, and a table of all metrics."""
    measured = _ours_first(figures.get("systems", {}))
    if not measured:
        return
    key, words = key_of(figures), metric_of(figures)
    drawn = []
    chosen = {name: found[key] for name, found in measured.items() if found.get(key)}
    if chosen:
        drawn.append(figure(plots.intervals(chosen, label=words), f"With {certainty_of(figures)} intervals over users."))
    if figures.get("differences"):
        larger = figures.get("larger_is_better", True)
        label = f"{compared_of(figures)}: {'recipe minus baseline' if larger else 'baseline minus recipe'}"
        plot = plots.intervals(figures["differences"], label=label, zero=True)
        caption = f"Differences on the same users, paired bootstrap, {certainty_of(figures)}: right of zero, the recipe is better."
        drawn.append(figure(plot, caption))
    yield tag("div", *drawn, cls="pair")
    head, rows = _lists(figures, measured) if makes_lists(figures) else _predictions(figures, measured)
    yield tag("div", table(head, rows, numeric=range(1, len(head))), cls="card")


def _lists(figures: Mapping[str, Any], measured: Mapping[str, Any]) -> tuple[tuple[str, ...], list[list[object]]]:
    chosen = key_of(figures)
    shown = [chosen, *(key for key in ("ndcg", "recall", "map") if key != chosen and key in measured.get(OURS, {}))]
    named = {key: f"{key.upper() if key != 'recall' else key}@{figures.get('k', 'k')}" for key in shown} | {
        chosen: metric_of(figures)
    }
    rows: list[list[object]] = []
    for name, found in measured.items():
        means = [cell for key in shown for cell in (three((found.get(key) or {}).get("mean")), range_of(found.get(key) or {}))]
        shares = [percent(found.get(key)) for key in ("user_coverage", "item_coverage", "new_share")]
        rows.append([name, *means, *shares, number(found.get("novelty_bits"))])
    head = ("system", *(cell for key in shown for cell in (named[key], certainty_of(figures))))
    return (*head, "users with a past", "items on any list", "new to the user", "novelty, bits"), rows


def _predictions(figures: Mapping[str, Any], measured: Mapping[str, Any]) -> tuple[tuple[str, ...], list[list[object]]]:
    shown = [key for key in WORDS if key in measured.get(OURS, {})]
    rows: list[list[object]] = []
    for name, found in measured.items():
        cells = [cell for key in shown for cell in (three((found.get(key) or {}).get("mean")), range_of(found.get(key) or {}))]
        rows.append([name, *cells])
    return ("system", *(cell for key in shown for cell in (WORDS[key], certainty_of(figures)))), rows


def _ours_first(found: Mapping[str, Any]) -> dict[str, Any]:
    return {name: found[name] for name in sorted(found, key=lambda name: name != OURS)}


def range_of(found: Mapping[str, float]) -> str:
    """An interval."""
    return f"{three(found['low'])} to {three(found['high'])}" if "low" in found and "high" in found else NONE


def three(value: float | None) -> str:
    """To three digits after the point; large numbers to one."""
    return NONE if value is None else f"{value:.3f}" if abs(value) < 100 else f"{value:,.1f}"
