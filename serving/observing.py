"""What every request has: an id, a limit for its body, a line in the log, a place in the metrics. Keys of people are in none of them."""

import re
import secrets
import sys
import time
import traceback
from collections import Counter as Counts
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from nightfold.client import Answer
from serving import problems
from serving.served import Served

import msgspec
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)  # seconds


def say(**facts: Any) -> None:
    """One JSON line to the log."""
    line = {"at": datetime.now(UTC).isoformat(timespec="milliseconds"), **facts}
    sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
    sys.stdout.buffer.flush()


class Metrics:
    """Of one replica."""

    def __init__(self, served: Served) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter("nightfold_requests", "Answered", ["route", "method", "status"], registry=self.registry)
        self.seconds = Histogram("nightfold_request_seconds", "To answer", ["route"], buckets=BUCKETS, registry=self.registry)
        words = "Lists that were read: source is model, fallback, or degraded (the store could not be reached)"
        self.lists = Counter("nightfold_lists", words, ["pipeline", "source", "bucket"], registry=self.registry)
        self.registry.register(_Ages(served))
        self._of_routes: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one request."""
        which = (route, method, status)
        if which not in self._of_routes:
            self._of_routes[which] = self.requests.labels(route, method, status), self.seconds.labels(route)
        count, took = self._of_routes[which]
        count.inc()
        took.observe(seconds)

    def read(self, pipeline: str, answers: Sequence[Answer]) -> None:
        """Count the lists of one request."""
        kinds = Counts(("degraded" if one.degraded else one.source, one.bucket or "") for one in answers)
        for kind, number in kinds.items():
            self.lists.labels(pipeline, *kind).inc(number)


class _Ages(Collector):
    """What is served, and how old it is: worked out when it is asked for."""

    def __init__(self, served: Served) -> None:
        self.served = served

    def collect(self) -> list[GaugeMetricFamily]:
        age = GaugeMetricFamily("nightfold_list_age_seconds", "Since the served version was published", labels=["pipeline"])
        version = GaugeMetricFamily("nightfold_version_info", "What is served", labels=["pipeline", "version", "night", "model"])
        failed = GaugeMetricFamily("nightfold_failed", "1: the newest version or its model cannot be loaded", labels=["pipeline"])
        for name, line in sorted(self.served.pipelines.items()):
            failed.add_metric([name], float(bool(line.failed)))
            if line.live is not None and line.age is not None:
                age.add_metric([name], line.age)
                version.add_metric([name, line.live.version, line.live.night, "yes" if line.has_model else "no"], 1.0)
        ready = GaugeMetricFamily("nightfold_ready", "1: this replica may be asked", value=float(self.served.why_not_ready is None))
        return [age, version, failed, ready]


class Observed:
    """Wraps the app."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics, body: int, log: bool) -> None:
        self.app, self.metrics, self.body, self.log = app, metrics, body, log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"").decode("latin-1")
        request_id = given if ID.fullmatch(given) else secrets.token_hex(8)
        state = scope.setdefault("state", {})
        state.update(request_id=request_id, client="", error="")
        began, status = time.perf_counter(), 0

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message["headers"],
                    (b"x-request-id", request_id.encode()),
                    (b"cache-control", b"no-store"),
                    (b"x-content-type-options", b"nosniff"),
                ]
            await send(message)

        try:
            if int(headers.get(b"content-length", b"0")) > self.body:
                refused = problems.response(413, self._too_large(), request_id=request_id)
                await refused(scope, receive, answer)
            else:
                await self.app(scope, receive if b"content-length" in headers else self._counted(receive), answer)
        except Exception as error:
            state["error"] = "".join(traceback.format_exception(error))
            if status:  # half an answer is out: cut it off, so that nobody takes it for a whole one
                raise
            await problems.response(500, "an error that is ours: quote the request id", request_id=request_id)(
                scope, receive, answer
            )
        finally:
            self._note(scope, status, time.perf_counter() - began)

    def _too_large(self) -> str:
        return f"the body may have {self.body:,} bytes: ask in parts"

    def _counted(self, receive: Receive) -> Receive:
        """For a body that came without its length: refused as soon as more of it was asked for than it may have."""
        taken = 0

        async def counted() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > self.body:
                raise HTTPException(413, self._too_large())
            return message

        return counted

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        route, method = getattr(scope.get("route"), "path", "unknown"), scope["method"] if scope.get("route") else "any"
        self.metrics.answered(route, method, status, seconds)
        if self.log and not route.startswith("/health"):
            state, facts = scope["state"], {}
            if state["error"]:
                facts["error"] = state["error"]
            pipeline = scope.get("path_params", {}).get("pipeline", "")
            say(
                request_id=state["request_id"],
                client=state["client"],
                method=method,
                route=route,
                pipeline=pipeline,
                status=status,
                ms=round(seconds * 1000, 2),
                **facts,
            )
