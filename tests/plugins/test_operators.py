"""The operators of the night: which failures are retried, what a job may know, when a promotion is left out."""

import json
from pathlib import Path

from nightfold.lake import Lake, Manifest
from nightfold.store import Store, VersionManifest, store_at
from nightfold.store.lists import encode

import pytest
import redis
from airflow.providers.apache.spark.hooks import spark_submit as spark_submit_hook
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException
from helpers import free_port
from nightfold_operators import PromoteOperator, StageOperator

SPARK_SUBMIT = """\
#!/bin/sh
env > "{folder}/environment"
printf '%s\\n' "$@" > "{folder}/arguments"
echo "nightfold: clean failed: too many rejects" >&2
exit {code}
"""
SECRET = "MARKER-p4ss"


@pytest.fixture
def spark_submit(tmp_path, monkeypatch):
    """Call it with an exit code: from then on `spark-submit` ends with it, and writes down what it was given."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("AIRFLOW_CONN_SPARK_DEFAULT", '{"conn_type":"spark","host":"local[*]"}')
    monkeypatch.setenv("AIRFLOW_CONN_KV_DEFAULT", f"redis://:{SECRET}@127.0.0.1:6390/0")
    monkeypatch.setenv("AIRFLOW_CONN_GROCER_DB", f"postgresql://shop:{SECRET}@127.0.0.1:5443/grocer")

    def ends(code: int) -> Path:
        script = tmp_path / "spark-submit"
        script.write_text(SPARK_SUBMIT.format(folder=tmp_path, code=code))
        script.chmod(0o755)
        return tmp_path

    return ends


def stage(**more) -> StageOperator:
    return StageOperator(
        task_id="clean", application="clean.py", application_args=["--ds", "2017-12-03"], name="shop-clean", **more
    )


def test_a_stage_that_ends_well_is_a_success(spark_submit):
    spark_submit(0)
    assert stage().execute({}) is None


def test_a_stage_that_says_that_a_retry_would_not_help_fails_for_good(spark_submit):
    spark_submit(65)
    with pytest.raises(AirflowFailException, match="nightfold: clean failed for good, a retry would see the same facts"):
        stage().execute({})


@pytest.mark.parametrize("code", [1, 2, 64, 66, 137, 143])
def test_any_other_failure_is_retried(spark_submit, code):
    spark_submit(code)
    with pytest.raises(AirflowException, match=f"Error code is: {code}") as caught:
        stage().execute({})
    assert not isinstance(caught.value, AirflowFailException)


def test_no_spark_submit_at_all_is_an_error(spark_submit, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FileNotFoundError):
        stage().execute({})


def test_connections_reach_the_jobs_environment_and_no_argument(spark_submit):
    folder = spark_submit(0)
    operator = stage(connections=["grocer_db", "kv_default"])
    operator.execute({})
    environment = (folder / "environment").read_text().splitlines()
    assert f"AIRFLOW_CONN_KV_DEFAULT=redis://:{SECRET}@127.0.0.1:6390/0" in environment
    assert f"AIRFLOW_CONN_GROCER_DB=postgres://shop:{SECRET}@127.0.0.1:5443/grocer" in environment
    assert SECRET not in (folder / "arguments").read_text()
    for name in operator.template_fields:
        assert SECRET not in str(getattr(operator, name)), f"{name} is shown in the web UI"


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
        operator.execute({})
        assert SECRET in (folder / "environment").read_text()


def test_a_jdbc_connection_reaches_the_job_with_its_address_whole(spark_submit, monkeypatch):
    fields = {"conn_type": "jdbc", "host": "jdbc:db2://h:1/shop", "login": "me", "password": "p&w"}
    monkeypatch.setenv("AIRFLOW_CONN_ERP", json.dumps(fields))
    folder = spark_submit(0)
    stage(connections=["erp"]).execute({})
    [line] = [line for line in (folder / "environment").read_text().splitlines() if line.startswith("AIRFLOW_CONN_ERP=")]
    monkeypatch.setenv("AIRFLOW_CONN_ERP", line.removeprefix("AIRFLOW_CONN_ERP="))
    from nightfold.settings import connection_uri

    assert connection_uri("erp") == "jdbc:db2://h:1/shop?user=me&password=p%26w"


# --- promote

NIGHT = "2017-12-03"


@pytest.fixture
def store(home, valkey_uri, monkeypatch) -> Store:
    """An empty store, which is also the connection `kv_default`."""
    address = valkey_uri.removesuffix("/0") + "/7"
    with redis.Redis.from_url(address) as client:
        client.flushdb()
    monkeypatch.setenv("AIRFLOW_CONN_KV_DEFAULT", address)
    return store_at(address)


def published(store: Store, version: str, night: str = NIGHT) -> None:
    """As `publish` leaves it."""
    store.write("shop", version, "a", {"anna": encode([])})
    store.write_fallback("shop", version, "a", encode([]))
    store.seal(
        VersionManifest(pipeline="shop", version=version, night=night, attempt="a", published_at="", keys=1, checksum="", model="")
    )
    facts = {"version": version, "keys": 1}
    Lake("shop").commit(Manifest(pipeline="shop", dataset="version", night=night, attempt="a", fingerprint="f", facts=facts))


def promote(night: str = NIGHT, wanted: str = "True") -> str:
    operator = PromoteOperator(task_id="promote", pipeline="shop", night=night, wanted=wanted, keep=3, connection="kv_default")
    return operator.execute({})


def test_the_nights_version_is_served_from_now_on(store):
    published(store, "v1")
    assert promote() == "version v1 of night 2017-12-03 is live: 1 lists"
    assert store.live("shop").version == "v1"
    assert promote() == "version v1 of night 2017-12-03 was live already: nothing changed"


@pytest.mark.parametrize("wanted", ["False", "false", ""])
def test_a_promotion_that_is_not_wanted_is_skipped_and_the_version_stays_staged(store, wanted):
    published(store, "v1")
    with pytest.raises(AirflowSkipException, match="nightfold: night 2017-12-03 is staged, not promoted, as the trigger form says"):
        promote(wanted=wanted)
    assert store.live("shop") is None
    assert store.find("shop", "v1").state == "verified"


def test_a_promotion_is_skipped_while_somebody_holds_them(store):
    published(store, "v1", "2017-12-01")
    promote("2017-12-01")
    published(store, "v2", "2017-12-02")
    promote("2017-12-02")
    store.rollback("shop")
    published(store, "v3")
    with pytest.raises(
        AirflowSkipException, match=r"nightfold: shop, night 2017-12-03: .* promotions are held \(rolled back from v2\)"
    ):
        promote()
    assert store.live("shop").version == "v1"


def test_an_older_night_is_skipped(store):
    published(store, "v2", "2017-12-04")
    promote("2017-12-04")
    published(store, "v1")
    with pytest.raises(AirflowSkipException, match="night 2017-12-04 was promoted before"):
        promote()


def test_a_bad_version_fails_for_good(store):
    published(store, "v1", "2017-12-02")
    promote("2017-12-02")
    published(store, "v2")
    promote()
    store.rollback("shop")
    store.release("shop")
    with pytest.raises(AirflowFailException, match=r"nightfold: shop, night 2017-12-03: .* somebody rolled back from it"):
        promote()


def test_a_night_that_was_not_published_fails_for_good(store):
    with pytest.raises(AirflowFailException, match="nightfold: night 2017-12-03: shop has no committed version"):
        promote()


def test_a_store_that_is_down_is_tried_again(store, monkeypatch):
    published(store, "v1")
    monkeypatch.setenv("AIRFLOW_CONN_KV_DEFAULT", f"redis://:{SECRET}@127.0.0.1:{free_port()}/0")
    with pytest.raises(AirflowException, match="nightfold: store redis://127") as caught:
        promote()
    assert not isinstance(caught.value, AirflowFailException | AirflowSkipException)
    assert SECRET not in str(caught.value)
