"""A shop of a few rows, as the workers read it: histories, and what a window knows of the items, with no Spark."""

from collections.abc import Callable
from pathlib import Path

from nightfold.pipeline.recommend import Recommend
from nightfold.spark.recommend import als, cooccurrence, item_statistics, segments
from nightfold.spark.recommend.history import Block, blocks
from nightfold.spark.recommend.knowledge import Places
from nightfold.spark.windows import Window

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

EVENT = pa.struct(
    [("item", pa.int32()), ("day", pa.int32()), ("baskets", pa.int32()), ("amount", pa.float32()), ("discount", pa.float32())]
)
VISIT = pa.struct([("day", pa.int32()), ("baskets", pa.int32())])
SETTINGS = als.AlsSettings(factors=4, regularization=0.1, alpha=1.0, iterations=5, seed=1)

Taken = list[tuple[int, int, int]]
"""(user, item, day): one basket each, at 2.00 with 0.50 off."""
TASK = Recommend.model_validate(
    {
        "interactions": {"source": "sales", "user": "client", "item": "article", "time": "day"},
        "users": {"source": "clients", "id": "id", "attributes": ["age", "region"]},
        "promotions": {"source": "leaflet", "item": "article", "first": "from", "last": "to"},
        "candidates": {"recent_days": 28, "together_days": 28},
    }
)
PROMOTED = [1, 9]


def batch(taken: Taken, users: int) -> pa.RecordBatch:
    """history.SCHEMA of users 0, 1, ...; even and odd ones are alike, by their first attribute."""
    events = [sorted({(item, day) for user, item, day in taken if user == one}) for one in range(users)]
    rows = [[{"item": i, "day": d, "baskets": 1, "amount": 2.0, "discount": 0.5} for i, d in some] for some in events]
    visits = [[{"day": day, "baskets": 1} for day in sorted({d for _, d in some})] for some in events]
    columns = [
        pa.array(range(users), pa.int32()),
        pa.array(rows, pa.list_(EVENT)),
        pa.array(visits, pa.list_(VISIT)),
        pa.array([[user % 2, 2 + user % 3] for user in range(users)], pa.list_(pa.int32())),
    ]
    return pa.RecordBatch.from_arrays(columns, names=["user", "events", "visits", "segments"])


@pytest.fixture
def block() -> Callable[[Taken, int], Block]:
    """The only block of some users."""

    def made(taken: Taken, users: int) -> Block:
        (one,) = blocks(iter([batch(taken, users)]))
        return one

    return made


@pytest.fixture
def places(tmp_path: Path) -> Callable[..., Places]:
    """What a window knows, written as the stage `features` writes it."""

    def made(
        taken: Taken, *, users: int, groups: list[list[str | None]], window: Window, sold_out: tuple[int, ...] = (), name: str = "a"
    ) -> Places:
        folder = tmp_path / name
        size = len(groups)
        listed = [item not in sold_out for item in range(size)]
        ids = [f"i{item}" for item in range(size)]
        listed_groups = pa.array(groups, pa.list_(pa.string()))
        items = pa.table(
            {"item": pa.array(range(size), pa.int32()), "id": ids, "allowed": listed, "available": listed, "groups": listed_groups}
        )
        parts = [row for row in taken if row[2] <= window.cutoff]
        rows = {
            "user": pa.array([u for u, _, _ in taken], pa.int32()),
            "item": pa.array([i for _, i, _ in taken], pa.int32()),
            "day": pa.array([d for _, _, d in taken], pa.int32()),
            "weight": pa.array([1.0] * len(taken)),
        }
        _write(pa.table(rows), folder / "interactions")
        _write(items, folder / "items")
        (whole,) = blocks(iter([batch(taken, users)]))
        number = f"window={window.number}"
        _write(
            pa.Table.from_batches([item_statistics._of_block(whole.until(window.cutoff), window)]), folder / "statistics" / number
        )
        uri = f"file://{folder}/interactions"
        alike = segments._of_block(whole.until(window.cutoff), window, TASK.candidates.recent_days)
        _write(pa.Table.from_batches([alike]).drop_columns(["window"]), folder / "segments" / number)
        _write(pa.table({"item": pa.array(PROMOTED, pa.int32())}), folder / "promotions" / number)
        near = cooccurrence._fit(uri, window.number, window.cutoff, 28)
        if near.num_rows:  # Spark makes no folder of no rows
            _write(pa.Table.from_batches([near]), folder / "neighbours" / number)
        assert parts, "nobody took anything before the cutoff"
        for kind in ("user", "item"):
            found = [part for part in als._fit(uri, window, SETTINGS) if part["kind"][0].as_py() == kind]
            _write(pa.Table.from_batches(found), folder / "als" / number / f"kind={kind}")
        return Places.of(f"file://{folder}", window, TASK)

    return made


def _write(table: pa.Table, folder: Path) -> None:
    folder.mkdir(parents=True)
    pq.write_table(table, folder / "part-0.parquet")
