"""Asks a server over HTTP/1.1 and keeps the time of every answer: `python -m benchmarks.serving.load_generator ORDER`, a JSON file.

Two ways. *closed*: so many connections, each asks again as soon as it has its answer: how much a server can do. *open*: requests are
due at fixed moments, whether or not the ones before are answered, and an answer's time counts from the moment at which its request
was due: a server that stands still for a second is late for all that were due in it (no coordinated omission).
"""

import asyncio
import json
import sys
import time
from array import array
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httptools
import uvloop

DEGRADED, SAID = 1, b'"degraded":true'
GIVE_UP = 30.0  # seconds after the last request was due


@dataclass
class Heard:
    """What came back."""

    micros: array = field(default_factory=lambda: array("d"))
    """Of each answer of 200, from when its request was due."""
    others: dict[int, int] = field(default_factory=dict)
    """Answers of another status; 0: connections that the server closed over a request; DEGRADED: lists without the store."""
    bytes: int = 0


class Connection(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self, work: "Work") -> None:
        self.work, self.due, self.busy, self.degraded = work, 0.0, False, False
        self.parser = httptools.HttpResponseParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport

    def ask(self, request: bytes, due: float) -> None:
        """Send a request that was due then."""
        self.busy, self.due = True, due
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self.work.heard.bytes += len(data)
        self.parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self.degraded |= SAID in body

    def on_message_complete(self) -> None:
        heard, status, now = self.work.heard, self.parser.get_status_code(), time.perf_counter()
        if self.degraded:
            status, self.degraded = DEGRADED, False
        if status == 200:
            heard.micros.append((now - self.due) * 1e6)
        else:
            heard.others[status] = heard.others.get(status, 0) + 1
        self.busy, alive = False, self.parser.should_keep_alive()
        self.parser = httptools.HttpResponseParser(self)
        if alive:
            self.work.free(self)
        else:
            self.transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if self.busy:
            self.work.heard.others[0] = self.work.heard.others.get(0, 0) + 1
        self.work.lost(self)


class Work:
    """:param requests: taken in turn
    :param rate: requests per second, for all connections together; 0: each asks again as soon as it is answered
    """

    def __init__(self, host: str, port: int, requests: list[bytes], *, connections: int, seconds: float, rate: float) -> None:
        self.host, self.port, self.requests, self.connections, self.seconds, self.rate = (
            host,
            port,
            requests,
            connections,
            seconds,
            rate,
        )
        self.heard, self.sent, self.answered = Heard(), 0, 0
        self.idle: deque[Connection] = deque()
        self.late: deque[float] = deque()
        self.end = 0.0
        self.opening: set[asyncio.Task] = set()

    def free(self, connection: Connection) -> None:
        """It may ask again."""
        if self.rate:
            if self.late:
                self._ask(connection, self.late.popleft())
            else:
                self.idle.append(connection)
        elif time.perf_counter() < self.end:
            self._ask(connection, time.perf_counter())

    def lost(self, connection: Connection) -> None:
        """Another one takes its place."""
        if connection in self.idle:
            self.idle.remove(connection)
        if time.perf_counter() < self.end:
            task = asyncio.get_running_loop().create_task(self._open())
            self.opening.add(task)
            task.add_done_callback(self.opening.discard)

    def _ask(self, connection: Connection, due: float) -> None:
        connection.ask(self.requests[self.sent % len(self.requests)], due)
        self.sent += 1

    async def _open(self) -> None:
        _, connection = await asyncio.get_running_loop().create_connection(lambda: Connection(self), self.host, self.port)
        self.free(connection)

    async def run(self) -> float:
        """Seconds that it took."""
        began = time.perf_counter()
        self.end = began + self.seconds
        await asyncio.gather(*(self._open() for _ in range(self.connections)))
        if not self.rate:
            await asyncio.sleep(self.end - time.perf_counter())
            return time.perf_counter() - began
        began = time.perf_counter()
        for number in range(int(self.seconds * self.rate)):
            due = began + number / self.rate
            if (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            if self.idle:
                self._ask(self.idle.popleft(), due)
            else:
                self.late.append(due)
        give_up = time.perf_counter() + GIVE_UP
        while (self.late or len(self.idle) < self.connections) and time.perf_counter() < give_up:
            await asyncio.sleep(0.01)
        if self.late:
            self.heard.others[0] = self.heard.others.get(0, 0) + len(self.late)
        return time.perf_counter() - began


def main(path: str) -> int:
    order = json.loads(Path(path).read_text(encoding="utf-8"))
    requests = [one.encode() for one in order["requests"]]
    how = {name: order[name] for name in ("connections", "seconds", "rate")}
    work = Work(order["host"], order["port"], requests, **how)
    took = uvloop.run(work.run())
    found = {"seconds": took, "sent": work.sent, "others": work.heard.others, "bytes": work.heard.bytes}
    Path(order["out"]).write_text(json.dumps({**found, "micros": list(work.heard.micros)}), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
