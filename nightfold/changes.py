"""Pasts that changed: deliveries that came otherwise, or later, than when their night was taken, and what was published from them."""

from typing import Any

from nightfold.lake import Lake
from nightfold.store import Store

SHOWN = 100  # changes that one night's manifest names; more are counted

_WORDS = {
    ("changed", "taken"): "changed after it was taken, and was taken again",
    ("changed", "kept"): "has changed since it was taken: what was taken is kept",
    ("late", "taken"): "came late, and was taken",
    ("gone", "kept"): "is no longer delivered: what was taken is kept",
}


def words(change: dict[str, Any]) -> str:
    """One change as a person reads it."""
    return f"{change['source']} of {change['night']} {_WORDS[change['kind'], change['done']]}"


def summary(changes: list[dict[str, Any]]) -> str:
    """All of them in half a line; empty when there are none."""
    more = f", and {len(changes) - 1} more" if len(changes) > 1 else ""
    return f"; {words(changes[0])}{more}" if changes else ""


def facts(changes: list[dict[str, Any]]) -> dict[str, Any]:
    """As the manifest of `ingest` keeps them; those that were taken first."""
    ordered = sorted(changes, key=lambda c: (c["done"] != "taken", c["source"], c["night"]))
    return {"changes": ordered[:SHOWN], "changes_noticed": len(ordered)}


def mark(store: Store, lake: Lake, *, ds: str, but: str) -> list[str]:
    """Say on every kept version that was made from other data than is known by night `ds`; returns the marked versions' names.

    What earlier nights have noticed is said, too: they may have been refused, and have published nothing.

    :param but: the version that was made from just these data
    """
    others = [version.manifest for version in store.versions(lake.pipeline) if version.manifest.version != but]
    since = min((kept.night for kept in others), default=ds)
    nights = [night for night in lake.nights("ingest") if since < night < ds]
    marked = []
    for night, ingested in sorted(lake.find_all("ingest", [*nights, ds]).items()):
        noticed = [change for change in ingested.facts.get("changes", []) if change["done"] == "taken"]
        for kept in others:
            if night < ds and (kept.night >= night or kept.published_at > ingested.committed_at):
                continue  # it was made with them
            older = [change for change in noticed if change["night"] <= kept.night]
            said = [store.remark(lake.pipeline, kept.version, f"{words(change)} by the night of {night}") for change in older]
            if any(said):
                marked.append(kept.version)
    return list(dict.fromkeys(marked))
