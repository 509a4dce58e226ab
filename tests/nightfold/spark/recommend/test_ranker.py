"""The ranker: the same model from rows in any order, put in order before or not, and none left in memory."""

from nightfold.spark.recommend.ranker import Ranker

import numpy as np
import pytest
from pyspark.sql import functions as F

SCHEMA = (
    "window int, user int, item int, known boolean, last_day int, category int, popularity_place int, label boolean, relevant int, "
    "features array<float>"
)
POINTS = [{"family": "xgboost", "n_estimators": 5, "max_depth": 2, "min_child_weight": 1.0}, {"family": "linear", "reg_param": 0.1}]


def rows(users: range) -> list[tuple]:
    """Ten candidates of each user; the first feature tells which come true, more often than not; the last one is seldom known."""
    made = []
    for user in users:
        draw = np.random.default_rng(user)
        for item in range(10):
            value, gap = draw.random(2)
            label = bool(draw.random() < value)
            made.append((1, user, item, True, 3, 0, item, label, 5, [float(value), 1.0, float(gap) if gap < 0.2 else float("nan")]))
    return made


@pytest.mark.parametrize("point", POINTS, ids=lambda point: point["family"])
def test_rows_put_in_order_before_give_the_model_that_the_examples_give(utc, point):
    learned, later = utc.createDataFrame(rows(range(40)), SCHEMA), utc.createDataFrame(rows(range(100, 120)), SCHEMA)
    ranker = Ranker(k=5)
    prepared, judged = ranker.prepared(learned.orderBy(F.rand(seed=1)), later)
    scores = lambda model, rows: model.transform(rows).orderBy("user").select("user", "items", "scores").collect()  # noqa: E731
    held = len(utc.sparkContext._jsc.getPersistentRDDs())
    found = scores(ranker.fit(prepared, ranker.param_map(point)), judged)
    assert found == scores(ranker.fit(learned, ranker.param_map(point)), later)
    assert len({tuple(row["items"]) for row in found}) > 5, "it has learned something"
    assert len(utc.sparkContext._jsc.getPersistentRDDs()) == held + 1, (
        "only what was prepared is kept, to be unpersisted by the validator"
    )
    prepared.unpersist()
