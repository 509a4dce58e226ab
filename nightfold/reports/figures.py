"""The profile as one dictionary: what `profile.json` holds and the page shows.

pipeline, night, timezone, description
window            {"first", "last", "nights"}: the days before that the night is held against
attention         [{"source", "column", "level", "text"}], the gravest first (see `attention`)
sources           name → {
  delivery        "nightly" or "snapshot"
  rows            clean rows up to the night
  first_night     of those delivered
  missing_nights  days without a delivery that are not declared closed
  volume          {"nights", "clean", "rejected", "duplicates", "users", "items"}: lists, a place per calendar day;
                  None where nothing was delivered; users and items (approximate) only of the interactions
  columns         name → {"type", "kind", "role", "rows", "missing", "missing_share", "distinct", "distinct_is_exact",
                  "drift": {"missing", "on_night", "mean", "median_shift", "stability", "new"} (see `drift`), and of
                  numbers and times: "min", "max", "mean", "sd", "quantiles", "histogram": {"edges", "counts", "log"};
                  of texts: "top": [{"value", "rows", "share"}], "length": {"min", "mean", "max"}}
                  times are text in the pipeline's zone, their sd is in days, a histogram's edges in seconds since 1970
  correlations    {"columns", "matrix", "left_out"} (Pearson), or None
  drift           {"since", "volume", "rejected"}
  rejected        {"tonight", "before": reason → rows; "examples": rows as delivered}
  changes         deliveries that are no longer what was taken, or came late: {"done": taken | kept, "text"}
  activity        of the interactions, else None: {"users", "items": {"distinct", "once", "per", "lorenz"}, "week_hours"}
}
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from nightfold.pipeline import FileSource, Pipeline, TableSource
from nightfold.reports import attention, drift
from nightfold.reports.measures import Bins, finite, lorenz, per_value, pooled
from nightfold.reports.words import moment, number

GOOD, DUPLICATE = "good", "duplicate"  # the reasons that are none, in the manifests of `clean`
DAY = 86400  # seconds


@dataclass(frozen=True)
class Found:
    """What Spark found of one source; column by column under its name."""

    delivered: Mapping[str, int]
    """Night → clean rows, as the roll-up has it."""
    by_reason: Mapping[str, Mapping[str, int]]
    """Night → reason (`good`, `duplicate`, or why rejected) → rows."""
    nights: Mapping[str, Mapping[str, Any]]
    """Night → rows and columns: see `profiling.by_night`."""
    distinct: Mapping[str, Mapping[str, int]]
    """Column → night → distinct values, of users and items."""
    overall: Mapping[str, Mapping[str, Any]]
    bins: Mapping[str, Bins]
    histograms: Mapping[str, Sequence[int]]
    top: Mapping[str, Sequence[Mapping[str, Any]]]
    tails: Mapping[str, Sequence[Mapping[str, int]]]
    correlations: Mapping[str, Any] | None = None
    medians: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    classes: Mapping[str, Mapping[str, Mapping[int, int]]] = field(default_factory=dict)
    labels: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
    week_hours: Sequence[Sequence[int]] | None = None
    examples: Sequence[Mapping[str, str | None]] = field(default_factory=list)
    changes: Sequence[Mapping[str, str]] = field(default_factory=list)
    """Deliveries that differ from what was taken, or came late: {"done": taken | kept, "text"}."""


def profile(pipeline: Pipeline, night: str, found: Mapping[str, Found]) -> dict[str, Any]:
    """The whole profile, fit for JSON: no NaN, no infinity."""
    sources = {name: _source(pipeline, name, night, of_source) for name, of_source in found.items()}
    return finite(
        {
            "pipeline": pipeline.pipeline,
            "night": night,
            "timezone": pipeline.timezone,
            "description": pipeline.description,
            "window": {"first": drift.since(night), "last": _day_before(night), "nights": drift.WINDOW},
            "attention": attention.findings(sources, night),
            "sources": sources,
        }
    )


def pooled_column(nights: Mapping[str, Mapping[str, Any]], name: str) -> dict[str, Any]:
    """A column's figures over all nights: filled, min, max, mean, sd."""
    parts = [of_night["columns"][name] for of_night in nights.values()]
    filled = [part for part in parts if part["filled"]]
    count, mean, sd = pooled([(part["filled"], part["mean"], part.get("variance", 0.0)) for part in filled])
    return {
        "filled": count,
        "min": min((part["min"] for part in filled), default=None),
        "max": max((part["max"] for part in filled), default=None),
        "mean": mean,
        "sd": sd,
    }


