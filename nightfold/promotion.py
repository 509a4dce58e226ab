"""Promote the version of a night: what the Airflow task and `spark_jobs/promote.py` both do."""

from nightfold.lake import Lake
from nightfold.store import Store

ABANDONED = 6 * 3600.0  # seconds after which an attempt that was never sealed is dead: longer than any publish may take


def promote(store: Store, pipeline: str, night: str, *, token: int, keep: int) -> str:
    """Point readers at the version that `publish` committed for a night; returns one line for people.

    What dead attempts have left in the store goes first, so that a year of failures does not fill it.

    :param token: the fencing token of the run's turn: refused once a later run has promoted

    Raises NotCommitted when publish has not, and what `Store.promote` raises.
    """
    store.collect(pipeline, older_than=ABANDONED)
    staged = Lake(pipeline).get("version", night).facts
    if store.promote(pipeline, staged["version"], token, keep):
        return f"version {staged['version']} of night {night} is live: {staged['keys']:,} lists"
    return f"version {staged['version']} of night {night} was live already: nothing changed"
