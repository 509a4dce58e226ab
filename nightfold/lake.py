"""The lake's map: where every dataset lies, and which attempt at it counts.

    <lake>/<pipeline>/<dataset>/<night>.json         the committed manifest
    <lake>/<pipeline>/<dataset>/attempts/<attempt>/  data of one attempt, never written over

A stage writes to its attempt's own place, then commits by writing one small manifest. What has no manifest was
never written, as far as any reader knows. Readable with `pyarrow.fs` alone: no Spark needed.
"""

import functools
import json
import posixpath
import secrets
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from nightfold import settings
from nightfold.errors import NotCommitted

from pyarrow import fs as pafs
from pydantic import BaseModel, ConfigDict

_PARALLEL = 16  # manifests read or written at once: an object store answers each in tens of milliseconds


class Manifest(BaseModel):
    """One committed partition: one dataset's night."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pipeline: str
    dataset: str
    night: str
    attempt: str
    fingerprint: str
    """Of everything it was made from; an equal one means that the work need not be done again."""
    data: str | None = None
    """Folder of the data, below the lake's root."""
    rows: int | None = None
    facts: dict[str, Any] = {}
    summary: str = ""
    """One line for people."""
    timings: dict[str, float] = {}
    """total_seconds, session_seconds (Spark's start-up), work_seconds."""
    committed_at: str = ""


def new_attempt() -> str:
    """A name that no other try has: time (UTC) and 4 random bytes."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"


@functools.cache
def filesystem(uri: str) -> tuple[pafs.FileSystem, str]:
    """The pyarrow file system of a URI, and the path in it."""
    if uri.startswith("file://"):
        return pafs.LocalFileSystem(), uri.removeprefix("file://")  # as it is: a space in it needs no escape
    return pafs.FileSystem.from_uri("s3://" + uri.removeprefix("s3a://") if uri.startswith("s3a://") else uri)


class Lake:
    """One pipeline's part of the lake."""

    def __init__(self, pipeline: str, uri: str | None = None) -> None:
        self.pipeline = pipeline
        self.uri = uri or settings.lake_uri()
        self.fs, self.root = filesystem(self.uri)

    def place(self, dataset: str, attempt: str) -> str:
        """Where one attempt writes, below the lake's root."""
        return f"{self.pipeline}/{dataset}/attempts/{attempt}"

    def spark_path(self, data: str) -> str:
        """The URI by which Spark reads or writes a folder below the lake's root."""
        return f"{self.uri}/{data}"

    def local_path(self, data: str) -> str:
        """The path by which `self.fs` knows it."""
        return posixpath.join(self.root, data)

    def find(self, dataset: str, night: str) -> Manifest | None:
        """The committed manifest of a night, or None."""
        return self._read(f"{self.pipeline}/{dataset}/{night}.json")

    def get(self, dataset: str, night: str) -> Manifest:
        """The same; raises NotCommitted when there is none."""
        manifest = self.find(dataset, night)
        if manifest is None:
            raise NotCommitted(f"night {night}: {self.pipeline} has no committed {dataset}: run the stage that writes it first")
        return manifest

    def nights(self, dataset: str) -> list[str]:
        """Nights that are committed, oldest first."""
        folder = self.local_path(f"{self.pipeline}/{dataset}")
        entries = self.fs.get_file_info(pafs.FileSelector(folder, allow_not_found=True))
        return sorted(e.base_name.removesuffix(".json") for e in entries if e.is_file and e.base_name.endswith(".json"))

    def find_all(self, dataset: str, nights: Iterable[str]) -> dict[str, Manifest]:
        """Committed manifests by night."""
        paths = {night: f"{self.pipeline}/{dataset}/{night}.json" for night in nights}
        with ThreadPoolExecutor(_PARALLEL) as pool:
            found = zip(paths, pool.map(self._read, paths.values()), strict=True)
            return {night: manifest for night, manifest in found if manifest is not None}

    def commit(self, *manifests: Manifest) -> None:
        """From now on these attempts count."""
        with ThreadPoolExecutor(_PARALLEL) as pool:
            list(pool.map(self._commit, manifests))

    def _commit(self, manifest: Manifest) -> None:
        stamped = manifest.model_copy(update={"committed_at": datetime.now(UTC).isoformat(timespec="seconds")})
        self.write_text(f"{manifest.pipeline}/{manifest.dataset}/{manifest.night}.json", stamped.model_dump_json(indent=1))

    def write_text(self, path: str, text: str) -> None:
        """Write a small file whole or not at all: a temporary name, then a move over the old one."""
        target = self.local_path(path)
        self.fs.create_dir(posixpath.dirname(target), recursive=True)
        temporary = f"{target}.{secrets.token_hex(4)}.tmp"
        with self.fs.open_output_stream(temporary) as out:
            out.write(text.encode())
        self.fs.move(temporary, target)

    def read_text(self, path: str) -> str:
        """The content of a small file below the lake's root."""
        with self.fs.open_input_stream(self.local_path(path)) as stream:
            return stream.read().decode()

    def _read(self, path: str) -> Manifest | None:
        try:
            return Manifest.model_validate(json.loads(self.read_text(path)))
        except FileNotFoundError:
            return None
