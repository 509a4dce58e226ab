"""A twin's folder on the lake: one JSON document, and beside it the files that it names, each with its hash.

The document is written last, so a folder without it is no twin; a file that is not the one that was written is never opened.
"""

import difflib
import hashlib
import json
import posixpath
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from nightfold.errors import BadInput, printable
from nightfold.lake import filesystem

from pydantic import BaseModel, ConfigDict, ValidationError

DOCUMENT = "twin.json"
FORMAT = 1  # of what is written and read here; another one is refused
MEND = "clear `train` of its night, or serve another version"
SHOWN = 60  # characters of a value that an error quotes


class Part(BaseModel):
    """One mapping of a document."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Document(Part):
    """What every twin's document says; `kind` says which it is."""

    kind: str
    format: int = FORMAT
    files: dict[str, str] = {}
    """Name of a file beside it → SHA-256 of its content; filled in when it is written."""

    @property
    def needs(self) -> set[str]:
        """Names of the files that belong beside it."""
        return set()


D = TypeVar("D", bound=Document)


def write(uri: str, document: Document, files: Mapping[str, bytes]) -> None:
    """Write a twin into a folder of its own."""
    fs, path = filesystem(uri)
    fs.create_dir(path, recursive=True)
    named = document.model_copy(update={"files": {name: _hash(content) for name, content in files.items()}})
    for name, content in (*files.items(), (DOCUMENT, named.model_dump_json(indent=1).encode())):
        with fs.open_output_stream(posixpath.join(path, name)) as out:
            out.write(content)


def read(uri: str, schema: type[D]) -> tuple[D, dict[str, bytes]]:
    """The document and its files. Raises BadInput, in one line, when it is not such a twin, or no longer what was written."""
    place = f"{uri}/{DOCUMENT}"
    try:
        content: Any = json.loads(_bytes(uri, DOCUMENT))
    except ValueError as error:
        raise BadInput(f"{place}: is no JSON ({printable(str(error))}): {MEND}") from error
    kind = schema.model_fields["kind"].default
    found = content.get("kind") if isinstance(content, dict) else None
    if found != kind:
        raise BadInput(f"{place}: kind is {quoted(found)}, not {kind!r}: {MEND}")
    if content.get("format") != FORMAT:
        raise BadInput(
            f"{place}: has format {quoted(content.get('format'))}, and format {FORMAT} is read here: take the same release for both"
        )
    try:
        document = schema.model_validate(content)
    except ValidationError as error:
        raise BadInput(f"{place}: {first_problem(error)}: {MEND}") from error
    if set(document.files) != document.needs:
        raise BadInput(f"{place}: files: names {sorted(document.files)}, and needs {sorted(document.needs)}: {MEND}")
    files = {name: _bytes(uri, name) for name in sorted(document.needs)}
    for name, content in files.items():
        if _hash(content) != document.files[name]:
            raise BadInput(f"{uri}/{name}: is not what was written with {DOCUMENT}: {MEND}")
    return document, files


def first_problem(error: ValidationError) -> str:
    """Of a document, in a line: the field, and what it should be."""
    wrong = error.errors()[0]
    return printable(": ".join(filter(None, [".".join(str(part) for part in wrong["loc"]), wrong["msg"]])))


def quoted(value: object) -> str:
    """For an error: on one line, and not longer than it helps."""
    text = printable(repr(value))
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def near(name: object, known: Iterable[str]) -> str:
    """What somebody may have meant, in words."""
    names = list(known)
    found = difflib.get_close_matches(str(name), names, n=3) or names[:3]
    return f"did you mean one of {', '.join(found)}?" if found else "there are none"


def _bytes(uri: str, name: str) -> bytes:
    fs, path = filesystem(uri)
    try:
        with fs.open_input_stream(posixpath.join(path, name)) as stream:
            return bytes(stream.read())
    except FileNotFoundError as error:
        raise BadInput(f"{uri}/{name}: is not there: {MEND}") from error


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
