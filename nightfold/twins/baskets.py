"""The twin of a night's collaborative filtering: a basket in, what goes with it out, for somebody whom the night has never seen.

A basket becomes a vector as ALS makes one of a user, with the items' factors of the night held still ("fold-in"): the solution of
(YtY + λI + Yt(C - I)Y) x = Yt C p, with confidence C = alpha x weight of what is in the basket, and 1 of all else (Hu, Koren, Volinsky,
"Collaborative Filtering for Implicit Feedback Datasets", 2008). Solved exactly, as `implicit` does for one user; with MLlib's factors λ is
the same for all baskets, where MLlib's grows with their length (docs/decisions/0017).

It is ALS alone: the ranker of the nightly lists needs a past, which a basket has not.
"""

from collections.abc import Collection, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from nightfold.errors import BadInput
from nightfold.twins import folder
from nightfold.twins.folder import near, quoted

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

ITEMS = "items.parquet"
HEAVIEST = 1e6  # baskets; more is no count of anything, and large numbers make the solution meaningless
DECIMALS = 6  # of a score: equal ones go by the item's id


class Document(folder.Document):
    """Beside it ITEMS, a row per item in the order of ids: `id` string, `available` bool (may be listed), `popularity` double (baskets per
    1,000 of the last days), `place` int (0: the most popular), `factors` list<float>, and where the catalogue has columns `of`, a struct
    with a string for each of them."""

    kind: Literal["baskets"] = "baskets"
    factors: int = Field(ge=1)
    alpha: float = Field(gt=0)
    regularization: float = Field(ge=0)
    columns: list[str]
    """Of the catalogue: by what answers can be narrowed down."""

    @property
    def needs(self) -> set[str]:
        return {ITEMS}


@dataclass(frozen=True)
class Answer:
    """What goes with a basket."""

    items: list[tuple[str, float]]
    """Id and score, best first."""
    unknown: list[str]
    """Items of the basket that the night did not know."""
    source: Literal["basket", "popularity"]
    """popularity: the night knew nothing of the basket; scores are shares of the most popular item's."""


