"""A publisher's work, step by step, to be stopped after any of them."""

from collections.abc import Iterator

from nightfold.store import Store, VersionManifest
from nightfold.store.records import checksum, encode, record_digest

from publishing import FALLBACK

PEOPLE = [f"p{number}" for number in range(3000)]
BATCH = 300
STEPS = ["announced", *(f"wrote {n}" for n in range(1, 11)), "fallback", "sealed", "promoted"]


def lists(item: str) -> dict[str, bytes]:
    return {key: encode([(item, 1.0, "")] * 20) for key in PEOPLE}


def manifest_of(version: str, attempt: str, night: str, records: dict[str, bytes]) -> VersionManifest:
    content = checksum(record_digest(key, record) for key, record in {**records, "": FALLBACK}.items())
    about = {"night": night, "published_at": f"{night}T23:00:00+00:00", "keys": len(records), "checksum": content, "model": "m"}
    return VersionManifest(pipeline="shop", version=version, attempt=attempt, **about)


def steps(store: Store, version: str, attempt: str, night: str) -> Iterator[str]:
    """What `publish` and `promote` do."""
    token, records = store.begin("shop"), lists(version)
    store.announce("shop", version, attempt)
    yield "announced"
    for number, start in enumerate(range(0, len(PEOPLE), BATCH), 1):
        store.write("shop", version, attempt, {key: records[key] for key in PEOPLE[start : start + BATCH]})
        yield f"wrote {number}"
    store.write_fallback("shop", version, attempt, FALLBACK)
    yield "fallback"
    store.seal(manifest_of(version, attempt, night, records))
    yield "sealed"
    store.promote("shop", version, token, 3)
    yield "promoted"
