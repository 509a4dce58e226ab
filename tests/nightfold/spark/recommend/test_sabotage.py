"""Nights that must not get through, on real stages and a real store: each is refused or held, with the reason, and live stays."""

import shutil
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import spark_jobs.clean as clean
import spark_jobs.evaluate as evaluate
import spark_jobs.ingest as ingest
import spark_jobs.promote as promote
import spark_jobs.publish as publish
import spark_jobs.score as score
from nightfold import tracking
from nightfold.errors import NightRefused
from nightfold.lake import Lake, filesystem
from nightfold.pipeline import Pipeline
from nightfold.spark import choosing, families
from nightfold.spark.recommend import examples, features, train
from nightfold.store import open_store

import numpy as np
import pytest
from helpers import at, grid_of, job, land, run, tiny_shop
from pyspark.sql import functions as F

HEAD = "client,article,ticket,pieces,sold_at"
FIRST, NIGHT, AFTER = "2026-01-01", "2026-01-24", "2026-01-25"
CLIENTS, ARTICLES = 120, 40
GRID = {"linear": {"reg_param": [0.001, 0.01], "elastic_net_param": [0.0, 0.5]}}
CONSTANT = {"linear": {"reg_param": [1e6, 1e7, 1e8, 1e9], "elastic_net_param": [1.0]}}  # a lasso that keeps no feature


def shop(families: dict | None = None, **gate: object) -> Pipeline:
    training = {"k": 3, "windows": 1, "negatives": 1.0, "families": families or GRID}
    split = {"test_days": 4, "validation_days": 3, "folds": 2}
    return tiny_shop(
        {
            "split": split,
            "training": training,
            "recommend": {"top_n": 5},
            "schedule": {"start": NIGHT},
            "publish": {"keep": 3},
            "gate": {"champion": -0.1} | gate,  # of so few users, the best points of two nights differ by chance
        }
    )


def sales(first: str, last: str, *, clients: int = CLIENTS, seed: int = 3) -> list[str]:
    """Every client has articles that he likes, takes some of them each day, and now and then another."""
    made = []
    for client in range(clients):
        draw = np.random.default_rng([seed, client])
        liked = draw.choice(ARTICLES, 6, replace=False)
        for day in range((date.fromisoformat(last) - date.fromisoformat(FIRST)).days + 1):
            now = date.fromisoformat(FIRST) + timedelta(days=day)
            taken = {*liked[draw.random(6) < 0.2], *draw.choice(ARTICLES, 1)}
            if str(now) >= first:
                made += [f"c{client:03},a{article:02},t{client}{now},1,{now} 10:00:00" for article in sorted(taken)]
    return made


@pytest.fixture(scope="module")
def first_night(spark, tmp_path_factory, valkey_server) -> Iterator[Path]:
    """Home of a lake whose first night is live, and whose second one has its features."""
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("sabotage")
        spark.conf.set("spark.sql.session.timeZone", "UTC")
        at(home, patch)
        valkey_server.client.flushall()
        patch.setenv("AIRFLOW_CONN_KV_DEFAULT", valkey_server.uri)
        patch.setattr(tracking, "log_training", lambda *given, **named: "run-1")
        patch.setattr(choosing, "with_mlflow", lambda *given, **named: None)
        patch.setattr(tracking, "crown", lambda *given, **named: None)
        patch.setattr(families, "LINEAR_ITERATIONS", 10)  # each is a Spark job
        land(home, f"shop/sales/{NIGHT}.csv", [HEAD, *sales(FIRST, NIGHT)])  # one delivery of all the days before
        for stage in (ingest, clean, features, train, evaluate, score, publish):
            run(stage, shop(), NIGHT)
        promoted()
        land(home, f"shop/sales/{AFTER}.csv", [HEAD, *sales(AFTER, AFTER)])
        for stage in (ingest, clean, features):
            run(stage, shop(), AFTER)
        yield home


