"""The plots of the pages. Names of axes and units are theirs; style and colours are those of `svg`."""

from collections.abc import Mapping, Sequence
from datetime import date

from nightfold.reports.page import Html
from nightfold.reports.svg import COLOUR, svg
from nightfold.reports.words import number

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator, StrMethodFormatter

SERIES = tuple(COLOUR[name] for name in ("one", "two", "three", "four", "soft"))
_DIVERGING = LinearSegmentedColormap.from_list("diverging", ["#c0562b", "#f7f7f7", "#2f6fb5"])
_RISING = LinearSegmentedColormap.from_list("rising", ["#eef3f9", "#2f6fb5"])


def volume(
    nights: Sequence[str],
    series: Mapping[str, Sequence[int | None]],
    *,
    window: tuple[str, str],
    closed: Sequence[str],
    missing: Sequence[str],
) -> Html:
    """Rows per day, stacked; the nights compared with are shaded, tonight is marked, days without a delivery are crosses."""

    def draw(axes: Axes) -> None:
        days = _days(nights)
        edges = np.append(days, days[-1] + 1) - 0.5
        bottom = np.zeros(len(nights))
        for (name, values), colour in zip(series.items(), (COLOUR["one"], COLOUR["bad"], COLOUR["two"]), strict=False):
            counts = np.array([value or 0 for value in values], dtype=float)
            if name == "clean" or counts.any():
                axes.stairs(bottom + counts, edges, baseline=bottom, fill=True, color=colour, label=name)
            bottom += counts
        axes.axvspan(*_days(window), color=COLOUR["shade"], zorder=0, label="compared with")
        axes.axvspan(days[-1] - 0.5, days[-1] + 0.5, color=COLOUR["ink"], alpha=0.25, linewidth=0)
        for words, found, mark, colour in (("closed", closed, "|", COLOUR["soft"]), ("no delivery", missing, "x", COLOUR["bad"])):
            if found:
                axes.plot(_days(found), np.zeros(len(found)), mark, color=colour, markersize=7, clip_on=False, label=words)
        _dates(axes, days)
        axes.set_xlim(edges[0], edges[-1])
        axes.set_ylabel("rows per day")
        _legend(axes)

    return svg(draw, width=11.4, height=2.7, words="Rows per day")


def lines(nights: Sequence[str], series: Mapping[str, Sequence[float | None]], *, label: str, wide: bool = True) -> Html:
    """A line per series over days; gaps where nothing is known."""

    def draw(axes: Axes) -> None:
        days = _days(nights)
        for (name, values), colour in zip(series.items(), SERIES, strict=False):
            known = np.array([np.nan if value is None else value for value in values], dtype=float)
            axes.plot(days, known, color=colour, label=name, marker="o" if len(nights) < 20 else "", markersize=3)
        _dates(axes, days)
        axes.set_xlim(days[0] - 0.5, days[-1] + 0.5)
        axes.set_ylabel(label)
        axes.set_ylim(bottom=0)
        _legend(axes)

    return svg(draw, width=11.4 if wide else 5.6, height=2.1 if wide else 2.6, words=label)


def histogram(edges: Sequence[float], counts: Sequence[int], *, log: bool, label: str, kind: str = "number") -> Html:
    """A distribution; on a logarithmic scale a first bin of zeros stands apart."""

    def draw(axes: Axes) -> None:
        steps, shown = np.array(edges, dtype=float), np.array(counts, dtype=float)
        if log:
            zeros = steps[0] == 0
            body = steps[1:] if zeros else steps
            axes.set_xscale("log")
            axes.stairs(shown[1:] if zeros else shown, body, fill=True, color=COLOUR["one"])
            if zeros:
                width = (body[1] / body[0]) ** 1.5
                axes.stairs(shown[:1], [body[0] / width**2, body[0] / width], fill=True, color=COLOUR["two"])
                axes.annotate(
                    f"below {number(body[0])}",
                    (body[0] / width**2, 1),
                    (0, 3),
                    ("data", "axes fraction"),
                    "offset points",
                    fontsize=8,
                )
        elif kind == "number":
            axes.stairs(shown, steps, fill=True, color=COLOUR["one"])
            axes.xaxis.set_major_locator(MaxNLocator(6, integer=bool(np.all(steps % 1 == 0.5))))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: number(x)))
        else:
            axes.stairs(shown, steps / 86400, fill=True, color=COLOUR["one"])
            _dates(axes, steps / 86400)
        if log:
            axes.xaxis.set_major_locator(LogLocator(numticks=6))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: number(float(f"{x:.6g}"))))
            axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel(f"{label} (logarithmic scale)" if log else label)
        axes.set_ylabel("rows")

    return svg(draw, width=3.7, height=1.75, words=f"Distribution of {label}")


