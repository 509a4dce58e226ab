"""The page of the evaluation: are tonight's lists better than what they could be replaced by?

Keys of the figures; what is missing is not shown:

    pipeline, task, night, cutoff, test_first, test_last, k, users
    metric       what chooses and is shown: ndcg, average_precision, mae ...
    systems      see reports/systems.py; "recipe" is ours
    differences  baseline → {"mean", "low", "high"}: by how much of the metric the recipe is better, paired bootstrap
    als_grid     as grid, of the collaborative filtering; empty where its settings are given
    grid         [{"params", "validation": a figure per fold, "mean", "best"}]; the best's also "train": a figure of days that it
                 has learned from
    test         the metric of the chosen point on the test window
    candidates, importance, calibration: see reports/learning.py
    by_activity, by_attribute  [{"segment", "users", system → metric, "half_width": {system → of its interval}}]
    attribute    of which by_attribute's segments are values
    by_category  [{"segment", "places", system → share of its places that came true}]
    gate, champion  see reports/gate.py
    history      [{"night", metric, metric_... of each baseline, "truth": {metric} or None}], earlier nights; "truth": what was published
                 on the eve of the night's test window, judged on these same days
    came_true    {"night", "version", "metrics": {metric}, "forecast": {metric}}: the same of tonight's test window
    examples     see reports/examples.py
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from nightfold.reports import plots
from nightfold.reports.examples import examples
from nightfold.reports.gate import gate
from nightfold.reports.learning import calibration, candidates, importance
from nightfold.reports.page import Html, figure, page, section, table, tag
from nightfold.reports.systems import OURS, compared_of, key_of, makes_lists, metric_of, range_of, systems, three
from nightfold.reports.words import NONE, number

DRAWN = 7  # segments in a plot; more would not be read


def render_evaluation(figures: Mapping[str, Any]) -> str:
    """The page of some figures."""
    made = [(ident, words, list(parts(figures))) for ident, words, parts in _SECTIONS]
    shown = [(ident, words, content) for ident, words, content in made if content]
    name, what = figures.get("pipeline", "pipeline"), "lists" if makes_lists(figures) else "predictions"
    return page(
        title=f"{name}: the {what} of {figures.get('night', 'the night')}",
        subtitle=_subtitle(figures),
        contents=[(ident, words) for ident, words, _ in shown],
        body=[section(ident, words, *content) for ident, words, content in shown],
    )


def verdict(figures: Mapping[str, Any]) -> str:
    """In words: how good, and whether better than each baseline beyond chance. Empty without figures."""
    ours = figures.get("systems", {}).get(OURS, {}).get(key_of(figures))
    if not ours:
        return ""
    users = f", judged on {number(figures['users'])} users" if "users" in figures else ""
    sentences = [f"The recipe reaches {metric_of(figures)} {_interval(ours)}{users}."]
    better, even, worse = [], [], []
    of = f" of the {compared_of(figures)}" if compared_of(figures) != metric_of(figures) else ""
    for name, found in figures.get("differences", {}).items():
        group = better if found["low"] > 0 else worse if found["high"] < 0 else even
        group.append(f"{name} ({found['mean']:+.3f}, {found['low']:+.3f} to {found['high']:+.3f}{of})")
    if better:
        sentences.append(f"It is better than {_and(better)}.")
    if even:
        sentences.append(f"It cannot be told from {_and(even)}: the interval holds zero.")
    if worse:
        sentences.append(f"It is worse than {_and(worse)}.")
    return " ".join(sentences)


def _verdict(figures: Mapping[str, Any]) -> Iterator[Html]:
    if words := verdict(figures):
        yield tag("p", words, cls="verdict")
    if words := _came_true(figures):
        yield tag("p", words, cls="soft")
    yield from gate(figures)


def _came_true(figures: Mapping[str, Any]) -> str:
    """What readers got in the days of the test window. Empty where nothing was published on their eve, or nobody did anything."""
    found, metric = figures.get("came_true") or {}, key_of(figures)
    if metric not in found.get("metrics", {}):
        return ""
    forecast = (
        f"; the gate had said {three(found['forecast'][metric])} of it, by the days before" if metric in found["forecast"] else ""
    )
    return (
        f"What readers really got in these days, version {found['version']} of night {found['night']}: "
        f"{metric_of(figures)} {three(found['metrics'][metric])}{forecast}."
    )


def _grid(figures: Mapping[str, Any]) -> Iterator[Html]:
    grid = figures.get("grid")
    if not grid:
        return
    test = figures.get("test")
    rows = []
    for point in grid:
        train, validation = _mean(point.get("train")), _mean(point.get("validation"))
        ratio = three(train / validation if train is not None and validation else None)
        figures_of = (three(train), three(validation), _folds(point.get("validation")), ratio)
        rows.append([_label(point, grid), *figures_of, three(test) if point.get("best") else NONE])
    head = ("grid point", "train", "validation", "by fold", "train / validation", "test")
    best = [i for i, point in enumerate(grid) if point.get("best")]
    order = [str(i + 1) for i in range(len(grid))]
    bars = {"train": [_mean(p.get("train")) for p in grid], "validation": [_mean(p.get("validation")) for p in grid]}
    if test is not None:
        bars["test"] = [test if point.get("best") else None for point in grid]
    numbered = [[place, *row] for place, row in zip(order, rows, strict=True)]
    yield tag("div", table(("", *head), numbered, numeric=(2, 3, 5, 6), hot=best), cls="card")
    drawn = [
        figure(
            plots.groups(order, bars, label=metric_of(figures)),
            "Training, validation and test side by side; numbered as in the table.",
        )
    ]
    folds = max((len(point.get("validation") or ()) for point in grid), default=0)
    if folds > 1:
        names = [f"fold {i + 1}" for i in range(folds)]
        best_point = grid[best[0]] if best else grid[0]
        plot = plots.groups(names, {"validation": best_point["validation"]}, label=metric_of(figures))
        drawn.append(figure(plot, "The chosen point, fold by fold; each trains on earlier days only."))
    yield tag("div", *drawn, cls="pair")


def _als(figures: Mapping[str, Any]) -> Iterator[Html]:
    grid = figures.get("als_grid")
    if not grid:
        return
    best = [i for i, point in enumerate(grid) if point["best"]]
    rows = [[_label(point, grid), three(point["mean"]), _folds(point["validation"])] for point in grid]
    yield tag(
        "p", "Settings of the collaborative filtering, judged by its own lists as of each fold's cutoff, before any model learns."
    )
    yield tag("div", table(("grid point", "validation", "by fold"), rows, numeric=(1,), hot=best), cls="card")


def _label(point: Mapping[str, Any], grid: Sequence[Mapping[str, Any]]) -> Html:
    """What is other about a point, and whether it is the chosen one."""
    words = ", ".join(f"{key} {value}" for key, value in _telling(point["params"], grid).items())
    return tag("span", words, *([" ", tag("span", "chosen", cls="tag good")] if point.get("best") else []))


def _telling(params: Mapping[str, Any], grid: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Those of a point's parameters that another point has otherwise."""
    return {key: value for key, value in params.items() if any(point["params"].get(key, value) != value for point in grid)} or dict(
        params
    )


