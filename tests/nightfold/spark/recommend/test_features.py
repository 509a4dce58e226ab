"""The stages from features to score on a tiny shop: the same night is the same, whatever has been cleaned after it."""

from datetime import date, timedelta

import spark_jobs.clean as clean
import spark_jobs.evaluate as evaluate
import spark_jobs.ingest as ingest
import spark_jobs.score as score
from nightfold import tracking
from nightfold.errors import BadInput, NotCommitted
from nightfold.lake import Lake
from nightfold.spark import choosing
from nightfold.spark.recommend import features, train
from nightfold.spark.windows import EPOCH
from nightfold.twins.baskets import Baskets

import numpy as np
import pytest
from helpers import at, land, run, tiny_shop

HEAD = "client,article,ticket,pieces,sold_at"
FIRST, NIGHT, AFTER = "2026-01-01", "2026-01-24", "2026-01-25"
SHOP = {
    "split": {"test_days": 4, "validation_days": 3, "folds": 2},
    "training": {
        "k": 3,
        "windows": 2,
        "negatives": 1.0,
        "families": {
            "xgboost": {"n_estimators": [5], "max_depth": [2], "min_child_weight": [1]},
            "linear": {"reg_param": [0.01, 0.1, 1]},
        },
    },
    "sources": {
        "clients": {
            "format": "csv",
            "path": "shop/clients.csv",
            "delivery": "snapshot",
            "columns": {"id": {"type": "string", "required": True}, "region": {}},
        },
        "leaflet": {
            "format": "csv",
            "path": "shop/leaflet/{ds}.csv",
            "columns": {"article": {}, "since": {"type": "date"}, "until": {"type": "date"}},
        },
    },
    "recommend": {
        "top_n": 5,
        "als": {"factors": [4, 8], "regularization": 1.0},
        "users": {"source": "clients", "id": "id", "attributes": ["region"]},
        "promotions": {"source": "leaflet", "item": "article", "first": "since", "last": "until"},
    },
}
LEAFLET = [
    "all0,2026-01-20,2026-01-21",  # as of the test window's cutoff, 2026-01-20
    "all1,2026-01-22,2026-01-30",  # tonight
    "all1,2026-01-24,2026-01-24",
    "all2,2026-01-25,2026-01-30",  # later
    "nowhere,2026-01-20,2026-01-30",
]


def sales(first: str, last: str) -> list[str]:
    """Twelve clients, each with three articles of his own that he takes every third day, and now and then what everybody takes."""
    draw, made = np.random.default_rng(2), []
    for day in range((date.fromisoformat(last) - date.fromisoformat(first)).days + 1):
        now = date.fromisoformat(first) + timedelta(days=day)
        for client in range(12):
            own = [f"own{client:02}{i}" for i in range(3) if (now.day + i) % 3 == 0]
            made += [f"c{client:02},{article},t{client}{now},4,{now} 10:00:00" for article in [*own, f"all{draw.integers(6)}"]]
    return made


@pytest.fixture(scope="module")
def shop(spark, tmp_path_factory, valkey_server):
    """The night through all stages; a night after it was taken in and cleaned first."""
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("shop")
        spark.conf.set("spark.sql.session.timeZone", "UTC")
        at(home, patch)
        valkey_server.client.flushall()
        patch.setenv("AIRFLOW_CONN_KV_DEFAULT", valkey_server.uri)
        logged = []
        patch.setattr(tracking, "log_training", lambda *given, **named: logged.append(named) or "run-1")
        patch.setattr(choosing, "with_mlflow", lambda *given, **named: None)
        pipeline = tiny_shop(SHOP)
        land(home, f"shop/sales/{NIGHT}.csv", [HEAD, *sales(FIRST, NIGHT)])  # one delivery of all the days before
        land(home, f"shop/sales/{AFTER}.csv", [HEAD, *(row.replace("c0", "later0") for row in sales(AFTER, AFTER))])
        land(
            home, "shop/clients.csv", ["id,region", *(f"c{client:02},{'north' if client < 6 else 'south'}" for client in range(11))]
        )
        for night in (NIGHT, AFTER):
            land(home, f"shop/leaflet/{night}.csv", ["article,since,until", *LEAFLET])
        for stage in (ingest, clean):
            run(stage, tiny_shop(SHOP | {"schedule": {"start": NIGHT}}), AFTER)
            run(stage, tiny_shop(SHOP | {"schedule": {"start": NIGHT}}), NIGHT)
        pipeline = tiny_shop(SHOP | {"schedule": {"start": NIGHT}})
        words = {stage.__name__.rsplit(".", 1)[-1]: run(stage, pipeline, NIGHT) for stage in (features, train, evaluate, score)}
        yield {"words": words, "logged": logged, "pipeline": pipeline}