def classes(labels: Sequence[str], before: Sequence[float], tonight: Sequence[float]) -> Html:
    """Shares of rows by class, tonight beside the nights before."""

    def draw(axes: Axes) -> None:
        places = np.arange(len(labels))
        axes.barh(places - 0.2, np.array(before) * 100, 0.38, color=COLOUR["soft"], label="28 nights before")
        axes.barh(places + 0.2, np.array(tonight) * 100, 0.38, color=COLOUR["two"], label="tonight")
        axes.set_yticks(places, [_short(label) for label in labels])
        axes.invert_yaxis()
        axes.grid(axis="x")
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("% of rows")
        _legend(axes)

    return svg(draw, width=3.7, height=0.8 + 0.26 * len(labels), words="Shares by class")


def matrix(
    rows: Sequence[str],
    columns: Sequence[str],
    values: Sequence[Sequence[float | None]],
    *,
    diverging: bool,
    written: bool,
    label: str = "",
) -> Html:
    """A heat map: diverging from -1 to 1, or rising from 0. With `written`, each cell's value stands in it."""

    def draw(axes: Axes) -> None:
        cells = np.array([[np.nan if value is None else value for value in row] for row in values], dtype=float)
        colours, low, high = (_DIVERGING, -1, 1) if diverging else (_RISING, 0, max(float(np.nanmax(cells)), 1))
        axes.pcolormesh(cells, cmap=colours, vmin=low, vmax=high, edgecolors=COLOUR["line"], linewidth=0.4)
        for i, j in np.ndindex(cells.shape) if written else ():
            if not np.isnan(cells[i, j]):
                dark = abs(cells[i, j]) > 0.65 if diverging else cells[i, j] > 0.6 * high
                axes.text(
                    j + 0.5,
                    i + 0.5,
                    f"{cells[i, j]:.2f}",
                    ha="center",
                    va="center",
                    color="white" if dark else "#1c2330",
                    fontsize=8,
                )
        step = 1 if written else 3
        axes.set_xticks(
            np.arange(0, len(columns), step) + 0.5,
            list(columns)[::step],
            rotation=35 if written else 0,
            ha="right" if written else "center",
        )
        axes.set_yticks(np.arange(len(rows)) + 0.5, list(rows))
        axes.invert_yaxis()
        axes.grid(visible=False)
        axes.set_xlabel(label)

    height = 1.0 + (0.34 if written else 0.26) * len(rows)
    return svg(draw, width=5.6, height=height, words=label or "Correlations")


def lorenz(curves: Mapping[str, Sequence[Sequence[float]]]) -> Html:
    """Cumulative share of rows over the share of values, the most frequent first: the long tail."""

    def draw(axes: Axes) -> None:
        for (name, curve), colour in zip(curves.items(), SERIES, strict=False):
            points = np.array(curve) * 100
            axes.plot(points[:, 0], points[:, 1], color=colour, label=name)
        axes.plot([0, 100], [0, 100], color=COLOUR["line"], linewidth=1, linestyle="--", label="all alike")
        axes.set_xlabel("% of users or items, the most frequent first")
        axes.set_ylabel("% of rows")
        _legend(axes)

    return svg(draw, width=5.6, height=2.9, words="Long tail")


