"""Every pipeline file becomes a DAG as promised; a wrong one is shown, and takes no other down."""

from datetime import timedelta

from nightfold import pipeline as pipelines

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowFailException, ParamValidationError
from airflow.serialization.serialized_objects import DagSerialization
from helpers import ROOT

PROMISED = ["ingest", "clean", "profile", "features", "train", "evaluate", "score", "publish", "promote"]
SHOP = """\
pipeline: shop
description: Next purchases.
owner: somebody
timezone: Europe/Berlin
task: recommend
sources:
  sales:
    format: csv
    path: "{ds}.csv"
    columns: {client: {required: true}, article: {required: true}, sold_at: {type: timestamp, required: true}}
recommend:
  interactions: {source: sales, user: client, item: article, time: sold_at}
schedule: {start: 2017-01-01}
resources: {retries: 1, retry_minutes: 3, timeout_minutes: 7, driver_memory: 1g}
publish: {connection: other_kv, keep: 5}
"""


def bag() -> DagBag:
    return DagBag(dag_folder=str(ROOT / "dags"))


@pytest.fixture(scope="module")
def shipped() -> DagBag:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NIGHTFOLD_PIPELINES", str(ROOT / "pipelines"))
        return bag()


@pytest.fixture
def grocery(shipped) -> DAG:
    return shipped.dags["nightly_grocery"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder of pipelines."""
    monkeypatch.setenv("NIGHTFOLD_PIPELINES", str(tmp_path))
    return tmp_path


def test_the_shipped_pipelines_become_dags_without_import_errors(shipped):
    assert shipped.import_errors == {}
    names = [file.stem for file in (ROOT / "pipelines").glob("*.yaml")]
    assert set(shipped.dags) == {"nightfold_maintenance", *(f"nightly_{name}" for name in names)}
    assert sorted(shipped.dags["nightfold_maintenance"].task_ids) == sorted(names)


def test_the_tasks_are_the_promised_ones_in_the_promised_order(grocery):
    assert grocery.task_ids == PROMISED


def test_predictions_have_no_length_and_go_into_the_database_that_the_file_names(shipped):
    redemption = shipped.dags["nightly_redemption"]
    assert redemption.task_ids == PROMISED
    assert set(redemption.params) == {"ds", "promote"}
    assert redemption.get_task("promote").write == {"connection": "grocer_db", "table": "redemption_predictions"}
    assert shipped.dags["nightly_grocery"].get_task("promote").write is None


def test_the_tasks_depend_on_each_other_as_the_data_flows(grocery):
    assert {task.task_id: sorted(task.downstream_task_ids) for task in grocery.tasks} == {
        "ingest": ["clean"],
        "clean": ["features", "profile"],
        "profile": [],
        "features": ["train"],
        "train": ["evaluate"],
        "evaluate": ["score"],
        "score": ["publish"],
        "publish": ["profile", "promote"],
        "promote": [],
    }


def test_the_data_report_comes_after_the_lists_whatever_has_become_of_them(grocery):
    rules = {task.task_id: task.trigger_rule for task in grocery.tasks}
    assert rules == {**dict.fromkeys(PROMISED, "all_success"), "profile": "all_done_min_one_success"}


def test_one_night_at_a_time_and_none_is_made_up_for(grocery):
    assert grocery.max_active_runs == 1
    assert grocery.catchup is False


def test_spark_jobs_share_a_pool_and_promote_does_not_wait_in_it(grocery):
    pools = {task.task_id: task.pool for task in grocery.tasks}
    assert pools == {**dict.fromkeys(PROMISED, "spark"), "promote": "default_pool"}
    assert {task.task_id: task.priority_weight for task in grocery.tasks}["profile"] < grocery.get_task("features").priority_weight


def test_every_task_is_retried_with_growing_waits_and_has_a_limit_of_time(grocery):
    for task in grocery.tasks:
        assert task.retries == 2
        assert task.retry_delay == timedelta(minutes=1)
        assert task.retry_exponential_backoff
        assert task.max_retry_delay == timedelta(minutes=2), "that of its last retry, however often the task was cleared before"
        assert task.execution_timeout == timedelta(minutes=45)
    back = DagSerialization.from_dict(DagSerialization.to_dict(grocery))
    assert back.get_task("train").retry_exponential_backoff == 2.0, "each wait is twice the one before"


def test_the_dag_and_every_task_are_documented(grocery):
    assert "Every household's next purchases" in grocery.doc_md
    assert "`nightfold rollback grocery` goes back" in grocery.doc_md
    assert "{p." not in grocery.doc_md
    assert [task.task_id for task in grocery.tasks if not task.doc_md] == []
    assert grocery.get_task("promote").doc_md == "Flip the pointer: readers get this version from now on."


def test_the_trigger_form_asks_for_night_promote_and_top_n(grocery):
    form = {name: grocery.params.get_param(name) for name in grocery.params}
    assert {name: (param.value, param.schema["type"], param.schema["title"]) for name, param in form.items()} == {
        "ds": (None, ["null", "string"], "Night"),
        "promote": (True, "boolean", "Promote"),
        "top_n": (None, ["null", "integer"], "Top N"),
    }
    assert form["ds"].schema["format"] == "date"
    assert (form["top_n"].schema["minimum"], form["top_n"].schema["maximum"]) == (1, 1000)
    assert all(param.description for param in form.values())


@pytest.mark.parametrize(
    ("name", "value"), [("ds", "2017-13-01"), ("ds", "yesterday"), ("top_n", 0), ("top_n", "ten"), ("promote", "no")]
)
def test_the_trigger_form_refuses_what_is_no_night_or_no_length(grocery, name, value):
    with pytest.raises(ParamValidationError):
        grocery.params.get_param(name).resolve(value)


def test_the_dag_comes_back_from_its_serialized_form_with_its_timetable(grocery):
    back = DagSerialization.from_dict(DagSerialization.to_dict(grocery))
    assert back.timetable.serialize() == {"expression": "30 2 * * *", "timezone": "UTC", "until": "2017-12-31"}
    assert [task.task_id for task in back.tasks] == PROMISED


def test_a_pipeline_file_more_is_a_dag_more_without_python(folder):
    (folder / "shop.yaml").write_text(SHOP)
    assert set(bag().dags) == {"nightly_shop", "nightfold_maintenance"}
    (folder / "second.yaml").write_text(SHOP.replace("pipeline: shop", "pipeline: second"))
    dags = bag().dags
    assert set(dags) == {"nightly_shop", "nightly_second", "nightfold_maintenance"}
    shop = dags["nightly_shop"]
    assert shop.schedule is None, "no cron: only by hand"
    assert shop.start_date.isoformat() == "2016-12-31T23:00:00+00:00", "the first midnight in Berlin"
    train, promote = shop.get_task("train"), shop.get_task("promote")
    assert (train.owner, train.retries, train.retry_delay, train.execution_timeout) == (
        "somebody",
        1,
        timedelta(minutes=3),
        timedelta(minutes=7),
    )
    assert train.connections == ["other_kv"]
    assert (promote.store, promote.keep) == ("other_kv", 5)
    assert train.application == str(ROOT / "spark_jobs" / "train.py")


def test_a_wrong_file_is_shown_as_an_import_error_and_the_others_go_on(folder):
    (folder / "shop.yaml").write_text(SHOP)
    (folder / "wrong.yaml").write_text(SHOP.replace("pipeline: shop", "pipeline: wrong").replace("owner:", "onwer:"))
    (folder / "worse.yaml").write_text("just words")
    found = bag()
    assert set(found.dags) == {"nightly_shop", "nightfold_maintenance"}
    assert [name.rsplit("/", 1)[-1] for name in found.import_errors] == ["refused.py"]
    [message] = found.import_errors.values()
    assert f"{folder}/wrong.yaml: onwer: unknown field; did you mean 'owner'?" in message
    assert f"{folder}/worse.yaml: must be a mapping that starts with 'pipeline: worse'" in message


def test_an_empty_folder_is_no_error(folder):
    found = bag()
    assert (set(found.dags), found.import_errors) == ({"nightfold_maintenance"}, {})


def test_parsing_reads_pipeline_files_and_nothing_else(folder, monkeypatch):
    (folder / "shop.yaml").write_text(SHOP)
    monkeypatch.setattr(
        "nightfold.settings.setting", lambda name, default=None: str(folder) if name == "NIGHTFOLD_PIPELINES" else 1 / 0
    )
    assert set(bag().dags) == {"nightly_shop", "nightfold_maintenance"}


class Run:
    def __init__(self, run_type: str = "manual", data_interval_start: object = None) -> None:
        self.run_type = run_type
        self.data_interval_start = data_interval_start
        self.run_id = f"{run_type} 1"


def test_a_manual_run_without_a_night_fails_for_good_when_its_arguments_are_rendered(grocery):
    task = grocery.get_task("ingest").prepare_for_execution()
    context = {"params": {"ds": None, "promote": True, "top_n": None}, "dag_run": Run()}
    with pytest.raises(
        AirflowFailException, match="a manual run must say its night: trigger again with 'Night' filled in, YYYY-MM-DD"
    ):
        task.render_template_fields(context)


def test_the_forms_answers_become_arguments(grocery):
    task = grocery.get_task("score").prepare_for_execution()
    task.render_template_fields({"params": {"ds": "2017-12-10", "promote": True, "top_n": 5}, "dag_run": Run()})
    assert task.application_args == ["--pipeline", "grocery", "--ds", "2017-12-10", "--run=manual 1", "--top-n=5"]
    promote = grocery.get_task("promote").prepare_for_execution()
    promote.render_template_fields({"params": {"ds": "2017-12-10", "promote": False, "top_n": None}, "dag_run": Run()})
    assert (promote.night, promote.wanted) == ("2017-12-10", "False")


def test_every_task_works_in_its_runs_turn_but_the_one_that_nothing_is_made_from(grocery):
    waits = {task.task_id: getattr(task, "in_turn", True) for task in grocery.tasks}
    assert waits == {**dict.fromkeys(PROMISED, True), "profile": False}
    assert [task.task_id for task in grocery.tasks if task.last] == ["promote"], "which leaves it"
    assert {(task.pipeline, task.store) for task in grocery.tasks} == {("grocery", "kv_default")}


def test_the_connections_of_a_dag_are_those_its_file_names(grocery):
    assert grocery.get_task("ingest").connections == pipelines.load(ROOT / "pipelines/grocery.yaml").connections
    assert grocery.get_task("ingest").connections == ["grocer_db", "kv_default"]
