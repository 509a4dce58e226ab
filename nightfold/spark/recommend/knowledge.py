"""All that the examples of a window need beside the users' pasts: items, their statistics, factors, neighbours. A worker reads it once."""

import functools
from dataclasses import dataclass, fields

from nightfold.lake import filesystem
from nightfold.pipeline.recommend import Recommend
from nightfold.spark.arrays import find
from nightfold.spark.recommend import item_statistics
from nightfold.spark.recommend.item_statistics import ItemStatistics
from nightfold.spark.recommend.segments import Segments
from nightfold.spark.windows import Window

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow.fs import FileType


@dataclass(frozen=True)
class Places:
    """URIs of the folders of one window."""

    items: str
    """item int (from 0 without gaps), allowed boolean, groups array<string>."""
    statistics: str
    neighbours: str
    """item int, neighbour int, score float."""
    user_factors: str
    item_factors: str
    cutoff: int
    recent: int
    """Days that say what is popular now: one of item_statistics.SPANS."""
    segments: str | None
    """segments.SCHEMA; None: users have no attributes."""
    promotions: str | None
    """item int: what is promoted on the day of the cutoff; None: nobody says what is."""
    sold_within: int | None
    """An item that nobody took for so many days before the cutoff may not be listed."""

    @classmethod
    def of(cls, features: str, window: Window, task: Recommend) -> "Places":
        """As the stage `features` lays them out below its folder's URI."""
        number = window.number
        return cls(
            items=f"{features}/items",
            statistics=f"{features}/statistics/window={number}",
            neighbours=f"{features}/neighbours/window={number}",
            user_factors=f"{features}/als/window={number}/kind=user",
            item_factors=f"{features}/als/window={number}/kind=item",
            cutoff=window.cutoff,
            recent=task.candidates.recent_days,
            segments=f"{features}/segments/window={number}" if task.users is not None else None,
            promotions=f"{features}/promotions/window={number}" if task.promotions is not None else None,
            sold_within=task.filters.sold_within_days,
        )


NO_NEIGHBOURS = pa.table(
    {"item": pa.array([], pa.int32()), "neighbour": pa.array([], pa.int32()), "score": pa.array([], pa.float32())}
)


@dataclass(frozen=True)
class Knowledge:
    """Of I items, by their index."""

    available: np.ndarray
    """(I,) may be listed as of the cutoff; the catalogue is tonight's."""
    groups: list[np.ndarray]
    """For each attribute (the category first) (I,): a number for each of its values, -1 where an item has none."""
    statistics: ItemStatistics
    factors: np.ndarray
    """(I, F) float32; zeros for an item that ALS does not know."""
    users: np.ndarray
    """(U,) ascending: whom ALS knows."""
    user_factors: np.ndarray
    """(U, F) float32."""
    neighbour_start: np.ndarray
    """(I + 1,) into neighbours and their scores."""
    neighbours: np.ndarray
    neighbour_scores: np.ndarray
    segments: Segments
    recent: int
    """Days that say what is popular now."""
    promoted: np.ndarray | None
    """(I,) whether it is on the day of the cutoff; None where nobody says."""

    def factors_of(self, users: np.ndarray) -> np.ndarray:
        """(B, F) of these users; zeros for whom ALS does not know."""
        found = np.zeros((len(users), self.factors.shape[1]), np.float32)
        at = find(self.users, users)
        found[at >= 0] = self.user_factors[at[at >= 0]]
        return found


@functools.lru_cache(maxsize=2)
def read(places: Places) -> Knowledge:
    """Folders of an attempt never change, so a worker keeps the last two windows."""
    listed = table(places.items).sort_by("item")
    size, available = listed.num_rows, listed["allowed"].to_numpy()
    known = item_statistics.read(places.statistics, items=size, cutoff=places.cutoff, recent=places.recent)
    if places.sold_within is not None:
        available = available & (known.recency < places.sold_within)
    near = _found(places.neighbours)
    near = (NO_NEIGHBOURS if near is None else near).sort_by(
        [("item", "ascending"), ("score", "descending"), ("neighbour", "ascending")]
    )
    users = table(places.user_factors).sort_by("id")
    factors = item_factors(places.item_factors, size)
    return Knowledge(
        available=available,
        groups=_groups(listed["groups"]),
        statistics=known,
        factors=factors,
        users=users["id"].to_numpy(),
        user_factors=_matrix(users, factors.shape[1]),
        neighbour_start=np.searchsorted(near["item"].to_numpy(), np.arange(size + 1)),
        neighbours=near["neighbour"].to_numpy(),
        neighbour_scores=near["score"].to_numpy(),
        segments=Segments.of(_found(places.segments), available),
        recent=places.recent,
        promoted=_promoted(places.promotions, size),
    )


def nothing(groups: int, *, promotions: bool) -> Knowledge:
    """Of a shop that has no item yet; its items have so many attributes, and somebody says what is promoted, or nobody."""
    none, vectors = np.zeros(0, np.int64), np.zeros((0, 0), np.float32)
    stats = ItemStatistics(dict.fromkeys(item_statistics.SPANS, none), *[none] * (len(fields(ItemStatistics)) - 1))
    near = (np.zeros(1, np.int64), none, none)
    alike, promoted = Segments.of(None, none > 0), (none > 0) if promotions else None
    return Knowledge(none > 0, [none] * groups, stats, vectors, none, vectors, *near, alike, item_statistics.SPANS[0], promoted)


def table(uri: str) -> pa.Table:
    """All of a folder of Parquet."""
    fs, path = filesystem(uri)
    return pq.read_table(path, filesystem=fs, partitioning=None).combine_chunks()


def item_factors(uri: str, items: int) -> np.ndarray:
    """(I, F) float32 of a window; zeros for an item that ALS does not know."""
    known = table(uri)
    width = len(known["factors"][0]) if known.num_rows else 0
    factors = np.zeros((items, width), np.float32)
    factors[known["id"].to_numpy()] = _matrix(known, width)
    return factors


def _found(uri: str | None) -> pa.Table | None:
    """None where there is nothing to say of a window: it then has no folder."""
    if uri is None:
        return None
    fs, path = filesystem(uri)
    return table(uri) if fs.get_file_info(path).type == FileType.Directory else None


def _promoted(uri: str | None, items: int) -> np.ndarray | None:
    if uri is None:
        return None
    promoted = np.zeros(items, bool)
    if (found := _found(uri)) is not None:
        promoted[found["item"].to_numpy()] = True
    return promoted


def _matrix(rows: pa.Table, width: int) -> np.ndarray:
    return rows["factors"].combine_chunks().flatten().to_numpy().reshape(-1, width) if width else np.zeros((rows.num_rows, 0))


def _groups(column: pa.ChunkedArray) -> list[np.ndarray]:
    width = pc.max(pc.list_value_length(column)).as_py() or 0
    found = []
    for place in range(width):
        coded = pc.list_element(column, place).combine_chunks().dictionary_encode()
        found.append(pc.fill_null(coded.indices, -1).to_numpy().astype(np.int64))
    return found
