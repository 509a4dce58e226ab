"""Pasts that changed: deliveries that came otherwise, or later, than when their night was taken, and what was published from them."""

from typing import Any

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


def mark(store: Store, pipeline: str, *, ds: str, changes: list[dict[str, Any]], but: str) -> list[str]:
    """Say on every kept version that was made from other data than is known by night `ds`; returns the marked versions' names.

    :param but: the version that was made from just these data
    """
    marked = []
    for kept in [version for version in store.versions(pipeline) if version.manifest.version != but]:
        older = [c for c in changes if c["done"] == "taken" and c["night"] <= kept.manifest.night]
        said = [store.remark(pipeline, kept.manifest.version, f"{words(change)} by the night of {ds}") for change in older]
        if any(said):
            marked.append(kept.manifest.version)
    return marked
