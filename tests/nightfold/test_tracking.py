"""MLflow as a registry: whose model is served, and all that reproduces it. The e2e tests do the same with a server."""

from pathlib import Path

from nightfold import promotion, tracking
from nightfold.spark.choosing import with_mlflow
from nightfold.store import VersionManifest

import mlflow
import pytest
from helpers import tiny_shop
from mlflow.tracking import MlflowClient
from pyspark.ml import Pipeline
from pyspark.ml.feature import Imputer

GRID = [{"best": True, "params": {"family": "linear"}, "mean": 0.5, "train": [0.6], "validation": [0.5]}]


@pytest.fixture
def client(home, monkeypatch) -> MlflowClient:
    uri = f"sqlite:///{home}/mlflow.db"
    monkeypatch.chdir(home)  # where artifacts go of a registry without a server
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    return MlflowClient(uri)


def trained(night: str) -> str:
    return tracking.log_training(
        tiny_shop(), night, grid=GRID, chosen_before={"als_factors": 8}, metric="ndcg@10", model=f"model of {night}", inputs="i"
    )


def promoted(recipe: dict, *, version: str, night: str) -> None:
    promotion.crown(
        VersionManifest(
            pipeline="shop",
            version=version,
            night=night,
            attempt="a",
            published_at="",
            keys=0,
            checksum="",
            model="m",
            facts={"recipe": recipe},
        )
    )


def test_the_alias_champion_follows_what_is_live(client):
    first, second = trained("2026-01-01"), trained("2026-01-02")
    for run, version, night in ((first, "v1", "2026-01-01"), (second, "v2", "2026-01-02"), (second, "v3", "2026-01-03")):
        promoted({"kind": "model", "run": run}, version=version, night=night)
        assert client.get_model_version_by_alias("shop", "champion").run_id == run
    promoted({"kind": "model", "run": first}, version="v1", night="2026-01-01")  # as after a rollback
    found = client.get_model_version_by_alias("shop", "champion")
    assert (found.run_id, found.tags) == (first, {"night": "2026-01-01", "version": "v1"})
    assert len(client.search_model_versions("name = 'shop'")) == 2


def test_while_a_baseline_is_served_nobody_is_champion(client):
    promoted({"kind": "baseline", "name": "popularity"}, version="v0", night="2026-01-01")
    promoted({"kind": "model", "run": trained("2026-01-01")}, version="v1", night="2026-01-01")
    promoted({"kind": "baseline", "name": "popularity"}, version="v2", night="2026-01-02")
    assert client.get_registered_model("shop").aliases == {}


def test_the_champions_model_is_loaded_by_its_alias(client, spark):
    frame = spark.createDataFrame([(1.0,), (3.0,)], "visits double")
    model = Pipeline(stages=[Imputer(inputCols=["visits"], outputCols=["known"])]).fit(frame)
    run = trained("2026-01-01")
    with_mlflow(run, model, scratch=f"file://{Path.cwd()}/scratch")
    promoted({"kind": "model", "run": run}, version="v1", night="2026-01-01")
    loaded = mlflow.spark.load_model("models:/shop@champion", dfs_tmpdir=f"file://{Path.cwd()}/loaded")
    missing = spark.createDataFrame([(None,)], "visits double")
    assert loaded.transform(missing).first()["known"] == model.transform(missing).first()["known"] == 2.0
    assert not list(Path.cwd().rglob("*.pkl"))


def test_what_reproduces_a_model_lies_beside_its_run(client):
    run = trained("2026-01-01")
    assert {file.path for file in client.list_artifacts(run, "model")} == {"model/model.json", "model/pipeline.json"}
