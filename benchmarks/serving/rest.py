"""rest: three replicas behind HAProxy, beside Feast's feature server with as many workers, the same lists in the same Valkey, by turns."""

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.serving.lists import records
from benchmarks.serving.page import Part, Table, at_least, at_most, median, none, percentile, spread
from benchmarks.serving.peer import FEAST, Peer, feast
from benchmarks.serving.published import PIPELINE
from benchmarks.serving.stack import REPLICAS, Stack, serving
from nightfold.errors import NightfoldError

import psutil

LISTS, LENGTH = 20_000, 10
REQUESTS = 5_000  # different ones
ROUNDS = 5
SECONDS = 12.0  # of one turn
CONNECTIONS = 16  # of the closed loop
OPEN = 200  # connections of the open loop: one that is free is there when a request is due
SHARE = 0.5  # of the peer's most, at which the open loop asks both
TIMES = 2.0  # of the peer's requests per second
BATCH = 20
SHARES = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}
WARM = 5.0  # seconds that are not measured: the first answers of each process are slower
CLOSED = ["question", "ours, requests per second", "Feast", "ratio", "ours, ms of a core per request", "Feast"]
OURS, PEER = "ours", "Feast"


@dataclass(frozen=True)
class Side:
    """A server, and what it is asked."""

    name: str
    port: int
    servers: list[psutil.Process]
    """What answers, but not the store: all that descends from them counts, too."""
    single: list[str]
    batch: list[str]


def request(method: str, path: str, port: int, body: Any = None, **headers: str) -> str:
    """As it goes over the wire."""
    text = json.dumps(body) if body is not None else ""
    more = {**headers, **({"Content-Type": "application/json", "Content-Length": str(len(text))} if text else {})}
    lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", *(f"{name}: {value}" for name, value in more.items())]
    return "\r\n".join([*lines, "", text])


def sides(stack: Stack, peer: Peer, keys: list[str]) -> list[Side]:
    """Both, asked for the same lists."""
    port, known = int(stack.settings["NIGHTFOLD_SERVING_PORT"]), {"Authorization": f"Bearer {stack.key}"}
    ours = [stack.process(name) for name in ("balancer", *(f"serving-{number}" for number in range(1, REPLICAS + 1)))]
    place = f"/v1/pipelines/{PIPELINE}/lists"
    groups = [keys[first : first + BATCH] for first in range(0, len(keys), BATCH)]
    wanted = {"features": ["lists:list"]}

    def of_feast(some: list[str]) -> str:
        return request("POST", "/get-online-features", peer.port, {**wanted, "entities": {"key": some}})

    return [
        Side(
            OURS,
            port,
            ours,
            [request("GET", f"{place}/{one}", port, **known) for one in keys],
            [request("POST", place, port, {"keys": some}, **known) for some in groups],
        ),
        Side(PEER, peer.port, [peer.process], [of_feast([one]) for one in keys], [of_feast(some) for some in groups]),
    ]


def spent(servers: list[psutil.Process]) -> float:
    """Seconds of a core that they have used, and their descendants that live."""
    family = {one.pid: one for server in servers for one in (server, *server.children(recursive=True))}
    return sum(sum(one.cpu_times()[:2]) for one in family.values())