def test_features_know_no_later_night(shop):
    assert shop["words"]["features"].startswith("12 users, 42 items (42 may be listed), ")
    assert f" from {FIRST} to {NIGHT}; 6 windows; ALS by implicit: " in shop["words"]["features"]
    facts = Lake("shop").get("features", NIGHT).facts
    assert (facts["users"], facts["first_day"], facts["last_day"]) == (12, FIRST, NIGHT)


def test_the_settings_of_als_are_the_best_of_the_folds_and_everything_after_is_of_them(spark, shop):
    lake = Lake("shop")
    facts = lake.get("features", NIGHT).facts
    tried, best = facts["als_grid"], max(range(2), key=lambda i: facts["als_grid"][i]["mean"])
    assert [point["params"]["factors"] for point in tried] == [4, 8]
    assert [point["best"] for point in tried] == [i == best for i in range(2)]
    assert all(len(point["validation"]) == 2 and 0 < point["mean"] < 1 for point in tried)
    chosen = tried[best]["params"]
    assert facts["als_settings"] == chosen == {**chosen, "regularization": 1.0, "alpha": 1.0, "iterations": 6}
    assert f"; best of 2: factors {chosen['factors']}, " in shop["words"]["features"]
    of = spark.read.parquet(f"{lake.spark_path(lake.get('features', NIGHT).data)}/als")
    assert {len(row["factors"]) for row in of.collect()} == {chosen["factors"]}
    assert shop["logged"][0]["chosen_before"]["als_factors"] == chosen["factors"]
    page = lake.read_text(lake.get("evaluation", NIGHT).facts["report"])
    assert "Collaborative filtering" in page
    assert f"factors {chosen['factors']}" in page


def of_windows(spark, name: str) -> dict[str, list]:
    """Rows of each window's part of the features, the window by the night of its cutoff."""
    facts = Lake("shop").get("features", NIGHT).facts
    nights = {window["number"]: str(EPOCH + timedelta(days=window["cutoff"])) for window in facts["windows"]}
    data = Lake("shop").spark_path(Lake("shop").get("features", NIGHT).data)
    items = {row["item"]: row["id"] for row in spark.read.parquet(f"{data}/items").collect()}
    found = {night: [] for night in nights.values()}
    for row in spark.read.parquet(f"{data}/{name}").collect():
        found[nights[int(row["window"])]].append({**row.asDict(), "item": items.get(row["item"])})
    return found


def test_a_promotion_is_seen_on_its_days_and_never_before(spark, shop):
    found = {night: {row["item"] for row in rows} for night, rows in of_windows(spark, "promotions").items()}
    assert found[NIGHT] == {"all1"}
    assert found["2026-01-20"] == {"all0"}
    assert not any(items for night, items in found.items() if night not in (NIGHT, "2026-01-20"))


def test_what_users_alike_take_is_counted_as_of_each_cutoff(spark, shop):
    data = Lake("shop").spark_path(Lake("shop").get("features", NIGHT).data)
    attributes = {row["user"]: row for row in spark.read.parquet(f"{data}/attributes").collect()}
    assert [attributes[user]["values"] for user in (0, 6, 11)] == [["north"], ["south"], [None]]
    assert [attributes[user]["segments"] for user in (0, 6, 11)] == [[0], [1], [-1]]
    found = of_windows(spark, "segments")
    own = {row["segment"]: row["baskets"] for row in found[NIGHT] if row["item"] == "own000"}
    assert own == {0: 8}, "own to one client of the north"
    visits = {night: sum(row["baskets"] for row in rows if row["item"] is None) for night, rows in found.items()}
    assert visits[NIGHT] == 24 * 11
    assert visits["2026-01-20"] == 20 * 11


