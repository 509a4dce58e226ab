"""Measures of a list against what was truly bought. Pure; one user at a time, and over users with an interval."""

from collections.abc import Sequence, Set

import numpy as np

K = 10  # length of the judged list
RESAMPLES = 1_000
SEED = 20171203


def ndcg(items: Sequence[str], bought: Set[str], *, k: int = K) -> float:
    """Normalised discounted cumulative gain with binary relevance (Järvelin & Kekäläinen 2002).

    A hit at place p (from 1) counts 1 / log2(p + 1); the ideal has min(k, items bought) hits at the top.
    """
    _check(items, bought)
    gain = sum(1 / np.log2(place + 1) for place, item in enumerate(items[:k], 1) if item in bought)
    ideal = sum(1 / np.log2(place + 1) for place in range(1, min(k, len(bought)) + 1))
    return float(gain / ideal)


def recall(items: Sequence[str], bought: Set[str], *, k: int = K) -> float:
    """The share of all that was bought which is among the first k."""
    _check(items, bought)
    return len(bought.intersection(items[:k])) / len(bought)


def hit(items: Sequence[str], bought: Set[str], *, k: int = K) -> float:
    """1 when anything among the first k was bought, else 0."""
    _check(items, bought)
    return float(not bought.isdisjoint(items[:k]))


def paired_interval(ours: np.ndarray, theirs: np.ndarray, *, resamples: int = RESAMPLES, seed: int = SEED) -> tuple[float, float]:
    """The 95% percentile-bootstrap interval of the mean difference over the same users (Efron 1979).

    :param ours, theirs: one value per user, in one order, shape (users,)
    """
    if ours.shape != theirs.shape or ours.ndim != 1 or not ours.size:
        raise ValueError(f"need one value per user from both, at least one user; got shapes {ours.shape} and {theirs.shape}")
    difference = ours - theirs
    draws = np.random.default_rng(seed).integers(0, difference.size, size=(resamples, difference.size))
    low, high = np.quantile(difference[draws].mean(axis=1), [0.025, 0.975])
    return float(low), float(high)


def _check(items: Sequence[str], bought: Set[str]) -> None:
    if len(set(items)) != len(items):
        raise ValueError(f"a list names an item twice: {list(items)}")
    if not bought:
        raise ValueError("nothing was bought: a user without purchases is not judged")
