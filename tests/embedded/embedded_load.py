"""Readers that ask the balancer without a pause, and remember every answer; versions whose lists say which version they are of."""

import contextlib
import http.client
import itertools
import json
import threading
import time
from dataclasses import dataclass, field

from nightfold.store import Store, VersionManifest
from nightfold.store.records import encode

LIMIT = 40.0  # seconds for anything to come true
PAUSE = 0.01  # seconds between two requests of one reader: about 200 a second of all
READERS = 4
KEYS = [f"p{number}" for number in range(40)]
STRANGERS = ["nobody", "x/y"]  # get the fallback
BATCH = [*KEYS[:20], *STRANGERS]


def publish(store: Store, version: str, *, night: str, pipeline: str = "shop") -> None:
    """Each list holds one item: the version and the key."""
    attempt = "20260101T020000-0"
    store.announce(pipeline, version, attempt)
    store.write(pipeline, version, attempt, {key: encode([(f"{version} {key}", 1.0, "")]) for key in KEYS})
    store.write_fallback(pipeline, version, attempt, encode([(f"{version} fallback", 1.0, "")]))
    store.seal(
        VersionManifest(
            pipeline=pipeline,
            version=version,
            night=night,
            attempt=attempt,
            published_at="2026-01-01T02:00:00+00:00",
            keys=len(KEYS),
            checksum="0",
            model="m",
        ),
        keep=5,
    )
    assert store.promote(pipeline, version, store.begin(pipeline), 5)


@dataclass(frozen=True)
class Seen:
    """One answer, or what came instead of it."""

    began: float
    seconds: float
    status: int | str
    replica: str
    lists: list[dict] = field(repr=False)

    @property
    def version(self) -> str:
        return self.lists[0]["version"] if self.lists else ""

    @property
    def degraded(self) -> bool:
        return any(one["degraded"] for one in self.lists)

    def fault(self) -> str | None:
        """Why this is no good answer: no 200, two versions in it, or a list that is not its version's."""
        if self.status != 200:
            return f"{self.status} of {self.replica or 'the balancer'}"
        if len({one["version"] for one in self.lists}) != 1:
            return "two versions in one answer"
        for one in self.lists:
            known = one["key"] in KEYS and not one["degraded"]
            wanted = f"{one['version']} {one['key'] if known else 'fallback'}"
            if [item["id"] for item in one["items"]] != [wanted] or one["source"] != ("model" if known else "fallback"):
                return f"{one} is not {wanted}"
        return None


class Load:
    """Readers of one address while the block lasts: some keep their connection, some do not; one key, or many."""

    def __init__(self, port: int) -> None:
        self.port, self.seen, self._end = port, [], threading.Event()
        self._threads = [threading.Thread(target=self._read, args=(number,)) for number in range(READERS)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join(LIMIT)

    def faults(self) -> list[str]:
        return [fault for seen in self.seen if (fault := seen.fault())]

    def until(self, condition, *, what: str) -> None:
        """Until the answers from now on say so: it is given those that began after this moment."""
        now, limit = time.monotonic(), time.monotonic() + LIMIT
        while not condition([seen for seen in self.seen if seen.began > now]):
            assert time.monotonic() < limit, f"{what}: {self.seen[-3:]}"
            time.sleep(0.05)

    def _read(self, number: int) -> None:
        keeps, connection = number % 2 == 0, None
        for turn in itertools.count():
            if self._end.wait(PAUSE):
                break
            if connection is None:
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT)
            asked = (KEYS + STRANGERS)[(turn * 7 + number) % (len(KEYS) + len(STRANGERS))]
            self.seen.append(_ask(connection, asked if number < READERS - 1 else None))
            if not keeps or self.seen[-1].status != 200:
                connection.close()
                connection = None
        if connection is not None:
            connection.close()


def _ask(connection: http.client.HTTPConnection, key: str | None) -> Seen:
    began = time.monotonic()
    try:
        if key is not None:
            connection.request("GET", f"/v1/pipelines/shop/lists/{key}")
        else:
            body = json.dumps({"keys": BATCH})
            connection.request("POST", "/v1/pipelines/shop/lists", body=body, headers={"Content-Type": "application/json"})
        answer = connection.getresponse()
        content = json.loads(answer.read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        return Seen(began, time.monotonic() - began, repr(error), "", [])
    lists = (content["lists"] if key is None else [content]) if answer.status == 200 else []
    return Seen(began, time.monotonic() - began, answer.status, answer.headers.get("X-Served-By", ""), lists)


def replicas(answers: list[Seen]) -> set[str]:
    """Who has given them."""
    return {seen.replica for seen in answers}


def ask(port: int, path: str, **headers: str) -> http.client.HTTPResponse:
    """One GET; its body is in `said`."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT)) as connection:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        answer.said = answer.read().decode()
        return answer
