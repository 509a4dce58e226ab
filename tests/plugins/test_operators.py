"""The operator of a stage: which failures are retried, whose turn it is, what a job may know."""

import asyncio
import json
import os
import re
import sys
from datetime import datetime, timedelta
from pathlib import Path

from nightfold import turns
from nightfold.lake import Lake, Manifest
from nightfold.store import store_at

import pytest
from airflow.providers.apache.spark.hooks import spark_submit as spark_submit_hook
from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.sdk.api.datamodels._generated import DagRun
from airflow.sdk.exceptions import (
    AirflowException,
    AirflowFailException,
    AirflowTaskTimeout,
    TaskDeferred,
)
from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
from helpers import ROOT, free_port
from nightfold_operators import WRONG_SETTINGS
from nightfold_turns import TurnTrigger, holder_of
from plugins.conftest import NIGHT, SECRET, Attempt, context, stage

RUN = holder_of(stage().dag_id, "run 1")


def test_a_stage_that_ends_well_is_a_success(spark_submit):
    spark_submit(0)
    assert stage().execute(context()) is None


def test_a_stage_that_says_that_a_retry_would_not_help_fails_for_good_with_its_own_words(spark_submit, capsys):
    spark_submit(65)
    cause = "nightfold: clean failed: sales, night 2017-12-03: too many rejects"
    with pytest.raises(AirflowFailException) as caught:
        stage().execute(context())
    assert str(caught.value) == f"{cause} (not tried again: a retry would see the same facts)"
    said = [re.split(r"\[(?:info|error) *\] | +\[airflow", line)[1] for line in capsys.readouterr().out.splitlines()[1:]]
    assert [said[0], said[2], *said[-2:]] == ["::group::What spark-submit says", "many lines", "::endgroup::", cause]
    assert said.count(cause) == 2, "in the group, and as the first line of the log that is in none"


@pytest.mark.parametrize("code", [1, 2, 64, 66, 143])
def test_any_other_failure_is_retried(spark_submit, code):
    spark_submit(code)
    with pytest.raises(AirflowException, match=r"^nightfold: clean failed: sales, night 2017-12-03: too many rejects$") as caught:
        stage().execute(context())
    assert not isinstance(caught.value, AirflowFailException)


@pytest.mark.parametrize("code", [137, -9])
def test_a_job_that_was_killed_before_it_could_say_why_is_named_and_retried(spark_submit, code):
    """137: its Python process was, and spark-submit passes it on; -9: spark-submit's own JVM was."""
    spark_submit(code)
    with pytest.raises(
        AirflowException, match=r"^nightfold: clean failed: night 2017-12-03: spark-submit was killed by signal 9 before"
    ) as caught:
        stage().execute(context())
    assert not isinstance(caught.value, AirflowFailException)


@pytest.mark.parametrize(
    ("option", "word"),
    [
        ({"driver_memory": "lots"}, "Invalid maximum heap size: -Xmxlots"),
        ({"conf": {"spark.executor.memory": "lots"}}, "Executor memory must be a positive number"),
        ({"deploy_mode": "nowhere"}, "--deploy-mode must be either"),
    ],
)
def test_settings_that_the_real_spark_submit_refuses_fail_for_good(spark_submit, monkeypatch, option, word):
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.defpath}:{os.environ.get('JAVA_HOME', '')}/bin")
    with pytest.raises(AirflowFailException) as caught:
        stage(**{"application": str(ROOT / "spark_jobs" / "clean.py"), **option}).execute(context())
    assert str(caught.value).startswith(f"nightfold: clean failed: night {NIGHT}: spark-submit refuses its settings (")
    assert word in str(caught.value)
    assert "mend resources in the pipeline file, or the connection of Spark" in str(caught.value)


# --- turns


