"""The table of stages, from answers as Airflow gives them and manifests as the jobs commit them."""

from benchmarks import stages
from nightfold.errors import NightfoldError
from nightfold.lake import Lake, Manifest
from nightfold.stages import BY_NAME

import pytest

TRAIN, PROMOTE = BY_NAME["train"], BY_NAME["promote"]
STARTED = "2020-11-23T10:00:10.500000Z"
TIMINGS = {"total_seconds": 8.0, "session_seconds": 3.0, "work_seconds": 4.0}


def run(run_id: str, *, ds: str | None = None, start: str | None = STARTED, interval: str | None = None) -> dict:
    return {
        "dag_run_id": run_id,
        "conf": {"ds": ds} if ds else {},
        "data_interval_start": interval,
        "start_date": start,
        "end_date": "2020-11-23T10:01:40.500000Z",
        "state": "success",
    }


def task(name: str, seconds: float) -> dict:
    return {"task_id": name, "state": "success", "start_date": STARTED, "duration": seconds}


def manifest(committed: str, *, dataset: str = "model") -> Manifest:
    return Manifest(
        pipeline="grocery",
        dataset=dataset,
        night="2017-12-03",
        attempt="a",
        fingerprint="f",
        timings=TIMINGS,
        committed_at=committed,
    )


def test_start_up_is_what_is_not_the_stages_own_work():
    row = stages.stage_time(TRAIN, task("train", 10.0), manifest("2020-11-23T10:00:20+00:00"))
    assert (row.task, row.session, row.work, row.reused) == (10.0, 3.0, 4.0, False)
    assert row.startup_share == pytest.approx(0.6)


def test_a_result_that_was_committed_before_the_task_began_is_reused_and_has_no_work():
    row = stages.stage_time(TRAIN, task("train", 2.0), manifest("2020-11-23T09:00:00+00:00"))
    assert (row.reused, row.work, row.startup_share) == (True, None, None)


def test_a_stage_without_a_manifest_has_only_its_task_time():
    row = stages.stage_time(PROMOTE, task("promote", 1.5), None)
    assert (row.task, row.work, row.startup_share) == (1.5, None, None)


def test_a_stage_that_did_not_run_says_so():
    assert stages.stage_time(TRAIN, None, None).state == "not run"
    assert stages.stage_time(TRAIN, {"start_date": None, "state": "upstream_failed"}, None).state == "upstream_failed"


def test_the_night_of_a_scheduled_run_is_the_day_its_interval_starts_where_the_pipeline_lives():
    scheduled = run("s", interval="2017-12-03T23:30:00Z")
    assert stages.night_of(scheduled, "UTC") == "2017-12-03"
    assert stages.night_of(scheduled, "Europe/Rome") == "2017-12-04"
    assert stages.night_of(run("m", ds="2017-12-10", interval="2017-12-03T00:00:00Z"), "UTC") == "2017-12-10"


def test_the_last_run_is_the_newest_that_started_and_a_night_can_be_asked_for():
    runs = [run("queued", ds="2017-12-11", start=None), run("new", ds="2017-12-10"), run("old", ds="2017-12-03")]

    def get(path, **query):
        assert (path, query["order_by"]) == ("/dags/nightly_grocery/dagRuns", "-start_date")
        return {"dag_runs": runs}

    assert stages.last_run(get, "grocery", "UTC", None)[0]["dag_run_id"] == "new"
    assert stages.last_run(get, "grocery", "UTC", "2017-12-03")[0]["dag_run_id"] == "old"
    with pytest.raises(NightfoldError, match="no run of night 2017-11-01 among the last 100: take one with `make run`"):
        stages.last_run(get, "grocery", "UTC", "2017-11-01")


def test_the_table_joins_airflow_and_the_lake(tmp_path, monkeypatch):
    lake = Lake("grocery", f"file://{tmp_path}")
    lake.commit(manifest("", dataset="model"))  # stamped with now, which is after STARTED

    def get(path, **query):
        if path.endswith("/dagRuns"):
            return {"dag_runs": [{**run("manual__2020-11-23T10:00:00+00:00", ds="2017-12-03"), "start_date": STARTED}]}
        assert path == "/dags/nightly_grocery/dagRuns/manual__2020-11-23T10%3A00%3A00%2B00%3A00/taskInstances"
        return {"task_instances": [task("train", 10.0), task("promote", 1.5)]}

    monkeypatch.setattr(stages.pipelines, "named", lambda name: type("P", (), {"timezone": "UTC"}))
    times = stages.measure("grocery", get=get, lake=lake)
    assert [stage.stage for stage in times.stages] == list(BY_NAME)
    assert times.seconds == 90.0
    lines = stages.as_text(times).splitlines()
    assert lines[0] == "grocery, night 2017-12-03, run manual__2020-11-23T10:00:00+00:00: success, took 90.0 s"
    assert next(line for line in lines if line.startswith("train")).split() == ["train", "10.0", "3.0", "4.0", "60%", "success"]
    assert next(line for line in lines if line.startswith("promote")).split() == ["promote", "1.5", "-", "-", "-", "success"]
    assert next(line for line in lines if line.startswith("all tasks")).split() == ["all", "tasks", "11.5", "3.0", "4.0", "60%"]


def test_an_airflow_that_does_not_answer_is_one_line_with_the_mend(monkeypatch, capsys):
    monkeypatch.setenv("NIGHTFOLD_AIRFLOW_URL", "http://127.0.0.1:1")
    assert stages.main([]) == 1
    assert capsys.readouterr().err == (
        "benchmarks.stages: Airflow at http://127.0.0.1:1 does not answer: start the platform with `make up`\n"
    )
