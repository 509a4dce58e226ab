"""Promote the version of a night: what the Airflow task and `spark_jobs/promote.py` both do."""

from collections.abc import Callable

from nightfold import tracking, writeback
from nightfold.champion import record
from nightfold.lake import Lake
from nightfold.pipeline.predict import WriteBack
from nightfold.store import Store, VersionManifest

ABANDONED = 6 * 3600.0  # seconds after which an attempt that was never sealed is dead: longer than any publish may take


def promote(
    store: Store, pipeline: str, night: str, *, token: int, keep: int, write: Callable[[VersionManifest], str] | None = None
) -> str:
    """Point readers at the version that `publish` committed for a night; returns one line for people.

    What dead attempts have left in the store goes first, so that a year of failures does not fill it.

    :param token: the fencing token of the run's turn: refused once a later run has promoted
    :param write: puts what was promoted elsewhere, too, and says so

    The lake keeps a record of it, and MLflow's alias `champion` follows.

    Raises NotCommitted when publish has not, and what `Store.promote` raises.
    """
    store.collect(pipeline, older_than=ABANDONED)
    lake = Lake(pipeline)
    staged = lake.get("version", night).facts
    new = store.promote(pipeline, staged["version"], token, keep)
    promoted, written = store.find(pipeline, staged["version"]), ""
    if promoted is not None:
        record(lake, promoted.manifest)
        written = f"; {write(promoted.manifest)}" if write is not None else ""
        crown(promoted.manifest)
    if new:
        return f"version {staged['version']} of night {night} is live: {staged['keys']:,} lists{written}"
    return f"version {staged['version']} of night {night} was live already: nothing changed{written}"


def written_back(target: WriteBack | None, pipeline: str, uri_of: Callable[[str], str]) -> Callable[[VersionManifest], str] | None:
    """What `promote` is to call for a pipeline whose predictions go into a database, too.

    :param target: the pipeline's `predict.write`
    :param uri_of: an Airflow Connection's id → its URI
    """
    if target is None:
        return None
    return lambda promoted: writeback.replace(target, uri_of(target.connection), Lake(pipeline), promoted)


def crown(promoted: VersionManifest) -> None:
    """Let MLflow's alias `champion` follow what is live; a version of an older release has no part in it.

    Raises as tracking.log_training.
    """
    recipe = promoted.facts.get("recipe", {})
    if recipe.get("run") or recipe.get("kind") == "baseline":
        tracking.crown(promoted.pipeline, recipe.get("run"), version=promoted.version, night=promoted.night)
