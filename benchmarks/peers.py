"""Truth and the lists to compare with, from the grocer's package itself, never from the lake. Ids are strings."""

from collections.abc import Mapping, Set
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import islice

from nightfold.errors import BadInput
from samples import grocer

import numpy as np

WINDOW = 28  # days after the night that the lists are judged on
ALS = {"factors": 64, "iterations": 10, "regularization": 1.0, "random_state": 7}
ALS_CONFIDENCE = 0.1  # per basket; of 0.1, 0.5, 1 and 2, on counts, logs and ones, the best here


@dataclass(frozen=True)
class Purchases:
    """Lines of receipts: arrays of one length."""

    household: np.ndarray
    basket: np.ndarray
    product: np.ndarray
    day: np.ndarray
    """datetime64[D], UTC."""

    def where(self, mask: np.ndarray) -> "Purchases":
        return Purchases(self.household[mask], self.basket[mask], self.product[mask], self.day[mask])

    def up_to(self, ds: str) -> "Purchases":
        return self.where(self.day <= np.datetime64(ds))


@dataclass(frozen=True)
class Lists:
    """Lists by household, best first, and the one for everybody else."""

    own: Mapping[str, list[str]]
    fallback: list[str]

    def of(self, household: str) -> list[str]:
        return self.own.get(household, self.fallback)


def purchases() -> Purchases:
    """All that the grocer ever sold."""
    table = grocer.read("transactions")
    names = ("household_id", "basket_id", "product_id", "transaction_timestamp")
    household, basket, product, when = (table[name].to_numpy() for name in names)
    return Purchases(household=household, basket=basket, product=product, day=when.astype("datetime64[D]"))


def catalogue() -> np.ndarray:
    """Ids of all products that have a row in the shop's table."""
    return grocer.read("products")["product_id"].to_numpy()


def window(ds: str) -> tuple[str, str]:
    """First and last day that a night is judged on. Raises BadInput when `ds` is not a day."""
    try:
        night = date.fromisoformat(ds)
    except ValueError:
        raise BadInput(f"{ds!r} is not a night: give a day as YYYY-MM-DD") from None
    return str(night + timedelta(days=1)), str(night + timedelta(days=WINDOW))


def truth(lines: Purchases, ds: str, *, known: np.ndarray) -> dict[str, Set[str]]:
    """What each household bought in the window, of the known products; households that bought none are left out.

    Raises BadInput when nothing was sold after `ds`, or the window runs past the last day.
    """
    first, last = window(ds)
    if np.datetime64(last) > lines.day.max():
        raise BadInput(f"night {ds}: sales after {lines.day.max()} are unknown: judge a night at least {WINDOW} days before")
    after = lines.where((lines.day >= np.datetime64(first)) & (lines.day <= np.datetime64(last)) & np.isin(lines.product, known))
    bought: dict[str, set[str]] = {}
    for household, product in zip(after.household.tolist(), after.product.tolist(), strict=True):
        bought.setdefault(str(household), set()).add(str(product))
    return dict(sorted(bought.items()))


def popularity(history: Purchases, *, by: str, n: int) -> list[str]:
    """The n products in most distinct baskets (or bought by most households); ties by the smaller id."""
    products, counts = _popularity(history, by=by)
    return [str(product) for product in products[np.lexsort((products, -counts))][:n]]


def personal_frequency(history: Purchases, *, n: int) -> Lists:
    """What each household had in most baskets; ties by popularity in baskets, then by the smaller id. Else what is popular."""
    products, popular = _popularity(history, by="basket")
    pairs, baskets = _baskets(history)
    households, items = pairs
    order = np.lexsort((items, -popular[np.searchsorted(products, items)], -baskets, households))
    households, items = households[order], items[order]
    place = np.arange(len(order)) - np.searchsorted(households, households)  # within the household, from 0
    own: dict[str, list[str]] = {}
    for household, item in zip(households[place < n].tolist(), items[place < n].tolist(), strict=True):
        own.setdefault(str(household), []).append(str(item))
    return Lists(own=own, fallback=popularity(history, by="basket", n=n))


def unseen(truth: Mapping[str, Set[str]], history: Purchases) -> dict[str, Set[str]]:
    """The same truth less what each household had bought before; households that are left with nothing are left out."""
    before = _bought(history)
    left = {household: bought - before.get(household, set()) for household, bought in truth.items()}
    return {household: bought for household, bought in left.items() if bought}


def popular_unseen(history: Purchases, *, n: int) -> Lists:
    """What is in most baskets, less what each household had bought before."""
    before, most = _bought(history), popularity(history, by="basket", n=len(np.unique(history.product)))
    own = {household: list(islice((item for item in most if item not in had), n)) for household, had in before.items()}
    return Lists(own=own, fallback=most[:n])


def _bought(history: Purchases) -> dict[str, set[str]]:
    pairs, _ = _baskets(history)
    found: dict[str, set[str]] = {}
    for household, product in zip(*pairs.tolist(), strict=True):
        found.setdefault(str(household), set()).add(str(product))
    return found


def als(history: Purchases, *, n: int, new: bool = False) -> Lists:
    """Implicit-feedback matrix factorisation alone (Hu, Koren & Volinsky 2008), what was bought before included unless `new`."""
    import scipy.sparse
    import threadpoolctl
    from implicit.als import AlternatingLeastSquares

    pairs, baskets = _baskets(history)
    users, user_index = np.unique(pairs[0], return_inverse=True)
    items, item_index = np.unique(pairs[1], return_inverse=True)
    matrix = scipy.sparse.csr_matrix((baskets.astype(np.float32) * ALS_CONFIDENCE, (user_index, item_index)))
    with threadpoolctl.threadpool_limits(1, "blas"):  # implicit has threads of its own
        model = AlternatingLeastSquares(**ALS)
        model.fit(matrix, show_progress=False)
        best, _ = model.recommend(np.arange(len(users)), matrix, N=n, filter_already_liked_items=new)
    own = {str(user): [str(item) for item in items[row]] for user, row in zip(users, best, strict=True)}
    return Lists(own=own, fallback=popularity(history, by="basket", n=n))


def _popularity(history: Purchases, *, by: str) -> tuple[np.ndarray, np.ndarray]:
    """Products ascending, and how many distinct baskets or households each was in."""
    products, _ = _distinct(history.product, getattr(history, by))
    return np.unique(products, return_counts=True)


def _baskets(history: Purchases) -> tuple[np.ndarray, np.ndarray]:
    """Distinct (household, product) as an array (2, pairs), and the number of distinct baskets of each."""
    households, products, _ = _distinct(history.household, history.product, history.basket)
    first = np.ones(len(households), dtype=bool)
    first[1:] = (households[1:] != households[:-1]) | (products[1:] != products[:-1])
    starts = np.flatnonzero(first)
    return np.stack([households[starts], products[starts]]), np.diff(np.append(starts, len(households)))


def _distinct(*columns: np.ndarray) -> tuple[np.ndarray, ...]:
    """The distinct rows in ascending order, by the first column first (numpy's unique over an axis is 20 times slower)."""
    order = np.lexsort(columns[::-1])
    ordered = [column[order] for column in columns]
    new = np.ones(len(order), dtype=bool)
    new[1:] = np.logical_or.reduce([column[1:] != column[:-1] for column in ordered])
    return tuple(column[new] for column in ordered)
