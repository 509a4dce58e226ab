"""The items considered for each user of a block: few hundreds of the whole catalogue, from six sources, each with its limit."""

from collections.abc import Iterator
from dataclasses import dataclass, fields

from nightfold.spark.arrays import find, pair_key, starts
from nightfold.spark.recommend.history import Block, Pairs
from nightfold.spark.recommend.knowledge import Knowledge
from nightfold.spark.recommend.nearest import nearest

import numpy as np

REPEAT, ALS, TOGETHER, POPULAR, SEGMENT, OVERALL = 1, 2, 4, 8, 16, 32
SOURCES = {"repeats": REPEAT, "als": ALS, "together": TOGETHER, "popular": POPULAR, "segment": SEGMENT, "overall": OVERALL}
"""Bits of a candidate's `source`: which of them have named it."""
HALF_LIFE = 60.0  # days; of the decayed counts by which repeats are taken, and neighbours weighed
KEPT_OF_HISTORY = 60  # items of a user whose neighbours are looked at


@dataclass(frozen=True)
class Limits:
    """How many candidates each source may name for one user; whether what he had is left out."""

    repeats: int
    als: int
    together: int
    popular: int
    segment: int
    overall: int
    exclude_seen: bool


@dataclass(frozen=True)
class Candidates:
    """(N,) each, by row and item; `pair` is the place among the user's Pairs, -1 for what he never took."""

    row: np.ndarray
    item: np.ndarray
    source: np.ndarray
    pair: np.ndarray
    together: np.ndarray
    """Sum over the neighbours that he took, of their score times how much he takes them now."""
    goes_with: np.ndarray
    """The neighbour that gave most, -1 for none."""
    als: np.ndarray
    """Product of the vectors; 0 where ALS does not know both."""
    als_place: np.ndarray
    """By that product, among the user's candidates, 0 the best."""

    def only(self, wanted: np.ndarray) -> "Candidates":
        """Some of them; places stay as they were."""
        return Candidates(*(getattr(self, field.name)[wanted] for field in fields(self)))


def candidates(past: Block, pairs: Pairs, known: Knowledge, limits: Limits, *, cutoff: int, recent: int) -> Candidates:
    """All sources together, each user and item once; only what may be listed.

    :param past: events up to `cutoff`
    :param recent: days that say what is popular now
    """
    items = len(known.available)
    decayed = pairs.sums(past.baskets * 0.5 ** ((cutoff - past.day) / HALF_LIFE))
    with_neighbours = _together(pairs, decayed, known, items)
    named = list(_named(past, pairs, decayed, with_neighbours, known, limits, recent))
    key = np.concatenate([k for k, _ in named])
    source = np.concatenate([np.full(len(k), bit, np.int8) for k, bit in named])
    order = np.argsort(key, kind="stable")
    key, source = key[order], source[order]
    start = starts(key)
    key, source = key[start], np.bitwise_or.reduceat(source, start) if len(start) else source
    row, item = key // items, key % items
    pair = find(pair_key(pairs.row, pairs.item, items), key)
    wanted = known.available[item]
    if limits.exclude_seen:
        wanted &= pair < 0
    row, item, source, pair, key = row[wanted], item[wanted], source[wanted], pair[wanted], key[wanted]
    near_key, near_score, near_with = with_neighbours
    place = find(near_key, key)
    found = place >= 0
    together, goes_with = np.zeros(len(key)), np.full(len(key), -1)
    together[found], goes_with[found] = near_score[place[found]], near_with[place[found]]
    user_vectors, item_vectors = known.factors_of(past.users)[row], known.factors[item]
    als = np.einsum("nf,nf->n", user_vectors.astype(np.float64), item_vectors.astype(np.float64))
    return Candidates(row, item, source, pair, together, goes_with, als, place_in_row(row, item, als))


