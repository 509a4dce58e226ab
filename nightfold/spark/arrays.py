"""Small operations on sorted numpy arrays, and rows of a matrix as Arrow lists: what the Python workers share."""

import numpy as np
import pyarrow as pa


def starts(key: np.ndarray) -> np.ndarray:
    """Where each run of equal values begins, (R,) of a sorted array (N,)."""
    return np.flatnonzero(np.append(True, key[1:] != key[:-1])) if len(key) else np.zeros(0, np.int64)


def find(ascending: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Place of each wanted value (N,) in an ascending array, -1 where it is not there."""
    if not len(ascending):
        return np.full(len(wanted), -1)
    at = np.minimum(np.searchsorted(ascending, wanted), len(ascending) - 1)
    return np.where(ascending[at] == wanted, at, -1)


def added(at: np.ndarray, values: np.ndarray, length: int) -> np.ndarray:
    """(length,) int64: sums of the values (N,) by their places (N,)."""
    total = np.zeros(length, np.int64)
    np.add.at(total, at, values)
    return total


def pair_key(row: np.ndarray, column: np.ndarray, columns: int) -> np.ndarray:
    """(N,) one number for each row and column: row * columns + column, so that order by it is order by row, then column."""
    return row.astype(np.int64) * columns + column


def lists(matrix: np.ndarray) -> pa.ListArray:
    """(N, F) as N lists of F numbers."""
    offsets = np.arange(len(matrix) + 1, dtype=np.int32) * matrix.shape[1]
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(matrix.reshape(-1)))
