"""Watching a night: who reads the terminal is told which server has died, whatever Airflow itself says of it."""

import os
import signal
import sys

from embedded import night
from embedded.airflow_api import AirflowApi
from embedded.errors import PlatformError
from embedded.processes import Part, process_of, start
from embedded.settings import load, save

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
