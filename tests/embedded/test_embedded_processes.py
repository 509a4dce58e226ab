"""Processes: exactly what was started is stopped, with its family, and nobody else."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace

from embedded.errors import NotReady
from embedded.processes import Part, family, process_of, record_of, start, stop, wait_until_ready

import psutil
import pytest

SLEEP = "import time; time.sleep(300)"
IGNORES = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(300)"


def sleeper(script: str = SLEEP, **changes) -> Part:
    part = Part(
        name="sleeper",
        argv=(sys.executable, "-c", script),
        environment={"PATH": os.defpath},
        address="",
        why_not_ready=lambda created: None,
        identity="1",
        grace=0.5,
    )
    return replace(part, **changes)


def lives(pid: int) -> bool:
    """Not gone, and not merely waiting for its parent to notice that it has ended."""
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def wait_for(condition, limit: float = 10.0) -> None:
    end = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < end, "not within its time"
        time.sleep(0.05)


def test_a_recycled_process_id_is_never_signalled(tmp_path):
    stranger = subprocess.Popen([sys.executable, "-c", SLEEP], start_new_session=True)
    record = start(tmp_path, sleeper())
    try:
        stolen = replace(record, pid=stranger.pid, created=psutil.Process(stranger.pid).create_time() - 60)
        (tmp_path / "run" / "stolen.json").write_text(json.dumps({**asdict(stolen), "name": "stolen", "mark": "none"}))
        assert process_of(record_of(tmp_path, "stolen")) is None
        assert family(record_of(tmp_path, "stolen")) == []
        assert stop(tmp_path, "stolen") is False
        assert stranger.poll() is None, "the stranger lives"
    finally:
        stop(tmp_path, "sleeper")
        stranger.kill()
        stranger.wait()


def test_after_the_clock_was_set_what_runs_is_known_by_its_mark(tmp_path):
    record = start(tmp_path, sleeper())
    try:
        assert process_of(replace(record, created=record.created - 3600)).pid == record.pid
        assert process_of(replace(record, created=record.created - 3600, mark="none")) is None
    finally:
        stop(tmp_path, "sleeper")


def test_what_ignores_the_stop_signal_is_killed(tmp_path):
    record = start(tmp_path, sleeper(IGNORES))
    wait_for(lambda: psutil.Process(record.pid).cmdline()[0] == sys.executable)
    assert stop(tmp_path, "sleeper") is True
    assert not lives(record.pid)
    assert record_of(tmp_path, "sleeper") is None


def test_children_go_too_when_their_parent_was_killed_even_those_in_a_session_of_their_own(tmp_path):
    child = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {SLEEP!r}], start_new_session=True); time.sleep(300)"
    record = start(tmp_path, sleeper(child))
    wait_for(lambda: len(family(record)) == 2)
    orphan = next(process for process in family(record) if process.pid != record.pid)
    os.kill(record.pid, signal.SIGKILL)
    wait_for(lambda: process_of(record) is None)
    assert [process.pid for process in family(record)] == [orphan.pid]
    stop(tmp_path, "sleeper")
    assert not lives(orphan.pid)


def test_what_ends_at_its_start_is_shown_with_its_log(tmp_path):
    part = sleeper("print('no such table'); raise SystemExit(3)", why_not_ready=lambda created: "not yet")
    with pytest.raises(NotReady, match=r"sleeper ended at its start; log .*sleeper\.log ends with:\n  no such table"):
        wait_until_ready(tmp_path, part, start(tmp_path, part))


def test_what_never_gets_ready_is_given_up_with_the_reason(tmp_path):
    part = sleeper(why_not_ready=lambda created: "no connection", limit=0.3)
    with pytest.raises(NotReady, match=r"sleeper is not ready after 0 s \(no connection\)"):
        wait_until_ready(tmp_path, part, start(tmp_path, part))
    assert stop(tmp_path, "sleeper") is True


def test_the_log_is_private_and_kept_over_a_restart(tmp_path):
    for _ in range(2):
        record = start(tmp_path, sleeper("print('hello')"))
        wait_for(lambda record=record: process_of(record) is None)
        stop(tmp_path, "sleeper")
    log = tmp_path / "log" / "sleeper.log"
    assert log.read_text() == "hello\nhello\n"
    assert log.stat().st_mode & 0o777 == 0o600
