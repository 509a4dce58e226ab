"""A real Spark master with two real workers: both work, strangers are refused, the secret is nowhere to be seen."""

import json
import os
import re
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from embedded import platform
from embedded.errors import PlatformError
from embedded.processes import family, process_of, record_of
from embedded.settings import load
from nightfold import standalone

import psutil
import pytest
from helpers import ROOT, SHOP, free_port

MARKER = "marker-0f4c91d2-nobody-may-see-this"
PARTS = ("spark-master", "spark-worker-1", "spark-worker-2")
PAGES = ("/", "/json/", "/app/?appId=1", "/environment/", "/metrics/json/", "/static/webui.css", "/workers/kill/", "/logPage/")

JOB = """
import json, os, pathlib, sys, psutil
from nightfold import pipeline as pipelines
from nightfold.spark.session import open_session
spark = open_session(pipelines.named("shop"), name="who works")
secret = os.environ.get("CLOSURE")
def who(rows):
    import socket, time, nightfold.lake
    assert secret and len(secret) > 20
    time.sleep(0.5)
    yield pathlib.Path.cwd().parents[2].name, nightfold.lake.__file__
seen = spark.sparkContext.parallelize(range(8), 8).mapPartitions(who).collect()
listening, said = set(), []
for process in psutil.process_iter():
    try:
        words, ports = " ".join(process.cmdline()), process.net_connections("inet")
    except psutil.Error:
        continue
    if os.environ["HOME_OF_THE_CLUSTER"] in words or process.pid == os.getpid() or process.pid == os.getppid():
        listening |= {c.laddr.ip.removeprefix("::ffff:") for c in ports if c.status == "LISTEN"}
    if secret in words:
        said.append(process.pid)
workers, code = (sorted(set(column)) for column in zip(*seen))
print(json.dumps({"workers": workers, "code": code, "listening": sorted(listening), "said": said}))
"""

SHUFFLED = """
import json, os, pathlib, time
from nightfold import pipeline as pipelines
from nightfold.spark.session import open_session
spark = open_session(pipelines.named("shop"), name="two stages")
home = pathlib.Path(os.environ["HOME_OF_THE_CLUSTER"])
def at_work(rows):
    found, give_up = list(rows), time.monotonic() + 120
    (home / f"begun-{pathlib.Path.cwd().parents[2].name}").touch()
    while not (home / "go").exists():
        assert time.monotonic() < give_up
        time.sleep(0.05)
    yield from found
numbers = spark.sparkContext.parallelize(range(1000), 4).map(lambda n: (n % 10, n))
print(json.dumps(sorted(numbers.reduceByKey(lambda one, other: one + other, 4).mapPartitions(at_work).collect())))
"""


@pytest.fixture(scope="module")
def cluster():
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("NIGHTFOLD_", "AIRFLOW_", "MLFLOW_"))}
    environ = {**plain, **platform.free_ports(), "NIGHTFOLD_SPARK_WORKERS": "2", "NIGHTFOLD_SPARK_SECRET": MARKER}
    with (
        tempfile.TemporaryDirectory() as folder,
        platform.running(home=Path(folder) / "home", names=[platform.SPARK], environ=environ, say=print) as settings,
    ):
        (settings.home / "pipelines").mkdir()
        (settings.home / "pipelines" / "shop.yaml").write_text(SHOP)
        (settings.home / "job.py").write_text(JOB)
        (settings.home / "shuffled.py").write_text(SHUFFLED)
        yield settings


@pytest.fixture(scope="module")
def refused(cluster):
    """Drivers that no master takes: each tries for a minute, while other tests go on."""
    wrong = {"another secret": {"NIGHTFOLD_SPARK_SECRET": "guess"}, "no master": {"NIGHTFOLD_SPARK_MASTER_PORT": str(free_port())}}
    with ThreadPoolExecutor(max_workers=len(wrong)) as pool:
        yield {name: pool.submit(submit, cluster, **changes) for name, changes in wrong.items()}


def submit(cluster, job: str = "job.py", **changes: str) -> subprocess.CompletedProcess:
    environ = {
        **cluster.job_environment(),
        "NIGHTFOLD_PIPELINES": str(cluster.home / "pipelines"),
        "HOME_OF_THE_CLUSTER": str(cluster.home),
        "CLOSURE": MARKER,
        **changes,
    }
    master = f"spark://127.0.0.1:{changes.get('NIGHTFOLD_SPARK_MASTER_PORT', cluster['NIGHTFOLD_SPARK_MASTER_PORT'])}"
    command = [
        str(ROOT / ".venv" / "bin" / "spark-submit"),
        "--master",
        master,
        "--executor-memory",
        "512m",
        str(cluster.home / job),
    ]
    return subprocess.run(command, env=environ, cwd=cluster.home, capture_output=True, text=True, timeout=300, check=False)


def test_both_workers_work_on_loopback_with_the_drivers_code_and_the_secret_is_nowhere_to_be_seen(cluster, refused):
    done = submit(cluster)
    assert done.returncode == 0, done.stderr[-3000:]
    seen = json.loads(done.stdout.splitlines()[-1])
    assert seen["workers"] == ["spark-worker-1", "spark-worker-2"]
    assert seen["code"] == [str(ROOT / "nightfold" / "lake.py")]
    assert seen["listening"] == ["127.0.0.1"]
    assert seen["said"] == [], "in no process's arguments, while all of them ran"
    holders = {path for path in cluster.home.rglob("*") if path.is_file() and MARKER.encode() in path.read_bytes()}
    allowed = {cluster.home / "platform.env", *(cluster.home / "spark" / name / "daemon.properties" for name in PARTS)}
    assert holders == allowed, "in no log, no work folder, no scratch"
    assert {path.stat().st_mode & 0o777 for path in allowed} == {0o600}
    assert MARKER not in done.stdout + done.stderr


