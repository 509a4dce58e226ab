"""Nights through the real scheduler: by hand, by the clock, with the future landed and without."""

import importlib
import json
import os
import shutil
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from embedded import ending
from nightfold import api_keys
from nightfold import pipeline as pipelines
from nightfold.lake import Lake
from nightfold.stages import FLOW
from samples.land import land

import pytest
from e2e import tunes
from helpers import run
from replica import Replica

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]  # a night takes ten minutes where everything is slow
DS = "2017-03-01"  # the 60th day
GROCERY = "nightly_grocery"
TASKS = [stage.name for stage in FLOW]


def nightfold(night, *arguments: str) -> subprocess.CompletedProcess:
    """The command line, as a user at this platform."""
    program = Path(sys.executable).with_name("nightfold")
    return subprocess.run([program, *arguments], env=night.settings.job_environment(), capture_output=True, text=True, check=False)


def answers(night, *arguments: str) -> list[dict]:
    done = nightfold(night, *arguments)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def lake(night, pipeline: str) -> Lake:
    return Lake(pipeline, night.settings["NIGHTFOLD_LAKE"])


@pytest.fixture(scope="module")
def grocery(night):
    """60 days of 200 households, landed up to the night itself, and the night taken by hand."""
    environ, before = night.settings.job_environment(), dict(os.environ)
    os.environ.update(environ)
    try:
        land(landing_uri=night.settings["NIGHTFOLD_LANDING"], households=200, until=DS)
    finally:
        os.environ.clear()
        os.environ.update(before)
    run_id = night.trigger(GROCERY, {"ds": DS})
    states = night.ended(GROCERY, run_id)
    failed = [task for task, state in states.items() if state != "success"]
    assert not failed, night.log(GROCERY, run_id, failed[0])[-3000:]
    return run_id


def test_a_night_by_hand_ends_with_a_live_list_for_every_household(night, grocery):
    [list_, unknown] = answers(night, "lookup", "grocery", sorted(_households(night))[0], "nobody", "--json")
    assert list_["source"] == "model"
    assert (list_["night"], list_["pipeline"], len(list_["items"])) == (DS, "grocery", 20)
    assert unknown["source"] == "fallback"
    assert [version["state"] for version in answers(night, "versions", "grocery", "--json")[0]["versions"]] == ["live"]
    assert {answer["key"] for answer in answers(night, "lookup", "grocery", "--all")} == _households(night)


def test_the_data_report_has_kept_nobody_from_their_lists(night, grocery):
    tasks = {task["task_id"]: task for task in night.api.task_instances(GROCERY, grocery)}
    assert tasks["profile"]["start_date"] > tasks["publish"]["end_date"]


def test_the_rest_api_gives_the_same_lists_and_lists_for_baskets(night, grocery):
    file = night.settings.home / "serving" / "keys.json"
    _, key = api_keys.add(file, "test", pipelines=["grocery"], scopes=list(api_keys.SCOPES))
    households, place = sorted(_households(night))[:20], "/v1/pipelines/grocery"
    with Replica(night.settings.home, key, **night.settings.job_environment(), NIGHTFOLD_SERVING_KEYS=str(file)) as replica:
        found = replica.client.post(f"{place}/lists", json={"keys": [*households, "nobody"]}).json()["lists"]
        same = [{name: answer[name] for name in ("key", "version", "source", "items")} for answer in found]
        asked = answers(night, "lookup", "grocery", *households, "nobody", "--json")
        assert same == [{name: answer[name] for name in ("key", "version", "source", "items")} for answer in asked]
        taken = found[0]["items"][0]["id"]
        suggested = replica.client.post(f"{place}/baskets", json={"basket": {taken: 3}, "n": 10}).json()
        assert (suggested["version"], suggested["source"], len(suggested["items"])) == (found[0]["version"], "basket", 10)
        departments = replica.client.get(f"{place}/catalogue").json()["columns"]["department"]
        assert "GROCERY" in departments
        only = replica.client.get(f"{place}/lists/{households[0]}?only=department:GROCERY").json()["items"]
        assert [item for item in found[0]["items"] if item in only] == only
        assert 0 < len(only) < 20
    assert answers(night, "verify", "grocery", "--json")[0]["whole"] is True


def _households(night) -> set[str]:
    folder = Path(night.settings["NIGHTFOLD_LANDING"].removeprefix("file://")) / "grocery" / "transactions"
    return {line.split(",", 1)[0] for file in folder.glob("*.csv") for line in file.read_text().splitlines()[1:]}


