"""records: JSON, as the store keeps it, beside MessagePack and the interpreter's own json: bytes, and time to make and to read."""

import json
import time
import zlib
from collections.abc import Callable
from typing import Any

from benchmarks.serving.lists import reasoned
from benchmarks.serving.page import Part, Table, at_most, median, spread
from nightfold.store.records import Row, decode, encode

import msgspec

LENGTHS = (10, 50)
DIFFERENT = 500  # lists
ROUNDS = 9
TIMES = 20  # each round takes every list so often
COST = 100.0  # microseconds that a decoded list may cost a reader: a round trip to the store takes about 120

_packer = msgspec.msgpack.Encoder()
_unpacker = msgspec.msgpack.Decoder(list[Row])
FORMATS: dict[str, tuple[Callable[[list[Row]], bytes], Callable[[bytes], Any]]] = {
    "JSON, as the store keeps it": (encode, decode),
    "MessagePack (msgspec)": (lambda rows: _packer.encode([(i, round(s * 1e6) / 1e6, w) for i, s, w in rows]), _unpacker.decode),
    "json of the standard library": (
        lambda rows: json.dumps(
            [(i, round(s * 1e6) / 1e6, w) for i, s, w in rows], ensure_ascii=False, separators=(",", ":")
        ).encode(),
        json.loads,
    ),
}


def per_list(work: Callable[[Any], Any], values: list[Any], times: int) -> float:
    """Microseconds."""
    began = time.perf_counter()
    for _ in range(times):
        for value in values:
            work(value)
    return (time.perf_counter() - began) / times / len(values) * 1e6


def measure(part: Part) -> None:
    """Fill in the part."""
    times, rows = max(1, int(TIMES * part.scale)), []
    smaller, slower = [], []
    for length in LENGTHS:
        lists = [reasoned(number, length=length) for number in range(DIFFERENT)]
        records = {name: [make(one) for one in lists] for name, (make, _) in FORMATS.items()}
        taken: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in FORMATS}
        for _ in range(ROUNDS):
            for name, (make, read) in FORMATS.items():
                taken[name][0].append(per_list(make, lists, times))
                taken[name][1].append(per_list(read, records[name], times))
        sizes = {name: sum(map(len, some)) / len(some) for name, some in records.items()}
        for name, some in records.items():
            packed = sum(len(zlib.compress(one, 1)) for one in some) / len(some)
            made, read = taken[name]
            rows.append(
                [f"{length} items: {name}", f"{sizes[name]:,.0f}", f"{packed:,.0f}"]
                + [f"{median(one):.1f}{spread(one, '{:.1f}')}" for one in (made, read)]
            )
        ours, packed_, *_ = FORMATS
        smaller.append(sizes[packed_] / sizes[ours])
        slower.append(median([a / b for a, b in zip(taken[ours][1], taken[packed_][1], strict=True)]))
        part.figures.append(
            at_most(f"microseconds to read a record of {length} items", COST, median(taken[ours][1]), spread(taken[ours][1]))
        )
    part.tables.append(Table(["a list of", "bytes", "bytes after zlib, level 1", "µs to make", "µs to read"], rows))
    part.notes.append(
        f"MessagePack takes {smaller[0]:.0%} of JSON's bytes at {LENGTHS[0]} items and {smaller[1]:.0%} at {LENGTHS[1]}; JSON takes "
        f"{slower[0]:.2f} and {slower[1]:.2f} times as long to read. "
        + (
            "JSON stands: a person and any language read it, and what MessagePack would save is little beside a round trip."
            if min(smaller) > 0.75
            else "MessagePack is worth another look: it would save more than a quarter of the memory."
        )
        + f" Ids, scores and reasons as the sample grocer's; {ROUNDS} rounds, the formats in turn. All three round scores to six digits."
    )
