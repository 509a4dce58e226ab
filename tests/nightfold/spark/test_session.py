"""The session that a job opens: on the master that spark-submit was told, and reachable by nobody but that cluster."""

import os
import subprocess
import sys
from pathlib import Path

from nightfold.spark.session import on

import pyspark
import pytest
from helpers import ROOT, SHOP, environment
from py4j.java_gateway import JVMView
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

ASK = """
from nightfold import pipeline as pipelines
from nightfold.spark.session import open_session
import pyarrow as pa
import pyspark
spark = open_session(pipelines.named("shop"), name="ask")
where = lambda batches: (b.from_arrays([pa.array([pyspark.__file__] * b.num_rows)], ["file"]) for b in batches)
worker = spark.range(1, numPartitions=1).mapInArrow(where, "file string").first().file
print("pyspark", *(file.rsplit("/pyspark/", 1)[0].rsplit("/", 1)[-1] for file in (pyspark.__file__, worker)))
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
    assert done.stdout.splitlines()[-2:-1] == ["pyspark site-packages site-packages"], (
        "driver and worker; of the zip all is compiled anew"
    )


@pytest.mark.parametrize(("home_of_spark", "taken"), [("ours", "site-packages"), ("", "zip"), ("/opt/spark", "zip")])
def test_the_zip_of_pyspark_is_passed_over_only_where_the_same_lies_unpacked(home_of_spark, taken):
    ours = Path(pyspark.__file__).parent
    archives = map(str, sorted((ours / "python" / "lib").glob("*.zip")))
    told = {
        "PYTHONPATH": os.pathsep.join([*archives, str(ROOT)]),
        "SPARK_HOME": str(ours) if home_of_spark == "ours" else home_of_spark,
    }
    ask = "import nightfold.spark, pyspark; print(pyspark.__file__)"
    found = subprocess.run([sys.executable, "-c", ask], env=os.environ | told, capture_output=True, text=True, check=True).stdout
    assert ("pyspark.zip" in found) == (taken == "zip"), found


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


def asked_in_a_barrier_stage(spark, tasks: int, *, reachable: bool = True) -> list:
    """What each task gets from the others, where the JVM that keeps the barrier can be asked and where it cannot."""

    def ask(_):
        from pyspark import BarrierTaskContext

        context = BarrierTaskContext.get()
        if not reachable:
            context._conn_info = 1  # no such port
        context.barrier()
        yield context.allGather(str(context.partitionId()))

    return spark.sparkContext.parallelize(range(tasks), tasks).barrier().mapPartitions(ask).collect()


def test_a_task_that_is_alone_in_its_barrier_stage_waits_for_nobody(spark):
    assert asked_in_a_barrier_stage(spark, 1, reachable=False) == [["0"]], "Spark would look for others once a second"
    assert asked_in_a_barrier_stage(spark, 2) == [["0", "1"], ["0", "1"]]


def test_the_jvm_is_asked_once_for_the_class_that_every_column_comes_from(spark, monkeypatch):
    asked, ask = [], JVMView.__getattr__
    monkeypatch.setattr(JVMView, "__getattr__", lambda jvm, name: asked.append(name) or ask(jvm, name))
    spark.range(1).select(F.rand(), F.to_json(F.struct("id")), F.transform(F.array("id"), lambda one: one + 1)).collect()
    assert asked
    assert not {"functions", "PythonSQLUtils", "PythonUtils"} & set(asked)
