"""The gate on the evaluation page: what becomes of the night, and what was looked at.

Keys of the figures; what is missing is not shown:

    gate      {"outcome", "reason", "checks": [{"name", "outcome", "words"}]}, see nightfold/gate.py
    lists     checks of what was made for the night, see spark/list_checks.py
    champion  {"version", "night", "recipe", "system"}, or None on the first night
"""

from collections.abc import Iterator, Mapping
from typing import Any

from nightfold.reports.page import Html, table, tag

LOOKS = {"promoted": "good", "held": "warn", "refused": "bad", "passed": "good", "open": "warn", "failed": "bad"}
MEANS = {
    "promoted": "tonight's model is served",
    "held": "tonight is served by another",
    "refused": "nothing is published, readers keep what is live",
}


def gate(figures: Mapping[str, Any]) -> Iterator[Html]:
    """The verdict in one line, and every check."""
    found = figures.get("gate")
    if not found:
        return
    outcome, reason, lists = found["outcome"], found["reason"], figures.get("lists") or []
    if wrong := [check["words"] for check in lists if check["outcome"] == "failed"]:
        outcome, reason = "refused", "; ".join(wrong)
    yield tag("p", _mark(outcome), f" {MEANS[outcome]}: {reason}.", cls="verdict")
    if champion := figures.get("champion"):
        yield tag(
            "p", f"Champion: version {champion['version']} of night {champion['night']}, {_recipe(champion['recipe'])}.", cls="soft"
        )
    rows = [[check["name"], _mark(check["outcome"]), check["words"]] for check in (*found["checks"], *lists)]
    yield tag("div", table(("looked at", "outcome", "found"), rows), cls="card")


def _mark(outcome: str) -> Html:
    return tag("span", outcome, cls=f"tag {LOOKS[outcome]}")


def _recipe(recipe: Mapping[str, Any] | None) -> str:
    if recipe is None:
        return "of an older release"
    if recipe["kind"] == "baseline":
        return f"the baseline {recipe['name']}"
    return f"trained on night {recipe['night']}: " + ", ".join(f"{name} {value}" for name, value in recipe["params"].items())
