"""Bodies that nobody should send: random bytes, JSON that is cut, changed or deep, huge numbers, wrong types, wrong names of types."""

import json
import random
from typing import Any

from benchmarks.serving.models import CLUB
from benchmarks.serving.published import PIPELINE

GOOD: dict[str, Any] = {
    f"/v1/pipelines/{PIPELINE}/lists": {
        "keys": ["user00000001", "nobody"],
        "n": 10,
        "without": ["800000"],
        "only": {"shelf": ["dairy"]},
    },
    f"/v1/pipelines/{CLUB}/predictions": {"rows": [{"visits": 4, "town": "upper"}, {"visits": None}]},
    f"/v1/pipelines/{PIPELINE}/baskets": {
        "basket": {"bread": 2, "milk": 1.5},
        "n": 5,
        "without": ["butter"],
        "only": {"shelf": ["dairy"]},
    },
}
TYPES = (
    "application/json",
    "application/json; charset=utf-16",
    "text/plain",
    "application/xml",
    "multipart/form-data",
    "",
    "\xff/\x80",
)
NUMBERS: tuple[Any, ...] = (-1, 0, 1e308, -1e308, 10**400, 2**63, 2**64, 0.1, float("nan"), float("inf"))
TEXTS = ("", " ", "\x00", "\ud800", "\udfff\ud800", "Ω" * 10_000, "\u202e", "%00", "../../etc/passwd", "' OR 1=1 --")
ODD: tuple[Any, ...] = (*NUMBERS, *TEXTS, None, True, [], {}, [[]], [None], [{}], {"": ""}, {"a": {"b": {"c": []}}}, [1] * 2000)
DEEP = 100_000


def body(chance: random.Random, good: Any) -> bytes:
    """One of many kinds, each made of what the server would have taken."""
    text = json.dumps(good).encode()
    kind = chance.randrange(9)
    if kind == 0:
        return chance.randbytes(chance.randrange(400))
    if kind == 1:
        return text[: chance.randrange(len(text))]
    if kind == 2:
        changed = bytearray(text)
        for _ in range(chance.randrange(1, 6)):
            changed[chance.randrange(len(changed))] = chance.randrange(256)
        return bytes(changed)
    if kind == 3:
        depth = chance.randrange(DEEP)
        open_, close = chance.choice((("[", "]"), ('{"a":', "}"), ('{"keys":[', "]}")))
        return (open_ * depth + "1" + close * chance.choice((depth, 0))).encode()
    if kind == 4:
        return text.replace(b"1", chance.choice((b"1" * 5000, b"1e999", b"-0", b"1e-999", b"NaN", b"Infinity", b"0x1", b"01")))
    if kind == 5:
        return json.dumps(chance.choice(ODD)).encode()
    if kind == 6:
        return text.replace(b'"', chance.choice((b"'", b"", b'""', b'\\"', b"\xff")))
    return json.dumps(_mutated(chance, good)).encode()


def _mutated(chance: random.Random, value: Any) -> Any:
    """Some leaf, or some branch, is another one."""
    if chance.random() < 0.3 or not isinstance(value, dict | list) or not value:
        return chance.choice(ODD)
    if isinstance(value, list):
        at = chance.randrange(len(value))
        return [_mutated(chance, one) if number == at else one for number, one in enumerate(value)]
    name = chance.choice(list(value))
    return {
        (chance.choice(("\ud800", "", "x" * 300, name)) if one == name else one): _mutated(chance, value[one])
        if one == name
        else value[one]
        for one in value
    }


def request(chance: random.Random) -> tuple[str, bytes, str]:
    """Path, body and the name of its type."""
    path = chance.choice(list(GOOD))
    return path, body(chance, GOOD[path]), TYPES[0] if chance.random() < 0.85 else chance.choice(TYPES)
