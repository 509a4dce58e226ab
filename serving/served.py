"""What a replica serves: for every pipeline its live version, and the portable twin of the model that made it.

Looked at once a second, each pipeline by itself. A new champion is loaded beside the old one and takes its place in one step; a
request keeps the one that it began with. One that cannot be loaded is said in the log and in the metrics, and the old one stays. A
replica is ready once it has found a whole version and its model for all that is published, and stays so; a model that is broken for
good, or a store that is gone for long, does not hold back all other lists.
"""

import asyncio
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from nightfold import pipeline as pipelines
from nightfold.client import AsyncClient
from nightfold.errors import BadInput, BadPipeline, NightfoldError, UnknownVersion
from nightfold.pipeline import Pipeline
from nightfold.settings import connection_uri, lake_uri
from nightfold.store import VersionManifest
from nightfold.twins.baskets import Baskets
from nightfold.twins.predictions import Predictions

LOOK_EVERY = 1.0  # seconds
FILES_EVERY = 30.0  # seconds between two looks at the folder of pipelines
PATIENCE = 30.0  # seconds after its start in which a replica is held back by a store, or a lake, that cannot be reached
ASIDE = 64  # threads at most that wait for lakes and stores
Twin = Predictions | Baskets
T = TypeVar("T")


@dataclass(frozen=True)
class Champion:
    """A version and its model; `twin` None where a baseline made it, or none could be written."""

    manifest: VersionManifest
    twin: Twin | None


@dataclass
class Line:
    """One pipeline: what its file says, and what is served of it."""

    file: Pipeline
    stamp: tuple[int, int]
    """Of the file as it was read: another one is read again."""
    uri: str
    client: AsyncClient
    live: VersionManifest | None = None
    """Of which its lists are."""
    champion: Champion | None = None
    """By which posted rows and baskets are answered: of an older version where the live one's model cannot be loaded."""
    catalogue: Baskets | None = None
    """The newest that a model brought along: it outlives nights on which a baseline is served."""
    looked: bool = False
    """Whether it is known by now if anything is published."""
    failed: str = ""
    """Why the newest version's model is not the one that is served."""
    broken: tuple[str, str] = ("", "")
    """Version and attempt whose model does not load: not tried again while it is live."""

    @property
    def age(self) -> float | None:
        """Seconds since what is served was published."""
        return time.time() - self.live.published if self.live is not None else None

    @property
    def has_model(self) -> bool:
        """Whether rows or baskets can be posted."""
        return self.champion is not None and self.champion.twin is not None


