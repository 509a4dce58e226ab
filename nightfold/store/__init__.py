"""The key-value store that readers read: one file per backend, chosen by the connection's scheme."""

from nightfold import settings
from nightfold.errors import BadPipeline
from nightfold.store.base import Store, Version, VersionManifest
from nightfold.store.valkey import ValkeyStore

__all__ = ["Store", "Version", "VersionManifest", "open_store"]

_SCHEMES = ("redis", "rediss", "valkey", "valkeys")


def open_store(connection: str = "kv_default") -> Store:
    """The store behind an Airflow Connection.

    Raises BadPipeline when the connection is not defined, or of a kind that no backend serves.
    """
    uri = settings.connection_uri(connection)
    scheme = uri.split("://", 1)[0]
    if scheme not in _SCHEMES:
        raise BadPipeline(f"connection {connection!r}: no store for {scheme!r}; use one of: {', '.join(_SCHEMES)}")
    return ValkeyStore(uri.replace("valkey", "redis", 1) if scheme.startswith("valkey") else uri)
