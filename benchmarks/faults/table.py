"""The table: one row a fault, one cell a promise; red where it is not kept."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from nightfold.errors import printable

HEAD = ("fault", "what was struck", "reader", "the operator was told", "tasks", "who acted", "end", "rows lost", "seconds")


@dataclass
class Row:
    """One fault, as it went. `wrong` holds, by cell, what makes it red."""

    name: str
    fault: str
    struck: str = ""
    """Where exactly it hit."""
    requests: int = 0
    failed_while_up: int = 0
    failed_while_down: int = 0
    mixed: int = 0
    wrong_lists: int = 0
    """Stale, of an unknown version, or not what the version holds."""
    slowest: float = 0.0
    """Seconds of the longest answered request."""
    told: str = ""
    tasks: str = ""
    acted: str = ""
    """Airflow's retry, or what a person did."""
    end: str = ""
    rows: int | None = None
    """Rows of the night, all sources and nights together."""
    rows_lost: int | None = None
    seconds: float | None = None
    """From the fault, or from what the person did, to the expected version live."""
    wrong: dict[str, list[str]] = field(default_factory=dict)
    not_run: str = ""
    """Why it could not be tried on this machine."""
    date: str = ""
    minutes: float = 0.0
    """That the row took, putting back and waiting included."""

    @property
    def red(self) -> bool:
        return bool(self.wrong)

    def blame(self, cell: str, why: str) -> None:
        """This cell is red."""
        self.wrong.setdefault(cell, []).append(why)


def as_json(row: Row) -> dict[str, Any]:
    """Plain values."""
    return {**asdict(row), "red": row.red}


def from_json(values: dict[str, Any]) -> Row:
    """The inverse of as_json."""
    return Row(**{name: value for name, value in values.items() if name != "red"})


def cells(row: Row) -> dict[str, str]:
    """The row's texts by HEAD, red ones marked with the reason."""
    if row.not_run:
        return dict.fromkeys(HEAD, "–") | {"fault": row.fault, "end": f"not run here: {row.not_run}"}
    texts = {
        "fault": row.fault,
        "what was struck": row.struck,
        "reader": _reader(row),
        "the operator was told": f"`{row.told}`" if row.told else "–",
        "tasks": row.tasks,
        "who acted": row.acted,
        "end": row.end,
        "rows lost": "–" if row.rows_lost is None else f"{row.rows_lost} of {row.rows:,}",
        "seconds": "–" if row.seconds is None else f"{row.seconds:.0f}",
    }
    return {head: _marked(text, row.wrong.get(head, [])) for head, text in texts.items()}


def _reader(row: Row) -> str:
    down = f", {row.failed_while_down:,} failed while it was down" if row.failed_while_down else ""
    up = f"{row.requests:,} requests: {row.failed_while_up} failed while the store was up"
    return f"{up}{down}; {row.mixed} mixed, {row.wrong_lists} wrong"


def _marked(text: str, why: list[str]) -> str:
    return f"**RED** ({'; '.join(why)}) {text}".strip() if why else text


def markdown(rows: Sequence[Row], *, machine: str, command: str) -> str:
    """The whole page."""
    when = " and ".join(sorted({row.date for row in rows}))
    minutes = sum(row.minutes for row in rows)
    red = [row.name for row in rows if row.red]
    left_out = [row.name for row in rows if row.not_run]
    verdict = f"{len(red)} of {len(rows)} faults have a red cell: {', '.join(red)}." if red else "No red cell."
    more = f" Not run here: {', '.join(left_out)}." if left_out else ""
    lines = [
        "# What breaks, and what happens then",
        "",
        f"Made by `{command}` on {when}, in {minutes:.0f} minutes; {machine}. **{verdict}**{more}",
        "",
        "| " + " | ".join(HEAD) + " |",
        "|" + "---|" * len(HEAD),
        *("| " + " | ".join(_escaped(cells(row)[head]) for head in HEAD) + " |" for row in rows),
        "",
        EXPLANATION,
    ]
    return "\n".join(lines)


def _escaped(text: str) -> str:
    return printable(" ".join(text.split())).replace("|", "\\|")


EXPLANATION = """\
How it is made: a platform of its own (embedded PostgreSQL, Valkey, MLflow, Airflow, Spark `local[*]`) and 21 days of 200
households of the sample grocer. One night is live; the next one is taken once undisturbed, which gives the version it must
have. Before each fault the lake and the store are put back to the moment before the stage in question, and the tasks from it
on are cleared; the fault strikes when the stage is really at work (its first file of data, its first lists in the store; of
`profile`, which writes at its end only, when its session is open). The disk is full for `features`. The clock is set back for the
jobs, not for the servers and the reader. Two runs of one night do not overlap: the second waits for its turn, and nobody need be told.

- **reader**: a process that asks for lists all the while, 100 requests a second, one key or a batch of 20, and compares every
  list with what the version that it names is known to hold. *mixed*: one batch answered from two versions. *wrong*: a list
  that its version does not hold, an unknown version, or an older version after a newer one. A client that has found the store
  gone asks it again after a second: what it gives from memory until then counts as given while the store was down.
- **the operator was told**: the first line, outside of the folded output of spark-submit, in the failed task's log; where a
  server of Airflow died, what the terminal of `make run` says. It must name the cause and the mend.
- **end**: green when the night's version is the one of the undisturbed run, with every list the same; when no version in the
  store is half there; and when what dead attempts left behind is collected, and nothing else. A version's
  id says by which code it was made: rows of another sitting name another one.
- **rows lost**: rows in the deliveries, less those in `raw`; and of those, less clean, rejected and duplicate ones. Counted in
  the data.
- **seconds**: from the fault until a reader was given the new version; where a person had to act, from then.
"""
