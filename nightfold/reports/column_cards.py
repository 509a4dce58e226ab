"""One card per column of a source, and the table of what has changed."""

from collections.abc import Iterator, Mapping
from typing import Any

from nightfold.reports import plots
from nightfold.reports.drift import WINDOW
from nightfold.reports.page import Html, bars, facts, table, tag
from nightfold.reports.words import number, percent

SHOWN = 8  # top values on a card; the others unfold
DRAWN = 3  # columns whose classes are drawn: those that moved most
LEAST_PSI = 0.01  # that the nights before are taken to reach: a tenth of what begins to matter


def card(name: str, column: Mapping[str, Any], level: str | None) -> Html:
    """Name, type, what is missing, and the shape of the values.

    :param level: of the gravest finding about it, or None
    """
    marks = [tag("span", column["type"], cls="tag")]
    if column["role"]:
        marks.append(tag("span", column["role"], cls="tag"))
    if level:
        marks.append(tag("span", level, cls=f"tag {level}"))
    distinct = number(column["distinct"]) if column["distinct_is_exact"] else f"≈ {number(column['distinct'])}"
    about = [("missing", percent(column["missing_share"])), ("distinct", distinct)]
    if column["distinct"] == 0:
        shape = [tag("p", "no values", cls="soft small")]
    elif column["kind"] == "text":
        shape = _text(column)
        about.append(("length", _length(column["length"])))
    else:
        shape = _measured(name, column)
    return tag("div", tag("div", tag("h4", name), *marks, cls="head"), facts(about), *shape, cls="card")


def _text(column: Mapping[str, Any]) -> list[Html]:
    top, found = column["top"], []
    most = max((value["rows"] for value in top), default=1)
    rows = [(v["value"], v["rows"] / most, number(v["rows"]), percent(v["share"])) for v in top]
    found.append(bars(rows[:SHOWN]))
    if len(rows) > SHOWN:
        found.append(tag("details", tag("summary", f"{len(rows) - SHOWN} more of the most frequent"), bars(rows[SHOWN:])))
    return found


def _length(length: Mapping[str, float | None]) -> str:
    return number(length["min"]) if length["min"] == length["max"] else f"{number(length['min'])} to {number(length['max'])}"


def _measured(name: str, column: Mapping[str, Any]) -> list[Html]:
    words = str if column["kind"] == "time" else number
    parts = []
    histogram = column["histogram"]
    if histogram:
        parts.append(
            plots.histogram(histogram["edges"], histogram["counts"], log=histogram["log"], label=_short(name), kind=column["kind"])
        )
    spread = [("min", words(column["min"])), ("median", words(column["quantiles"]["p50"])), ("max", words(column["max"]))]
    if column["kind"] == "number":
        spread += [("mean", number(column["mean"])), ("sd", number(column["sd"]))]
    parts.append(facts(spread))
    quantiles = [[words(value) for value in column["quantiles"].values()]]
    parts.append(tag("details", tag("summary", "quantiles"), table(list(column["quantiles"]), quantiles, numeric=range(7))))
    return parts


def _short(name: str) -> str:
    return name if len(name) <= 40 else name[:39] + "…"


def changes(columns: Mapping[str, Mapping[str, Any]], flagged: Mapping[str | None, str]) -> Iterator[Html]:
    """Tonight against the nights before, column by column, and the columns that moved most as bars."""
    yield tag("h3", f"Tonight against the {WINDOW} nights before")
    if not any(_compared(column["drift"]) for column in columns.values()):
        yield tag("p", "Too few nights with rows to compare.", cls="soft")
        return
    rows = [_row(name, column) for name, column in columns.items()]
    hot = [i for i, name in enumerate(columns) if flagged.get(name) in ("act", "look")]
    head = (
        "column",
        "missing",
        "before",
        "mean",
        "before",
        "distance",
        "shift of mean",
        "of median",
        "PSI",
        "usual",
        "highest",
        "new values",
    )
    explained = (
        "Distance: in standard deviations of the nights' means. Shift: in standard deviations of rows. PSI: population stability index of "
        "the most frequent values or of the deciles (0.1 begins to matter, 0.25 is a shift), beside the median and the highest of the same "
        "figure for the nights before. New values: share of tonight's rows with a value that no earlier night had."
    )
    yield tag("div", table(head, rows, numeric=range(1, 12), hot=hot), tag("p", explained, cls="soft small"), cls="card")
    moved = sorted((c for c in columns.items() if _psi(c[1]) is not None), key=lambda item: -_moved(item[1]))[:DRAWN]
    cards = []
    for name, column in moved:
        found = column["drift"]["stability"]["classes"]
        plot = plots.classes([c["class"] for c in found], [c["before"] for c in found], [c["tonight"] for c in found])
        cards.append(tag("div", tag("div", tag("h4", name), cls="head"), plot, cls="card"))
    if cards:
        yield tag("p", "The columns that moved most, by PSI against the highest of the nights before:", cls="soft")
        yield tag("div", *cards, cls="grid")


def _compared(drift: Mapping[str, Any]) -> bool:
    return bool(drift.get("stability") or drift.get("mean") or (drift.get("missing") or {}).get("z") is not None)


def _psi(column: Mapping[str, Any]) -> float | None:
    stability = column["drift"].get("stability")
    return stability["psi"] if stability else None


def _moved(column: Mapping[str, Any]) -> float:
    """How many times the highest PSI of the nights before tonight's is: what always moves is not news."""
    stability = column["drift"]["stability"]
    return (stability["psi"] or 0.0) / max(stability["highest"] or 0.0, LEAST_PSI)


def _row(name: str, column: Mapping[str, Any]) -> list[object]:
    drift = column["drift"]
    missing, mean = drift.get("missing") or {}, drift.get("mean") or {}
    stability = drift.get("stability") or {}
    new = drift.get("new")
    return [
        name,
        percent(missing.get("tonight")),
        percent(missing.get("before")),
        number(mean.get("tonight")),
        number(mean.get("before")),
        _signed(mean.get("z"), " sd"),
        _signed(mean.get("shift")),
        _signed(drift.get("median_shift")),
        *(_two(stability.get(key)) for key in ("psi", "usual", "highest")),
        percent(new),
    ]


def _signed(value: float | None, unit: str = "") -> str:
    return "–" if value is None else f"{value:+.2f}{unit}"


def _two(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
