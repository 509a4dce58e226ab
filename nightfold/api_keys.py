"""API keys: who may ask the REST API for what. Kept hashed, in one small file; a change of it counts within a second, without a restart.

A key is `nf_ID_SECRET`. The file holds SHA-256 of the secret: it is 256 random bits, so that a slow hash would protect nothing more.
"""

import contextlib
import fcntl
import hashlib
import hmac
import re
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from nightfold import settings
from nightfold.errors import BadInput
from nightfold.private import write_private

from pydantic import BaseModel, ConfigDict, ValidationError

SCOPES = ("lists", "predictions", "baskets", "versions", "metrics")
EVERY = "*"
"""In place of a pipeline's name: all of them, those to come too."""
_KEY = re.compile(r"nf_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")
_NOBODY = hashlib.sha256(b"nobody").hexdigest()  # compared with when there is no such key, so that it takes as long


class ApiKey(BaseModel):
    """One key, as the file has it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    name: str
    """Whose it is, for people."""
    sha256: str
    pipelines: list[str]
    scopes: list[str]
    created_at: str

    def allows(self, pipeline: str | None, scope: str) -> bool:
        """Whether it may be used for this; `pipeline` None where no single one is meant."""
        return scope in self.scopes and (pipeline is None or EVERY in self.pipelines or pipeline in self.pipelines)


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    keys: list[ApiKey] = []


class Keys:
    """The keys of a file."""

    def __init__(self, keys: list[ApiKey]) -> None:
        self.by_id = {key.id: key for key in keys}

    def find(self, text: str) -> ApiKey | None:
        """Whose key this is, None when it is nobody's; takes as long for each."""
        match = _KEY.fullmatch(text)
        key = self.by_id.get(match[1]) if match else None
        given = hashlib.sha256((match[2] if match else "").encode()).hexdigest()
        same = hmac.compare_digest(given, key.sha256 if key is not None else _NOBODY)
        return key if same and key is not None else None


def path() -> Path:
    """Where the keys are: NIGHTFOLD_SERVING_KEYS, else below the folder of state."""
    return Path(settings.setting("NIGHTFOLD_SERVING_KEYS") or settings.home() / "serving" / "keys.json")


def load(file: Path) -> Keys:
    """The keys of a file; none when it is not there. Raises BadInput in one line when it is no such file."""
    try:
        return Keys(_File.model_validate_json(file.read_text(encoding="utf-8")).keys)
    except FileNotFoundError:
        return Keys([])
    except OSError as error:
        raise BadInput(
            f"{file}: cannot be read ({error.strerror}): it must be a file of who reads it here, and of who serves"
        ) from error
    except (UnicodeDecodeError, ValidationError) as error:
        raise BadInput(f"{file}: is no file of API keys: `nightfold keys add NAME` makes one ({type(error).__name__})") from error


def add(file: Path, name: str, *, pipelines: list[str], scopes: list[str]) -> tuple[ApiKey, str]:
    """Make a key, and put its hash into the file; returns it, and the text that is told once.

    Raises BadInput when a scope is none, or the file is none of keys.
    """
    if unknown := [scope for scope in scopes if scope not in SCOPES]:
        raise BadInput(f"scope {unknown[0]!r}: there are: {', '.join(SCOPES)}")
    id_, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    key = ApiKey(
        id=id_,
        name=name,
        sha256=hashlib.sha256(secret.encode()).hexdigest(),
        pipelines=pipelines,
        scopes=scopes,
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    with _alone(file):
        _write(file, [*load(file).by_id.values(), key])
    return key, f"nf_{id_}_{secret}"


def revoke(file: Path, id_: str) -> ApiKey:
    """Take a key out of the file. Raises BadInput when it is not there."""
    with _alone(file):
        kept = load(file).by_id
        if id_ not in kept:
            raise BadInput(f"{file}: no key {id_!r}; there are: {', '.join(kept) or 'none'}")
        _write(file, [key for key in kept.values() if key.id != id_])
    return kept[id_]


@contextlib.contextmanager
def _alone(file: Path) -> Iterator[None]:
    """One change after the other: none is lost."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.with_name(f".{file.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _write(file: Path, keys: list[ApiKey]) -> None:
    write_private(file, _File(keys=keys).model_dump_json(indent=1))