def test_the_pages_answer_nobody_without_a_token(cluster):
    worker = process_of(record_of(cluster.home, "spark-worker-1"))
    ports = {c.laddr.port for c in worker.net_connections("inet") if c.status == "LISTEN"}
    answers = set()
    for port in (cluster.port("NIGHTFOLD_SPARK_PAGE_PORT"), *ports):
        for page in PAGES:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}{page}", timeout=5) as answer:
                    answers.add(answer.status)
            except urllib.error.HTTPError as error:
                answers.add(error.code)
            except OSError:  # the port of Spark's own protocol
                answers.add(None)
    assert answers == {403, None}
    page = f"http://127.0.0.1:{cluster['NIGHTFOLD_SPARK_PAGE_PORT']}"
    with pytest.raises(urllib.error.HTTPError, match="403"):
        standalone.workers(page, "guess")
    assert {(w.host, w.cores, w.memory) for w in standalone.workers(page, MARKER)} == {("127.0.0.1", 1, 2048)}


@pytest.mark.parametrize("who", ["another secret", "no master"])
def test_a_driver_that_no_master_takes_is_refused_and_says_what_to_do(refused, who):
    done = refused[who].result()
    assert done.returncode != 0
    assert "workers" not in done.stdout
    wanted = r"ClusterUnreachable: spark://127.0.0.1:\d+ takes no job \(.+\): start it .* \(NIGHTFOLD_SPARK_SECRET\); then a retry"
    assert re.search(wanted, done.stdout), done.stdout[-3000:]  # spark-submit's, and Python's errors are in it


@pytest.mark.slow
def test_a_worker_that_is_killed_in_the_middle_of_a_stage_costs_time_only(cluster):
    """With its executor, and with what the stage before has left there for this one."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        job = pool.submit(submit, cluster, "shuffled.py")
        while not (cluster.home / "begun-spark-worker-2").exists():
            assert not job.done(), job.result().stderr[-3000:]
            time.sleep(0.05)
        lost = family(record_of(cluster.home, "spark-worker-2"))
        for process in lost:
            process.kill()
        psutil.wait_procs(lost, timeout=10)
        (cluster.home / "go").touch()
        done = job.result()
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout.splitlines()[-1]) == [[digit, sum(range(digit, 1000, 10))] for digit in range(10)]
    assert len(lost) > 1, "the worker and its executor"
    platform.up(home=cluster.home, names=[platform.SPARK], environ=cluster.environ, say=print)


def test_a_killed_worker_is_seen_and_started_again_and_without_a_cluster_all_go(cluster):
    before = {name: process_of(record_of(cluster.home, name)).pid for name in PARTS}
    killed = psutil.Process(before["spark-worker-2"])
    killed.kill()
    psutil.wait_procs([killed], timeout=10)
    states = {line.name: line.state for line in platform.status(home=cluster.home, environ=cluster.environ)}
    assert {name: states[name] for name in PARTS} == {
        "spark-master": "running",
        "spark-worker-1": "running",
        "spark-worker-2": "dead",
    }
    platform.up(home=cluster.home, names=[platform.SPARK], environ=cluster.environ, say=print)
    after = {name: process_of(record_of(cluster.home, name)).pid for name in PARTS}
    assert (after["spark-master"], after["spark-worker-1"]) == (before["spark-master"], before["spark-worker-1"])
    assert after["spark-worker-2"] != before["spark-worker-2"]

    everybody = [process for name in PARTS for process in family(record_of(cluster.home, name))]
    alone = platform.up(
        home=cluster.home, names=[platform.SPARK], environ={**cluster.environ, "NIGHTFOLD_SPARK_WORKERS": "0"}, say=print
    )
    assert alone["AIRFLOW_CONN_SPARK_DEFAULT"] == '{"conn_type":"spark","host":"local[*]"}'
    assert [process for process in everybody if process.is_running() and process.status() != psutil.STATUS_ZOMBIE] == []
    assert not {line.name for line in platform.status(home=cluster.home, environ=alone.environ)} & set(PARTS)


def test_the_cluster_follows_the_setting_and_what_somebody_chose_stays(tmp_path):
    two = load(home=tmp_path, environ={"NIGHTFOLD_SPARK_WORKERS": "2", "NIGHTFOLD_SPARK_MASTER_PORT": "7444"})
    assert two["AIRFLOW_CONN_SPARK_DEFAULT"] == '{"conn_type":"spark","host":"spark://127.0.0.1","port":7444}'
    chosen = load(home=tmp_path, environ={"AIRFLOW_CONN_SPARK_DEFAULT": "spark://master.example:7077"})
    assert chosen["AIRFLOW_CONN_SPARK_DEFAULT"] == "spark://master.example:7077"
    both = {"AIRFLOW_CONN_SPARK_DEFAULT": "spark://master.example:7077", "NIGHTFOLD_SPARK_WORKERS": "2"}
    with pytest.raises(PlatformError, match="Spark runs elsewhere already: AIRFLOW_CONN_SPARK_DEFAULT"):
        platform.up(home=tmp_path, names=[platform.SPARK], environ=both, say=print)
    with pytest.raises(PlatformError, match="NIGHTFOLD_SPARK_WORKERS=two is not a number of workers"):
        platform.up(home=tmp_path, names=[platform.SPARK], environ={"NIGHTFOLD_SPARK_WORKERS": "two"}, say=print)