def test_a_run_has_the_turn_from_task_to_task_and_leaves_it_when_it_fails_for_good(spark_submit, address):
    store = store_at(address)
    spark_submit(0)
    stage().execute(context())
    assert store.turn("shop").holder == RUN
    assert 1000 < store.turn("shop").seconds_left <= turns.GAP, "until its next task"
    spark_submit(1)
    with pytest.raises(AirflowException):
        stage().execute(context(try_number=2))
    assert store.turn("shop").holder == RUN, "it is tried again"
    with pytest.raises(AirflowException):
        stage().execute(context(try_number=3))
    assert store.turn("shop") is None, "that was the last try"
    spark_submit(65)
    with pytest.raises(AirflowFailException):
        stage().execute(context())
    assert store.turn("shop") is None


@pytest.mark.parametrize("limit", ["execution_timeout", "max_retry_delay"])
def test_a_run_keeps_the_turn_for_as_long_as_a_retry_or_a_full_pool_may_keep_it_waiting(spark_submit, address, limit):
    store = store_at(address)
    spark_submit(0)
    long = stage(**{limit: timedelta(hours=2)})
    long.execute(context())
    assert 2 * 3600 < store.turn("shop").seconds_left <= 2 * 3600 + turns.SLACK
    store.leave_turn("shop", RUN)
    store.take_turn("shop", "another", "2017-12-02", seconds=60)
    with pytest.raises(TaskDeferred) as waiting:
        long.execute(context())
    assert waiting.value.trigger.serialize()[1]["gap"] == 2 * 3600 + turns.SLACK


def test_runs_of_two_dags_at_the_same_time_have_the_turn_one_after_the_other(spark_submit, address):
    """nightfold_maintenance and a night whose cron says 13:00 UTC get one id."""
    store, at_one = store_at(address), "scheduled__2017-12-04T13:00:00+00:00"
    spark_submit(0)
    store.take_turn("shop", holder_of("nightfold_maintenance", at_one), "9999-12-31", seconds=60)
    with pytest.raises(TaskDeferred):
        stage().execute(context(at_one))


@pytest.mark.parametrize(
    ("state", "waits"), [("failed", False), ("success", False), ("running", True), ("queued", True), (None, True)]
)
def test_a_run_that_somebody_has_ended_leaves_its_turn(spark_submit, address, state, waits):
    """Marked as failed in the web UI while a task was at work: the task itself thinks that it is tried again."""
    store, folder = store_at(address), spark_submit(0)
    ended = holder_of("nightly_shop", "manual__1")
    store.take_turn("shop", ended, "2017-12-02", seconds=3600)
    runs = {ended: state} if state else {}
    if waits:
        with pytest.raises(TaskDeferred):
            stage().execute(context(runs=runs))
        assert store.turn("shop").holder == ended
    else:
        stage().execute(context(runs=runs))
        assert (folder / "arguments").exists()
        assert store.turn("shop").holder == RUN
        assert store.keep_turn("shop", ended, seconds=3600) is False, "what is left of it cannot take the turn back"


def test_while_another_run_has_the_turn_a_task_waits_outside_the_pool_and_goes_on_when_it_is_its_own(spark_submit, address):
    store = store_at(address)
    folder = spark_submit(0)
    store.take_turn("shop", "another", "2017-12-02", seconds=60)
    with pytest.raises(TaskDeferred) as waiting:
        stage().execute(context())
    assert not (folder / "arguments").exists(), "nothing was started"
    path, arguments = waiting.value.trigger.serialize()
    assert path == "nightfold_turns.TurnTrigger"
    trigger = TurnTrigger(**arguments)

    async def fires() -> str:
        store.leave_turn("shop", "another")
        return (await asyncio.wait_for(anext(trigger.run()), 30)).payload

    assert asyncio.run(fires()) == "taken"
    assert store.turn("shop").holder == RUN
    assert stage().resumed(context(), event="taken") is None
    assert (folder / "arguments").exists()


