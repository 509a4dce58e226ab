"""docker-compose.yml as Compose would have it: variables filled in, merged keys merged."""

import re
import secrets
from typing import Any

import yaml
from helpers import ROOT

VARIABLE = re.compile(r"\$\$|\$\{(?P<name>\w+)(?:(?P<how>:[-?])(?P<what>[^{}]*))?\}")
"""All that our file uses of the interpolation: ${NAME}, ${NAME:-default}, ${NAME:?message}, $$."""


class NotGiven(Exception):
    """What Compose stops with: `required variable NAME is missing a value: message`."""


def text() -> str:
    return (ROOT / "docker-compose.yml").read_text(encoding="utf-8")


def variables() -> dict[str, list[tuple[str, str]]]:
    """Name → how it is used: (operator, what follows)."""
    found: dict[str, list[tuple[str, str]]] = {}
    for match in VARIABLE.finditer(text()):
        if match["name"]:
            found.setdefault(match["name"], []).append((match["how"] or "", match["what"] or ""))
    return found


def rendered(environ: dict[str, str]) -> dict[str, Any]:
    """The file with its variables from `environ`. Raises NotGiven."""

    def value(match: re.Match[str]) -> str:
        if match["name"] is None:
            return "$"
        if given := environ.get(match["name"]):
            return given
        if match["how"] == ":?":
            raise NotGiven(f"required variable {match['name']} is missing a value: {match['what']}")
        return match["what"] or ""

    def filled(node: Any) -> Any:
        if isinstance(node, dict):
            return {key: filled(item) for key, item in node.items()}
        if isinstance(node, list):
            return [filled(item) for item in node]
        return VARIABLE.sub(value, node) if isinstance(node, str) else node

    return filled(yaml.safe_load(text()))


def example() -> tuple[list[str], dict[str, str]]:
    """Of .env.example: the names of the secrets, and the others' defaults."""
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    asked = [line.removesuffix("=") for line in lines if re.fullmatch(r"\w+=", line)]
    defaults = dict(match.groups() for line in lines if (match := re.fullmatch(r"#([A-Z_]+)=(.*)", line)))
    return asked, defaults


def made_up() -> dict[str, str]:
    """A value for every secret."""
    return {name: secrets.token_urlsafe(24) for name in example()[0]}
