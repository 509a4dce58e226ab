"""The stages of classify and regress on a small club, with a real store: examples, model, evaluation, predictions, truth."""

import json
from collections.abc import Iterator
from datetime import date

import spark_jobs.clean as clean
import spark_jobs.evaluate as evaluate
import spark_jobs.features as features
import spark_jobs.ingest as ingest
import spark_jobs.promote as promote
import spark_jobs.publish as publish
import spark_jobs.score as score
import spark_jobs.train as train
from nightfold import cli, tracking
from nightfold.client import Client
from nightfold.errors import BadInput, NightRefused, NotServable
from nightfold.lake import Lake
from nightfold.pipeline import Pipeline
from nightfold.spark import choosing, families
from nightfold.spark.evaluators import NothingToJudge
from nightfold.spark.job import _arguments, _job
from nightfold.spark.predict import evaluate as predict_evaluate
from nightfold.spark.predict import examples, twin
from nightfold.spark.predict import train as predict_train
from nightfold.spark.predict.features import written
from nightfold.spark.windows import EPOCH, TEST, Window
from nightfold.stages import BY_NAME
from nightfold.twins.predictions import Predictions

import pyarrow.parquet as pq
import pytest
from club import CLASSIFY, CLUB, MEMBERS, NIGHT, club, files
from helpers import at, grid_of, job, land, run
from pyspark.sql import functions as F

LATER = "2026-02-08"
"""Four days after: what was predicted of NIGHT has come."""


@pytest.fixture(scope="module")
def landed(spark, tmp_path_factory, valkey_server) -> Iterator[None]:
    """Night NIGHT is clean; the club's files are landed up to LATER."""
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("club")
        spark.conf.set("spark.sql.session.timeZone", "UTC")
        at(home, patch)
        valkey_server.client.flushall()
        patch.setenv("AIRFLOW_CONN_KV_DEFAULT", valkey_server.uri)
        patch.setattr(tracking, "log_training", lambda *given, **named: "run-1")
        patch.setattr(choosing, "with_mlflow", lambda *given, **named: None)
        patch.setattr(tracking, "crown", lambda *given, **named: None)
        patch.setattr(families, "LINEAR_ITERATIONS", 10)  # each is a Spark job
        for path, lines in files(LATER).items():
            if "/visits/" in path or "/tips/" in path:
                head, *rows = lines
                for night, wanted in ((NIGHT, lambda day: day <= NIGHT), (LATER, lambda day: day > NIGHT)):
                    place = path.replace(LATER, night)
                    land(home, place, [head, *(row for row in rows if wanted(row.split(",")[1]))])
            else:
                land(home, path, lines)
        for stage in (ingest, clean):
            run(stage, club(), NIGHT)
        yield


def through(pipeline: Pipeline, night: str = NIGHT) -> dict[str, str]:
    """Every stage after `clean`; stage → what it said."""
    stages = (features, train, evaluate, score, publish)
    said = {stage.__name__.rsplit(".", 1)[-1]: run(stage, pipeline, night) for stage in stages}
    last = job("promote", pipeline, night)
    last.turn = last.store.take_turn("club", "by hand", night, seconds=60)
    said["promote"] = promote.main(last)
    last.store.leave_turn("club", "by hand")
    return said


@pytest.fixture(scope="module")
def spend(landed) -> dict[str, str]:
    return through(club())


def test_examples_say_what_was_known_at_the_cutoff_and_what_came_after(spark, spend):
    assert spend["features"].startswith(f"{MEMBERS} keys with ")
    tonight = job("train", club(), NIGHT)
    first = written(spark, tonight, [1]).orderBy("key").first().asDict()
    rows = [line.split(",") for line in files()[f"club/visits/{NIGHT}.csv"][1:]]
    days = {day: float(paid) for member, day, paid, _ in rows if member == first["key"]}
    cutoff = "2026-01-31"
    known = [day for day in days if day <= cutoff]
    assert first["visits_rows_8"] == sum(day >= "2026-01-24" for day in known)
    assert first["visits_paid_16"] == pytest.approx(sum(days[day] for day in known if day >= "2026-01-16"))
    assert first["visits_since_last"] == 31 - int(max(known)[-2:])
    assert first["label"] == pytest.approx(sum(paid for day, paid in days.items() if day > cutoff))
    assert first["before"] == pytest.approx(sum(days[day] for day in known if day > "2026-01-27"))
    assert first["average"] == pytest.approx(sum(days[day] for day in known if day > "2026-01-19") / 3)
    assert first["members_town"] == "lower"
    assert (first["letters_rows_16"], first["letters_since_first"]) == (0.0, 21.0), "sent on the 10th"
    other = written(spark, tonight, [0]).where("key = 'm001'").first()
    assert other["letters_since_last"] is None, "what is sent after the night is not known"
    assert other["label"] is None
    assert other["members_town"] is None