def _named(
    past: Block,
    pairs: Pairs,
    decayed: np.ndarray,
    near: tuple[np.ndarray, np.ndarray, np.ndarray],
    known: Knowledge,
    limits: Limits,
    recent: int,
) -> Iterator[tuple[np.ndarray, int]]:
    """(keys, bit) of each source; a key is row * items + item."""
    items, users = len(known.available), len(past.users)
    seen, listed = pair_key(pairs.row, pairs.item, items), known.available[pairs.item]
    if not limits.exclude_seen:
        often = pairs.sums(past.baskets)
        for score in (decayed, often.astype(np.float64)):
            yield seen[listed][_first(pairs.row[listed], pairs.item[listed], score[listed], limits.repeats)], REPEAT

    may = np.flatnonzero(known.available)
    # what he had is named already, or not wanted
    row, item = best_by_als(past.users, pairs, known, n=limits.als, exclude_seen=True)
    yield pair_key(row, item, items), ALS

    key, score, _ = near
    new = (find(seen, key) < 0) & known.available[key % items]
    yield key[new][_first(key[new] // items, key[new] % items, score[new], limits.together)], TOGETHER

    more = np.bincount(pairs.row, minlength=users) if limits.exclude_seen else np.zeros(users, np.int64)
    popularity = known.statistics.popularity
    of_all = (
        (popularity[recent], limits.popular, POPULAR),
        (popularity[min(popularity)], limits.popular, POPULAR),
        (known.statistics.overall, limits.overall, OVERALL),
    )
    for score, limit, bit in of_all:
        most = _most(may, score)[: limit + int(more.max(initial=0))]
        everybody = pair_key(np.repeat(np.arange(users), len(most)), np.tile(most, users), items)
        yield _new(everybody, seen, items, limit) if limits.exclude_seen else everybody, bit
    if past.segments.shape[1]:
        alike = pair_key(*known.segments.named(past.segments[:, 0], more, n=limits.segment), items)
        yield _new(alike, seen, items, limits.segment) if limits.exclude_seen else alike, SEGMENT


def best_by_als(users: np.ndarray, pairs: Pairs, known: Knowledge, *, n: int, exclude_seen: bool) -> tuple[np.ndarray, np.ndarray]:
    """Rows and items: the n best by ALS alone of those that it knows and that may be listed, by row, best first.

    :param pairs: what the users took; left out where `exclude_seen`
    """
    fitted = np.flatnonzero(known.available & np.any(known.factors != 0, axis=1))
    at = np.full(len(known.available), -1)
    at[fitted] = np.arange(len(fitted))
    had = (at[pairs.item] >= 0) & exclude_seen
    vectors = known.factors_of(users)
    row, column = nearest(vectors, known.factors[fitted], n=n, seen=(pairs.row[had], at[pairs.item[had]]))
    has = np.any(vectors != 0, axis=1)[row]
    return row[has], fitted[column[has]]


def _most(items: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Those that anybody took, by descending score, ties to the lower item."""
    taken = items[score[items] > 0]
    return taken[np.lexsort((taken, -score[taken]))]


def _new(key: np.ndarray, seen: np.ndarray, items: int, n: int) -> np.ndarray:
    """The first n keys of each row that are not seen; the keys of a row stand together."""
    key = key[find(seen, key) < 0]
    start = starts(key // items)
    place = np.arange(len(key)) - np.repeat(start, np.diff(np.append(start, len(key))))
    return key[place < n]


def _together(pairs: Pairs, decayed: np.ndarray, known: Knowledge, items: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(M,) each, by key: what goes with what each user takes most: key, score, and the item that gave most of it."""
    kept = _first(pairs.row, pairs.item, decayed, KEPT_OF_HISTORY)
    begin, end = known.neighbour_start[pairs.item[kept]], known.neighbour_start[pairs.item[kept] + 1]
    count = end - begin
    origin = np.repeat(kept, count)
    place = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + np.repeat(begin, count)
    key = pair_key(pairs.row[origin], known.neighbours[place], items)
    given = known.neighbour_scores[place].astype(np.float64) * decayed[origin]
    order = np.lexsort((pairs.item[origin], -given, key))
    key, given, item = key[order], given[order], pairs.item[origin][order]
    if not len(key):
        return key, given, item
    start = starts(key)
    return key[start], np.add.reduceat(given, start), item[start]


def place_in_row(row: np.ndarray, item: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Place of each entry in its row by descending score, 0 the best; ties to the lower item. Rows ascend."""
    order = np.lexsort((item, -score, row))
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order)) - np.searchsorted(row, row[order])
    return place


def _first(row: np.ndarray, item: np.ndarray, score: np.ndarray, n: int) -> np.ndarray:
    """The n best of each row."""
    return np.flatnonzero(place_in_row(row, item, score) < n)
