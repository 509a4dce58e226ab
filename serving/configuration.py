"""What a replica is told, from the environment; docs/settings.md lists it."""

from dataclasses import dataclass
from pathlib import Path

from nightfold import api_keys
from nightfold.errors import BadInput
from nightfold.settings import setting

MOST = 1000
"""Keys, rows or items of one request: what the OpenAPI document says."""


@dataclass(frozen=True)
class Configuration:
    """Of one replica."""

    host: str = "127.0.0.1"
    port: int = 8090
    keys: Path = Path("keys.json")
    anonymous: bool = False
    drain: float = 5.0
    """Seconds between SIGTERM and the end: the balancer must notice by then that it is not ready any more."""
    rate: int = 2000
    """Requests of one key in a second; answers that are refused count, too."""
    body: int = 1_048_576
    """Bytes of a request's body."""
    batch: int = MOST
    """Keys or rows of one request, at most MOST."""
    pipelines: frozenset[str] = frozenset()
    """Those that are served; empty: all."""


def from_environment() -> Configuration:
    """Raises BadInput, which names the setting."""
    return Configuration(
        host=setting("NIGHTFOLD_SERVING_HOST", "127.0.0.1") or "",
        port=_whole("NIGHTFOLD_SERVING_PORT", 8090),
        keys=api_keys.path(),
        anonymous=_yes("NIGHTFOLD_SERVING_ANONYMOUS"),
        drain=_whole("NIGHTFOLD_SERVING_DRAIN", 5),
        rate=_whole("NIGHTFOLD_SERVING_RATE", 2000),
        body=_whole("NIGHTFOLD_SERVING_BODY", 1_048_576),
        batch=_whole("NIGHTFOLD_SERVING_BATCH", MOST, most=MOST),
        pipelines=frozenset(filter(None, (setting("NIGHTFOLD_SERVING_PIPELINES") or "").replace(" ", "").split(","))),
    )


def _whole(name: str, default: int, *, most: int | None = None) -> int:
    value = setting(name) or str(default)
    if not value.isdecimal():
        raise BadInput(f"{name}={value}: give a whole number")
    if most is not None and int(value) > most:
        raise BadInput(f"{name}={value}: give at most {most:,}")
    return int(value)


def _yes(name: str) -> bool:
    value = (setting(name) or "no").lower()
    if value not in ("yes", "no"):
        raise BadInput(f"{name}={value}: say yes or no")
    return value == "yes"