@dataclass
class Served:
    """All of them.

    :param only: names; empty: all that have a file
    :param say: is given words for the log
    """

    only: frozenset[str]
    say: Callable[[str], None]
    pipelines: dict[str, Line] = field(default_factory=dict)
    draining: bool = False
    _began: float = field(default_factory=time.monotonic)
    _was_ready: bool = False
    _clients: dict[str, AsyncClient] = field(default_factory=dict)
    _files_at: float = 0.0
    _said: set[str] = field(default_factory=set)
    _refused: set[str] = field(default_factory=set)
    """Names of the pipeline files that could not be read at the last look."""
    _following: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    _threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(ASIDE, "nightfold-aside"))

    @property
    def looked(self) -> bool:
        """Whether the files are known by now."""
        return self._files_at > 0

    @property
    def why_not_ready(self) -> str | None:
        """None when it is: a whole version and its model are there for every pipeline that has published anything."""
        if self.draining:
            return "it is about to end"
        if self._was_ready:
            return None
        impatient = time.monotonic() - self._began > PATIENCE
        unknown = [one for one in self.pipelines.values() if not one.looked]
        serves = any(one.champion for one in self.pipelines.values())
        if any(not (one.failed and impatient and serves) for one in unknown):
            return f"{len(unknown)} of {len(self.pipelines)} pipelines are not looked at yet"
        if not serves:
            wrong = ", ".join(sorted(self._refused))
            return f"{wrong}: refused: nightfold validate says why" if wrong else "nothing is published yet"
        return None

    async def watch(self) -> None:
        """Look, again and again, until it is cancelled; a fault of ours does not end it."""
        while True:
            self._was_ready = self._was_ready or self.why_not_ready is None
            try:
                self._look_at_files()
            except Exception as error:  # noqa: BLE001 (else what is served would be frozen, and nobody would know)
                self._say_once(_unforeseen("looking", error))
            for name, one in self.pipelines.items():
                if name not in self._following or self._following[name].done():  # a lake that hangs holds up its own pipeline
                    self._following[name] = asyncio.create_task(self._try(one))
            await asyncio.sleep(LOOK_EVERY)

    async def aside(self, work: Callable[..., T], *given: Any) -> T:
        """Do what waits for a lake or a store in a thread that nobody else waits for: predictions have others."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *given)

    async def close(self) -> None:
        """Give the connections back."""
        for task in self._following.values():
            task.cancel()
        await asyncio.gather(*self._following.values(), return_exceptions=True)
        self._threads.shutdown(wait=False, cancel_futures=True)
        for client in self._clients.values():
            await client.close()

    def _look_at_files(self) -> None:
        if self._files_at and time.monotonic() - self._files_at < FILES_EVERY:
            return
        self._files_at = time.monotonic()
        try:
            files = pipelines.files()
        except OSError as error:  # what is known stays served; looked at again by and by
            self.say(f"the folder of pipelines cannot be read: {error}: mend it, or NIGHTFOLD_PIPELINES")
            return
        refused = set()
        for path in files:
            if not self.only or path.stem in self.only:
                try:
                    self._look_at(path)
                except (BadPipeline, OSError) as error:  # the pipeline stays served by what its file said before
                    refused.add(path.name)
                    self._say_once(str(error))
                except Exception as error:  # noqa: BLE001 (a fault of ours in one file must not hold back the others)
                    self._say_once(_unforeseen(path.stem, error))
        self._refused = refused

    def _look_at(self, path: Path) -> None:
        there, known = path.stat(), self.pipelines.get(path.stem)
        stamp = (there.st_mtime_ns, there.st_ino)
        if known is not None and known.stamp == stamp:
            return
        file = pipelines.load(path)
        uri = connection_uri(file.publish.connection)
        if uri not in self._clients:
            self._clients[uri] = AsyncClient(uri)
        if known is not None and known.uri == uri:
            known.file, known.stamp = file, stamp
        else:
            self.pipelines[path.stem] = Line(file, stamp, uri, self._clients[uri])

    def _say_once(self, words: str) -> None:
        if words not in self._said:
            self.say(words)
        self._said.add(words)

    async def _try(self, one: Line) -> None:
        try:
            await self._follow(one)
        except Exception as error:  # noqa: BLE001 (a fault of ours in one pipeline must not end the watch over all: said, and measured)
            self._fail(one, _unforeseen(one.file.pipeline, error))

    async def _follow(self, one: Line) -> None:
        name, before = one.file.pipeline, one.champion
        try:
            manifest = await one.client.live(name)
        except UnknownVersion:
            one.looked, one.failed = True, ""
            return
        except NightfoldError as error:
            self._fail(one, str(error))
            return
        one.live, which = manifest, (manifest.version, manifest.attempt)
        if which == one.broken:
            return
        one.broken = ("", "")  # should it be live again, somebody has meant it
        if before is not None and (before.manifest.version, before.manifest.attempt) == which:
            one.failed = ""
            return
        try:
            twin = await self.aside(_load, one.file, manifest)
        except (NightfoldError, OSError) as error:
            self._fail(one, f"{name}, night {manifest.night}: the model of version {manifest.version} cannot be loaded: {error}")
            if isinstance(error, BadInput):  # it will not be there in a second either: its lists are served all the same
                one.champion, one.looked, one.broken = before or Champion(manifest, None), True, which
            return
        one.champion, one.looked, one.failed = Champion(manifest, twin), True, ""
        if isinstance(twin, Baskets):
            one.catalogue = twin
        model = "its model" if twin is not None else "no model"
        self.say(f"{name}: version {manifest.version} of night {manifest.night} is served, and {model}")

    def _fail(self, one: Line, words: str) -> None:
        if one.failed != words:
            self.say(words)
        one.failed = words


def _unforeseen(what: str, error: Exception) -> str:
    """Its kind and its place: its own words may hold a part of an address, and so of a password."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{what}: not foreseen: {type(error).__name__} at {Path(place.filename).name}:{place.lineno}"


def _load(file: Pipeline, manifest: VersionManifest) -> Twin | None:
    place = manifest.facts.get("twin")
    if place is None:
        return None
    kind: type[Predictions] | type[Baskets] = Baskets if file.recommend is not None else Predictions
    return kind.load(f"{lake_uri()}/{place}")
