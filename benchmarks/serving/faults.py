"""faults: what befalls the store, its publishers and the replicas, and what readers see of it."""

import tempfile
from pathlib import Path

from benchmarks.serving import replica_faults, store_faults
from benchmarks.serving.page import Part, Table, none
from benchmarks.serving.struck import Row

HEAD = ["fault", "requests", "failed", "mixed", "wrong", "from memory", "slowest s", "recovered s", "end"]


def cells(row: Row) -> list[str]:
    """In the order of HEAD."""
    recovered = "–" if row.recovered is None else f"{row.recovered:.1f}"
    numbers = [f"{number:,}" for number in (row.requests, row.failed, row.mixed, row.wrong, row.degraded)]
    end = f"**RED** ({'; '.join(row.bad)})" if row.bad else row.end
    return [row.fault, *numbers, f"{row.slowest:.2f}", recovered, end]


def measure(part: Part) -> None:
    """Fill in the part."""
    with tempfile.TemporaryDirectory(prefix="nightfold-struck-") as home:
        for title, rows in (
            ("The store, read through nightfold.client", store_faults.rows(Path(home) / "store")),
            ("The replicas, read through the balancer", replica_faults.rows(Path(home) / "replicas")),
        ):
            part.tables.append(Table(HEAD, [cells(row) for row in rows], title=title))
            asked = sum(row.requests for row in rows)
            for name in ("failed", "mixed", "wrong"):
                part.figures.append(none(f"{title}: {name}", sum(getattr(row, name) for row in rows), f" of {asked:,}"))
            part.figures.append(none(f"{title}: rows that ended otherwise than they should", sum(bool(row.bad) for row in rows)))
    part.notes.append(
        "One reader asks 100 times a second, for one key or for 20, and compares every list with what the version that it names "
        "holds. _mixed_: one answer from two versions; _wrong_: a list that its version does not hold, a version that nobody made, "
        "or through the client an older version after a newer one; _from memory_: answers that say that the store is gone, with the "
        "fallback; _recovered_: from the fault until the last of these, or of the failed ones. After each fault the live version is "
        "read whole and compared with its checksum, and nothing is left in the store but kept versions. The store appends to disk "
        "every second, as the platform's does."
    )