@pytest.mark.parametrize(("state", "fires"), [("failed", True), ("running", False), (None, False)])
def test_a_run_that_ends_by_no_hand_of_its_own_is_not_waited_for(spark_submit, address, monkeypatch, state, fires):
    """Its last try was killed with the scheduler, say: nobody leaves the turn."""
    store, ended = store_at(address), holder_of("nightly_shop", "backfill__1")
    spark_submit(0)
    store.take_turn("shop", ended, "2017-12-02", seconds=3600)
    with pytest.raises(TaskDeferred) as waiting:
        stage().execute(context(runs={ended: "running"}))
    trigger = TurnTrigger(**waiting.value.trigger.serialize()[1])
    runs = Attempt(runs={ended: state} if state else {})
    monkeypatch.setattr(RuntimeTaskInstance, "get_dr_count", runs.get_dr_count)

    async def first() -> str:
        return (await asyncio.wait_for(anext(trigger.run()), 30 if fires else turns.ASK / 2)).payload

    if fires:
        assert asyncio.run(first()) == "taken"
    else:
        with pytest.raises(TimeoutError):
            asyncio.run(first())
    assert store.turn("shop").holder == (RUN if fires else ended)


def run_of(night: str, **more) -> DagRun:
    """As Airflow's API server gives it to a task."""
    begins = datetime.fromisoformat(f"{night}T02:30:00+00:00")
    nothing = dict.fromkeys(("end_date", "partition_key"))
    times = dict.fromkeys(("logical_date", "data_interval_start", "data_interval_end", "run_after", "start_date"), begins)
    known = {"run_id": "older", "dag_id": "nightly_shop", "run_type": "backfill", "state": "running", "consumed_asset_events": []}
    return DagRun(**(nothing | times | known | more))


@pytest.mark.parametrize("state", [None, "scheduled", "queued", "running"])
def test_an_older_run_that_has_begun_goes_first_though_it_asks_later(spark_submit, address, state):
    """With more than one slot in the pool the first tasks of a backfill's runs start at once, in any order."""
    folder = spark_submit(0)
    with pytest.raises(TaskDeferred):
        stage(task_id="ingest").execute(context("younger", before=run_of("2017-12-02"), state=state))
    assert not (folder / "arguments").exists(), "nothing was started"
    assert stage(task_id="ingest", night="2017-12-02").execute(context("older")) is None
    assert store_at(address).turn("shop").holder == f"{stage().dag_id}/older"


@pytest.mark.parametrize(
    ("before", "state"),
    [
        (run_of("2017-12-02"), "success"),  # it had its turn, and only its profile is left
        (run_of("2017-12-02"), "deferred"),  # it has asked
        (run_of("2017-12-02"), "up_for_retry"),
        (run_of("2017-12-04"), "queued"),
        (run_of("2017-12-02", run_type="manual", conf={"ds": "2017-12-04"}), "queued"),
        (run_of("2017-12-02", run_type="manual", conf={}), "queued"),
    ],
)
def test_no_other_run_is_waited_for(spark_submit, before, state):
    spark_submit(0)
    assert stage(task_id="ingest").execute(context("younger", before=before, state=state)) is None


def test_a_manual_run_of_an_older_night_goes_first_too(spark_submit):
    spark_submit(0)
    before = run_of("2017-12-05", run_type="manual", conf={"ds": "2017-12-02"})
    with pytest.raises(TaskDeferred):
        stage(task_id="ingest").execute(context("younger", before=before, state="queued"))


def test_a_stage_that_nothing_is_made_from_does_not_wait(spark_submit, address):
    spark_submit(0)
    store_at(address).take_turn("shop", "another", "2017-12-02", seconds=60)
    assert stage(in_turn=False).execute(context()) is None


def test_a_stage_that_takes_too_long_says_so_in_a_line_of_its_own(spark_submit, monkeypatch, capsys):
    spark_submit(0)

    def timed_out(*_) -> None:
        raise AirflowTaskTimeout

    monkeypatch.setattr(SparkSubmitOperator, "execute", timed_out)  # Airflow raises it wherever the task is just then
    with pytest.raises(AirflowTaskTimeout):
        stage(execution_timeout=timedelta(minutes=45)).execute(context())
    said = "nightfold: clean failed: night 2017-12-03: it took longer than 45 minutes: raise resources.timeout_minutes"
    assert said in capsys.readouterr().out