def _source(pipeline: Pipeline, name: str, night: str, found: Found) -> dict[str, Any]:
    source = pipeline.sources[name]
    roles = {column: role for role, column in pipeline.roles(name).items()}
    first = min(found.delivered, default=night)
    days = _days(first, night) if source.nightly else [night]
    closed = {str(day) for day in source.closed}
    refused = {n: _refused(reasons) for n, reasons in found.by_reason.items()}
    counts = {n: sum(of_night.values()) for n, of_night in refused.items()}
    taken_in = {n: sum(reasons.values()) for n, reasons in found.by_reason.items()}
    return {
        "delivery": source.delivery,
        "rows": sum(found.delivered.values()),
        "first_night": first,
        "missing_nights": [day for day in days if day not in found.delivered and day not in closed],
        "volume": _volume(found, days, refused=counts, roles=roles),
        "columns": {c: _column(pipeline, source, c, roles.get(c), night, found) for c in source.columns},
        "correlations": found.correlations,
        "drift": {
            "since": drift.since(night),
            "volume": drift.volume(night, found.delivered),
            "rejected": drift.share(night, counts, taken_in),
        },
        "rejected": {
            "tonight": _ranked(refused.get(night, {})),
            "before": _ranked(_summed(of_night for n, of_night in refused.items() if n < night)),
            "examples": list(found.examples),
        },
        "activity": _activity(found, roles) if roles else None,
        "changes": list(found.changes),
    }


def _volume(found: Found, days: Sequence[str], *, refused: Mapping[str, int], roles: Mapping[str, str]) -> dict[str, Any]:
    volume: dict[str, Any] = {
        "nights": days,
        "clean": [found.delivered.get(day) for day in days],
        "rejected": [refused.get(day) for day in days],
        "duplicates": [found.by_reason[day].get(DUPLICATE, 0) if day in found.by_reason else None for day in days],
    }
    for column, role in roles.items():
        if role in ("user", "item"):
            counted = found.distinct.get(column, {})
            volume[f"{role}s"] = [counted.get(day, 0) if day in found.delivered else None for day in days]
    return volume


def _column(
    pipeline: Pipeline, source: FileSource | TableSource, name: str, role: str | None, night: str, found: Found
) -> dict[str, Any]:
    kind = source.columns[name].type
    rows = sum(of_night["rows"] for of_night in found.nights.values())
    whole = pooled_column(found.nights, name)
    missing = rows - whole["filled"]
    result = {
        "type": kind,
        "role": role or ("key" if source.duplicates and name in source.duplicates.key else None),
        "rows": rows,
        "missing": missing,
        "missing_share": missing / rows if rows else None,
    }
    changed = _changed(source, name, night, found)
    if name not in found.overall:
        tail = found.tails.get(name, [])
        shown = [{"value": v["label"], "rows": v["rows"], "share": v["rows"] / rows} for v in found.top.get(name, [])]
        length = {measure: whole[measure] for measure in ("min", "mean", "max")}
        text = {"distinct": sum(g["values"] for g in tail), "distinct_is_exact": True, "top": shown, "length": length}
        return {**result, "kind": "text", **text, "drift": changed}
    result |= {
        "kind": "time" if kind in ("date", "timestamp") else "number",
        "distinct": found.overall[name]["distinct"],
        "distinct_is_exact": False,
    }
    measured = {measure: whole[measure] for measure in ("min", "max", "mean", "sd")}
    measured["quantiles"] = found.overall[name]["quantiles"]
    if result["kind"] == "time":
        measured = _as_times(measured, kind=kind, timezone=pipeline.timezone)
    bins = found.bins.get(name)
    histogram = {"edges": bins.edges, "counts": found.histograms[name], "log": bins.log} if bins else None
    return {**result, **measured, "histogram": histogram, "drift": changed}