def promoted() -> None:
    last = job("promote", shop(), NIGHT)
    last.turn = last.store.take_turn("shop", "by hand", NIGHT, seconds=60)
    promote.main(last)
    last.store.leave_turn("shop", "by hand")


@pytest.fixture
def home(first_night, tmp_path, monkeypatch) -> Path:
    """A copy of it, to be spoiled."""
    shutil.copytree(first_night, tmp_path, dirs_exist_ok=True)
    at(tmp_path, monkeypatch)
    filesystem.cache_clear()
    return tmp_path


@pytest.fixture
def known_grid(home, monkeypatch) -> None:
    """What is wrong with these nights is not which point is chosen."""
    grid_of(Lake("shop").get("model", NIGHT), monkeypatch)


def verdict() -> dict:
    return Lake("shop").get("evaluation", AFTER).facts["verdict"]


def refused(*stages, pipeline: Pipeline | None = None) -> str:
    """The reason for which the night ends in `evaluate`; its page says it, and live stays."""
    for stage in stages:
        run(stage, pipeline or shop(), AFTER)
    with pytest.raises(NightRefused, match="refused, nothing is published, live stays") as caught:
        run(evaluate, pipeline or shop(), AFTER)
    with pytest.raises(NightRefused):
        run(score, pipeline or shop(), AFTER)
    assert verdict()["outcome"] == "refused"
    page = Lake("shop").read_text(Lake("shop").get("evaluation", AFTER).facts["report"])
    assert "refused</span> nothing is published" in page
    assert open_store().live("shop").night == NIGHT
    return str(caught.value)


def test_an_honest_night_is_promoted_and_says_how_much_its_lists_have_changed(home):
    for stage in (train, evaluate, score, publish):
        run(stage, shop(), AFTER)
    assert (verdict()["outcome"], verdict()["serve"]) == ("promoted", {"kind": "challenger"})
    staged = open_store().find("shop", Lake("shop").get("version", AFTER).facts["version"]).manifest
    assert 0 < staged.facts["churn"] < 0.6
    assert staged.facts["unchanged_nights"] == 0
    assert staged.facts["recipe"]["night"] == AFTER
    with pytest.raises(NightRefused, match=rf"of the items were not on the lists of night {NIGHT} \(gate.churn 0%\)"):
        run(score, shop(churn=0.001), AFTER)
    page = Lake("shop").read_text(Lake("shop").get("evaluation", AFTER).facts["report"])
    assert f"of the items were not on the lists of night {NIGHT} (gate.churn 0%)" in page
    assert "refused</span> nothing is published" in page
    with pytest.raises(NightRefused, match=r"% of the users get one and the same list \(gate.same_list 0%\)"):
        run(score, shop(same_list=0.001), AFTER)


@pytest.mark.slow
def test_an_independent_training_from_the_same_deliveries_agrees(first_night, tmp_path, monkeypatch):
    """Another lake, other partitions, nothing of the first one's work."""
    first = Lake("shop").get("evaluation", NIGHT).facts["metrics"]
    shutil.copytree(first_night / "landing", tmp_path / "landing")
    at(tmp_path, monkeypatch)
    filesystem.cache_clear()
    for stage in (ingest, clean, features, train, evaluate):
        run(stage, shop().model_copy(update={"resources": shop().resources.model_copy(update={"shuffle_partitions": 5})}), NIGHT)
    again = Lake("shop").get("evaluation", NIGHT).facts["metrics"]
    assert 0.0 < first["ndcg"] < 1.0
    assert again == pytest.approx(first, abs=0.002)


def test_shuffled_labels_do_not_get_through(home, monkeypatch):
    honest = train.folded

    def shuffled(spark, made):
        dataset = honest(spark, made)
        label = F.when(F.col("learn"), F.pmod(F.xxhash64("item", "window"), F.lit(5)) == 0).otherwise(F.col("label"))
        return dataset.withColumn("label", label)

    monkeypatch.setattr(train, "folded", shuffled)
    run(train, shop(), AFTER)
    run(evaluate, shop(), AFTER)
    assert verdict()["outcome"] == "held"
    assert "personal frequency is not beaten" in verdict()["reason"]


