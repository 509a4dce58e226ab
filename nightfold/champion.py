"""What is served: the recipe behind the version that a night's challenger is judged against, and the record of every promotion.

<lake>/<pipeline>/promotion/<night>...   which version of a night was promoted, and what is known of it, for as long as the lake is kept
"""

from dataclasses import dataclass
from typing import Any

from nightfold.errors import NightRefused
from nightfold.lake import Lake, Manifest
from nightfold.store import Store, VersionManifest

BAD, LIVE = "bad", "live"
CHALLENGER: dict[str, Any] = {"kind": "challenger"}
"""What a verdict serves when tonight's own model is promoted."""
REFUSED = "refused"


@dataclass(frozen=True)
class Champion:
    """The version to beat."""

    version: str
    night: str
    facts: dict[str, Any]
    """As `publish` keeps them; `recipe`: {"kind": "model", "night", "data", "model" (its fingerprint), "run" (of MLflow), "params",
    "features", "twin" (a folder, or None)}, whose data may be gone, or {"kind": "baseline", "name"}."""
    metrics: dict[str, float]
    """On its own night."""

    @property
    def recipe(self) -> dict[str, Any] | None:
        """None of a version that an older release has published."""
        return self.facts.get("recipe")


def champion(lake: Lake, store: Store, ds: str) -> Champion | None:
    """What was served when night `ds` came: the live version, or for an older night that is taken again the last one that was promoted
    before it, and that nobody rolled back from. None on the first night."""
    live = store.live(lake.pipeline)
    if live is not None and live.night < ds:
        return Champion(live.version, live.night, live.facts, live.metrics)
    if live is None:
        return None
    bad = _left(store, lake.pipeline)
    nights = [night for night in lake.nights("promotion") if night < ds]
    for night in reversed(nights):
        facts = lake.get("promotion", night).facts
        if facts["version"] not in bad:
            return Champion(facts["version"], night, facts["facts"], facts["metrics"])
    return None


def _left(store: Store, pipeline: str) -> set[str]:
    """Versions that somebody rolled back from, also those that the store no longer keeps; not one that was served again since."""
    last: dict[str, str] = {}
    for change in store.history(pipeline):  # the newest first
        if change.state in (BAD, LIVE):
            last.setdefault(change.version, change.state)
    return {version for version, state in last.items() if state == BAD}


def record(lake: Lake, promoted: VersionManifest) -> None:
    """Keep in the lake that a version was promoted; once."""
    before = lake.find("promotion", promoted.night)
    if before is not None and before.facts["version"] == promoted.version:
        return
    attempt = lake.begin("promotion", promoted.night)
    facts = {"version": promoted.version, "metrics": promoted.metrics, "facts": promoted.facts}
    lake.commit(
        Manifest(
            pipeline=lake.pipeline,
            dataset="promotion",
            night=promoted.night,
            attempt=attempt,
            fingerprint=promoted.version,
            facts=facts,
            summary=f"version {promoted.version} was promoted",
        )
    )


def refusal(lake: Lake, ds: str, why: str) -> NightRefused:
    """What is said of a night that readers never see."""
    return NightRefused(f"{lake.pipeline}, night {ds}: refused, nothing is published, live stays: {why}")


def tonight(lake: Lake, ds: str) -> dict[str, Any]:
    """The recipe whose lists are published for a night, as the gate has decided: the challenger's, the champion's or a baseline's.

    Raises NightRefused when the gate refuses it, NotCommitted before it has spoken.
    """
    verdict = lake.get("evaluation", ds).facts["verdict"]
    if verdict["outcome"] == REFUSED:
        raise refusal(lake, ds, verdict["reason"])
    if verdict["serve"] != CHALLENGER:
        return dict(verdict["serve"])
    model = lake.get("model", ds)
    about = {
        "model": model.fingerprint,
        "run": model.facts.get("mlflow_run"),
        "params": model.facts["best"],
        "features": model.facts["features"],
        "twin": model.facts.get("twin"),
    }
    return {"kind": "model", "night": ds, "data": model.data, **about}


def identity(recipe: dict[str, Any]) -> dict[str, Any]:
    """What says which recipe it is, whatever attempt has written its model."""
    return {name: value for name, value in recipe.items() if name not in ("data", "run", "twin")}


def by(recipe: dict[str, Any], ds: str) -> str:
    """For people: who made it, where that is not tonight's model."""
    if recipe["kind"] == "baseline":
        return f", by the baseline {recipe['name']}"
    return "" if recipe["night"] == ds else f", by the champion of night {recipe['night']}"