def _changed(source: FileSource | TableSource, name: str, night: str, found: Found) -> dict[str, Any]:
    """A column's drift; of a snapshot nothing is known but tonight."""
    if not source.nightly:
        return {}
    rows = {n: of_night["rows"] for n, of_night in found.nights.items()}
    parts = {n: of_night["columns"][name] for n, of_night in found.nights.items()}
    gone = {n: rows[n] - part["filled"] for n, part in parts.items()}
    changed: dict[str, Any] = {"missing": drift.share(night, gone, rows)}
    if source.columns[name].type in ("date", "timestamp"):
        on_night = {n: part["on_night"] for n, part in parts.items()}
        return changed | {"on_night": drift.share(night, on_night, {n: part["filled"] for n, part in parts.items()})}
    changed["stability"] = drift.stability(night, found.classes.get(name, {}), found.labels.get(name, {}))
    if name not in found.overall:
        new = sum(group["new"] for group in found.tails.get(name, []))
        return changed | {"new": new / rows[night] if rows.get(night) and len(rows) > drift.FEWEST else None}
    changed["mean"] = drift.level(night, parts)
    deciles, median = found.medians[name]["deciles_before"], found.medians[name]["median_tonight"]
    sd = changed["mean"]["sd_of_rows"] if changed["mean"] else None
    changed["median_shift"] = (median - deciles[4]) / sd if sd and deciles and median is not None else None
    return changed


def _activity(found: Found, roles: Mapping[str, str]) -> dict[str, Any]:
    result: dict[str, Any] = {"week_hours": found.week_hours}
    for column, role in roles.items():
        if role in ("user", "item"):
            tail = found.tails.get(column, [])
            once = sum(group["values"] for group in tail if group["times"] == 1)
            distinct = sum(group["values"] for group in tail)
            result[f"{role}s"] = {"distinct": distinct, "once": once, "per": per_value(tail), "lorenz": lorenz(tail)}
            result[f"{role}s"]["spread"] = [[group["rows"] / group["values"], group["values"]] for group in tail]
    return result


def labels(*, values: Sequence[str] = (), edges: Sequence[float] = ()) -> dict[int, str]:
    """Words for the classes of a PSI."""
    return drift.class_labels(values=values, edges=[number(edge) for edge in edges])


def _refused(reasons: Mapping[str, int]) -> dict[str, int]:
    return {reason: rows for reason, rows in reasons.items() if reason not in (GOOD, DUPLICATE)}


def _summed(parts: Any) -> dict[str, int]:
    total: dict[str, int] = {}
    for part in parts:
        for reason, rows in part.items():
            total[reason] = total.get(reason, 0) + rows
    return total


def _ranked(reasons: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0])))


def _as_times(measured: Mapping[str, Any], *, kind: str, timezone: str) -> dict[str, Any]:
    words = {name: moment(measured[name], kind=kind, timezone=timezone) for name in ("min", "max", "mean")}
    quantiles = {name: moment(value, kind=kind, timezone=timezone) for name, value in measured["quantiles"].items()}
    return {**words, "sd": measured["sd"] / DAY if measured["sd"] is not None else None, "quantiles": quantiles}


def _day_before(night: str) -> str:
    return str(date.fromisoformat(night) - timedelta(days=1))


def _days(first: str, last: str) -> list[str]:
    start = date.fromisoformat(first)
    return [str(start + timedelta(days=i)) for i in range((date.fromisoformat(last) - start).days + 1)]