def test_a_store_that_is_down_is_said_before_anything_starts_and_tried_again(spark_submit, monkeypatch, capsys):
    folder = spark_submit(0)
    monkeypatch.setenv("AIRFLOW_CONN_STORE", f"redis://:{SECRET}@127.0.0.1:{free_port()}/0")
    with pytest.raises(AirflowException, match="nightfold: store redis://127") as caught:
        stage().execute(context())
    assert not isinstance(caught.value, AirflowFailException)
    assert not (folder / "arguments").exists()
    assert f"nightfold: clean failed: night {NIGHT}: store redis://127.0.0.1:" in capsys.readouterr().out


def test_no_spark_submit_at_all_is_an_error(spark_submit, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FileNotFoundError):
        stage().execute(context())


def test_connections_reach_the_jobs_environment_and_no_argument(spark_submit):
    folder = spark_submit(0)
    operator = stage(connections=["grocer_db", "kv_default"])
    operator.execute(context())
    environment = (folder / "environment").read_text().splitlines()
    assert f"AIRFLOW_CONN_KV_DEFAULT=redis://:{SECRET}@127.0.0.1:6390/0" in environment
    assert f"AIRFLOW_CONN_GROCER_DB=postgres://shop:{SECRET}@127.0.0.1:5443/grocer" in environment
    assert SECRET not in (folder / "arguments").read_text()
    for name in operator.template_fields:
        assert SECRET not in str(getattr(operator, name)), f"{name} is shown in the web UI"


@pytest.mark.parametrize(
    ("task", "rows", "first_alone"),
    [
        ("ingest", None, True),
        ("publish", 9_000_000, True),
        ("train", 400_000, True),
        ("train", 600_000, False),
        ("features", 600_000, True),
        ("features", 3_600_000, False),
        ("profile", None, False),  # not known: nothing was cleaned
    ],
)
def test_a_little_job_has_its_jvms_first_compiler_alone_and_that_is_no_argument(
    spark_submit, monkeypatch, home, task, rows, first_alone
):
    folder = spark_submit(0)
    monkeypatch.setenv("SPARK_SUBMIT_OPTS", "-Xshare:auto")
    if rows:
        Lake("shop").commit(Manifest(pipeline="shop", dataset="clean", night=NIGHT, attempt="a", fingerprint="f", rows=rows))
    stage(task_id=task).execute(context())
    options = "-Xshare:auto -XX:TieredStopAtLevel=1" if first_alone else "-Xshare:auto"
    assert f"SPARK_SUBMIT_OPTS={options}" in (folder / "environment").read_text().splitlines()
    assert "Tiered" not in (folder / "arguments").read_text()


def test_airflows_own_secrets_reach_no_job(spark_submit, monkeypatch):
    own = ("AIRFLOW__CORE__FERNET_KEY", "AIRFLOW__API__SECRET_KEY", "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC")
    for name in own:
        monkeypatch.setenv(name, "MARKER-own")
    folder = spark_submit(0)
    stage().execute(context())
    assert "MARKER-own" not in (folder / "environment").read_text()


def test_what_the_connection_of_spark_lacks_is_said_in_one_line_and_not_tried_again(spark_submit, monkeypatch, capsys):
    spark_submit(0)
    monkeypatch.setenv("AIRFLOW_CONN_SPARK_DEFAULT", json.dumps({"conn_type": "spark", "host": "k8s://https://h:6443"}))
    with pytest.raises(AirflowFailException, match=r"^nightfold: Spark's connection cannot be used .*kube_client"):
        stage().execute(context())
    assert f"nightfold: clean failed: night {NIGHT}: Spark's connection cannot be used" in capsys.readouterr().out