def test_days_after_a_cutoff_change_no_example_of_it_but_its_label(spark, spend):
    tonight, window = job("features", club(), NIGHT), Window(1, (date(2026, 1, 31) - EPOCH).days, 4)
    days = {name: examples.daily(spark, tonight, name) for name in club().predict.events}
    table, plain = examples.table(spark, [window]), club({"predict": {"attributes": []}})
    made = lambda given: sorted(examples.made(plain, given, table, []).drop("label").collect(), key=lambda row: row["key"])  # noqa: E731
    known = {name: rows.where(F.col("day") <= window.cutoff) for name, rows in days.items()}
    future = {name: rows.unionByName(rows.withColumn("day", F.lit(window.cutoff + 1))) for name, rows in days.items()}
    assert made(known) == made(future)


def test_predictions_are_read_like_lists_and_say_why(spend):
    assert spend["score"].startswith(f"{MEMBERS} predictions of paid, ")
    with Client() as client:
        found, unknown = client.lookup_many("club", ["m001", "nobody"])
    (item,) = found.items
    assert item.id == "paid"
    assert item.score > 0
    assert " visits so far, the last " in item.why
    assert unknown.source == "fallback"
    assert unknown.items[0].why == "the mean of all"


def test_the_page_says_whether_to_trust_it(spend):
    evaluation = Lake("club").get("evaluation", NIGHT)
    page = Lake("club").read_text(evaluation.facts["report"])
    head = ("club: the predictions of", "mean absolute error", "own average", "promoted")
    for words in (*head, "What the model looks at", "furthest off", "By members_town"):
        assert words in page
    figures = json.loads(Lake("club").read_text(evaluation.facts["json"]))
    assert {row["segment"] for row in figures["by_attribute"]} == {"upper", "lower", "not known"}
    assert sum(row["users"] for row in figures["by_activity"]) == MEMBERS
    assert figures["by_activity"][0].keys() == {"segment", "users", "half_width", *figures["systems"]}
    assert figures["by_activity"][-1]["half_width"].keys() == figures["systems"].keys()
    assert evaluation.facts["metrics"]["mae"] < evaluation.facts["metrics"]["mae_mean"]
    assert evaluation.facts["served"]["mae"] == evaluation.facts["metrics"]["mae"]


def test_the_portable_twin_of_the_model_says_what_was_published(spend):
    lake = Lake("club")
    model, version = lake.get("model", NIGHT), lake.get("version", NIGHT).facts["version"]
    assert model.facts["twin"] == f"{model.data}/twin"
    assert job("promote", club(), NIGHT).store.find("club", version).manifest.facts["twin"] == model.facts["twin"]
    found = Predictions.load(lake.spark_path(model.facts["twin"]))
    rows = pq.read_table(lake.local_path(f"{lake.get('features', NIGHT).data}/examples/part=0"), partitioning=None)
    lists = pq.read_table(lake.local_path(f"{lake.get('scores', NIGHT).data}/lists")).to_pylist()
    asked = rows.select([*found.features["numbers"], *found.features["categories"]]).to_pylist()
    said = dict(zip(rows["key"].to_pylist(), found.predict(asked), strict=True))
    assert said == pytest.approx({row["key"]: row["items"][0]["score"] for row in lists}, rel=1e-6, abs=1e-6)
    assert set(found.features["numbers"]) == set(club().predict.features)


