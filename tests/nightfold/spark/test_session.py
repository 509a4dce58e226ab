"""The session that a job opens: on the master that spark-submit was told, and reachable by nobody but that cluster."""

import subprocess
import sys

from nightfold.spark.session import on

import pytest
from helpers import ROOT, SHOP, environment
from pyspark.sql import SparkSession

ASK = """
from nightfold import pipeline as pipelines
from nightfold.spark.session import open_session
spark = open_session(pipelines.named("shop"), name="ask")
print("master", spark.sparkContext.master, "given", spark.sparkContext.getConf().get("spark.test.given"))
"""


def options(master: str) -> dict[str, str]:
    """What `on` adds for a master."""
    builder = SparkSession.Builder()
    builder._options = {}  # of this object: the class shares one dictionary among all
    return dict(on(master, builder)._options)


@pytest.mark.parametrize(("given", "master"), [(["--master", "local[3]"], "local[3]"), ([], "local[*]")])
def test_a_job_runs_on_the_master_that_spark_submit_was_given(home, given, master):
    (home / "pipelines" / "shop.yaml").write_text(SHOP)
    (home / "ask.py").write_text(ASK)
    submit = str(ROOT / ".venv" / "bin" / "spark-submit") if (ROOT / ".venv").is_dir() else "spark-submit"
    command = [
        submit,
        *given,
        "--conf",
        "spark.test.given=700m",
        "--conf",
        f"spark.pyspark.python={sys.executable}",
        str(home / "ask.py"),
    ]
    done = subprocess.run(command, env=environment(home), cwd=home, capture_output=True, text=True, timeout=300, check=False)
    assert done.stdout.splitlines()[-1:] == [f"master {master} given 700m"], done.stderr


def test_a_cluster_asks_for_the_secret_and_one_on_this_machine_keeps_the_driver_on_it(monkeypatch):
    monkeypatch.setenv("NIGHTFOLD_SPARK_SECRET", "marker")
    told = options("spark://127.0.0.1:7077")
    assert told == {
        "spark.authenticate": "true",
        "spark.authenticate.secret": "marker",
        "spark.network.crypto.enabled": "true",
        "spark.network.crypto.authEngineVersion": "2",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
    }


def test_on_another_machines_cluster_the_driver_is_where_its_executors_find_it(monkeypatch):
    monkeypatch.setenv("NIGHTFOLD_SPARK_SECRET", "marker")
    told = options("spark://master-1:7077,master-2:7077")
    assert told["spark.authenticate.secret"] == "marker"
    assert "spark.driver.host" not in told
    assert options("k8s://https://cluster:6443") == {}, "asks in its own way"


def test_without_a_secret_a_cluster_is_met_as_it_is(home):
    assert options("spark://master:7077") == {}
    assert options("local[2]")["spark.driver.host"] == "127.0.0.1"
