"""Lands the tiny pipeline's data: 30 listeners with tastes, 40 tunes, so many days up to a last one."""

import json
import random
import sqlite3
from datetime import date, timedelta
from pathlib import Path

LISTENERS = [f"{n:04d}" for n in range(1, 31)]
TUNES = [f"0{n:03d}" for n in range(1, 41)]
UNLICENSED = TUNES[:3]


def land(landing: Path, *, last: date, days: int) -> None:
    """A folder of JSON lines per day; each day one malformed line and one play of a tune that does not exist."""
    for back in range(days):
        day = last - timedelta(days=back)
        folder = landing / "tunes" / "plays" / str(day)
        folder.mkdir(parents=True, exist_ok=True)
        lines = [json.dumps(play) for play in _plays(day)]
        lines += ['{"listener": "0001", "tune"', json.dumps(_play("0001", "9999", day, hour=12))]
        (folder / "part-0.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def catalogue(path: Path) -> None:
    """The catalogue's database."""
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE catalogue (code TEXT, name TEXT, genre TEXT, licence TEXT)")
        rows = [
            (code, f"Stück {code}", "polka" if int(code) % 2 else "waltz", "no" if code in UNLICENSED else "yes") for code in TUNES
        ]
        database.executemany("INSERT INTO catalogue VALUES (?, ?, ?, ?)", rows)


def _plays(day: date) -> list[dict]:
    """Every listener hears some tunes of the genre that he likes; the same on every machine."""
    chance = random.Random(day.toordinal())  # noqa: S311 (a sample, not a secret)
    plays = []
    for number, listener in enumerate(LISTENERS):
        liked = [tune for tune in TUNES if int(tune) % 2 == number % 2]
        plays += [_play(listener, tune, day, hour=hour) for hour, tune in enumerate(chance.sample(liked, 3), 8)]
    return plays


def _play(listener: str, tune: str, day: date, *, hour: int) -> dict:
    return {"listener": listener, "tune": tune, "heard_at": f"{day}T{hour:02d}:30:00", "seconds": 180}
