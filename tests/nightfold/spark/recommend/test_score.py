"""score on a model made by hand: everybody has a list, and every item says why it is there."""

from nightfold.lake import Lake
from nightfold.spark.evaluators import RankingEvaluator
from nightfold.spark.recommend import score
from nightfold.spark.recommend.blend import BlendModel
from nightfold.spark.recommend.recommender import BlendRecommender

import pytest
from helpers import job, run, tiny_shop
from pyspark.ml.tuning import CrossValidatorModel

DS = "2026-01-03"
DAY = 20454  # 2026-01-01 in days since 1970-01-01
TAKEN = "user int, taken array<struct<item:int,weight:double,times:int,last_day:int>>"


@pytest.fixture
def model(utc, tmp_path) -> BlendModel:
    """Three items; 007 took 0042 twice and milk once, 008 all three, 009 nothing."""
    parts = {
        "users": utc.createDataFrame([(0, "007"), (1, "008"), (2, "009")], "user int, id string"),
        "items": utc.createDataFrame([(0, "0042"), (1, "bread"), (2, "milk")], "item int, id string"),
        "popularity": utc.createDataFrame([(0, 4.0), (1, 1.0), (2, 2.0)], "item int, baskets double"),
        "history": utc.createDataFrame(
            [
                (0, [(0, 2.0, 2, DAY + 1), (2, 1.0, 1, DAY)]),
                (1, [(0, 1.0, 1, DAY), (1, 3.0, 3, DAY), (2, 2.0, 2, DAY)]),
            ],
            TAKEN,
        ),
    }
    for name, frame in parts.items():
        frame.write.parquet(f"file://{tmp_path}/{name}")
    made = BlendModel(parts={name: f"file://{tmp_path}/{name}" for name in parts}, cutoff=DAY + 1)
    return made._set(historyWeight=1.0, alsWeight=0.0, popularityWeight=0.5)


def lists(model: BlendModel, *, n: int) -> dict[str, list[tuple]]:
    found = score.lists(model, model.part("users").select("user"), n=n)
    return {row["key"]: [tuple(item) for item in row["items"]] for row in found.collect()}


def test_every_item_says_why_it_is_listed(model):
    assert lists(model, n=2) == {
        "007": [("0042", 2.5, "bought 2 times, last on 2026-01-02"), ("milk", 1.25, "bought once, last on 2026-01-01")],
        "008": [("bread", 3.125, "bought 3 times, last on 2026-01-01"), ("milk", 2.25, "bought 2 times, last on 2026-01-01")],
        "009": [("0042", 1.0, "suits what you buy"), ("milk", 0.5, "suits what you buy")],
    }


def test_who_has_everything_gets_an_empty_list_and_is_not_lost(model):
    found = lists(model._set(excludeSeen=True), n=3)
    assert found["008"] == []
    assert found["007"] == [("bread", 0.125, "suits what you buy")]
    assert sorted(found) == ["007", "008", "009"]


def test_the_fallback_is_one_list_of_what_is_popular(model):
    (row,) = score.fallback(model, n=2).collect()
    assert row["key"] == ""
    assert [tuple(item) for item in row["items"]] == [("0042", 1.0, "popular now"), ("milk", 0.5, "popular now")]


def test_a_catalogue_of_nothing_gives_empty_lists_and_an_empty_fallback(utc, model, tmp_path):
    utc.createDataFrame([], "item int, baskets double").write.parquet(f"file://{tmp_path}/none")
    model.parts["popularity"] = f"file://{tmp_path}/none"
    assert lists(model, n=2) == {"007": [], "008": [], "009": []}
    assert [row["items"] for row in score.fallback(model, n=2).collect()] == [[]]


def test_the_saved_model_is_scored_and_the_same_inputs_are_scored_once(utc, model, home):
    pipeline = tiny_shop({"recommend": {"top_n": 2}})
    training = job("train", pipeline, DS)
    chosen = CrossValidatorModel(model, avgMetrics=[0.0], stdMetrics=[0.0])
    chosen._set(estimator=BlendRecommender(), estimatorParamMaps=[{}], evaluator=RankingEvaluator()).save(f"{training.uri}/model")
    for dataset in ("features", "model"):
        training.lake.commit(training.manifest(dataset, DS, fingerprint="x", data=training.place))
    assert run(score, pipeline, DS) == "3 lists of 2 to 2 items, 3 different items"
    written = Lake("shop").get("scores", DS)
    stored = utc.read.parquet(f"{Lake('shop').spark_path(written.data)}/lists").collect()
    assert {row["key"]: [tuple(item) for item in row["items"]] for row in stored} == lists(model, n=2)
    assert run(score, pipeline, DS).endswith("reused)")
    assert run(score, tiny_shop({"recommend": {"top_n": 1}}), DS) == "3 lists of 1 to 1 items, 2 different items"