def test_the_grid_is_judged_on_every_fold_and_the_choice_is_logged(shop):
    (logged,) = shop["logged"]
    facts = Lake("shop").get("model", NIGHT).facts
    assert logged["grid"] == facts["grid"]
    assert [len(point["validation"]) for point in facts["grid"]] == [2, 2, 2, 2]
    (best,) = [point for point in facts["grid"] if point["best"]]
    assert best["mean"] == max(point["mean"] for point in facts["grid"])
    assert facts["best"] == best["params"]
    assert facts["mlflow_run"] == "run-1"
    assert not Lake("shop").exists(f"{Lake('shop').get('model', NIGHT).data}/scratch")


def test_the_recipe_beats_what_is_popular_in_its_own_report(shop):
    facts = Lake("shop").get("evaluation", NIGHT).facts
    assert facts["metrics"]["ndcg"] > facts["metrics"]["ndcg_popularity"] + 0.1
    page = Lake("shop").read_text(facts["report"])
    assert "personal frequency" in page
    assert "Candidates" in page
    assert "By region, the values of most users." in page
    assert "<td>north</td>" in page


def test_everybody_has_a_list_of_his_own_things_and_it_says_why(spark, shop):
    assert shop["words"]["score"] == "12 lists of 5 to 5 items, 41 different items"
    data = Lake("shop").spark_path(Lake("shop").get("scores", NIGHT).data)
    lists = {row["key"]: row["items"] for row in spark.read.parquet(f"{data}/lists").collect()}
    for client, items in lists.items():
        own = {item["id"]: item["why"] for item in items if item["id"].startswith(f"own{client[1:]}")}
        assert len(own) == 3
        assert all(why.startswith("bought 8 times, last on 2026-01-2") for why in own.values())
    assert spark.read.parquet(f"{data}/fallback").first()["items"][0]["why"] == "popular now"


def test_the_portable_twin_knows_the_night_s_items_and_says_to_strangers_what_the_fallback_says(spark, shop):
    model, scores = Lake("shop").get("model", NIGHT), Lake("shop").get("scores", NIGHT)
    assert model.facts["twin"] == scores.facts["recipe"]["twin"] == f"{model.data}/twin"
    found = Baskets.load(Lake("shop").spark_path(model.facts["twin"]))
    (row,) = spark.read.parquet(f"{Lake('shop').spark_path(scores.data)}/fallback").collect()
    assert found.recommend({}, 5, exclude_seen=True).items == [(item["id"], item["score"]) for item in row["items"]]
    answer = found.recommend({"own030": 8, "own031": 8, "nowhere": 1}, 42, exclude_seen=False)
    assert (answer.source, answer.unknown, len(answer.items)) == ("basket", ["nowhere"], 42)
    own = [item for item, _ in answer.items if item.startswith("own")]
    assert sorted(own[:3]) == ["own030", "own031", "own032"], "the third one goes with these two"


def test_the_same_inputs_are_taken_once_and_other_inputs_anew(shop):
    assert run(train, shop["pipeline"], NIGHT).endswith("reused)")
    shorter = tiny_shop(SHOP | {"schedule": {"start": NIGHT}, "recommend": SHOP["recommend"] | {"top_n": 2}})
    assert run(evaluate, shorter, NIGHT).endswith("reused)"), "the length of a list changes no judgement"
    assert run(score, shorter, NIGHT).startswith("12 lists of 2 to 2 items")


def test_nothing_to_learn_from_and_no_clean_night_are_said(utc, home):
    with pytest.raises(NotCommitted, match=f"night {FIRST}: shop has no committed clean: run the stage that writes it first"):
        run(features, tiny_shop(), FIRST)
    accepting = tiny_shop({"sources": {"sales": {"empty": "accept"}}})
    land(home, f"shop/sales/{FIRST}.csv", [HEAD])
    run(ingest, accepting, FIRST)
    run(clean, accepting, FIRST)
    with pytest.raises(BadInput, match=f"sales, night {FIRST}: no interactions up to this night: have deliveries landed"):
        run(features, accepting, FIRST)
