"""What the ranker knows of a user and a candidate as of a cutoff: (N,) float32 each, NaN where nothing is known.

Counts are of baskets; days are before the cutoff. Nothing here sees an event after it: all comes from `past` and `known`.
"""

from collections.abc import Iterator

from nightfold.spark.arrays import find, pair_key
from nightfold.spark.recommend.candidates import Candidates, place_in_row
from nightfold.spark.recommend.history import Block, Pairs
from nightfold.spark.recommend.item_statistics import SPANS
from nightfold.spark.recommend.knowledge import Knowledge

import numpy as np

WINDOWS = (28, 84, 182)
HALF_LIVES = (14.0, 45.0, 120.0)
GROUP_HALF_LIFE = 60.0
WEEK = 7

Named = Iterator[tuple[str, np.ndarray]]


def features(past: Block, pairs: Pairs, known: Knowledge, some: Candidates, *, cutoff: int) -> dict[str, np.ndarray]:
    """Name → (N,) float32, one entry per candidate; the names depend on the attributes of users and items only, and on whether
    somebody says what is promoted."""
    made: dict[str, np.ndarray] = {}
    user = dict(_of_user(past, pairs, cutoff))
    made |= {name: values[some.row] for name, values in user.items()}
    taken = dict(_of_pair(past, pairs, known, user, cutoff))
    again = some.pair >= 0
    for name, values in taken.items():
        column = np.full(len(some.row), 0.0 if name.startswith(("baskets", "decayed", "share")) else np.nan)
        column[again] = values[some.pair[again]]
        made[name] = column
    made |= dict(_of_item(known, some))
    made |= dict(_of_groups(past, pairs, known, some, cutoff))
    made |= dict(_of_segments(past, known, some))
    made |= dict(_of_both(some, made))
    return {name: _finite(np.asarray(values, np.float32)) for name, values in made.items()}


def _finite(values: np.ndarray) -> np.ndarray:
    """A ratio to nothing is not known."""
    return np.where(np.isfinite(values), values, np.float32(np.nan))


def _of_user(past: Block, pairs: Pairs, cutoff: int) -> Named:
    """(B,) each."""
    users = len(past.users)
    age = cutoff - past.visit_day
    total = lambda row, values: np.bincount(row, values, minlength=users)  # noqa: E731
    first, last = np.full(users, np.nan), np.full(users, np.nan)
    known = np.bincount(past.visit_row, minlength=users) > 0
    ends = np.flatnonzero(np.append(past.visit_row[1:] != past.visit_row[:-1], True)) if len(age) else np.zeros(0, np.int64)
    last[known] = age[ends]
    starts = np.append(0, ends[:-1] + 1) if len(ends) else ends
    first[known] = age[starts]
    visits, days = total(past.visit_row, past.visit_baskets), np.bincount(past.visit_row, minlength=users)
    yield "user_baskets_28", total(past.visit_row, np.where(age < 28, past.visit_baskets, 0))
    yield "user_baskets", visits
    yield "user_recency", last
    yield "user_age", first
    with np.errstate(divide="ignore", invalid="ignore"):
        yield "user_gap", (first - last) / np.maximum(days - 1, 1)
        yield "user_basket_size", total(past.row, past.baskets) / visits
        counted = pairs.sums(past.baskets)
        yield "user_repeat_share", total(pairs.row, counted > 1) / total(pairs.row, np.ones(len(pairs.row)))
        spent, saved = total(past.row, np.nan_to_num(past.amount)), total(past.row, np.nan_to_num(past.discount))
        yield "user_price", spent / total(past.row, past.baskets)
        yield "user_discount_share", saved / (spent + saved)