def test_yarn_in_cluster_mode_is_asked_for_as_it_is(spark_submit, monkeypatch):
    """Airflow's operator follows an application over its retries, and refuses YARN where it cannot: ours goes on by what is committed."""
    folder = spark_submit(0)
    spark = {"conn_type": "spark", "host": "yarn", "extra": {"deploy-mode": "cluster"}}
    monkeypatch.setenv("AIRFLOW_CONN_SPARK_DEFAULT", json.dumps(spark))
    stage().execute(context())
    assert "--master\nyarn\n" in (folder / "arguments").read_text()
    assert "--deploy-mode\ncluster\n" in (folder / "arguments").read_text()


def test_an_application_that_failed_on_a_cluster_is_tried_again():
    main = 'Exception in thread "main" org.apache.spark.SparkException: '
    assert WRONG_SETTINGS.search(f"{main}Master must either be yarn or start with spark, k8s, or local")
    assert not WRONG_SETTINGS.search(f"{main}Application application_1_0001 finished with failed status")
    assert not WRONG_SETTINGS.search(f"{main}Exception thrown in awaitResult:")


@pytest.mark.parametrize("master", ["local[*]", "yarn", "k8s://https://h:6443", "spark://h:7077"])
def test_no_secret_becomes_an_argument_whatever_the_master(spark_submit, monkeypatch, master):
    folder = spark_submit(0)
    monkeypatch.setenv("AIRFLOW_CONN_SPARK_DEFAULT", json.dumps({"conn_type": "spark", "host": master}))
    monkeypatch.setattr(spark_submit_hook, "kube_client", object(), raising=False)  # as if its provider were installed
    operator = stage(connections=["grocer_db", "kv_default"])
    hook = operator._get_hook()
    command = hook._build_spark_submit_command("clean.py")
    assert command[:3] == ["spark-submit", "--master", master]
    assert SECRET not in " ".join(command)
    assert SECRET in hook._env["AIRFLOW_CONN_KV_DEFAULT"]
    if not master.startswith("k8s"):
        operator.execute(context())
        assert SECRET in (folder / "environment").read_text()


def test_a_connection_that_nobody_has_defined_is_said_and_not_tried_again(spark_submit, monkeypatch, capsys):
    spark_submit(0)
    words = "connection 'erp' is not defined: Airflow → Admin → Connections, or AIRFLOW_CONN_ERP; then clear the task"
    with pytest.raises(AirflowFailException, match=f"^nightfold: {words}$"):
        stage(connections=["erp"]).execute(context())
    assert f"nightfold: clean failed: night {NIGHT}: {words}" in capsys.readouterr().out
    monkeypatch.delenv("AIRFLOW_CONN_STORE")
    with pytest.raises(AirflowFailException, match=r"^nightfold: connection 'store' is not defined: "):
        stage().execute(context())


def test_a_plain_jdbc_uri_whose_address_airflow_loses_is_refused_with_the_form_that_works(spark_submit, monkeypatch):
    spark_submit(0)
    monkeypatch.setenv("AIRFLOW_CONN_ERP", "jdbc:db2://h:1/shop")
    with pytest.raises(
        AirflowFailException, match=r"connection 'erp': of JDBC give JSON, .*Airflow loses the address of a plain URI"
    ):
        stage(connections=["erp"]).execute(context())


def test_a_jdbc_connection_reaches_the_job_with_its_address_whole(spark_submit, monkeypatch):
    fields = {"conn_type": "jdbc", "host": "jdbc:db2://h:1/shop", "login": "me", "password": "p&w"}
    monkeypatch.setenv("AIRFLOW_CONN_ERP", json.dumps(fields))
    folder = spark_submit(0)
    stage(connections=["erp"]).execute(context())
    [line] = [line for line in (folder / "environment").read_text().splitlines() if line.startswith("AIRFLOW_CONN_ERP=")]
    monkeypatch.setenv("AIRFLOW_CONN_ERP", line.removeprefix("AIRFLOW_CONN_ERP="))
    from nightfold.settings import connection_uri

    assert connection_uri("erp") == "jdbc:db2://h:1/shop?user=me&password=p%26w"
