"""Land the grocer: `python -m samples.land [--days N] [--households M] [--until YYYY-MM-DD] [--landing URI]`.

Writes  <landing>/grocery/transactions/<day>.csv    purchases, one file per day that the shop was open
        <landing>/grocery/redemptions/<day>.jsonl   coupons redeemed that day, empty on a day with none
        <landing>/grocery/demographics.jsonl        some households, as a snapshot
        <landing>/grocery/campaigns.parquet         which household got which campaign, as a snapshot
        <landing>/grocery/.landed.json              what was landed, so that nothing is done twice
        tables products, coupons and campaign_descriptions of the shop's own database

The same call gives the same bytes. A file that is already right is not touched; one that an earlier, larger cut landed is
removed; one that somebody else put there is left alone.
"""

import argparse
import json
import os
import secrets
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from nightfold import settings
from nightfold.errors import BadInput, NightfoldError
from samples import grocer, shop_db

STAMP = ".landed.json"


@dataclass(frozen=True)
class Landed:
    """What one call did, and what lies there now."""

    folder: Path
    days: int
    last_day: str
    households: int
    transactions: int
    written: int
    removed: int
    unchanged: int
    database: str
    """ "loaded", "unchanged" or "left out"."""
    seconds: float

    def __str__(self) -> str:
        return (
            f"landed in {self.folder}: {self.days} days to {self.last_day}, {self.households:,} households, "
            f"{self.transactions:,} transactions; files {self.written} written, {self.unchanged} unchanged, "
            f"{self.removed} removed; database {self.database}; {self.seconds:.1f} s"
        )


def land(
    *,
    landing_uri: str | None = None,
    days: int | None = None,
    households: int | None = None,
    until: str | None = None,
    database: bool = True,
) -> Landed:
    """Land a cut of the grocer (see `samples.grocer.Cut`), and the shop's tables unless `database` is False.

    Raises BadInput for a wrong cut or landing, NightfoldError when the shop's database does not answer.
    """
    start = time.monotonic()
    cut = grocer.Cut(days=days, households=households, until=until)
    folder = local(landing_uri or settings.landing_uri()) / "grocery"
    in_database = _land_tables() if database else "left out"
    stamp = _stamp_of(folder)
    identity = {"made_by": grocer.made_by(), "cut": asdict(cut)}
    if stamp.get("identity") == identity and _all_there(folder, stamp["sizes"]):
        written, removed, unchanged = 0, 0, len(stamp["sizes"])
    else:
        stamp, written, removed = _land_files(folder, cut, identity=identity, before=stamp.get("sizes", {}))
        unchanged = len(stamp["sizes"]) - written
    return Landed(
        folder=folder,
        written=written,
        removed=removed,
        unchanged=unchanged,
        database=in_database,
        seconds=time.monotonic() - start,
        **stamp["shape"],
    )


def _land_tables() -> str:
    stamp = grocer.made_by()
    with shop_db.connected() as connection:
        if shop_db.holds(connection, stamp):
            return "unchanged"
        shop_db.replace(connection, grocer.shop_tables(), stamp)
    return "loaded"


def _land_files(folder: Path, cut: grocer.Cut, *, identity: dict, before: dict[str, int]) -> tuple[dict, int, int]:
    """Write what is not yet right and remove what is no longer wanted; the stamp, files written, files removed.

    The stamp names every file before it is written: after a crash nothing of ours is taken for somebody else's.
    """
    delivery = grocer.delivery(cut)
    ours = {**before, **dict.fromkeys(delivery.names, -1)}
    write(folder / STAMP, _as_json({"identity": None, "sizes": ours}))
    sizes, written = {}, 0
    for name, content in delivery.contents():
        written += write(folder / name, content)
        sizes[name] = len(content)
    removed = _remove(folder, before.keys() - sizes.keys())
    shape = {
        "days": delivery.days,
        "last_day": str(delivery.last_day),
        "households": delivery.households,
        "transactions": delivery.transactions,
    }
    stamp = {"identity": identity, "shape": shape, "sizes": sizes}
    write(folder / STAMP, _as_json(stamp))
    return stamp, written, removed


def write(path: Path, content: bytes) -> bool:
    """Make the file hold this, whole or not at all; True if it did not yet."""
    if path.is_file() and path.read_bytes() == content:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    temporary.write_bytes(content)
    temporary.replace(path)
    return True


def _remove(folder: Path, names: Iterable[str]) -> int:
    there = [folder / name for name in names if (folder / name).is_file()]
    for path in there:
        path.unlink()
    return len(there)


def _stamp_of(folder: Path) -> dict:
    path = folder / STAMP
    return json.loads(path.read_bytes()) if path.is_file() else {}


def _all_there(folder: Path, sizes: dict[str, int]) -> bool:
    return all((path := folder / name).is_file() and path.stat().st_size == size for name, size in sizes.items())


def _as_json(value: dict) -> bytes:
    return (json.dumps(value, indent=1, sort_keys=True) + "\n").encode()


def local(uri: str) -> Path:
    if "://" in uri and not uri.startswith("file://"):
        raise BadInput(f"{uri} is not on this machine's disk: land to a path or a file:// URI, and copy from there")
    return Path(uri.removeprefix("file://")).resolve()


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m samples.land", description="Land the sample grocer.")
    parser.add_argument("--days", type=int, help="only the first N days, from 2017-01-01")
    parser.add_argument("--households", type=int, help="only M households, the same ones every time")
    parser.add_argument("--until", metavar="YYYY-MM-DD", help="only days up to this one")
    parser.add_argument("--landing", metavar="URI", help="where to (default: NIGHTFOLD_LANDING)")
    parser.add_argument("--no-database", action="store_true", help="leave the shop's database alone")
    args = parser.parse_args(argv)
    try:
        landed = land(
            landing_uri=args.landing,
            days=args.days,
            households=args.households,
            until=args.until,
            database=not args.no_database,
        )
    except NightfoldError as error:
        print(f"samples.land: {error}", file=sys.stderr)
        return 2 if isinstance(error, BadInput) else 1
    print(landed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
