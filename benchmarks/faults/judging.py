"""What a reader makes of an answer: right, mixed of two versions, or not what the version that it names holds."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

Known = Mapping[str, Mapping[str, str]]
"""Version → key → the digest of its list; under "" that of the fallback."""


def digest(items: Sequence[Mapping[str, Any]]) -> str:
    """Of a list as readers get it."""
    return hashlib.sha256(json.dumps(items, sort_keys=True).encode()).hexdigest()[:16]


def contents(answers: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """What one version holds, from the answers about all of its keys and one unknown key."""
    return {"" if a["source"] == "fallback" else a["key"]: digest(a["items"]) for a in answers}


def trouble(answers: Sequence[Mapping[str, Any]], known: Known, *, before: str | None, order: Sequence[str]) -> list[str]:
    """What is wrong with the answers to one request; empty when nothing is.

    :param before: the version that the same reader was given last
    :param order: the versions that may be live, in the order in which they are promoted
    """
    versions = {answer["version"] for answer in answers}
    if len(versions) > 1:
        return [f"mixed: one request was answered from {' and '.join(sorted(versions))}"]
    found = [words for answer in answers if (words := _wrong(answer, known))]
    [version] = versions
    if before in order and version in order and order.index(version) < order.index(before):
        found.append(f"stale: {version} after {before}")
    return found


def _wrong(answer: Mapping[str, Any], known: Known) -> str | None:
    key, version = answer["key"], answer["version"]
    if version not in known:
        return f"wrong: {key} was answered from {version}, which nobody has made"
    expected = known[version].get(key, known[version][""])
    if (answer["source"] == "fallback") != (key not in known[version]):
        return f"wrong: {key} of {version} was answered by the {answer['source']}"
    return None if digest(answer["items"]) == expected else f"wrong: {key} is not as {version} holds it"
