"""Implicit-feedback ALS as of several cutoffs and by several settings at once: each fit in one Spark task of its own, factors as Parquet;
where one worker cannot hold the data, Spark's own ALS fits them one after the other (als_cluster.py).

Method: Hu, Koren, Volinsky, "Collaborative Filtering for Implicit Feedback Datasets" (2008), solved by conjugate gradient
(Takács, Pilászy, Tikk, 2011) as the `implicit` library has it: several times faster than MLlib's, and with one thread and
sorted rows the same to the last bit. What is not in the data (a later item) changes nothing: rows and columns are compacted.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import reduce
from itertools import product
from typing import Any

from nightfold.lake import filesystem
from nightfold.spark.arrays import lists
from nightfold.spark.recommend import als_cluster
from nightfold.spark.windows import Window

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from scipy.sparse import coo_matrix
from threadpoolctl import threadpool_limits

SCHEMA = "point int, window int, kind string, id int, factors array<float>"
ROWS_PER_BATCH = 10_000  # at 512 factors: 20 MB


@dataclass(frozen=True)
class AlsSettings:
    """What a fit depends on, besides the data."""

    factors: int
    regularization: float
    alpha: float
    """Confidence of one basket, against 1 for what was never bought."""
    iterations: int
    seed: int
    engine: str = "auto"
    one_worker: int = 50_000_000
    """Rows up to which `auto` takes one worker; a fit holds all of its own there, about 40 bytes each: 2 GB."""

    @property
    def of_fit(self) -> dict[str, Any]:
        """What a fit depends on, whoever makes it."""
        return {name: value for name, value in asdict(self).items() if name not in ("engine", "one_worker")}


def engine(interactions: str, settings: AlsSettings) -> tuple[str, str]:
    """Which engine fits (`implicit` in one worker, or Spark's `mllib` on all), and why, in words.

    :param interactions: URI of a folder
    """
    if settings.engine != "auto":
        return settings.engine, "as the pipeline file says"
    fs, path = filesystem(interactions)
    rows = ds.dataset(path, filesystem=fs).count_rows()
    if rows > settings.one_worker:
        return "mllib", f"{rows:,} rows are more than recommend.als.one_worker ({settings.one_worker:,})"
    return "implicit", f"{rows:,} rows fit one worker (recommend.als.one_worker {settings.one_worker:,})"


def factors(spark: SparkSession, interactions: str, windows: Sequence[Window], points: Sequence[AlsSettings]) -> DataFrame:
    """SCHEMA: by each point, every user's and every item's vector as of each window's cutoff; kind is `user` or `item`.

    :param interactions: URI of a folder: user int, item int, day int, weight double (baskets)
    :param points: settings, of one engine; `point` is their place
    """
    if engine(interactions, points[0])[0] == "mllib":
        made = (als_cluster.factors(spark, interactions, windows, **point.of_fit) for point in points)
        return reduce(DataFrame.unionAll, (frame.select(F.lit(i).alias("point"), "*") for i, frame in enumerate(made)))
    work = list(product(range(len(points)), windows))

    def fit(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for place in batch["place"].to_pylist():
                point, window = work[place]
                yield from _fit(interactions, window, points[point], point=point)

    asked = spark.range(0, len(work), numPartitions=len(work)).withColumnRenamed("id", "place")
    return asked.mapInArrow(fit, SCHEMA)


def _fit(interactions: str, window: Window, settings: AlsSettings, *, point: int = 0) -> Iterator[pa.RecordBatch]:
    from implicit.cpu.als import AlternatingLeastSquares  # here, and not above: only this worker pays for it

    fs, path = filesystem(interactions)
    columns = ["user", "item", "weight"]
    taken = pq.read_table(
        path,
        filesystem=fs,
        partitioning=None,
        columns=columns,
        filters=(ds.field("day") <= window.cutoff) & (ds.field("weight") > 0),
    )
    user_ids, row = np.unique(taken["user"].to_numpy(), return_inverse=True)
    item_ids, column = np.unique(taken["item"].to_numpy(), return_inverse=True)
    weight = taken["weight"].to_numpy()  # whole numbers: their float64 sums are exact in any order
    matrix = coo_matrix((weight, (row, column)), shape=(len(user_ids), len(item_ids))).tocsr().astype(np.float32)
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
    for kind, ids, vectors in (("user", user_ids, model.user_factors), ("item", item_ids, model.item_factors)):
        if not np.isfinite(vectors).all():
            raise ArithmeticError(f"ALS: {kind} factors are not finite with {settings}: raise regularization")
        yield from _batches(point, window.number, kind, ids.astype(np.int32), vectors)


def _batches(point: int, window: int, kind: str, ids: np.ndarray, vectors: np.ndarray) -> Iterator[pa.RecordBatch]:
    for first in range(0, len(ids), ROWS_PER_BATCH):
        part = vectors[first : first + ROWS_PER_BATCH]
        numbers = [pa.array(np.full(len(part), number, np.int32)) for number in (point, window)]
        yield pa.RecordBatch.from_arrays(
            [*numbers, pa.array([kind] * len(part)), pa.array(ids[first : first + len(part)]), lists(part)],
            names=["point", "window", "kind", "id", "factors"],
        )
