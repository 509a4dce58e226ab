"""What the parts found: figures against what is wanted, tables, and the page that shows them."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.tables import aligned


@dataclass
class Figure:
    """One promise, and how it was kept."""

    name: str
    wanted: str
    measured: str
    kept: bool


@dataclass
class Table:
    """Rows of words; the first column says what, the others are figures."""

    head: list[str]
    rows: list[list[str]]
    title: str = ""


@dataclass
class Part:
    """One of the benchmark's parts, as it went."""

    name: str
    title: str
    figures: list[Figure] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    scale: float = 1.0
    date: str = ""
    load: float = 0.0
    """What else the machine did when it began: processes that wanted a core, over the minute before."""
    seconds: float = 0.0

    @property
    def short(self) -> list[str]:
        """Figures that fall short."""
        return [figure.name for figure in self.figures if not figure.kept]


def at_least(name: str, limit: float, measured: float, spread: str = "", *, unit: str = "") -> Figure:
    """A figure that must not be lower; `measured` may be infinite."""
    return Figure(name, f"≥ {limit:g}{unit}", f"{measured:.2f}{unit}{spread}", measured >= limit)


def at_most(name: str, limit: float, measured: float, spread: str = "", *, unit: str = "") -> Figure:
    """A figure that must not be higher."""
    return Figure(name, f"≤ {limit:g}{unit}", f"{measured:.2f}{unit}{spread}", measured <= limit)


def none(name: str, number: int, words: str = "") -> Figure:
    """Something that must not happen."""
    return Figure(name, "0", f"{number:,}{words}", number == 0)


def median(values: Sequence[float]) -> float:
    """Of one figure's rounds."""
    return statistics.median(values)


def spread(values: Sequence[float], form: str = "{:.2f}") -> str:
    """The least and the most of some rounds, to stand after their median."""
    return f" ({form.format(min(values))}–{form.format(max(values))})" if len(values) > 1 else ""


def stated(values: Sequence[float], form: str = "{:.2f}") -> str:
    """Median, least and most."""
    return form.format(median(values)) + spread(values, form)


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of the sorted values does not exceed; raises ValueError when there is none."""
    if not ordered:
        raise ValueError("no value was measured")
    return ordered[max(0, math.ceil(len(ordered) * share - 1e-9) - 1)]


def as_json(part: Part) -> dict[str, Any]:
    """Plain values."""
    return asdict(part)


def from_json(values: dict[str, Any]) -> Part:
    """The inverse of as_json."""
    return Part(
        **{
            **values,
            "figures": [Figure(**figure) for figure in values["figures"]],
            "tables": [Table(**table) for table in values["tables"]],
        }
    )


def as_text(part: Part) -> str:
    """For a terminal."""
    tables = [(f"{table.title}\n" if table.title else "") + aligned([table.head, *table.rows]) for table in part.tables]
    if part.figures:
        rows = [(one.name, one.wanted, one.measured, "" if one.kept else "FALLS SHORT") for one in part.figures]
        tables.append(aligned([("figure", "wanted", "measured", ""), *rows]))
    return "\n\n".join([f"{part.title} ({part.seconds:.0f} s)", *tables, *part.notes])


def markdown(parts: Sequence[Part], *, machine: str, command: str, without: Sequence[str] = ()) -> str:
    """The whole page.

    :param without: parts that were not measured
    """
    short = [name for part in parts for name in part.short]
    dates = " and ".join(sorted({part.date for part in parts}))
    minutes = sum(part.seconds for part in parts) / 60
    verdict = f"{len(short)} figures fall short: {'; '.join(short)}." if short else "No figure falls short."
    small = [f"{part.name} at {part.scale:g} of its size" for part in parts if part.scale != 1]
    lines = [
        "# The store and its readers: how fast, and what breaks",
        "",
        f"Made by `{command}` on {dates}, in {minutes:.0f} minutes; {machine}. **{verdict}**"
        + (f" Not measured yet: {', '.join(without)}." if without else "")
        + (f" Not of full size: {', '.join(small)}." if small else ""),
        "",
        "Ours and its peer take turns in one run, on one machine; a figure is the median of its rounds, with the least and the most in",
        "brackets. _Load_: how many processes wanted a core in the minute before the part began; on an idle machine 0.",
        "",
    ]
    figures = [
        [one.name, one.wanted, one.measured if one.kept else f"**FALLS SHORT** {one.measured}", part.name]
        for part in parts
        for one in part.figures
    ]
    lines += [*_rows(["figure", "wanted", "measured", "part"], figures), ""]
    for part in parts:
        took = f"_{part.seconds:.0f} s, load {part.load:.1f}; `python -m benchmarks.serving --only {part.name}`._"
        lines += [f"## {part.title}", "", took, ""]
        for table in part.tables:
            lines += [*([f"**{table.title}**", ""] if table.title else []), *_rows(table.head, table.rows), ""]
        lines += [line for note in part.notes for line in (note, "")]
    return "\n".join(lines).rstrip() + "\n"


def _rows(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [
        "| " + " | ".join(head) + " |",
        "|" + "---|" * len(head),
        *("| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in row) + " |" for row in rows),
    ]
