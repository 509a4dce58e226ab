"""Which of two versions a key gets while both are served: the same one every time, on every machine, in every language.

A key's place is the first 8 bytes of SHA-256 of `PIPELINE:KEY`, as a big-endian number, divided by 2^64. Places below the share get
bucket B, the others A; so a larger share takes more keys into B, and none out. Evaluations can be split by it afterwards.
"""

import hashlib

A, B = "A", "B"
"""The live version, and the one beside it."""


def place(pipeline: str, key: str) -> float:
    """Of a key, from 0 up to 1: evenly spread, and another for another pipeline."""
    return int.from_bytes(hashlib.sha256(f"{pipeline}:{key}".encode()).digest()[:8]) / 2**64


def bucket(pipeline: str, key: str, share: float) -> str:
    """A or B, when B gets this share of the keys."""
    return B if place(pipeline, key) < share else A