def _segments(figures: Mapping[str, Any]) -> Iterator[Html]:
    """Where it is good, and where bad: by users, and by what is listed."""
    words = metric_of(figures)
    yield from _by(figures.get("by_activity"), "users", words, "By how active a user was before the cutoff.")
    yield from _by(figures.get("by_attribute"), "users", words, f"By {figures.get('attribute')}, the values of most users.")
    caption = "By category, those with most places on the recipe's lists: the share of a system's places that came true."
    yield from _by(figures.get("by_category"), "places", "share that came true", caption)


def _by(segments: Sequence[Mapping[str, Any]] | None, counted: str, label: str, caption: str) -> Iterator[Html]:
    if not segments:
        return
    systems = list(dict.fromkeys(name for s in segments for name in s if name not in ("segment", counted, "half_width")))
    rows = [[s["segment"], number(s[counted]), *(_with_interval(s, name) for name in systems)] for s in segments]
    listed = tag("div", table(("segment", counted, *systems), rows, numeric=range(1, 2 + len(systems))), cls="card")
    drawn = segments[:DRAWN]
    series = {name: [s.get(name) for s in drawn] for name in systems}
    plot = plots.groups([s["segment"] for s in drawn], series, label=label)
    more = f" The first {DRAWN} are drawn." if len(segments) > DRAWN else ""
    yield tag("div", figure(plot, f"{caption}{more}"), listed, cls="pair")


def _with_interval(segment: Mapping[str, Any], system: str) -> str:
    half = segment.get("half_width", {}).get(system)
    return three(segment.get(system)) + (f" ± {three(half)}" if half is not None else "")


def _history(figures: Mapping[str, Any]) -> Iterator[Html]:
    nights = sorted(figures.get("history") or [], key=lambda entry: entry["night"])
    metric = key_of(figures)
    ours = figures.get("systems", {}).get(OURS, {}).get(metric)
    if not nights:
        return
    baseline = next(iter(figures.get("differences", {})), "personal frequency")
    key = f"{metric}_{baseline}".replace(" ", "_")
    if ours and "night" in figures and all(entry["night"] != figures["night"] for entry in nights):
        beside = figures["systems"].get(baseline, {}).get(metric, {}).get("mean")
        truth = (figures.get("came_true") or {}).get("metrics")
        nights = [*nights, {"night": figures["night"], metric: ours["mean"], key: beside, "truth": truth}]
    series = {OURS: [e.get(metric) for e in nights], baseline: [e.get(key) for e in nights]}
    came_true = [(e.get("truth") or {}).get(metric) for e in nights]
    if any(value is not None for value in came_true):
        series["what came true"] = came_true
    yield figure(
        plots.lines([e["night"] for e in nights], series, label=metric_of(figures)),
        "Night by night, each judged on its own test window; what came true: what readers got in these days, published on their eve.",
    )


_SECTIONS: tuple[tuple[str, str, Callable[[Mapping[str, Any]], Iterator[Html]]], ...] = (
    ("verdict", "Verdict", _verdict),
    ("systems", "The recipe beside baselines", systems),
    ("grid", "Training, validation and test", _grid),
    ("als", "Collaborative filtering", _als),
    ("segments", "Where it is good, and where not", _segments),
    ("candidates", "Candidates", candidates),
    ("importance", "What the model looks at", importance),
    ("calibration", "Are its probabilities true", calibration),
    ("history", "Earlier nights", _history),
    ("examples", "A few users", examples),
)


def _subtitle(figures: Mapping[str, Any]) -> str:
    if "cutoff" not in figures:
        return ""
    days = f" on {figures['test_first']} to {figures['test_last']}" if "test_first" in figures and "test_last" in figures else ""
    return f"Recipes fitted on everything up to {figures['cutoff']}, and judged{days}: days that none of them has seen."


def _interval(found: Mapping[str, float]) -> str:
    return f"{found['mean']:.3f} ({range_of(found)})" if "low" in found else f"{found['mean']:.3f}"


def _mean(values: Sequence[float] | None) -> float | None:
    return sum(values) / len(values) if values else None


def _folds(values: Sequence[float] | None) -> str:
    return " · ".join(three(value) for value in values or ()) or NONE


def _and(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
