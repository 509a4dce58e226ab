"""What to look at: the findings of a profile as plain sentences, the gravest first.

A finding is {"source", "column" (or None), "level": "act" | "look" | "note", "text"}.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from nightfold.reports.drift import FEWEST, WINDOW, weekday
from nightfold.reports.words import number, percent

LEVELS = ("act", "look", "note")
FAR = 3.0  # standard deviations of the nights before: 1 night in 370 if they were normal
LEAST_SHIFT = 0.1  # standard deviations of rows; Cohen (1988) calls 0.2 small
LEAST_SHARE = 0.005  # change of a share of rows that is worth a sentence
SHIFTED, UNSTABLE = 0.25, 0.1  # PSI, Siddiqi (2006)
BEYOND = 1.2  # times the highest PSI of the nights before: a week number, which only rises, comes near it every night
HALF, DOUBLE = 0.5, 2.0  # of the same weekday's median rows
FEW_VALUES = 1000  # distinct values up to which a value never seen before is news; ids always bring new ones
FAR_OUT = (
    100.0  # times the 99th percentile: the grocer's fuel, in thousandths, reaches 89,638 where 99% of quantities are at most 10
)

_Finding = tuple[str, str | None, float, str]  # level, column, size within the level, text


def findings(sources: Mapping[str, Mapping[str, Any]], night: str) -> list[dict[str, Any]]:
    """All findings of a night, ranked by level, then by size."""
    found = []
    for name, source in sources.items():
        found += [(LEVELS.index(level), -size, name, column, text) for level, column, size, text in _of(source, night)]
    ranked = sorted(found, key=lambda f: (f[0], f[1], f[2], f[3] or "", f[4]))
    return [{"source": s, "column": column, "level": LEVELS[place], "text": text} for place, _, s, column, text in ranked]


def names(text: str, value: str) -> bool:
    """Whether a finding's sentence says this value of a column."""
    return _most_at(value) in text


def _most_at(value: str) -> str:
    return f"most at {value}: "


def _of(source: Mapping[str, Any], night: str) -> Iterator[_Finding]:
    changes = source.get("changes", ())  # 0.1 wrote none
    yield from (("look" if change["done"] == "taken" else "note", None, 60.0, change["text"]) for change in changes)
    yield from _volume(source, night)
    yield from _rejected(source)
    for name, column in source["columns"].items():
        yield from _content(name, column)
        yield from _drift(name, column)


def _volume(source: Mapping[str, Any], night: str) -> Iterator[_Finding]:
    volume = source["volume"]
    missing = [day for day in source["missing_nights"] if day >= source["drift"]["since"]]
    if missing:
        yield "act", None, 100.0, f"no delivery for {', '.join(missing[-5:])}: neither delivered nor declared closed"
    if source["delivery"] != "nightly":
        return
    drift = source["drift"]["volume"]
    rows, z, ratio = drift["tonight"], drift["z"], drift["ratio"]
    if volume["clean"] and not rows:
        yield ("act" if ratio is not None else "note"), None, 90.0, f"no rows on {night}"
    elif ratio is not None and not HALF <= ratio <= DOUBLE and _beyond(rows, drift["same_weekday"]):
        text = f"{number(rows)} rows are {ratio:.2f} times the usual {weekday(night)} ({_listed(drift['same_weekday'])})"
        yield "act", None, max(ratio, 1 / ratio), text
    elif z is not None and abs(z) >= FAR and drift["nights"] >= FEWEST:
        yield "look", None, abs(z), f"{number(rows)} rows are {_sd(z)} the {WINDOW} nights before (mean {number(drift['before'])})"


def _rejected(source: Mapping[str, Any]) -> Iterator[_Finding]:
    rejected = source["rejected"]
    tonight, before = rejected["tonight"], rejected["before"]
    for reason in (r for r in tonight if r not in before):
        yield "look", None, 50.0, f"rejected for a reason not seen before: {reason} ({number(tonight[reason])} rows)"
    drift = source["drift"]["rejected"]
    if drift and drift["z"] is not None and drift["z"] >= FAR and drift["tonight"] - drift["before"] >= LEAST_SHARE:
        text = f"{percent(drift['tonight'])} of the rows were rejected; {percent(drift['before'])} on the {WINDOW} nights before"
        yield "act", None, drift["z"], text


def _content(name: str, column: Mapping[str, Any]) -> Iterator[_Finding]:
    if column["rows"] and column["missing"] == column["rows"]:
        yield "look", name, 20.0, f"{name}: empty in every row"
    elif column["rows"] > 1 and column["distinct"] == 1:
        yield "note", name, 1.0, f"{name}: the same value in every row that has one"
    p99 = column.get("quantiles", {}).get("p99")
    if column["kind"] == "number" and p99 and p99 > 0 and column["max"] > FAR_OUT * p99:
        times = column["max"] / p99
        text = f"{name}: the largest value, {number(column['max'])}, is {number(times)} times the 99th percentile ({number(p99)})"
        yield "note", name, times, text


def _drift(name: str, column: Mapping[str, Any]) -> Iterator[_Finding]:
    drift = column["drift"]
    before = f"the {WINDOW} nights before"
    for key, words in (("missing", "missing"), ("on_night", "dated on the night itself")):
        share = drift.get(key)
        if share and share["z"] is not None and abs(share["z"]) >= FAR and abs(share["tonight"] - share["before"]) >= LEAST_SHARE:
            text = f"{name}: {percent(share['tonight'])} {words} tonight, {percent(share['before'])} on {before}"
            yield "act" if abs(share["tonight"] - share["before"]) >= 10 * LEAST_SHARE else "look", name, abs(share["z"]), text
    mean = drift.get("mean")
    if mean and mean["z"] is not None and abs(mean["z"]) >= FAR and abs(mean["shift"] or 0) >= LEAST_SHIFT:
        usual = f"mean {number(mean['before'])}, shifted by {abs(mean['shift']):.2f} sd of rows"
        yield "look", name, abs(mean["z"]), f"{name}: mean {number(mean['tonight'])} is {_sd(mean['z'])} {before} ({usual})"
    elif mean and mean["sd"] == 0 and mean["tonight"] != mean["before"]:
        text = f"{name}: mean {number(mean['tonight'])}; it was {number(mean['before'])} on every one of {before}"
        yield "look", name, FAR, text
    stability = drift.get("stability")
    if stability and stability["psi"] is not None and _unstable(stability):
        moved = max(stability["classes"], key=lambda c: abs(c["tonight"] - c["before"]))
        text = (
            f"{name}: the distribution has moved (PSI {stability['psi']:.2f}; at most {stability['highest']:.2f} on {before}), "
            f"{_most_at(moved['class'])}{percent(moved['tonight'])} instead of {percent(moved['before'])}"
        )
        yield "act" if stability["psi"] >= SHIFTED else "look", name, 10 * stability["psi"], text
    new = drift.get("new")
    if new and column["distinct"] <= FEW_VALUES and new >= LEAST_SHARE:
        yield "look", name, 100 * new, f"{name}: {percent(new)} of tonight's rows have a value that no earlier night had"


def _unstable(stability: Mapping[str, Any]) -> bool:
    return stability["psi"] >= UNSTABLE and stability["psi"] > BEYOND * (stability["highest"] or 0.0)


def _beyond(rows: float, same: list[float]) -> bool:
    return bool(same) and not min(same) <= rows <= max(same)


def _listed(counts: list[int]) -> str:
    return ", ".join(number(count) for count in counts)


def _sd(z: float) -> str:
    return f"{abs(z):.1f} sd {'above' if z > 0 else 'below'}"