def ask(port: int, requests: list[str], folder: Path, *, seconds: float, rate: float = 0.0) -> dict[str, Any]:
    """What the load generator, in a process of its own, heard. Raises NightfoldError when it failed, or nothing came."""
    order, out = folder / "order.json", folder / "heard.json"
    how = {"connections": OPEN if rate else CONNECTIONS, "seconds": seconds, "rate": rate}
    order.write_text(
        json.dumps({"host": "127.0.0.1", "port": port, "requests": requests, "out": str(out), **how}), encoding="utf-8"
    )
    command = [sys.executable, "-m", "benchmarks.serving.load_generator", str(order)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NightfoldError("the load generator failed: " + (done.stderr.strip() or "no word of why").splitlines()[-1])
    heard = json.loads(out.read_text(encoding="utf-8"))
    if not heard["micros"]:
        raise NightfoldError(f"port {port} gave no answer of 200: {heard['others']}")
    heard["micros"].sort()
    return heard


def measure(part: Part) -> None:
    """Fill in the part."""
    number, seconds = max(BATCH, int(LISTS * part.scale)), max(2.0, SECONDS * part.scale)
    lists = records(range(number), length=LENGTH)
    keys = [f"user{n * 7919 % number:08}" for n in range(REQUESTS)]
    with tempfile.TemporaryDirectory(prefix="nightfold-rest-") as home:
        folder = Path(home)
        with (
            serving(folder / "home", lists, night="2017-12-03") as stack,
            feast(folder / "feast", stack.uri, lists, workers=REPLICAS) as peer,
        ):
            _measure(part, sides(stack, peer, keys), folder, seconds=seconds)
    part.notes.append(
        f"{REPLICAS} replicas of one process each behind HAProxy, with API keys; {FEAST} with {REPLICAS} workers, without. Both read "
        f"the same {number:,} lists of {LENGTH} from one Valkey, of one machine, which the load generator (uvloop, httptools) shares. "
        f"Closed loop: {CONNECTIONS} connections, each asks again when it is answered. Open loop: at a steady rate, and a time counts "
        "from the moment at which the request was due, so that a pause is late for all that were due in it. "
        f"{ROUNDS} rounds of {seconds:g} s each, by turns."
    )


def _measure(part: Part, both: list[Side], folder: Path, *, seconds: float) -> None:
    failed = 0
    most: dict[str, dict[str, list[float]]] = {"one list": {}, f"{BATCH} lists": {}}
    cost: dict[str, dict[str, list[float]]] = {name: {} for name in most}
    for side in both:
        ask(side.port, side.single, folder, seconds=WARM)
    for turn in range(ROUNDS):
        for side in both if turn % 2 == 0 else reversed(both):
            for name, requests in (("one list", side.single), (f"{BATCH} lists", side.batch)):
                before = spent(side.servers)
                heard = ask(side.port, requests, folder, seconds=seconds)
                cost[name].setdefault(side.name, []).append((spent(side.servers) - before) / len(heard["micros"]) * 1000)
                most[name].setdefault(side.name, []).append(len(heard["micros"]) / heard["seconds"])
                failed += _failed(heard) if side.name == OURS else 0
    rows = []
    for name, found in most.items():
        ratios = [ours / theirs for ours, theirs in zip(found[OURS], found[PEER], strict=True)]
        figures = [f"{median(found[side]):,.0f}{spread(found[side], '{:,.0f}')}" for side in (OURS, PEER)]
        cores = [f"{median(cost[name][side]):.2f}" for side in (OURS, PEER)]
        rows.append([name, *figures, f"{median(ratios):.2f}{spread(ratios)}", *cores])
        part.figures.append(at_least(f"REST, requests of {name} per second, of Feast's", TIMES, median(ratios), spread(ratios)))
    part.tables.append(Table(CLOSED, rows, title="Closed loop"))
    rate = float(int(SHARE * median(most["one list"][PEER])))
    rows, slow = [], {}
    for name, of, at in ((OURS, both[0], rate), (PEER, both[1], rate), (f"{OURS}, at half of its own most", both[0], None)):
        at = at or float(int(SHARE * median(most["one list"][OURS])))
        heards = [ask(of.port, of.single, folder, seconds=seconds, rate=at) for _ in range(ROUNDS)]
        slow[name] = {share: [percentile(one["micros"], top) / 1000 for one in heards] for share, top in SHARES.items()}
        failed += sum(map(_failed, heards)) if of.name == OURS else 0
        rows.append([name, f"{at:,.0f}", *(f"{median(some):.1f}{spread(some, '{:.1f}')}" for some in slow[name].values())])
    part.tables.append(Table(["one list", "requests per second", *(f"{share} ms" for share in SHARES)], rows, title="Open loop"))
    p99 = [ours / theirs for ours, theirs in zip(slow[OURS]["p99"], slow[PEER]["p99"], strict=True)]
    part.figures.append(at_most("REST, p99 at the same rate, of Feast's", 1.0, median(p99), spread(p99)))
    part.figures.append(none("REST: requests that failed, of ours", failed))


def _failed(heard: dict[str, Any]) -> int:
    return sum(heard["others"].values())
