"""Pasts that changed: deliveries that came otherwise, or later, than when their night was taken, and what was published from them."""

from collections.abc import Iterable
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


def mark(store: Store, lake: Lake, sources: Iterable[str], *, but: str) -> list[str]:
    """Say on every kept version that was published before data of its nights were taken again, or late; returns the marked versions' names.

    The nights of raw say what was taken when, whatever became of the run that took it.

    :param but: the version that was made from what is there now
    """
    others = [version.manifest for version in store.versions(lake.pipeline) if version.manifest.version != but]
    if not others:
        return []
    since = min(kept.published_at for kept in others)
    taken = [raw for source in sources for raw in lake.committed_since(f"raw/{source}", since).values() if raw.facts.get("change")]
    marked = []
    for raw in sorted(taken, key=lambda raw: (raw.committed_at, raw.dataset, raw.night)):
        change = raw.facts["change"]
        for kept in others:
            older = change["done"] == "taken" and raw.night <= kept.night and kept.published_at <= raw.committed_at
            if older and store.remark(lake.pipeline, kept.version, f"{words(change)} by the night of {change['by']}"):
                marked.append(kept.version)
    return list(dict.fromkeys(marked))
