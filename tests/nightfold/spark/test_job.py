"""A job as a process: its exit code tells whether a retry would help, its last line what to do."""

import errno
import os
import subprocess
import sys

from nightfold import nights
from nightfold.errors import BadInput, NightfoldError, StoreError
from nightfold.lake import Lake
from nightfold.settings import lake_uri
from nightfold.spark.job import Outcome, _process, execute, run_plain
from nightfold.store import Store, store_at

import psutil
import pytest
import redis
import yaml
from helpers import ROOT, SHOP, environment, job, tiny_shop

DS = "2026-01-03"


@pytest.fixture
def store(valkey_uri, monkeypatch) -> Store:
    """Empty, and the connection `kv_default`."""
    address = valkey_uri.removesuffix("/0") + "/6"
    with redis.Redis.from_url(address) as client:
        client.flushdb()
    monkeypatch.setenv("AIRFLOW_CONN_KV_DEFAULT", address)
    return store_at(address)


def start(home, *command: str) -> subprocess.CompletedProcess:
    return subprocess.run(command, env=environment(home), cwd=home, capture_output=True, text=True, timeout=300, check=False)


def test_a_wrong_pipeline_exits_with_65_and_wrong_usage_with_2(home):
    (home / "pipelines" / "shop.yaml").write_text(yaml.safe_dump({**yaml.safe_load(SHOP), "timezone": "Mars/Olympus"}))
    script = str(ROOT / "spark_jobs" / "clean.py")
    wrong = start(home, sys.executable, script, "--pipeline", "shop", "--ds", DS)
    assert wrong.returncode == 65
    assert wrong.stderr.splitlines()[-1] == (
        f"nightfold: clean failed: night {DS}: {home}/pipelines/shop.yaml: timezone: is not a time zone, such as Europe/Berlin or UTC"
    )
    usage = start(home, sys.executable, script, "--pipeline", "shop")
    assert usage.returncode == 2
    assert "the following arguments are required: --ds" in usage.stderr


def test_spark_submit_starts_a_job_though_another_one_is_called_as_a_standard_module(home):
    submit = str(ROOT / ".venv" / "bin" / "spark-submit") if (ROOT / ".venv").is_dir() else "spark-submit"
    told = start(
        home, submit, "--conf", f"spark.pyspark.python={sys.executable}", str(ROOT / "spark_jobs" / "profile.py"), "--help"
    )
    assert told.returncode == 0, told.stderr
    assert "usage: spark_jobs/profile.py" in told.stdout
    assert "--ds DS" in told.stdout


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (BadInput(f"no delivery,\n  night {DS}"), 65, f"nightfold: promote failed: no delivery, night {DS}"),
        (
            BadInput(f"night {DS}: column \x1b[2J\x07 is odd"),
            65,
            f"nightfold: promote failed: night {DS}: column \\x1b[2J\\x07 is odd",
        ),
        (NightfoldError("the store is down: mend it"), 1, f"nightfold: promote failed: night {DS}: the store is down: mend it"),
        (
            ValueError("a fault\nof ours"),
            1,
            f"nightfold: promote failed: night {DS}: ValueError: a fault: not foreseen; its trace says where, and a retry may help",
        ),
        (
            OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
            1,
            f"nightfold: promote failed: night {DS}: no space is left on a disk, that of the lake ({{lake}}) or of Spark's scratch: "
            "make room; then a retry goes on",
        ),
        (
            RuntimeError("An error occurred while calling o1.parquet.\n: java.io.IOException: No space left on device\n\tat x"),
            1,
            f"nightfold: promote failed: night {DS}: no space is left on a disk, that of the lake ({{lake}}) or of Spark's scratch: "
            "make room; then a retry goes on",
        ),
    ],
)
def test_the_exit_code_tells_whether_a_retry_would_help(home, store, capsys, error, code, line):
    (home / "pipelines" / "shop.yaml").write_text(SHOP)

    def fail(_):
        raise error

    with pytest.raises(SystemExit) as ended:
        run_plain("promote", fail, argv=["--pipeline", "shop", "--ds", DS])
    assert ended.value.code == code
    assert capsys.readouterr().err.splitlines()[0] == line.format(lake=lake_uri()), "before any traceback"
    assert store.turn("shop") is None, "a job that failed stands in nobody's way"


def test_a_job_by_hand_waits_until_no_run_of_the_pipeline_is_at_work(home, store, capsys, monkeypatch):
    (home / "pipelines" / "shop.yaml").write_text(SHOP)
    monkeypatch.setattr("nightfold.turns.ASK", 0.05)
    monkeypatch.setattr("nightfold.store.valkey.turns.RETURN", 1.2)  # counted down in two steps, and said once
    store.take_turn("shop", "run 1", "2026-01-01", seconds=0.5)
    had = []
    run_plain("promote", lambda job: had.append(store.turn("shop")) or "done", argv=["--pipeline", "shop", "--ds", DS])
    assert had[0].holder.startswith("promote by hand, process ")
    assert store.turn("shop") is None
    first, second, last = capsys.readouterr().out.splitlines()
    waits = f"nightfold: promote: shop, night {DS}: waits for its turn: run 1 of night 2026-01-01 "
    assert first.startswith(f"{waits}is at work")
    assert second.startswith(f"{waits}was not done when it was last heard of")
    assert last == "nightfold: promote: done"