def _of_pair(past: Block, pairs: Pairs, known: Knowledge, user: dict[str, np.ndarray], cutoff: int) -> Named:
    """(P,) each."""
    age = cutoff - past.day
    counted = {0: pairs.sums(past.baskets)} | {span: pairs.sums(np.where(age < span, past.baskets, 0)) for span in WINDOWS}
    yield "baskets", counted[0]
    for span in WINDOWS:
        yield f"baskets_{span}", counted[span]
    for half_life in HALF_LIVES:
        yield f"decayed_{half_life:g}", pairs.sums(past.baskets * 0.5 ** (age / half_life))
    first, recency, days = pairs.firsts(age), pairs.lasts(age), pairs.lengths(len(age))
    gap = np.where(days > 1, (first - recency) / np.maximum(days - 1, 1), np.nan)
    previous = np.full(len(days), np.nan)
    ends = pairs.start + days - 1
    twice = days > 1
    previous[twice] = age[ends[twice] - 1] - age[ends[twice]]
    yield "days", days.astype(np.float64)
    yield "recency", recency
    yield "since_first", first
    yield "gap", gap
    yield "gap_last", previous
    item_gap = known.statistics.mean_gap[pairs.item]
    with np.errstate(divide="ignore", invalid="ignore"):
        yield "overdue", recency / gap
        yield "overdue_item", recency / item_gap
        expected = (gap * days + item_gap) / (days + 1)
        yield "overdue_blend", recency / np.where(np.isnan(expected), np.where(twice, gap, item_gap), expected)
        yield "share", counted[0] / user["user_baskets"][pairs.row]
        yield "rate_since_first", counted[0] / (first + 1)
        yield "trend", (counted[28] + 0.5) / (counted[84] / 3 + 0.5)
        amount, discount = pairs.sums(np.nan_to_num(past.amount)), pairs.sums(np.nan_to_num(past.discount))
        yield "price_paid", amount / counted[0]
        yield "discount_paid", discount / (amount + discount)
    same = past.day % WEEK == cutoff % WEEK
    yield "same_weekday_share", pairs.sums(same.astype(np.float64)) / days
    yield "place_by_decay", place_in_row(pairs.row, pairs.item, pairs.sums(past.baskets * 0.5 ** (age / HALF_LIVES[1])))


def _of_item(known: Knowledge, some: Candidates) -> Named:
    stats, item = known.statistics, some.item
    for span in SPANS:
        yield f"popularity_{span}", stats.popularity[span][item]
    yield "item_users", stats.users[item]
    yield "item_repeat_rate", stats.repeat_rate[item]
    yield "item_gap", stats.mean_gap[item]
    yield "item_price", stats.price[item]
    yield "item_discount", stats.discount_share[item]
    yield "item_discount_7", stats.discount_share_7[item]
    yield "item_recency", stats.recency[item]
    yield "item_age", stats.age[item]
    if known.promoted is not None:
        yield "promoted", known.promoted[item].astype(np.float64)
    yield "item_trend", (stats.popularity[28][item] + 0.01) / (stats.popularity[84][item] + 0.01)


def _of_groups(past: Block, pairs: Pairs, known: Knowledge, some: Candidates, cutoff: int) -> Named:
    """The user's habits among items of the same category, or other attribute; zeros for an item that has none."""
    decayed = pairs.sums(past.baskets * 0.5 ** ((cutoff - past.day) / GROUP_HALF_LIFE))
    recency = pairs.lasts(cutoff - past.day)
    for number, codes in enumerate(known.groups):
        size = int(codes.max(initial=-1)) + 1
        theirs = codes[pairs.item]
        has = theirs >= 0
        key, at = np.unique(pair_key(pairs.row[has], theirs[has], size), return_inverse=True)
        weight = np.bincount(at, decayed[has], minlength=len(key))
        latest = np.full(len(key), np.inf)
        np.minimum.at(latest, at, recency[has])
        place = find(key, pair_key(some.row, codes[some.item], size))
        found = (codes[some.item] >= 0) & (place >= 0)
        column = np.zeros((2, len(place)))
        column[1] = np.nan
        column[:, found] = np.stack([weight[place[found]], latest[place[found]]])
        own = np.where(some.pair >= 0, decayed[np.maximum(some.pair, 0)] if len(decayed) else 0.0, 0.0)
        yield f"group_{number}_decayed", column[0]
        yield f"group_{number}_recency", column[1]
        with np.errstate(divide="ignore", invalid="ignore"):
            yield f"group_{number}_own_share", own / column[0]


def _of_segments(past: Block, known: Knowledge, some: Candidates) -> Named:
    """What users alike take now, for each attribute: of itself, and beside everybody."""
    everybody = known.statistics.popularity[known.recent][some.item]
    for number, segment in enumerate(past.segments.T):
        popularity = known.segments.popularity(segment[some.row], some.item)
        yield f"segment_{number}_popularity", popularity
        yield f"segment_{number}_lift", (popularity + 0.01) / (everybody + 0.01)


def _of_both(some: Candidates, made: dict[str, np.ndarray]) -> Named:
    yield "als", some.als
    yield "als_place", some.als_place
    yield "together", some.together
    yield "expected_again", made["baskets_84"] * made["item_repeat_rate"]
