"""How a night differs from the nights before it: plain numbers in, plain numbers out.

The nights before are their own yardstick: a mean or a share is held against its spread from night to night, a PSI against
the PSI of each of those nights, so that what is always so (a shop's weekends, a household that comes rarely) is no alarm.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

from nightfold.reports.measures import mean_and_sd, median, pooled, psi

WINDOW = 28  # days before the night: four of each weekday
FEWEST = 7  # nights with rows among them, below which nothing is compared: one week
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
OTHER_LABEL, MISSING_LABEL = "(other)", "(missing)"


def since(night: str) -> str:
    """The first day of the window before a night."""
    return str(date.fromisoformat(night) - timedelta(days=WINDOW))


def weekday(night: str) -> str:
    """In words."""
    return WEEKDAYS[date.fromisoformat(night).weekday()]


def against(tonight: float, before: Sequence[float], *, least_sd: float = 0.0) -> dict[str, float | None]:
    """A figure of tonight beside the same figure of the nights before: mean, sd, z = (tonight - mean) / sd.

    :param least_sd: spread that chance alone gives; nights that agree more closely do not make an alarm of it
    """
    spread = mean_and_sd(before)
    if spread is None:
        return {"tonight": tonight, "before": before[0] if before else None, "sd": None, "z": None}
    mean, sd = spread[0], max(spread[1], least_sd)
    return {"tonight": tonight, "before": mean, "sd": sd, "z": (tonight - mean) / sd if sd > 0 else None}


def volume(night: str, rows: Mapping[str, int]) -> dict[str, Any]:
    """Rows of the night against the window, and against the same weekday in it.

    :param rows: night → rows, of every night that was delivered
    """
    before = {n: count for n, count in rows.items() if since(night) <= n < night}
    same = [count for n, count in sorted(before.items()) if weekday(n) == weekday(night)]
    typical = median(same)
    return {
        **against(rows.get(night, 0), list(before.values())),
        "weekday": weekday(night),
        "same_weekday": same,
        "ratio": rows.get(night, 0) / typical if typical else None,
        "nights": len(before),
    }


def share(night: str, part: Mapping[str, int], whole: Mapping[str, int]) -> dict[str, Any] | None:
    """A share of a night's rows (missing, rejected, dated on the night) against the window's nights; None without rows tonight.

    The least spread is that of chance: a binomial share p of n rows has the standard deviation sqrt(p (1 - p) / n).
    """
    if not whole.get(night):
        return None
    nights = [n for n in whole if since(night) <= n < night and whole[n]]
    rows = sum(whole[n] for n in nights)
    p = min(max(sum(part.get(n, 0) for n in nights) / rows, 1 / rows), 1 - 1 / rows) if rows > 1 else 0.5
    chance = math.sqrt(max(p * (1 - p), 0.0) / whole[night])
    return against(part.get(night, 0) / whole[night], [part.get(n, 0) / whole[n] for n in nights], least_sd=chance)


def level(night: str, by_night: Mapping[str, Mapping[str, float | None]]) -> dict[str, Any] | None:
    """The mean of a numeric column against the window: z among the nights' means, and the shift in standard deviations of rows.

    :param by_night: night → filled, mean, variance
    """
    tonight = by_night.get(night, {})
    before = [f for n, f in by_night.items() if since(night) <= n < night and f.get("filled")]
    if not tonight.get("filled") or len(before) < FEWEST:
        return None
    _, mean, sd = pooled([(f["filled"], f["mean"], f["variance"]) for f in before])
    shift = (tonight["mean"] - mean) / sd if sd and mean is not None else None
    return {**against(tonight["mean"], [f["mean"] for f in before]), "shift": shift, "sd_of_rows": sd}


def stability(night: str, counts: Mapping[str, Mapping[int, int]], labels: Mapping[int, str]) -> dict[str, Any] | None:
    """PSI of the night against the window, beside that of each night of the window against the others.

    :param counts: night → class → rows
    """
    before = {n: found for n, found in counts.items() if since(night) <= n < night and sum(found.values())}
    if len(before) < FEWEST or not counts.get(night):
        return None
    together: dict[int, int] = {}
    for found in before.values():
        for name, rows in found.items():
            together[name] = together.get(name, 0) + rows
    usual = [psi({name: together[name] - found.get(name, 0) for name in together}, found) for found in before.values()]
    known = [value for value in usual if value is not None]
    all_before, all_now = sum(together.values()), sum(counts[night].values())
    return {
        "psi": psi(together, counts[night]),
        "usual": median(known),
        "highest": max(known, default=None),
        "classes": [
            {"class": words, "before": together.get(name, 0) / all_before, "tonight": counts[night].get(name, 0) / all_now}
            for name, words in labels.items()
            if name in together or name in counts[night]
        ],
    }


def class_labels(*, values: Sequence[str] = (), edges: Sequence[str] = ()) -> dict[int, str]:
    """Words for the classes that `classes` counts: values of a text, or steps between a number's deciles."""
    if values:
        return {**{i + 1: value for i, value in enumerate(values)}, 0: OTHER_LABEL, -1: MISSING_LABEL}
    if not edges:
        return {-1: MISSING_LABEL}
    steps = [
        f"below {edges[0]}",
        *(f"{low} to {high}" for low, high in pairwise(edges)),
        f"{edges[-1]} or more",
    ]
    return {**dict(enumerate(steps)), -1: MISSING_LABEL}
