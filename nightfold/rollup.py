"""What a night of a layer consists of: for each source, the nights that count and where each lies.

`ingest` and `clean` keep one manifest per source and night, and one for the night of the run that names them all. The
stages after read that one only, so that whatever lands or changes meanwhile is not seen.
"""

from nightfold import fingerprint
from nightfold.lake import Manifest

Partitions = dict[str, dict[str, Manifest]]
"""Source → night → manifest."""


def facts(partitions: Partitions) -> dict:
    """As the roll-up's manifest keeps it."""
    return {
        "sources": {
            source: {night: {"fingerprint": m.fingerprint, "data": m.data, "rows": m.rows} for night, m in sorted(nights.items())}
            for source, nights in sorted(partitions.items())
        }
    }


def fingerprint_of(partitions: Partitions) -> str:
    """Of everything that the night consists of."""
    return fingerprint.digest({s: {n: m.fingerprint for n, m in nights.items()} for s, nights in partitions.items()})


def folders(manifest: Manifest, source: str, *, since: str = "", until: str = "9999-99-99") -> list[str]:
    """The data folders of one source's nights, below the lake's root; nights of no rows have none."""
    nights = manifest.facts["sources"][source]
    return [entry["data"] for night, entry in nights.items() if entry["data"] and since <= night <= until]


def rows(manifest: Manifest, source: str) -> dict[str, int]:
    """Rows by night."""
    return {night: entry["rows"] for night, entry in manifest.facts["sources"][source].items()}
