"""The fast path against the slow, obvious one."""

from pathlib import Path

from nightfold.spark.recommend.topn import Blend, top_n

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

PAST = pa.list_(pa.struct([("item", pa.int32()), ("weight", pa.float64()), ("times", pa.int32()), ("last_day", pa.int32())]))


def batch(*, users: list, taken: list, factors: list) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays(
        [pa.array(users, pa.int32()), pa.array(taken, PAST), pa.array(factors, pa.list_(pa.float32()))],
        names=["user", "taken", "factors"],
    )


def blend(folder: Path, *, items: list, baskets: list, factors: list | None = None, **values: object) -> Blend:
    place = folder / str(len(list(folder.iterdir())))
    ids = pa.array(items, pa.int32())
    tables = {"popularity": pa.table({"item": ids, "baskets": pa.array(baskets, pa.float64())})}
    if factors:
        tables["factors"] = pa.table({"id": ids, "factors": pa.array(factors, pa.list_(pa.float32()))})
    for name, table in tables.items():
        (place / name).mkdir(parents=True)
        pq.write_table(table, place / name / "part.parquet")
    options = {"history_weight": 1.0, "als_weight": 0.0, "popularity_weight": 0.5, "n": 2, "exclude_seen": False} | values
    where = f"file://{place}"
    return Blend(**options, popularity=f"{where}/popularity", item_factors=f"{where}/factors" if factors else None)


def past(item: int, weight: float) -> dict:
    return {"item": item, "weight": weight, "times": 1, "last_day": 7}


def test_the_score_is_the_sum_of_the_three_parts(tmp_path):
    recipe = blend(
        tmp_path, items=[3, 5, 9], baskets=[4.0, 2.0, 1.0], factors=[[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], als_weight=2.0, n=3
    )
    asked = batch(users=[8], taken=[[past(9, 1.5)]], factors=[[0.5, 0.25]])
    (found,) = top_n(iter([asked]), recipe)
    assert found.to_pylist() == [
        {
            "user": 8,
            "items": [
                {"item": 9, "score": 1.5 + 2.0 * 0.75 + 0.5 * 0.25, "times": 1, "last_day": 7},
                {"item": 3, "score": 2.0 * 0.5 + 0.5 * 1.0, "times": 0, "last_day": None},
                {"item": 5, "score": 2.0 * 0.25 + 0.5 * 0.5, "times": 0, "last_day": None},
            ],
        }
    ]


def test_ties_go_to_the_lower_item(tmp_path):
    recipe = blend(tmp_path, items=[9, 2, 7, 4], baskets=[1.0, 1.0, 1.0, 1.0], n=3)
    (found,) = top_n(iter([batch(users=[0], taken=[[]], factors=[None])]), recipe)
    assert [i["item"] for i in found.to_pylist()[0]["items"]] == [2, 4, 7]


def test_a_user_without_history_gets_the_popularity_in_full(tmp_path):
    recipe = blend(tmp_path, items=[1, 2], baskets=[1.0, 4.0], popularity_weight=0.0)
    (found,) = top_n(iter([batch(users=[0], taken=[None], factors=[None])]), recipe)
    assert [(i["item"], i["score"]) for i in found.to_pylist()[0]["items"]] == [(2, 1.0), (1, 0.25)]


def test_an_empty_catalogue_gives_empty_lists(tmp_path):
    recipe = blend(tmp_path, items=[], baskets=[])
    (found,) = top_n(iter([batch(users=[0, 1], taken=[[past(3, 1.0)], None], factors=[None, None])]), recipe)
    assert found.to_pylist() == [{"user": 0, "items": []}, {"user": 1, "items": []}]


@pytest.mark.parametrize("exclude_seen", [False, True])
@pytest.mark.parametrize("weights", [(1.0, 1.0, 0.1), (1.0, 0.0, 1e-6), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)])
def test_a_list_is_the_sorted_catalogue_whoever_else_is_in_the_block(tmp_path, weights, exclude_seen):
    random = np.random.default_rng(5)
    items, users = 3000, 40
    y, x = random.normal(0, 0.3, (items, 8)).astype(np.float32), random.normal(0, 0.3, (users, 8)).astype(np.float32)
    baskets = random.integers(0, 6, items).astype(float)  # many ties
    taken = [
        [past(int(i), float(random.integers(1, 4))) for i in np.sort(random.choice(items, random.integers(0, 30), replace=False))]
        for _ in range(users)
    ]
    history, als, popularity = weights
    recipe = blend(
        tmp_path,
        items=list(range(items)),
        baskets=list(baskets),
        factors=y.tolist(),
        history_weight=history,
        als_weight=als,
        popularity_weight=popularity,
        n=10,
        exclude_seen=exclude_seen,
    )
    whole = batch(users=list(range(users)), taken=taken, factors=x.tolist())
    found = [row for b in top_n(iter([whole]), recipe) for row in b.to_pylist()]
    alone = [row for u in range(users) for b in top_n(iter([whole.slice(u, 1)]), recipe) for row in b.to_pylist()]
    assert found == alone
    for user, row in enumerate(found):
        score = als * (x[user].astype(float) * y).sum(axis=1) + popularity * baskets / baskets.max()
        for p in taken[user]:
            score[p["item"]] = -np.inf if exclude_seen else score[p["item"]] + history * p["weight"]
        assert [i["item"] for i in row["items"]] == np.lexsort((np.arange(items), -score))[:10].tolist()