def spread(spreads: Mapping[str, Sequence[Sequence[float]]]) -> Html:
    """How many users or items have at least so many rows, both logarithmic."""

    def draw(axes: Axes) -> None:
        for (name, groups), colour in zip(spreads.items(), SERIES, strict=False):
            rows, values = np.array(groups, dtype=float).T
            axes.plot(rows, np.cumsum(values), color=colour, label=name)
        axes.set_xscale("log")
        axes.set_yscale("log")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))  # a power of ten as mathematics is no plain text
        axes.set_xlabel("rows")
        axes.set_ylabel("how many have at least so many")
        _legend(axes)

    return svg(draw, width=5.6, height=2.9, words="Rows per user and item")


def intervals(figures: Mapping[str, Mapping[str, float]], *, label: str, zero: bool = False) -> Html:
    """A point with its interval per name, the first one marked."""

    def draw(axes: Axes) -> None:
        for place, found in enumerate(figures.values()):
            colour = COLOUR["one"] if place == 0 else COLOUR["soft"]
            low, high = found.get("low", found["mean"]), found.get("high", found["mean"])
            axes.plot([low, high], [place, place], color=colour, linewidth=3, alpha=0.5, solid_capstyle="round")
            axes.plot([found["mean"]], [place], "o", color=colour, markersize=7)
            axes.annotate(
                f"{found['mean']:.3f}", (found["mean"], place), (0, 7), textcoords="offset points", ha="center", fontsize=9
            )
        axes.set_yticks(range(len(figures)), [_short(name) for name in figures])
        axes.set_ylim(len(figures) - 0.5, -0.7)
        if zero:
            axes.axvline(0, color=COLOUR["bad"], linewidth=1)
        else:
            axes.set_xlim(left=0)
        axes.grid(axis="x")
        axes.grid(axis="y", visible=False)
        axes.set_xlabel(label)

    return svg(draw, width=5.6, height=0.9 + 0.42 * len(figures), words=label)


def calibration(bins: Sequence[Mapping[str, float]]) -> Html:
    """Predicted probability against the share that came true, with the line where both are the same."""

    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=COLOUR["soft"], linewidth=1)
        x, y = ([entry[name] for entry in bins] for name in ("predicted", "observed"))
        axes.plot(x, y, color=COLOUR["one"], marker="o", markersize=4)
        axes.set_xlabel("predicted")
        axes.set_ylabel("came true")
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)

    return svg(draw, width=5.6, height=3.4, words="calibration")


def groups(labels: Sequence[str], series: Mapping[str, Sequence[float | None]], *, label: str) -> Html:
    """Bars side by side per label."""

    def draw(axes: Axes) -> None:
        width, places = 0.8 / max(len(series), 1), np.arange(len(labels))
        for i, ((name, values), colour) in enumerate(zip(series.items(), SERIES, strict=False)):
            heights = [np.nan if value is None else value for value in values]
            axes.bar(places + (i - (len(series) - 1) / 2) * width, heights, width * 0.92, color=colour, label=name)
        axes.set_xticks(places, [_short(name) for name in labels])
        axes.set_ylabel(label)
        _legend(axes)

    return svg(draw, width=5.6 if len(labels) <= 10 else 11.4, height=2.8, words=label)


def _days(nights: Sequence[str]) -> np.ndarray:
    return np.array([date.fromisoformat(night).toordinal() - date(1970, 1, 1).toordinal() for night in nights], dtype=float)


def _dates(axes: Axes, days: np.ndarray) -> None:
    locator = AutoDateLocator(minticks=2, maxticks=6 if len(days) and axes.figure.get_figwidth() < 6 else 12)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, show_offset=True))
    axes.xaxis_date(tz="UTC")


def _legend(axes: Axes) -> None:
    handles, names = axes.get_legend_handles_labels()
    if len(names) > 1:
        axes.legend(
            handles,
            names,
            loc="lower left",
            bbox_to_anchor=(0, 1),
            ncols=len(names),
            fontsize=9,
            borderaxespad=0.2,
            handlelength=1.2,
            columnspacing=1.2,
        )


def _short(words: str) -> str:
    return words if len(words) <= 22 else words[:21] + "…"
