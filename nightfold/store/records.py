"""The record of one list, as the store keeps it: [[id, score, why], ...], best first, in compact JSON.

JSON, and not MessagePack: any language and any person reads it, and it costs little (benchmarks/serving.md, "What a record is made of").
"""

import hashlib
from collections.abc import Iterable, Sequence

import msgspec

SCALE = 1e6  # of a score six digits after the point are kept

Row = tuple[str, float, str]
"""id, score, why."""

_decoder = msgspec.json.Decoder(list[Row])
encoder = msgspec.json.Encoder()


def encode(rows: Iterable[Row]) -> bytes:
    """A list's record; the same list gives the same bytes."""
    return encoder.encode([(item, round(score * SCALE) / SCALE, why) for item, score, why in rows])


def decode(record: bytes) -> list[Row]:
    """The list of a record; raises ValueError when it is none."""
    return _decoder.decode(record)


def record_digest(key: str, record: bytes) -> int:
    """A 64-bit hash of one key and its record."""
    return int.from_bytes(
        hashlib.blake2b(record, digest_size=8, key=hashlib.blake2b(key.encode(), digest_size=32).digest()).digest()
    )


def checksum(digests: Iterable[int]) -> str:
    """Over all records: the sum of their hashes modulo 2^64, so that neither order nor partitioning matters."""
    return f"{sum(digests) % 2**64:016x}"


def total(records: Sequence[tuple[str, bytes]]) -> int:
    """The sum of the hashes of keys and their records: what `checksum` takes, of a part of them."""
    return sum(record_digest(key, record) for key, record in records)
