"""Watching a night: who reads the terminal is told which server has died, whatever Airflow itself says of it."""

import os
import signal
import sys

from embedded import night
from embedded.__main__ import main, say
from embedded.airflow_api import AirflowApi
from embedded.errors import PlatformError
from embedded.processes import Part, process_of, start
from embedded.settings import load, save
from nightfold.errors import StoreError

import pytest


@pytest.fixture
def settings(tmp_path):
    made = load(home=tmp_path, environ={"PATH": os.defpath})
    save(made)
    return made


def server(settings, name: str):
    """Something that runs under the name of a server."""
    argv = (sys.executable, "-c", "import time; time.sleep(60)")
    part = Part(name=name, argv=argv, environment={}, address="", why_not_ready=lambda created: None, identity="")
    return process_of(start(settings.home, part))


class Api(AirflowApi):
    """Airflow, as it answers when its database is away."""

    def run_state(self, dag_id: str, run_id: str) -> str:
        raise PlatformError(f"Airflow answered 500 to GET dags/{dag_id}/dagRuns/{run_id}: Internal Server Error")


@pytest.mark.parametrize("name", ["postgres", "valkey", "airflow-api"])
def test_the_terminal_names_the_server_that_died_and_what_starts_it_again(settings, name):
    process = server(settings, name)
    process.send_signal(signal.SIGKILL)
    process.wait(30)
    with pytest.raises(PlatformError, match=f"^{name} has ended, so the night stands still: make up starts it again$"):
        night.watch(settings, Api(settings), "nightly_shop", "r1", pipeline="shop", ds="2026-01-03", say=print)


def test_while_all_servers_live_the_terminal_says_what_airflow_says(settings):
    process = server(settings, "postgres")
    try:
        with pytest.raises(PlatformError, match=r"^Airflow answered 500"):
            night.watch(settings, Api(settings), "nightly_shop", "r1", pipeline="shop", ds="2026-01-03", say=print)
    finally:
        process.kill()
        process.wait(30)


class Busy(AirflowApi):
    """Airflow, whose DAG is at work for another run; ours ends as soon as it has been looked at twice."""

    looks = 0

    def run_state(self, dag_id: str, run_id: str) -> str:
        self.looks += 1
        return "queued" if self.looks < 3 else "success"

    def running(self, dag_id: str) -> list[str]:
        return ["manual__1"]

    def task_instances(self, dag_id: str, run_id: str) -> list[dict]:
        return []


def test_a_run_that_waits_for_another_says_so_once(settings):
    said: list[str] = []
    night.watch(settings, Busy(settings), "nightly_shop", "r1", pipeline="shop", ds="2026-01-03", say=said.append)
    assert said == ["waits for manual__1: the runs of a pipeline are taken one by one"]


class LateReport(Busy):
    """Airflow, as it works on a report while readers have the lists already."""

    def task_instances(self, dag_id: str, run_id: str) -> list[dict]:
        told = {"end_date": "2026-01-03T00:00:00", "try_number": 1, "duration": 1.0}
        report = "success" if self.looks >= 3 else "running"
        return [{"task_id": "promote", "state": "success", **told}, {"task_id": "profile", "state": report, **told}]


def test_lists_are_shown_as_soon_as_readers_have_them_and_once(settings, home):
    said: list[str] = []
    night.watch(
        settings,
        LateReport(settings),
        "nightly_shop",
        "r1",
        pipeline="shop",
        ds="2026-01-03",
        say=said.append,
        live=lambda: said.append("lists"),
    )
    assert [line.split()[0] for line in said if not line.startswith("waits")] == ["promote", "lists", "profile"]


class Slow(LateReport):
    """Airflow, too busy for two answers in a row."""

    def run_state(self, dag_id: str, run_id: str) -> str:
        state = super().run_state(dag_id, run_id)
        if self.looks < 3:
            raise PlatformError("Airflow does not answer")
        return state


def test_a_slow_answer_ends_nothing_nor_does_a_store_that_is_gone_when_lists_are_shown(settings):
    def live() -> None:
        raise StoreError("the store is gone")

    said: list[str] = []
    words = {"pipeline": "shop", "ds": "2026-01-03", "say": said.append, "live": live}
    assert night.watch(settings, Slow(settings), "nightly_shop", "r1", **words) == "success"
    assert "  the store is gone" in said


def test_wrong_words_are_refused_before_anything_starts(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("NIGHTFOLD_HOME", str(tmp_path / "home"))
    assert main(["run", "--pipeline", "nope", "--ds", "2017-12-03"]) == 1
    assert "nope.yaml: no such pipeline file; there are: discovery, films, grocery" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main(["run", "--pipeline", "grocery", "--ds", "2017-13-40"])
    assert "night '2017-13-40' is not a day: write it as YYYY-MM-DD" in capsys.readouterr().err
    assert not (tmp_path / "home").exists()


def test_two_parts_that_are_ready_at_once_have_a_line_each(monkeypatch):
    pieces = []
    monkeypatch.setattr(sys.stdout, "write", pieces.append)
    say("airflow-dags ready")
    assert [piece for piece in pieces if piece] == ["airflow-dags ready\n"], "another thread's words would come between two pieces"