def test_a_job_that_a_run_has_started_works_in_that_runs_turn(home, store, capsys):
    (home / "pipelines" / "shop.yaml").write_text(SHOP)
    turn = store.take_turn("shop", "run 1", DS, seconds=60)
    words = ["--pipeline", "shop", "--ds", DS, "--run=run 1"]
    _process("score", lambda job: f"turn {job.turn}", words)
    assert capsys.readouterr().out == "nightfold: score: turn None\n", "the operator keeps it"
    assert store.turn("shop").holder == "run 1"
    run_plain("promote", lambda job: f"token {job.turn.token}", argv=words)
    assert capsys.readouterr().out == f"nightfold: promote: token {turn.token}\n"
    assert store.turn("shop") is None


def test_a_job_ends_when_the_spark_submit_that_started_it_is_killed(home):
    """The Python driver of a killed JVM lives on as an orphan, and would work beside its own retry."""
    child = "import threading; from nightfold.spark.job import _end_with_parent as f; f(); print(1, flush=True); threading.Event().wait()"
    parent = (
        "import subprocess, sys, threading\n"
        f"child = subprocess.Popen([sys.executable, '-c', {child!r}], stdout=subprocess.PIPE)\n"
        "child.stdout.readline(); print(child.pid, flush=True); threading.Event().wait()"
    )
    started = subprocess.Popen(
        [sys.executable, "-c", parent], env=environment(home, PYSPARK_GATEWAY_PORT="1"), stdout=subprocess.PIPE, text=True
    )
    orphan = psutil.Process(int(started.stdout.readline()))
    assert orphan.is_running()
    started.kill()
    started.wait()
    orphan.wait(timeout=20)


def test_arguments_decide_the_night_and_the_length_of_the_lists(home, store, capsys):
    (home / "pipelines" / "shop.yaml").write_text(SHOP)
    said = lambda job: f"{job.ds} {job.pipeline.recommend.top_n}"  # noqa: E731
    run_plain("promote", said, argv=["--pipeline", "shop", "--ds", DS, "--top-n", "7"])
    run_plain("promote", said, argv=["--pipeline", "shop", "--ds", DS, "--top-n", ""])
    assert capsys.readouterr().out.splitlines() == [f"nightfold: promote: {DS} 7", f"nightfold: promote: {DS} 20"]
    for wrong in ("2026-1-3", "2026-02-30", "yesterday", "20260103"):
        with pytest.raises(BadInput, match=f"night '{wrong}' is not a day: write it as YYYY-MM-DD"):
            nights.checked(wrong)


def test_work_is_committed_once_for_the_same_inputs_and_a_failure_commits_nothing(spark, home):
    calls = []

    def main(_, again):
        calls.append(again.attempt)
        return Outcome(summary=f"made {len(calls)}", rows=3, facts={"n": len(calls)})

    first = job("clean", tiny_shop(), DS)
    assert execute(first, main, fingerprint=lambda _: "a") == "made 1"
    assert (
        execute(job("clean", tiny_shop(), DS), main, fingerprint=lambda _: "a")
        == "made 1 (committed before from the same inputs; reused)"
    )
    with pytest.raises(ZeroDivisionError):
        execute(job("clean", tiny_shop(), DS), lambda *_: 1 / 0, fingerprint=lambda _: "b")
    kept = Lake("shop").get("clean", DS)
    assert (kept.attempt, kept.fingerprint, kept.rows, kept.data) == (first.attempt, "a", 3, first.place)
    assert sorted(kept.timings) == ["session_seconds", "total_seconds", "work_seconds"]
    assert execute(job("clean", tiny_shop(), DS), main, fingerprint=lambda _: "b") == "made 2"


def test_the_session_is_in_the_pipelines_zone_and_ansi(spark, home):
    seen = {}

    def main(session, _):
        for name in ("spark.sql.session.timeZone", "spark.sql.ansi.enabled", "spark.sql.shuffle.partitions"):
            seen[name] = session.conf.get(name)
        return Outcome(summary="")

    execute(
        job("clean", tiny_shop({"timezone": "Asia/Tokyo", "resources": {"shuffle_partitions": 3}}), DS),
        main,
        fingerprint=lambda _: "x",
    )
    assert seen == {
        "spark.sql.session.timeZone": "Asia/Tokyo",
        "spark.sql.ansi.enabled": "true",
        "spark.sql.shuffle.partitions": "3",
    }


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (StoreError("store redis://h: full: is there room?"), 1, f"night {DS}: store redis://h: full: is there room?"),
        (BadInput(f"night {DS}: odd"), 65, f"night {DS}: odd"),
        (
            KeyError("x"),
            1,
            f"night {DS}: RuntimeError: in a Python worker: KeyError: 'x': not foreseen; its trace says where, and a retry may help",
        ),
    ],
    ids=["ours, worth a retry", "ours, for good", "not foreseen"],
)
def test_what_a_python_worker_of_spark_raises_is_told_as_if_the_driver_had_raised_it(utc, home, store, capsys, error, code, line):
    (home / "pipelines" / "shop.yaml").write_text(SHOP)

    def fail(batches):
        try:
            raise OSError("beneath it")
        except OSError as beneath:
            raise error from beneath

    def work(_) -> str:
        utc.range(1).mapInArrow(fail, "id bigint").collect()
        return "never"

    with pytest.raises(SystemExit) as ended:
        _process("promote", work, ["--pipeline", "shop", "--ds", DS])
    assert ended.value.code == code
    assert capsys.readouterr().err.splitlines()[0] == f"nightfold: promote failed: {line}"