def test_a_night_from_the_terminal_ends_with_peoples_lists_by_name_and_the_metrics(night, grocery, monkeypatch):
    for name, value in night.settings.job_environment().items():
        monkeypatch.setenv(name, value)
    said: list[str] = []
    ending.say_lists("grocery", say=said.append)
    assert any("BANANAS" in line or "MILK" in line for line in said)
    assert said[-1].startswith("\nMetrics: ndcg 0.")


def of_mlflow(night, what: str, **params: str) -> dict:
    import requests

    answer = requests.get(
        f"{night.settings['MLFLOW_TRACKING_URI']}/api/2.0/mlflow/{what}",
        params=params,
        auth=(night.settings["MLFLOW_TRACKING_USERNAME"], night.settings["MLFLOW_TRACKING_PASSWORD"]),
        timeout=30,
    )
    answer.raise_for_status()
    return answer.json()


def test_every_stage_of_the_night_committed_a_line_for_people(night, grocery):
    manifests = {stage.name: lake(night, "grocery").get(stage.dataset, DS) for stage in FLOW if stage.spark}
    assert all(manifest.summary for manifest in manifests.values())
    assert all(manifest.timings["total_seconds"] > 0 for manifest in manifests.values())


def test_the_reports_are_where_the_command_line_says(night, grocery):
    [found] = answers(night, "report", "grocery", "--json")
    for report in (found["data"], found["evaluation"]):
        assert Path(report["page"]).read_text(encoding="utf-8").startswith("<!doctype html>")
        assert json.loads(Path(report["figures"]).read_text(encoding="utf-8"))


def test_the_training_is_an_mlflow_run_with_every_folds_metrics(night, grocery):
    facts = lake(night, "grocery").get("model", DS).facts
    found = of_mlflow(night, "runs/get", run_id=facts["mlflow_run"])["run"]
    metrics = {metric["key"] for metric in found["data"]["metrics"]}
    assert {"train_ndcg_at_10", "validation_ndcg_at_10", "validation_ndcg_at_10_mean"} <= metrics
    assert found["info"]["status"] == "FINISHED"


def test_the_alias_champion_is_the_run_whose_model_made_the_lists(night, grocery):
    recipe = lake(night, "grocery").get("scores", DS).facts["recipe"]
    registered = of_mlflow(night, "registered-models/get", name="grocery")["registered_model"]
    if recipe["kind"] == "baseline":
        assert "aliases" not in registered
        return
    found = of_mlflow(night, "registered-models/alias", name="grocery", alias="champion")["model_version"]
    assert found["run_id"] == recipe["run"]
    assert found["source"].endswith("/model")
    files = of_mlflow(night, "artifacts/list", run_id=recipe["run"], path="model")["files"]
    assert {"model/MLmodel", "model/sparkml", "model/model.json"} <= {file["path"] for file in files}


def test_the_same_night_again_finds_its_version_and_changes_nothing(night, grocery):
    before = answers(night, "versions", "grocery", "--json")
    states = night.ended(GROCERY, night.trigger(GROCERY, {"ds": DS}))
    assert set(states.values()) == {"success"}
    assert answers(night, "versions", "grocery", "--json") == before


def test_the_lists_are_the_same_with_all_the_future_landed(night, grocery, spark, tmp_path, monkeypatch):
    """The same jobs, in this process, on a lake of their own, with 365 days in the landing instead of 60."""
    for name, value in night.settings.job_environment().items():
        if name.startswith(("NIGHTFOLD_", "AIRFLOW_CONN_", "MLFLOW_")):
            monkeypatch.setenv(name, value)
    monkeypatch.setenv("NIGHTFOLD_LAKE", f"file://{tmp_path / 'lake'}")
    monkeypatch.setenv("NIGHTFOLD_LANDING", f"file://{tmp_path / 'landing'}")
    land(landing_uri=f"file://{tmp_path / 'landing'}", households=200, database=False)
    assert len(list((tmp_path / "landing" / "grocery" / "transactions").glob("*.csv"))) == 365
    for stage in ("ingest", "clean", "features", "train", "evaluate", "score"):
        run(importlib.import_module(f"spark_jobs.{stage}"), pipelines.named("grocery"), DS)
    first, second = lake(night, "grocery"), Lake("grocery")
    assert second.get("scores", DS).fingerprint == first.get("scores", DS).fingerprint
    assert checksum_of(spark, second) == first.get("version", DS).facts["checksum"]


