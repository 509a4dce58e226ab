"""The key-value store that readers read: one package per backend, chosen by the connection's scheme."""

import functools

from nightfold import settings
from nightfold.errors import BadPipeline
from nightfold.settings import without_password
from nightfold.store.base import AFTER_ALL, Change, Split, Staged, Store, Turn, Version, VersionManifest, said_night
from nightfold.store.valkey.server import RETRIES, TIMEOUT
from nightfold.store.valkey.store import ValkeyStore
from nightfold.store.valkey.wire import split_uri

__all__ = [
    "AFTER_ALL",
    "Change",
    "Split",
    "Staged",
    "Store",
    "Turn",
    "Version",
    "VersionManifest",
    "check",
    "open_store",
    "said_night",
    "store_at",
]

_SCHEMES = ("redis", "rediss", "valkey", "valkeys")


def open_store(connection: str = "kv_default") -> Store:
    """The store behind an Airflow Connection.

    Raises BadPipeline when the connection is not defined, or of a kind that no backend serves.
    """
    return store_at(settings.connection_uri(connection))


@functools.cache
def store_at(uri: str, *, timeout: float = TIMEOUT, retries: int = RETRIES) -> Store:
    """The store at an address, one client per process; raises BadPipeline when no backend serves it.

    :param timeout: seconds for one try; by default a publisher's, whom a slow server must not stop
    :param retries: further tries
    """
    return ValkeyStore(check(uri), timeout=timeout, retries=retries)


def check(uri: str) -> str:
    """The same address; raises BadPipeline when no backend serves it."""
    scheme = uri.split("://", 1)[0] if "://" in uri else ""
    if scheme not in _SCHEMES:
        raise BadPipeline(f"no store for {scheme!r}; use a connection of one of: {', '.join(_SCHEMES)}")
    try:
        without_password(uri)
    except ValueError:  # its text may hold a part of the password
        raise BadPipeline(
            "the store's connection is not a URI: write / # ? @ : % in its password as %2F %23 %3F %40 %3A %25"
        ) from None
    try:
        split_uri(uri)
    except ValueError as error:
        raise BadPipeline(f"the store's connection: {error}") from None
    return uri
