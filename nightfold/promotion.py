"""Promote the version of a night: what the Airflow task and `spark_jobs/promote.py` both do."""

from collections.abc import Callable
from dataclasses import dataclass

from nightfold import tracking, writeback
from nightfold.champion import record
from nightfold.errors import OlderNight, PromotionHeld
from nightfold.lake import Lake
from nightfold.pipeline.predict import WriteBack
from nightfold.store import Store, VersionManifest

RETIRED = "retired"
ABANDONED = 6 * 3600.0  # seconds after which an attempt that was never sealed is dead: longer than any publish may take


@dataclass(frozen=True)
class Table:
    """The shop's own table of predictions, as `predict.write` says."""

    target: WriteBack
    uri: str
    lake: Lake

    def put(self, promoted: VersionManifest) -> str:
        """See writeback.replace."""
        return writeback.replace(self.target, self.uri, self.lake, promoted)

    def back(self, live: VersionManifest) -> str:
        """See writeback.withdraw."""
        return writeback.withdraw(self.target, self.uri, self.lake, live)


def promote(store: Store, pipeline: str, night: str, *, token: int, keep: int, table: Table | None = None) -> str:
    """Point readers at the version that `publish` committed for a night; returns one line for people.

    What dead attempts have left in the store goes first, so that a year of failures does not fill it.

    :param token: the fencing token of the run's turn: refused once a later run has promoted
    :param table: gets what was promoted, too; also a night's that was live before a newer one was, for its rows may have failed then

    The lake keeps a record of it, and MLflow's alias `champion` follows.

    Raises NotCommitted when publish has not, what `Store.promote` raises, and PromotionHeld when somebody rolled back meanwhile.
    """
    store.collect(pipeline, older_than=ABANDONED)
    lake = Lake(pipeline)
    staged = lake.get("version", night).facts
    try:
        new = store.promote(pipeline, staged["version"], token, keep)
    except OlderNight as older:
        kept = store.find(pipeline, staged["version"])
        if table is None or kept is None or kept.state != RETIRED:
            raise
        raise OlderNight(f"{older}; it was live before: {table.put(kept.manifest)}") from None
    promoted, written = store.find(pipeline, staged["version"]), ""
    if promoted is not None:
        record(lake, promoted.manifest)
        written = f"; {table.put(promoted.manifest)}" if table is not None else ""
        crown(promoted.manifest)
        _follow(store, promoted.manifest, table)
    if new:
        return f"version {staged['version']} of night {night} is live: {staged['keys']:,} lists{written}"
    return f"version {staged['version']} of night {night} was live already: nothing changed{written}"


def _follow(store: Store, promoted: VersionManifest, table: Table | None) -> None:
    """Where somebody rolled back while the table was written, table and alias follow what is live now: he could not see these rows yet."""
    live = store.live(promoted.pipeline)
    if live is None or live.version == promoted.version:
        return
    crown(live)
    if live.night >= promoted.night:
        return
    back = f"; {table.back(live)}" if table is not None else ""
    raise PromotionHeld(
        f"{promoted.pipeline}, night {promoted.night}: version {promoted.version} was live, and somebody rolled back from it meanwhile: "
        f"{live.version} is live{back}"
    )


def written_back(target: WriteBack | None, pipeline: str, uri_of: Callable[[str], str]) -> Table | None:
    """Where a pipeline's predictions go besides, if anywhere.

    :param target: the pipeline's `predict.write`
    :param uri_of: an Airflow Connection's id → its URI
    """
    return None if target is None else Table(target, uri_of(target.connection), Lake(pipeline))


def crown(promoted: VersionManifest) -> None:
    """Let MLflow's alias `champion` follow what is live; a version of an older release has no part in it.

    Raises as tracking.log_training.
    """
    recipe = promoted.facts.get("recipe", {})
    if recipe.get("run") or recipe.get("kind") == "baseline":
        tracking.crown(promoted.pipeline, recipe.get("run"), version=promoted.version, night=promoted.night)
