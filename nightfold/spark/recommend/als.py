"""Implicit-feedback ALS: one fit in one Python worker, factors as Parquet.

Method: Hu, Koren, Volinsky, "Collaborative Filtering for Implicit Feedback Datasets" (2008), solved by conjugate gradient
(Takács, Pilászy, Tikk, 2011) as the `implicit` library has it: several times faster than MLlib's, and with one thread and
sorted rows the same to the last bit. What is not in the data (a later item) changes nothing: rows and columns are compacted.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

SCHEMA = "kind string, id int, factors array<float>"
ROWS_PER_BATCH = 10_000  # at 512 factors: 20 MB


@dataclass(frozen=True)
class AlsSettings:
    """What a fit depends on, besides the data."""

    factors: int
    regularization: float
    alpha: float
    """Confidence of one basket: the pair's weight times this, against 1 for what was never bought."""
    iterations: int
    seed: int


def write_factors(history: DataFrame, place: str, settings: AlsSettings) -> dict[str, str]:
    """Fit, and write `id int, factors array<float>` to `place`; returns the folders of users and of items.

    :param history: user int, taken array<struct<item, weight, times, last_day>>, one row per user. All of it goes to ONE
        Python worker (about 40 bytes a pair), so the caller checks its size
    """

    def fit(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return _fit(batches, settings)

    ordered = history.select("user", "taken").repartition(1).sortWithinPartitions("user")
    ordered.mapInArrow(fit, SCHEMA).write.partitionBy("kind").parquet(place)
    return {"user_factors": f"{place}/kind=user", "item_factors": f"{place}/kind=item"}


def _fit(batches: Iterator[pa.RecordBatch], settings: AlsSettings) -> Iterator[pa.RecordBatch]:
    from implicit.cpu.als import AlternatingLeastSquares  # here, and not above: only this worker pays for it

    table = pa.Table.from_batches(batches).combine_chunks()
    taken = table["taken"].combine_chunks()
    pairs = taken.flatten()
    user_ids = table["user"].to_numpy()
    item_ids, columns = np.unique(pairs.field("item").to_numpy(), return_inverse=True)
    ends = np.concatenate([[0], np.cumsum(taken.value_lengths().to_numpy())])
    baskets = pairs.field("times").to_numpy().astype(np.float32)
    matrix = csr_matrix((baskets, columns, ends), shape=(len(user_ids), len(item_ids)))
    with threadpool_limits(limits=1, user_api="blas"):
        model = AlternatingLeastSquares(
            factors=settings.factors,
            regularization=settings.regularization,
            alpha=settings.alpha,
            iterations=settings.iterations,
            random_state=settings.seed,
            num_threads=1,
        )
        model.fit(matrix, show_progress=False)
    for kind, ids, factors in (("user", user_ids, model.user_factors), ("item", item_ids, model.item_factors)):
        if not np.isfinite(factors).all():
            raise ArithmeticError(f"ALS: {kind} factors are not finite with {settings}: raise regularization")
        yield from _batches(kind, ids.astype(np.int32), factors)


def _batches(kind: str, ids: np.ndarray, factors: np.ndarray) -> Iterator[pa.RecordBatch]:
    for first in range(0, len(ids), ROWS_PER_BATCH):
        part = factors[first : first + ROWS_PER_BATCH]
        offsets = np.arange(len(part) + 1, dtype=np.int32) * part.shape[1]
        vectors = pa.ListArray.from_arrays(pa.array(offsets), pa.array(part.reshape(-1)))
        yield pa.RecordBatch.from_arrays(
            [pa.array([kind] * len(part)), pa.array(ids[first : first + len(part)]), vectors], names=["kind", "id", "factors"]
        )
