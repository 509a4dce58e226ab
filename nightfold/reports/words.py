"""Numbers, shares and times as people read them."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

NONE = "–"


def number(value: float | None) -> str:
    """Four significant digits, thousands parted; whole numbers in full: 89,638, 3.141, 0.001234, 1.2e-07."""
    if value is None:
        return NONE
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}"
    if abs(value) >= 1000:
        return f"{value:,.0f}" if abs(value) < 1e15 else f"{value:.3e}"
    return f"{value:.4g}"


def percent(share: float | None) -> str:
    """A share as a percentage: 0%, <0.01%, 0.33%, 12.5%, 100%; never 0% or 100% for what is not quite."""
    if share is None:
        return NONE
    if share in (0, 1):
        return f"{share:.0%}"
    if 0 < share < 0.0001:
        return "<0.01%"
    if 0.9999 < share < 1:
        return ">99.99%"
    return f"{share:.2%}" if share < 0.01 or share > 0.99 else f"{share:.1%}"


def moment(seconds: float | None, *, kind: str, timezone: str) -> str:
    """Seconds since 1970 as a day (of a date) or a day and time in the pipeline's zone (of a timestamp)."""
    if seconds is None:
        return NONE
    try:
        found = datetime.fromtimestamp(seconds, tz=UTC if kind == "date" else ZoneInfo(timezone))
    except (OverflowError, ValueError, OSError):
        return f"{seconds:,.0f} s since 1970"  # beyond what a calendar of four digits holds
    return f"{found:%Y-%m-%d}" if kind == "date" else f"{found:%Y-%m-%d %H:%M}"
