"""The items whose vectors have the largest product with a user's: dense products of blocks of users, exact to the last place.

The block's product is taken in float32 (BLAS); all that can be among the best within its rounding is then summed again in float64,
each by itself, so that neither the block's size nor the BLAS decides about equals, which go to the lower column.
"""

import numpy as np

RESCORED_AT_ONCE = 1 << 18
Places = tuple[np.ndarray, np.ndarray]
"""Rows and columns of a block, of the same length."""


def nearest(users: np.ndarray, items: np.ndarray, *, n: int, seen: Places) -> Places:
    """The n best columns of each row, less `seen`; by row, best first.

    :param users: (B, F) float32
    :param items: (C, F) float32
    """
    rough = users @ items.T
    rough[seen] = -np.inf
    row, column = _near_the_top(rough, n, _rounding(users, items))
    order = np.lexsort((column, -_products(users, items, row, column), row))
    rank = np.arange(len(order)) - np.searchsorted(row, row)  # np.nonzero gave the rows in order
    best = order[rank < n]
    return row[best], column[best]


def _near_the_top(rough: np.ndarray, n: int, rounding: np.ndarray) -> Places:
    """Rows and columns of all that can be among the best n of its row, in order of the rows.

    The columns are dealt into groups. The n-th best of the groups' maxima is reached by n columns at least, so nothing below
    it counts; that is several times faster than a partition of every row. `rounding` (B,) is what float32 may have taken off.
    """
    columns = rough.shape[1]
    groups = min(columns, 32 * n)
    if not n or not groups:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    floor = np.full(len(rough), -np.inf, np.float32)
    if groups >= n:
        deep = columns // groups
        maxima = rough[:, : deep * groups].reshape(len(rough), deep, groups).max(axis=1)
        floor = np.partition(maxima, groups - n, axis=1)[:, groups - n]
        finite = np.isfinite(floor)
        floor[finite] -= (rounding + 2.0**-21 * np.abs(floor))[finite]
    return np.nonzero((rough >= floor[:, None]) & (rough > -np.inf))


def _rounding(users: np.ndarray, items: np.ndarray) -> np.ndarray:
    """(B,) an upper bound of a float32 product's error: (F + 4) * 2^-21 * |x| |y|, eight times what the theory says."""
    longest = np.linalg.norm(items, axis=1).max(initial=0.0)
    return 2.0**-21 * (users.shape[1] + 4) * np.linalg.norm(users, axis=1) * longest


def _products(users: np.ndarray, items: np.ndarray, row: np.ndarray, column: np.ndarray) -> np.ndarray:
    """x·y in float64 of the pairs named, each summed by itself."""
    products = np.zeros(len(row))
    for first in range(0, len(row), RESCORED_AT_ONCE):
        some = slice(first, first + RESCORED_AT_ONCE)
        products[some] = (users[row[some]].astype(np.float64) * items[column[some]]).sum(axis=1)
    return products