def test_whoever_is_forgotten_is_found_in_every_window_of_the_examples(landed, spend, tmp_path, monkeypatch, capsys):
    (tmp_path / "club.yaml").write_text(CLUB)
    monkeypatch.setenv("NIGHTFOLD_PIPELINES", str(tmp_path))
    assert cli.main(["forget", "club", "m001", "--dry-run", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    windows = [path.split("/part=")[1].split("/")[0] for path in rows if "/examples/part=" in path]
    assert len(set(windows)) == len(Lake("club").get("features", NIGHT).facts["windows"])


@pytest.fixture(scope="module")
def tips(landed) -> dict[str, str]:
    """A night that is held, and whose model has a part of which there is no portable twin; stage → what it said."""

    def refuse(*given, **named):
        raise NotServable("Binarizer: a twin does not know this stage")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(twin, "write", refuse)
        strict = club(CLASSIFY | {"pipeline": "tips", "gate": {"beat": {"past events": 5.0}}})
        stages = (ingest, clean, features, train, evaluate, score)
        return {stage.__name__.rsplit(".", 1)[-1]: run(stage, strict, NIGHT) for stage in stages}


def test_a_model_without_a_portable_twin_is_trained_all_the_same_and_says_why(tips):
    facts = Lake("tips").get("model", NIGHT).facts
    assert (facts["twin"], facts["not_servable"]) == (None, "Binarizer: a twin does not know this stage")
    assert tips["train"].endswith("; cannot be served over REST: Binarizer: a twin does not know this stage")


def test_a_night_whose_model_is_held_gets_the_best_baseline(tips):
    assert "held: first night: the best baseline, past events, is published: past events is not beaten" in tips["evaluate"]
    assert tips["score"].endswith(", by the baseline past events")
    lists = pq.read_table(Lake("tips").local_path(f"{Lake('tips').get('scores', NIGHT).data}/lists")).to_pylist()
    examples = pq.read_table(
        Lake("tips").local_path(f"{Lake('tips').get('features', NIGHT).data}/examples/part=0"), partitioning=None
    )
    past = dict(zip(examples["key"].to_pylist(), examples["past"].to_pylist(), strict=True))
    said = sorted((past[row["key"]], row["items"][0]["score"]) for row in lists)
    assert max(count for count, _ in said) > 1
    assert all(0 <= chance <= 1 for _, chance in said), "a count is no probability"
    chances = [chance for _, chance in said]
    assert chances == sorted(chances), "whom it counts more of has no less of a chance"
    assert len(set(chances)) > 2
    figures = Lake("tips").get("evaluation", NIGHT).facts["metrics"]
    assert {"average_precision", "lift", "log_loss", "average_precision_past_events"} <= set(figures)


@pytest.mark.parametrize(
    ("label", "words"),
    [
        (0.0, "nothing happened from 2026-02-01 to 2026-02-04 that was to be predicted: choose a larger split.test_days"),
        (1.0, "what was to be predicted happened to everybody from 2026-02-01 to 2026-02-04: choose a smaller split.test_days"),
    ],
)
def test_test_days_in_which_it_happened_to_nobody_or_to_everybody_judge_nothing(spark, tips, monkeypatch, label, words):
    def alike(*given):
        return written(*given).withColumn("label", F.when(F.col("window") == TEST, label).otherwise(F.col("label")))

    monkeypatch.setattr(predict_evaluate, "written", alike)
    with pytest.raises(NothingToJudge, match=f"tips, night {NIGHT}: {words}"):
        predict_evaluate.figures(spark, job("evaluate", club(CLASSIFY | {"pipeline": "tips"}), NIGHT))


def test_a_feature_that_sees_the_future_is_too_good_to_be_true(landed, monkeypatch):
    honest = written

    def leaking(*given):
        return honest(*given).withColumn("visits_paid_4", F.coalesce("label", "visits_paid_4"))

    for module in (predict_train, predict_evaluate):
        monkeypatch.setattr(module, "written", leaking)
    pipeline = club({"pipeline": "leak"})
    for stage in (ingest, clean, features, train):
        run(stage, pipeline, NIGHT)
    with pytest.raises(NightRefused, match=r"too good to be true: .* of the mae of mean are gone .*does a feature see the future"):
        run(evaluate, pipeline, NIGHT)


def test_what_came_true_is_kept_beside_the_forecast(spend, monkeypatch):
    grid_of(Lake("club").get("model", NIGHT), monkeypatch)
    for stage in (ingest, clean):
        run(stage, club(), LATER)
    through(club(), LATER)
    truth = Lake("club").get("truth", NIGHT).facts
    assert truth["metrics"]["users"] == MEMBERS
    assert truth["metrics"]["mae"] == pytest.approx(truth["forecast"]["mae"], rel=0.5)
    assert "what came true" in Lake("club").read_text(Lake("club").get("evaluation", LATER).facts["report"])


def test_length_of_lists_is_refused_where_there_are_none(landed, monkeypatch, tmp_path):
    (tmp_path / "club.yaml").write_text(CLUB)
    monkeypatch.setenv("NIGHTFOLD_PIPELINES", str(tmp_path))
    arguments = _arguments(BY_NAME["score"], ["--pipeline", "club", "--ds", NIGHT, "--top-n", "5"])
    with pytest.raises(BadInput, match="--top-n: club makes no lists, it is there to regress: leave it empty"):
        _job(BY_NAME["score"], arguments)
