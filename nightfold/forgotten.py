"""Who was erased and must not come back: a list in the lake, of salted hashes, so that it names nobody.

`nightfold forget` writes it; `ingest` leaves out the rows of those on it, whatever is delivered or taken again.
"""

import hashlib
import json
import secrets
from dataclasses import asdict, dataclass

from nightfold.lake import Lake


@dataclass(frozen=True)
class Forgotten:
    """The list of one pipeline."""

    salt: str
    digests: tuple[str, ...] = ()

    def digest(self, key: str) -> str:
        """Hexadecimal SHA-256 of salt and key."""
        return hashlib.sha256((self.salt + key).encode()).hexdigest()


def read(lake: Lake) -> Forgotten:
    """The list as it is now; an empty one when nobody was ever erased."""
    try:
        content = json.loads(lake.read_text(_path(lake)))
    except FileNotFoundError:
        return Forgotten(salt=secrets.token_hex(16))
    return Forgotten(salt=content["salt"], digests=tuple(content["digests"]))


def remember(lake: Lake, key: str) -> None:
    """Put a key on the list; one that is on it already is no error."""
    before = read(lake)
    digests = tuple(sorted({*before.digests, before.digest(key)}))
    lake.write_text(_path(lake), json.dumps(asdict(Forgotten(before.salt, digests)), indent=1))


def _path(lake: Lake) -> str:
    return f"{lake.pipeline}/forgotten.json"
