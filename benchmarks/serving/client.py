"""client: one list through nightfold.client, beside a bare GET of the same record, in one process, by turns."""

import asyncio
import tempfile
import time
from pathlib import Path

from benchmarks.serving.lists import records
from benchmarks.serving.page import Part, Table, at_most, median, percentile, spread
from benchmarks.serving.published import PIPELINE, publish
from benchmarks.serving.server import Valkey
from nightfold.client import AsyncClient, Client
from nightfold.store import store_at

import redis

REQUESTS = 20_000
LISTS = 20_000
LENGTH = 10
ROUNDS = 5
MANY = 100  # keys of one question
TIMES = 1.5  # of the bare GET
SHARES = {"p50": 0.5, "p99": 0.99}


def by_turns(uri: str, keys: list[str], place: str) -> dict[str, list[float]]:
    """Microseconds of each request: of the client, and of a bare GET of the same key right after."""
    bare, ours, clock = redis.Redis.from_url(uri), Client(uri), time.perf_counter
    found: dict[str, list[float]] = {"lookup": [], "GET": []}
    ours.lookup(PIPELINE, keys[0]), bare.get(place + keys[0])
    for key in keys:
        began = clock()
        ours.lookup(PIPELINE, key)
        between = clock()
        bare.get(place + key)
        ended = clock()
        found["lookup"].append((between - began) * 1e6)
        found["GET"].append((ended - between) * 1e6)
    bare.close(), ours.close()
    return {name: sorted(some) for name, some in found.items()}


def many(uri: str, keys: list[str], place: str) -> dict[str, list[float]]:
    """Microseconds of questions for many keys: of the client, and of a bare MGET."""
    bare, ours, clock = redis.Redis.from_url(uri), Client(uri), time.perf_counter
    found: dict[str, list[float]] = {f"lookup_many of {MANY}": [], f"MGET of {MANY}": []}
    one, two = found
    for first in range(0, len(keys) - MANY + 1, MANY):
        some = keys[first : first + MANY]
        began = clock()
        ours.lookup_many(PIPELINE, some)
        between = clock()
        bare.mget([place + key for key in some])
        ended = clock()
        found[one].append((between - began) * 1e6)
        found[two].append((ended - between) * 1e6)
    bare.close(), ours.close()
    return {name: sorted(times) for name, times in found.items()}


async def in_loop(uri: str, keys: list[str]) -> list[float]:
    """Microseconds of each request of the AsyncClient, one after the other."""
    found = []
    async with AsyncClient(uri) as client:
        for key in keys:
            began = time.perf_counter()
            await client.lookup(PIPELINE, key)
            found.append((time.perf_counter() - began) * 1e6)
    return sorted(found)


def measure(part: Part) -> None:
    """Fill in the part."""
    number = max(MANY, int(LISTS * part.scale))
    asked = max(200, int(REQUESTS * part.scale))
    with tempfile.TemporaryDirectory(prefix="nightfold-client-") as home, Valkey(Path(home)) as server:
        lists = records(range(number), length=LENGTH)
        manifest = publish(store_at(server.uri), "v1", lists, night="2017-12-03")
        place = f"nightfold:{PIPELINE}:v1:{manifest.attempt}:u:"
        keys = [f"user{n * 7919 % number:08}" for n in range(asked)]
        each = -(-asked // ROUNDS)
        rounds: list[dict[str, list[float]]] = []
        for turn in range(ROUNDS):
            some = keys[turn * each : (turn + 1) * each]
            rounds.append(
                {
                    **by_turns(server.uri, some, place),
                    **many(server.uri, keys, place),
                    "AsyncClient": asyncio.run(in_loop(server.uri, some)),
                }
            )
    rows = []
    for name in rounds[0]:
        values = {share: [percentile(one[name], of) for one in rounds] for share, of in SHARES.items()}
        rows.append([name, *(f"{median(some):,.0f}{spread(some, '{:,.0f}')}" for some in values.values())])
    for share, of in SHARES.items():
        ratios = [percentile(one["lookup"], of) / percentile(one["GET"], of) for one in rounds]
        part.figures.append(at_most(f"client: {share} of a lookup, of a bare GET's", TIMES, median(ratios), spread(ratios)))
    part.tables.append(Table(["question", "p50 µs", "p99 µs"], rows))
    part.notes.append(
        f"{asked:,} requests each, {ROUNDS} rounds, {number:,} lists of {LENGTH} with reasons. The client asks for the list, once a second "
        "for the pointer beside it, and decodes; the bare GET of redis-py brings bytes."
    )