def test_a_constant_model_is_held_and_the_champion_scores_the_new_data(home, known_grid):
    constant = shop(CONSTANT)
    for stage in (train, evaluate):
        run(stage, constant, AFTER)
    assert verdict()["outcome"] == "held"
    assert verdict()["reason"].startswith(f"the champion of night {NIGHT} scores tonight's data: personal frequency is not beaten")
    assert run(score, constant, AFTER).endswith(f", by the champion of night {NIGHT}")
    run(publish, constant, AFTER)
    staged = open_store().find("shop", Lake("shop").get("version", AFTER).facts["version"]).manifest
    assert staged.facts["recipe"]["night"] == NIGHT
    assert staged.facts["verdict"]["outcome"] == "held"
    champion = Lake("shop").get("model", NIGHT)
    assert (staged.model, staged.facts["twin"]) == (champion.fingerprint, champion.facts["twin"])
    assert Lake("shop").exists(f"{champion.facts['twin']}/twin.json")
    assert staged.metrics["ndcg"] > staged.metrics["ndcg_popularity"]


def test_half_of_the_users_gone_are_noticed(home, known_grid):
    for first, night in ((FIRST, NIGHT), (AFTER, AFTER)):
        land(home, f"shop/sales/{night}.csv", [HEAD, *sales(first, night, clients=CLIENTS // 2)])
    reason = refused(ingest, clean, features, train)
    assert (
        f"users have vanished: {CLIENTS // 2} users, {CLIENTS} on the champion's night {NIGHT}: is a delivery cut short?" in reason
    )
    with pytest.raises(NightRefused) as again:  # a retry sees the same
        run(evaluate, shop(), AFTER)
    assert str(again.value) == reason


@pytest.mark.slow  # its words and bounds: tests/nightfold/test_gate.py
def test_half_of_the_users_gone_from_one_delivery_are_noticed(home, known_grid):
    land(home, f"shop/sales/{AFTER}.csv", [HEAD, *sales(AFTER, AFTER, clients=CLIENTS // 2)])
    reason = refused(ingest, clean, features, train)
    assert f"users have vanished: {CLIENTS // 2} users on the last day, {AFTER}; {CLIENTS} are usual on that weekday" in reason


def test_yesterdays_data_again_are_noticed(home, known_grid):
    again = [row.replace(f" {NIGHT} ", f" {AFTER} ").replace(f",{NIGHT} ", f",{AFTER} ") for row in sales(NIGHT, NIGHT)]
    land(home, f"shop/sales/{AFTER}.csv", [HEAD, *again])
    assert f"yesterday's data again? 100% of the last day, {AFTER}" in refused(ingest, clean, features, train)


@pytest.mark.slow  # its words and bounds: tests/nightfold/test_gate.py
def test_yesterdays_file_under_tonights_name_is_noticed(home, known_grid):
    """A plain copy: its rows say yesterday, so the night itself has none."""
    land(home, f"shop/sales/{AFTER}.csv", [HEAD, *sales(NIGHT, NIGHT)])
    reason = refused(ingest, clean, features, train)
    assert f"yesterday's data again? nothing is of {AFTER}, the last rows are of {NIGHT}, and {CLIENTS} users are usual" in reason


def test_a_feature_that_sees_the_future_is_too_good_to_be_true(home, known_grid, monkeypatch):
    honest = examples.written

    def leaking(*given, **named):
        dataset = honest(*given, **named)
        return dataset.withColumn("features", F.concat("features", F.array(F.col("label").cast("float"))))

    monkeypatch.setattr(examples, "written", leaking)
    monkeypatch.setattr(examples, "names", lambda pipeline, named=examples.names: [*named(pipeline), "the_future"])
    assert "too good to be true: 100% of what a perfect ordering reaches" in refused(train)