def checksum_of(spark, of: Lake) -> str:
    """The checksum over a night's lists, as `publish` takes it."""
    from nightfold import schemas
    from nightfold.spark import loading, tables
    from nightfold.store.records import checksum, encode, record_digest

    data = of.get("scores", DS).data
    lists, fallback = (
        tables.read(spark, schemas.SCORES, [of.spark_path(f"{data}/{part}")], what=part) for part in ("lists", "fallback")
    )
    with loading.encoded(lists) as records:
        _, total = loading.summed(records)
    unknown = encode((i["id"], i["score"], i["why"]) for i in fallback.collect()[0]["items"])
    return checksum([total, record_digest("", unknown)])


def test_a_manual_run_that_does_not_say_its_night_fails_at_once_and_says_what_to_do(night, grocery):
    run_id = night.trigger(GROCERY, {})
    states = night.ended(GROCERY, run_id, limit=120)
    assert states["ingest"] == "failed"
    assert "a manual run must say its night" in night.log(GROCERY, run_id, "ingest")
    assert night.api.task_instances(GROCERY, run_id)[0]["try_number"] <= 1


def test_a_night_without_a_delivery_stops_without_retry_and_live_stays(night, grocery):
    before = answers(night, "versions", "grocery", "--json")
    run_id = night.trigger(GROCERY, {"ds": "2017-03-02"})
    states = night.ended(GROCERY, run_id, limit=180)
    assert (states["ingest"], states["clean"], states["profile"]) == ("failed", "upstream_failed", "upstream_failed")
    assert "no delivery for night 2017-03-02: have it landed, or declare the day" in night.log(GROCERY, run_id, "ingest")
    assert max(task["try_number"] for task in night.api.task_instances(GROCERY, run_id)) == 1
    assert answers(night, "versions", "grocery", "--json") == before


@pytest.mark.slow  # the rule that does it: tests/dags/test_nightly.py
def test_a_night_that_makes_no_lists_still_has_its_data_report(night, grocery):
    run_id = night.trigger(GROCERY, {"ds": "2017-01-10"})  # too few days to learn from
    states = night.ended(GROCERY, run_id, limit=300)
    assert (states["features"], states["publish"], states["profile"]) == ("failed", "upstream_failed", "success")
    assert "nightfold: features failed: " in night.log(GROCERY, run_id, "features")


@pytest.mark.slow
def test_a_pipeline_of_other_names_is_added_by_one_file_and_started_by_the_clock(night):
    today = datetime.now(ZoneInfo("Europe/Berlin")).date()
    landing = Path(night.settings["NIGHTFOLD_LANDING"].removeprefix("file://"))
    tunes.land(landing, last=today + timedelta(days=1), days=32)
    shutil.copy(Path(__file__).with_name("tunes.yaml"), Path(night.settings["NIGHTFOLD_PIPELINES"]) / "tunes.yaml")
    dag_id = "nightly_tunes"
    night.until(lambda: dag_id in night.api.dag_ids(), what=dag_id, limit=120)
    runs = night.until(lambda: night.api.get(f"dags/{dag_id}/dagRuns")["dag_runs"], what="scheduled run", limit=150)
    assert runs[0]["run_type"] == "scheduled"
    states = night.ended(dag_id, runs[0]["dag_run_id"])
    failed = [task for task, state in states.items() if state != "success"]
    assert not failed, night.log(dag_id, runs[0]["dag_run_id"], failed[0])[-3000:]

    lists = {answer["key"]: answer for answer in answers(night, "lookup", "tunes", "--all")}
    assert set(lists) == set(tunes.LISTENERS)
    assert lists["0001"]["source"] == "model"
    assert {answer["night"] for answer in lists.values()} <= {str(today), str(today - timedelta(days=1))}, (
        "the last day that was over"
    )
    listed = {item["id"] for answer in lists.values() for item in answer["items"]}
    assert listed <= set(tunes.TUNES) - set(tunes.UNLICENSED), "leading zeros stay; unlicensed tunes are never listed"
    seen = {(row["listener"], row["tune"]) for row in _plays(landing, until=next(iter(lists.values()))["night"])}
    assert not any((key, item["id"]) in seen for key, answer in lists.items() for item in answer["items"])


def _plays(landing: Path, *, until: str) -> list[dict]:
    folders = [folder for folder in (landing / "tunes" / "plays").iterdir() if folder.name <= until]
    lines = [
        line for folder in folders for file in folder.iterdir() for line in file.read_text().splitlines() if line.endswith("}")
    ]
    return [json.loads(line) for line in lines]
