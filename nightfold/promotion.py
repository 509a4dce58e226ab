"""Promote the version of a night: what the Airflow task and `spark_jobs/promote.py` both do."""

from nightfold.lake import Lake
from nightfold.store import open_store, store_at


def promote(pipeline: str, night: str, *, keep: int, uri: str | None = None, connection: str = "kv_default") -> str:
    """Point readers at the version that `publish` committed for a night; returns one line for people.

    Raises NotCommitted when publish has not, and what `Store.promote` raises.
    """
    staged = Lake(pipeline).get("version", night).facts
    store = store_at(uri) if uri else open_store(connection)
    token = store.begin(pipeline)
    if store.promote(pipeline, staged["version"], token, keep):
        return f"version {staged['version']} of night {night} is live: {staged['keys']:,} lists"
    return f"version {staged['version']} of night {night} was live already: nothing changed"
