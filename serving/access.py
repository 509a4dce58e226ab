"""Who asks, and whether he may: an API key with the scope and the pipeline, and not more often than allowed."""

import time
from collections.abc import Callable, Coroutine
from typing import Any

from nightfold import api_keys
from nightfold.errors import BadInput
from serving.configuration import Configuration
from serving.problems import Problem

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.responses import Response

LOOK_EVERY = 1.0  # seconds between two looks at the file of keys
UNKNOWN = {"WWW-Authenticate": "Bearer"}


class Access:
    """The keys of one replica, and how often each was used.

    :param say: is given words for the log
    """

    def __init__(self, configuration: Configuration, *, say: Callable[[str], None]) -> None:
        self.configuration, self.say = configuration, say
        self._keys, self._stamp, self._looked = api_keys.Keys([]), (0, 0), 0.0
        self._trouble = ""
        self._counts: dict[str, tuple[int, int, int]] = {}
        self._look()

    def may(self, request: Request, scope: str | None, pipeline: str | None) -> None:
        """Raises Problem: 401 for nobody's key, 403 for one that is not for this, 429 for one that is used too often."""
        self._look()
        words = request.headers.get("authorization", "")
        key = self._keys.find(words[7:]) if words[:7].lower() == "bearer " else None
        if key is None and (words or not self.configuration.anonymous):
            self._count("nobody")
            raise Problem(401, "give an API key that is known here: `Authorization: Bearer KEY`", headers=UNKNOWN)
        request.state.key = key
        request.state.client = key.id if key is not None else "anonymous"
        self._count(request.state.client)
        if key is not None and scope is not None and not key.allows(pipeline, scope):
            where = f" of {'all pipelines' if pipeline == api_keys.EVERY else pipeline}" if pipeline is not None else ""
            raise Problem(403, f"this key is not for {scope}{where}")

    def _count(self, who: str) -> None:
        """A sliding second: this one's count, and of the last one's the share that is not over yet.

        By ourselves: the library for it starts a thread for each request, a fifth of what an answer costs.
        """
        now = time.monotonic()
        second, part = int(now), now % 1.0
        at, this, last = self._counts.get(who, (second, 0, 0))
        if at != second:
            this, last = 0, this if at == second - 1 else 0
        if this + last * (1.0 - part) >= self.configuration.rate:
            raise Problem(429, f"more than {self.configuration.rate:,} requests in a second", headers={"Retry-After": "1"})
        self._counts[who] = (second, this + 1, last)

    def _look(self) -> None:
        """Read the file when it has changed; one that cannot be read leaves the keys as they were."""
        now = time.monotonic()
        if self._looked and now - self._looked < LOOK_EVERY:
            return
        self._looked = now
        try:
            there = self.configuration.keys.stat()
            stamp = (there.st_mtime_ns, there.st_ino)
        except FileNotFoundError:
            stamp = (0, 0)
        except OSError as error:
            self._say_once(f"{self.configuration.keys}: cannot be read: {error}")
            return
        if stamp == self._stamp:
            self._trouble = ""
            return
        try:
            self._keys = api_keys.load(self.configuration.keys)
        except BadInput as error:  # asked for again in a second: what it takes to mend it need not change the file
            self._say_once(str(error))
            return
        self._stamp, self._trouble = stamp, ""
        self.say(f"{len(self._keys.by_id)} API keys are known")

    def _say_once(self, trouble: str) -> None:
        if trouble != self._trouble:
            self.say(f"{trouble}; the keys stay as they were")
        self._trouble = trouble


def guarded(scope: str | None, *, of_all: bool = False) -> type[APIRoute]:
    """Routes that look at the key before they read the body: nobody's body is taken apart.

    :param scope: that the key must have, None: any
    :param of_all: the key must be for all pipelines, not only for that which the path names
    """

    class Guarded(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()

            async def checked(request: Request) -> Response:
                request.app.state.access.may(request, scope, api_keys.EVERY if of_all else request.path_params.get("pipeline"))
                return await handle(request)

            return checked

    return Guarded
