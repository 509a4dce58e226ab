"""Arithmetic of the profile on plain numbers: no Spark, no plots."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

QUANTILES = {"p01": 0.01, "p05": 0.05, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p95": 0.95, "p99": 0.99}
BINS = 40  # of a histogram: bars of 7 pixels on a card of 300
SKEWED = 20.0  # times the distance of p50 to p99, by which the largest value lies beyond p99, from which a scale is logarithmic
LORENZ_POINTS = 100  # of the curve of cumulative shares
SMALLEST_SHARE = 1e-4  # what an empty class of a PSI counts as: its logarithm would be infinite


@dataclass(frozen=True)
class Bins:
    """Where a histogram's bins begin and end: n + 1 edges; the last bin holds its upper edge too."""

    edges: list[float]
    log: bool = False
    """Whether they widen by a factor; a first bin of zeros may stand before."""

    @property
    def inner(self) -> list[float]:
        return self.edges[1:-1]


def finite(value: Any) -> Any:
    """The same, fit for JSON: NaN and infinities (also within lists and mappings) become None, decimals and the like floats."""
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    if value is None or isinstance(value, str | bool | int):
        return value
    return float(value) if math.isfinite(value) else None


def pooled(parts: Sequence[tuple[int, float, float]]) -> tuple[int, float | None, float | None]:
    """Count, mean and standard deviation (of the sample) of groups given as (count, mean, population variance).

    Chan, Golub and LeVeque (1983), "Algorithms for computing the sample variance". None where too few values are there.
    """
    parts = [part for part in parts if part[0]]
    count = sum(n for n, _, _ in parts)
    if not count:
        return 0, None, None
    mean = math.fsum(n * m for n, m, _ in parts) / count
    squares = math.fsum(n * v + n * (m - mean) ** 2 for n, m, v in parts)
    return count, mean, math.sqrt(squares / (count - 1)) if count > 1 else None


def mean_and_sd(values: Sequence[float]) -> tuple[float, float] | None:
    """Mean and standard deviation (of the sample) of nights; None for fewer than 2."""
    if len(values) < 2:
        return None
    mean = math.fsum(values) / len(values)
    return mean, math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (len(values) - 1))


def median(values: Sequence[float]) -> float | None:
    """The middle value, or the mean of the two in the middle."""
    if not values:
        return None
    ordered, half = sorted(values), len(values) // 2
    return float(ordered[half]) if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def bins_for(*, low: float, high: float, quantiles: Mapping[str, float], step: float | None) -> Bins:
    """Edges that show a distribution: one bin per value of a few whole numbers, logarithmic when skewed, else of equal width.

    :param step: what all values are multiples of (1 for whole numbers, 0.01 for cents), or None
    """
    if low == high:
        return Bins([low - 0.5, low + 0.5])
    if step == 1 and high - low < BINS:
        return Bins([low - 0.5 + i for i in range(int(high - low) + 2)])
    usual = max(quantiles["p99"] - quantiles["p50"], 0.0)
    if (low >= 0 and high - quantiles["p99"] > SKEWED * usual) or (low >= 0 and usual == 0):
        floor = max(low, step or max(quantiles["p01"], high * 1e-6))
        count = BINS - 1 if low < floor else BINS
        edges = [floor * (high / floor) ** (i / count) for i in range(count + 1)]
        if step:
            edges = sorted({round(edge / step) * step for edge in edges})  # a bin between two possible values would be a gap
        return Bins([0.0, *edges] if low < floor else edges, log=True)
    if low < quantiles["p01"] - SKEWED * usual or high > quantiles["p99"] + SKEWED * usual:
        low, high = quantiles["p01"], quantiles["p99"]  # what lies outside is counted in the outermost bins
        if low == high:
            return Bins([low - 0.5, low + 0.5])
    return Bins([low + (high - low) * i / BINS for i in range(BINS + 1)])


def psi(before: Mapping[int, int], now: Mapping[int, int]) -> float | None:
    """Population stability index of two counts by class: the sum of (q - p) ln(q / p); None when either has no rows.

    Siddiqi (2006), "Credit Risk Scorecards": below 0.1 stable, above 0.25 shifted. It is Jeffreys' divergence.
    """
    all_before, all_now = sum(before.values()), sum(now.values())
    if not all_before or not all_now:
        return None
    total = 0.0
    for name in before.keys() | now.keys():
        p = max(before.get(name, 0) / all_before, SMALLEST_SHARE)
        q = max(now.get(name, 0) / all_now, SMALLEST_SHARE)
        total += (q - p) * math.log(q / p)
    return total


def lorenz(tail: Sequence[Mapping[str, int]]) -> dict[str, Any]:
    """How uneven rows are spread over values: the curve (share of values, share of rows; most frequent first), Gini's coefficient.

    :param tail: groups of equally frequent values, most frequent first: values, rows
    """
    values, rows = sum(g["values"] for g in tail), sum(g["rows"] for g in tail)
    if not values or not rows:
        return {"curve": [], "gini": None, "top_1_percent": None, "top_10_percent": None}
    curve, seen, taken = [(0.0, 0.0)], 0, 0
    for group in tail:
        seen, taken = seen + group["values"], taken + group["rows"]
        curve.append((seen / values, taken / rows))
    area = sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in pairwise(curve))
    step = max(1, math.ceil(len(curve) / LORENZ_POINTS))
    return {
        "curve": [curve[0], *curve[1:-1:step], curve[-1]],
        "gini": 2 * area - 1,
        "top_1_percent": _at(curve, 0.01),
        "top_10_percent": _at(curve, 0.1),
    }


def per_value(tail: Sequence[Mapping[str, int]]) -> dict[str, float]:
    """Rows per value: quantiles over the values, mean and most."""
    values = sum(g["values"] for g in tail)
    if not values:
        return {}
    result = {"mean": sum(g["rows"] for g in tail) / values, "max": max(g["rows"] / g["values"] for g in tail)}
    rising = sorted(tail, key=lambda g: g["times"])
    for name, share in QUANTILES.items():
        seen = 0
        for group in rising:
            seen += group["values"]
            if seen >= share * values:
                result[name] = group["rows"] / group["values"]
                break
    return result


def _at(curve: Sequence[tuple[float, float]], share: float) -> float:
    for (x0, y0), (x1, y1) in pairwise(curve):
        if x1 >= share:
            return y0 + (y1 - y0) * (share - x0) / (x1 - x0)
    return 1.0
