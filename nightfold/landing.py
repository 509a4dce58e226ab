"""What has landed: which files a source delivered for which night, and their content's fingerprint."""

import hashlib
import io
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, TextIO

from nightfold import settings
from nightfold.lake import filesystem
from nightfold.pipeline.sources import FileSource

from pyarrow import fs as pafs

_DAY = r"(\d{4}-\d{2}-\d{2})"


@dataclass(frozen=True)
class LandedFile:
    """One file of a delivery."""

    uri: str
    size: int
    modified: int
    """Nanoseconds since 1970-01-01; only tells whether the hash must be taken again."""
    sha256: str = ""
    quoted: bool = True
    """Whether it holds double quotes, or nobody has looked: one that is never closed swallows lines of a CSV file."""
    unended: bool = False
    """Whether its last byte is of no line end: whole, or cut off on its way; in UTF-16 a line end has two bytes."""

    def as_fact(self) -> dict[str, Any]:
        return asdict(self)


_FACTS = [field.name for field in fields(LandedFile)]  # of earlier ones not all are known still


def location(source: FileSource) -> str:
    """The source's path as a URI, {ds} still in it."""
    return source.path if "://" in source.path else f"{settings.landing_uri()}/{source.path}"


def place(source: FileSource, night: str) -> str:
    """Where one night's delivery is expected."""
    return location(source).replace("{ds}", night)


def night_pattern(source: FileSource) -> str:
    """A regular expression whose first group is the night in the URI of a delivered file, or of one in a delivered folder."""
    before, after = source.path.split("{ds}")
    return "/" + re.escape(before.rpartition("/")[2]) + _DAY + re.escape(after) + "(?:/[^/]+)?$"


def nightly(source: FileSource, *, until: str, since: str = "") -> dict[str, list[LandedFile]]:
    """The files of every night from `since` to `until`, both included, by night; a path may name a file or a folder of files."""
    before, after = location(source).split("{ds}")
    base, _, prefix = before.rpartition("/")
    suffix, _, rest = after.partition("/")
    fs, root = filesystem(base)
    name = re.compile(re.escape(prefix) + _DAY + re.escape(suffix))
    entries = fs.get_file_info(pafs.FileSelector(root, allow_not_found=True))
    nights = {m[1]: e.base_name for e in entries if (m := name.fullmatch(e.base_name)) and since <= m[1] <= until}
    if not rest and not any(e.type == pafs.FileType.Directory and e.base_name in nights.values() for e in entries):
        by_name = {e.base_name: e for e in entries}
        return {night: [_landed(by_name[file], base, root)] for night, file in sorted(nights.items())}
    found = {night: _files(f"{base}/{file}" + (f"/{rest}" if rest else "")) for night, file in sorted(nights.items())}
    return {night: files for night, files in found.items() if files}


def snapshot(source: FileSource) -> list[LandedFile]:
    """The files of a snapshot, which is one file or a folder; empty when it is not there."""
    return _files(location(source))


def hashed(files: Iterable[LandedFile], known: Iterable[dict[str, Any]]) -> list[LandedFile]:
    """The same files, read through for hash and quotes; taken from `known` (earlier facts) where size and time have not changed."""
    before = {(k["uri"], k["size"], k["modified"]): LandedFile(**{f: k[f] for f in _FACTS if f in k}) for k in known}
    return [before.get((f.uri, f.size, f.modified)) or _read_through(f) for f in files]


def head(uri: str, size: int) -> bytes:
    """The first bytes of a file."""
    fs, path = filesystem(uri)
    with fs.open_input_stream(path, compression=None) as stream:
        return stream.read(size)


@contextmanager
def text(uri: str, encoding: str) -> Iterator[TextIO]:
    """A file's lines, with their ends."""
    fs, path = filesystem(uri)
    with (
        fs.open_input_stream(path, compression=None) as stream,
        io.TextIOWrapper(stream, encoding=encoding, errors="replace", newline="") as lines,
    ):
        yield lines


def tail(uri: str, size: int, *, at_most: int) -> bytes:
    """The last bytes of a file of that size, from where a character begins in UTF-16, too."""
    start = max(0, size - at_most) // 4 * 4
    fs, path = filesystem(uri)
    with fs.open_input_file(path) as file:
        return file.read_at(size - start, start)


def _files(uri: str) -> list[LandedFile]:
    fs, path = filesystem(uri)
    info = fs.get_file_info(path)
    if info.type == pafs.FileType.File:
        return [_landed(info, uri, path)]
    entries = fs.get_file_info(pafs.FileSelector(path, allow_not_found=True))
    return sorted(
        (_landed(e, uri, path) for e in entries if e.is_file and not e.base_name.startswith(("_", "."))), key=lambda file: file.uri
    )


def _landed(info: pafs.FileInfo, base_uri: str, base_path: str) -> LandedFile:
    return LandedFile(uri=base_uri + info.path[len(base_path) :], size=info.size or 0, modified=info.mtime_ns or 0)


def _read_through(file: LandedFile) -> LandedFile:
    fs, path = filesystem(file.uri)
    hasher, quoted, last = hashlib.sha256(), False, b"\n"
    with fs.open_input_stream(path, compression=None) as stream:
        while chunk := stream.read(1 << 20):
            hasher.update(chunk)
            quoted = quoted or b'"' in chunk
            last = chunk[-1:]
    return replace(file, sha256=hasher.hexdigest(), quoted=quoted, unended=last not in b"\r\n")
