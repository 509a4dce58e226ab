"""The sampler of memory, on small processes."""

import json
import os
import subprocess
import sys
import time

from benchmarks import memory

import psutil
import pytest
from helpers import LIMIT

MIB = 1 << 20
HOLDS = "import time; held = bytearray(b'x' * ({mib} << 20)); time.sleep({seconds})"


def python(mib: int, seconds: float) -> list[str]:
    return [sys.executable, "-c", HOLDS.format(mib=mib, seconds=seconds)]


def record(home, process: psutil.Process) -> None:
    (home / "run").mkdir(exist_ok=True)
    facts = {"name": "kv", "pid": process.pid, "created": process.create_time(), "mark": "m", "identity": "i", "address": ""}
    (home / "run" / "kv.json").write_text(json.dumps({**facts, "stop_signal": 15, "grace": 1.0}))


def test_descendants_are_children_of_children_and_the_roots_that_live():
    parent_of = {1: 0, 10: 1, 11: 10, 12: 11, 20: 1}
    assert memory.descendants([10, 99], parent_of) == {10, 11, 12}


def test_a_process_holds_what_it_wrote_and_one_that_ended_nothing():
    assert memory.held(os.getpid()) > 10 * MIB
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert memory.held(ended.pid) == 0


def test_the_peak_is_of_the_whole_tree_of_the_command(tmp_path):
    code = f"import subprocess; held = bytearray(b'x' * (40 << 20)); subprocess.run({python(60, 0.8)!r})"
    measured = memory.measure([sys.executable, "-c", code], home=tmp_path, every=0.05)
    assert 100 * MIB < measured.peak.bytes < 200 * MIB
    assert (measured.exit_code, measured.looks > 5) == (0, True)
    assert sum(size for _, size in measured.peak.by_name.values()) == measured.peak.bytes


def test_servers_that_the_platform_recorded_count_with_their_children(tmp_path):
    with subprocess.Popen(python(80, 30)) as server:
        try:
            record(tmp_path, psutil.Process(server.pid))
            assert memory.servers(tmp_path) == [server.pid]
            ends = time.monotonic() + LIMIT
            while memory.held(server.pid) < 80 * MIB:
                assert time.monotonic() < ends, "the server does not hold what it should"
                time.sleep(0.05)
            measured = memory.measure(python(1, 0.8), home=tmp_path, every=0.05)
        finally:
            server.kill()
    assert measured.peak.bytes > 80 * MIB


def test_a_record_whose_process_id_now_belongs_to_another_does_not_count(tmp_path):
    record(tmp_path, psutil.Process(os.getpid()))
    path = tmp_path / "run" / "kv.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "created": 1.0}))
    assert memory.servers(tmp_path) == []


@pytest.mark.parametrize("code", [0, 3])
def test_the_exit_code_is_the_commands_own(code, capfd, monkeypatch, tmp_path):
    monkeypatch.setenv("NIGHTFOLD_HOME", str(tmp_path))
    assert memory.main(["--", sys.executable, "-c", f"print('said'); raise SystemExit({code})"]) == code
    out = capfd.readouterr().out
    assert "said" in out
    assert f"and ended with {code}" in out


def test_the_commands_output_goes_where_it_is_told(tmp_path):
    with (tmp_path / "out").open("w+") as out:
        memory.measure([sys.executable, "-c", "print('its own word')"], home=tmp_path, every=0.05, stdout=out)
        out.seek(0)
        assert out.read() == "its own word\n"
