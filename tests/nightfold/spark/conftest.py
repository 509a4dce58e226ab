"""A shop of a few rows for the learning core's tests."""

from collections.abc import Callable
from pathlib import Path

from nightfold.spark.recommend.recommender import BlendRecommender

import pytest
from pyspark.sql import DataFrame, SparkSession

COLUMNS = "user int, item int, day int, weight double"


@pytest.fixture
def rows(spark: SparkSession) -> Callable[[list], DataFrame]:
    """Interactions: (user, item, day, weight)."""
    return lambda values: spark.createDataFrame(values, COLUMNS)


@pytest.fixture
def shop(spark: SparkSession, tmp_path: Path) -> Callable[..., BlendRecommender]:
    """An estimator over `users` users and `items` items, all to be listed but `sold_out`."""

    def make(*, users: int, items: int, sold_out: tuple[int, ...] = (), **params: object) -> BlendRecommender:
        places = {name: f"file://{tmp_path}/{name}" for name in ("users", "items", "scratch")}
        spark.createDataFrame([(u, f"u{u:04}") for u in range(users)], "user int, id string").write.parquet(places["users"])
        catalogue = [(i, f"i{i:04}", i not in sold_out) for i in range(items)]
        spark.createDataFrame(catalogue, "item int, id string, available boolean").write.parquet(places["items"])
        estimator = BlendRecommender(usersPath=places["users"], itemsPath=places["items"], **params)
        estimator.scratch = places["scratch"]
        return estimator

    return make


@pytest.fixture
def lists(spark: SparkSession) -> Callable[..., dict[int, list]]:
    """{user: [(item, score, times, last_day)]} of some users."""

    def ask(model: object, users: list[int], n: int, **options: bool) -> dict[int, list]:
        frame = spark.createDataFrame([(u,) for u in users], "user int")
        return {row["user"]: [tuple(i) for i in row["items"]] for row in model.recommend(frame, n, **options).collect()}

    return ask