class Baskets:
    """A twin in memory, of I items with F factors; may be asked by several threads at once."""

    def __init__(self, document: Document, items: pa.Table) -> None:
        self.document = document
        self._ids: list[str] = items["id"].to_pylist()
        self._rows = {item: row for row, item in enumerate(self._ids)}
        self._available = items["available"].to_numpy()
        self._place = items["place"].to_numpy()
        self._factors = items["factors"].combine_chunks().flatten().to_numpy().reshape(len(self._ids), document.factors)
        self._learned = self._factors.any(axis=1)
        of = {name: items["of"].combine_chunks().field(name).dictionary_encode() for name in document.columns}
        self._values: dict[str, list[str]] = {name: column.dictionary.to_pylist() for name, column in of.items()}
        self._codes = {name: column.indices.fill_null(len(column.dictionary)).to_numpy() for name, column in of.items()}
        popularity = items["popularity"].to_numpy()
        self._popularity = popularity / (popularity[self._available].max(initial=0) or 1)
        wide = self._factors.astype(np.float64)
        self._gram = wide.T @ wide + document.regularization * np.eye(document.factors)

    @classmethod
    def load(cls, uri: str) -> "Baskets":
        """Read a twin's folder on the lake. Raises BadInput in one line when it is none, or of another format."""
        document, files = folder.read(uri, Document)
        try:
            return cls(document, pq.read_table(pa.BufferReader(files[ITEMS])))
        except (KeyError, ValueError) as error:  # Arrow's own are among them
            raise BadInput(f"{uri}/{ITEMS}: does not fit {folder.DOCUMENT} ({quoted(str(error))}): {folder.MEND}") from error

    @cached_property
    def columns(self) -> dict[str, list[str]]:
        """By what answers can be narrowed down: column of the catalogue → its values."""
        return {name: sorted(values) for name, values in self._values.items()}

    def of(self, item: str) -> dict[str, str | None] | None:
        """The item's value of every column; None when the night did not know it."""
        row = self._rows.get(item)
        if row is None:
            return None
        codes = {name: self._codes[name][row] for name in self._values}
        return {name: values[codes[name]] if codes[name] < len(values) else None for name, values in self._values.items()}

    def recommend(
        self,
        basket: Mapping[str, float],
        n: int,
        *,
        exclude_seen: bool,
        without: AbstractSet[str] = frozenset(),
        only: Mapping[str, Collection[str]] | None = None,
    ) -> Answer:
        """The best n items that may be listed; equal scores go by the item's id. The same question has the same answer.

        :param basket: item → its weight, in baskets
        :param exclude_seen: leave out what is in the basket
        :param without: items to leave out; those that the night did not know are out already
        :param only: column → values: an item must have one of these; a value that no item has narrows down to nothing

        Raises BadInput, which names the field.
        """
        if n < 1:
            raise BadInput(f"n: {n} is no length of a list: give 1 or more")
        seen, weights, unknown = self._known(basket)
        allowed = self._allowed(only or {})
        left_out = [self._rows[item] for item in without if item in self._rows]
        allowed[[*left_out, *(seen if exclude_seen else [])]] = False
        told = self._learned[seen]
        if told.any():
            products = self._factors @ self.folded_in(seen[told], weights[told])
            scores = np.round(products.astype(np.float64), DECIMALS)
            best = _best(scores, allowed & self._learned, n)
        else:
            scores = np.round(self._popularity, DECIMALS)
            best = _best(-self._place, allowed, n)
        items = [(self._ids[row], float(scores[row])) for row in best]
        return Answer(items, unknown, "basket" if told.any() else "popularity")

    def folded_in(self, rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """(F,) float32: the basket's vector.

        :param rows: (B,) of items
        :param weights: (B,) in baskets
        """
        vectors, confidence = self._factors[rows].astype(np.float64), self.document.alpha * weights
        left = self._gram + (vectors.T * (confidence - 1)) @ vectors
        right = confidence @ vectors
        if self.document.regularization == 0:  # with fewer items than factors many solutions are as good: the shortest
            return np.linalg.lstsq(left, right)[0].astype(np.float32)
        return np.linalg.solve(left, right).astype(np.float32)

    def _known(self, basket: Mapping[str, float]) -> tuple[np.ndarray, np.ndarray, list[str]]:
        """Rows and weights of the items that the night knew, in the order of rows; and the ids of the others."""
        for item, weight in basket.items():
            number = isinstance(weight, int | float) and not isinstance(weight, bool)
            if not isinstance(item, str) or not number or not 0 < weight <= HEAVIEST:  # NaN is neither
                raise BadInput(
                    f"basket, {quoted(item)}: {quoted(weight)} is no weight: give ids as text, and of each in how many baskets it was, "
                    f"above 0 and at most {HEAVIEST:,.0f}"
                )
        known = sorted((self._rows[item], weight) for item, weight in basket.items() if item in self._rows)
        rows, weights = (np.array([pair[i] for pair in known], kind) for i, kind in enumerate((np.int64, np.float64)))
        return rows, weights, [item for item in basket if item not in self._rows]

    def _allowed(self, only: Mapping[str, Collection[str]]) -> np.ndarray:
        """(I,) what may be listed, and has one of the values of every column that is named."""
        allowed = self._available.copy()
        for name, wanted in only.items():
            if name not in self._codes:
                raise BadInput(f"only, {quoted(name)}: no such column of the catalogue: {near(name, self._codes)}")
            if isinstance(wanted, str) or not all(isinstance(value, str) for value in wanted):
                raise BadInput(f"only, {name}: {quoted(wanted)} is no list of texts: give the values, each in quotes")
            chosen = frozenset(wanted)
            allowed &= np.array([*(value in chosen for value in self._values[name]), False])[self._codes[name]]
        return allowed


def _best(scores: np.ndarray, allowed: np.ndarray, n: int) -> np.ndarray:
    """Rows of the n best that are allowed, best first, equal ones in the order of rows."""
    rows = np.flatnonzero(allowed)
    own = scores[rows]
    if n < len(rows):
        least = np.partition(own, len(rows) - n)[len(rows) - n]
        rows, own = rows[own >= least], own[own >= least]
    return rows[np.lexsort((rows, -own))][:n]
