"""Who was erased and must not come back: a list in the lake, of salted hashes, so that it names nobody.

`nightfold forget` writes it; `ingest` leaves out the rows of those on it, whatever is delivered or taken again.
`profile`, which works beside everything else, does not keep what it has read while somebody was erased.
"""

import hashlib
import json
import secrets
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace

from nightfold.errors import ErasedMeanwhile
from nightfold.lake import Lake


@dataclass(frozen=True)
class Forgotten:
    """The list of one pipeline."""

    salt: str
    digests: tuple[str, ...] = ()
    erasures: int = 0
    """How often somebody's rows were taken out of the lake."""

    def digest(self, key: str) -> str:
        """Hexadecimal SHA-256 of salt and key."""
        return hashlib.sha256((self.salt + key).encode()).hexdigest()


def read(lake: Lake) -> Forgotten:
    """The list as it is now; an empty one when nobody was ever erased."""
    try:
        content = json.loads(lake.read_text(_path(lake)))
    except FileNotFoundError:
        return Forgotten(salt=secrets.token_hex(16))
    return Forgotten(salt=content["salt"], digests=tuple(content["digests"]), erasures=content.get("erasures", 0))


def remember(lake: Lake, key: str) -> None:
    """Put a key on the list; one that is on it already is no error."""
    before = read(lake)
    _write(lake, replace(before, digests=tuple(sorted({*before.digests, before.digest(key)}))))


def erased(lake: Lake) -> None:
    """Say that somebody's rows are gone; after it, reports are looked through: one that is written later finds this."""
    before = read(lake)
    _write(lake, replace(before, erasures=before.erasures + 1))


def unless_erased_since(lake: Lake, before: Forgotten, written: Iterable[str]) -> None:
    """Remove what was written from rows read since `before` if somebody was erased meanwhile.

    Raises ErasedMeanwhile then. What is written before this looks is found by `forget`, what is written after it was not read from her.
    """
    if read(lake).erasures == before.erasures:
        return
    for path in written:
        lake.fs.delete_file(lake.local_path(path))
    raise ErasedMeanwhile("somebody was erased while her rows were read: nothing of it is kept; a retry reads anew")


def _write(lake: Lake, content: Forgotten) -> None:
    lake.write_text(_path(lake), json.dumps(asdict(content), indent=1))


def _path(lake: Lake) -> str:
    return f"{lake.pipeline}/forgotten.json"
