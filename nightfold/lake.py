"""The lake's map: where every dataset lies, and which attempt at it counts.

    <lake>/<pipeline>/<dataset>/<night>.<attempt>.json  the committed manifest
    <lake>/<pipeline>/<dataset>/attempts/<attempt>/     data of one attempt, never written over

A stage writes to its attempt's own place, then commits by writing one small manifest under a name of its own. What has no
manifest was never written, as far as any reader knows; of several, that of the latest attempt counts. Attempts are numbered
when they begin, so a zombie of an earlier one may commit when it likes: it is never read, and no clock decides.
Readable with `pyarrow.fs` alone: no Spark needed.
"""

import functools
import json
import os
import posixpath
import re
import secrets
import socket
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

from nightfold import settings
from nightfold.errors import NotCommitted

from pyarrow import fs as pafs
from pydantic import BaseModel, ConfigDict

_MANIFEST = re.compile(r"(\d{4}-\d{2}-\d{2})(?:\.([\w-]+))?\.json")  # 0.1 wrote no attempt: such a one is the earliest
STARTED = "_started.json"
"""In an attempt's folder: which night, and who began it when. Spark reads no file that starts with an underscore."""
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
        self._read_before: dict[tuple[str, str], Manifest] = {}

    def place(self, dataset: str, attempt: str) -> str:
        """Where one attempt writes, below the lake's root."""
        return f"{self.pipeline}/{dataset}/attempts/{attempt}"

    def spark_path(self, data: str) -> str:
        """The URI by which Spark reads or writes a folder below the lake's root."""
        return f"{self.uri}/{data}"

    def local_path(self, data: str) -> str:
        """The path by which `self.fs` knows it."""
        return posixpath.join(self.root, data)

    def exists(self, path: str) -> bool:
        """Whether a file or folder below the lake's root is there."""
        return bool(self.fs.get_file_info(self.local_path(path)).type != pafs.FileType.NotFound)

    def begin(self, dataset: str, night: str) -> str:
        """Announce an attempt at a night of a dataset; returns its name, which sorts after all that were announced before.

        Two that begin in the same moment may get one number; each has its own name all the same.
        """
        attempts = self.attempts(dataset)
        number = int(attempts[-1].split("-")[0]) + 1 if attempts else 1
        attempt = f"{number:06d}-{secrets.token_hex(4)}"
        about = {
            "night": night,
            "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "host": socket.gethostname(),
            "pid": os.getpid(),
        }
        self.write_text(f"{self.place(dataset, attempt)}/{STARTED}", json.dumps(about))
        return attempt

    def attempts(self, dataset: str) -> list[str]:
        """Names of all attempts that were announced, committed or not, earliest first."""
        folder = self.local_path(f"{self.pipeline}/{dataset}/attempts")
        entries = self.fs.get_file_info(pafs.FileSelector(folder, allow_not_found=True))
        return sorted(e.base_name for e in entries if re.fullmatch(r"\d+-[0-9a-f]+", e.base_name))

    def committed(self, dataset: str) -> dict[str, list[str]]:
        """Night → the file names of its manifests, that of the latest attempt last."""
        folder = self.local_path(f"{self.pipeline}/{dataset}")
        entries = self.fs.get_file_info(pafs.FileSelector(folder, allow_not_found=True))
        found: dict[str, list[tuple[str, str]]] = {}
        for entry in entries:
            if entry.is_file and (match := _MANIFEST.fullmatch(entry.base_name)):
                found.setdefault(match[1], []).append((match[2] or "", entry.base_name))
        return {night: [name for _, name in sorted(names)] for night, names in sorted(found.items())}

    def find(self, dataset: str, night: str) -> Manifest | None:
        """The committed manifest of a night, or None."""
        return self.find_all(dataset, [night]).get(night)

    def get(self, dataset: str, night: str) -> Manifest:
        """The same, and the same again for as long as this object lives: a job never reads half of one attempt and half of the next.

        Raises NotCommitted when there is none.
        """
        if (dataset, night) not in self._read_before:
            manifest = self.find(dataset, night)
            if manifest is None:
                raise NotCommitted(f"night {night}: {self.pipeline} has no committed {dataset}: run the stage that writes it first")
            self._read_before[dataset, night] = manifest
        return self._read_before[dataset, night]

    def nights(self, dataset: str) -> list[str]:
        """Nights that are committed, oldest first."""
        return list(self.committed(dataset))

    def find_all(self, dataset: str, nights: Iterable[str]) -> dict[str, Manifest]:
        """Committed manifests by night."""
        committed = self.committed(dataset)
        paths = {night: f"{self.pipeline}/{dataset}/{committed[night][-1]}" for night in nights if night in committed}
        with ThreadPoolExecutor(_PARALLEL) as pool:
            found = dict(zip(paths, pool.map(self._read, paths.values()), strict=True))
        gone = [night for night, manifest in found.items() if manifest is None]  # a later attempt's has replaced it meanwhile
        return {night: manifest for night, manifest in found.items() if manifest is not None} | (
            self.find_all(dataset, gone) if gone else {}
        )

    def committed_since(self, dataset: str, moment: str) -> dict[str, Manifest]:
        """Committed manifests by night, of those that were committed at a moment (ISO 8601, UTC) or after it.

        Files of other days are not read: the lake's clock may be another than that of who committed, by less than a day.
        """
        folder = self.local_path(f"{self.pipeline}/{dataset}")
        entries = self.fs.get_file_info(pafs.FileSelector(folder, allow_not_found=True))
        day_before = datetime.fromisoformat(moment) - timedelta(days=1)
        young = [
            match[1] for e in entries if (match := _MANIFEST.fullmatch(e.base_name)) and (e.mtime is None or e.mtime >= day_before)
        ]
        return {night: found for night, found in self.find_all(dataset, young).items() if found.committed_at >= moment}

    def commit(self, *manifests: Manifest) -> None:
        """From now on these attempts count, unless a later one has committed."""
        with ThreadPoolExecutor(_PARALLEL) as pool:
            list(pool.map(self._commit, manifests))

    def _commit(self, manifest: Manifest) -> None:
        stamped = manifest.model_copy(update={"committed_at": datetime.now(UTC).isoformat(timespec="seconds")})
        path = f"{manifest.pipeline}/{manifest.dataset}/{manifest.night}.{manifest.attempt}.json"
        self.write_text(path, stamped.model_dump_json(indent=1))

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
