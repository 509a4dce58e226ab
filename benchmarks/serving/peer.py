"""The peer of the REST API: Feast's Python feature server, in an environment of its own, on the same Valkey.

One feature view with one feature, the list as the store keeps it, put there by Feast's own API.
"""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.faults.stand import until
from benchmarks.serving.server import free_port
from embedded import http
from nightfold import settings
from nightfold.errors import NightfoldError

import psutil

FEAST = "feast[redis]==0.67.0"
SCHEMATHESIS = "schemathesis==4.32.5"
MADE = Path(__file__).resolve().parent / "jobs" / "feast_repository.py"
LIMIT = 120.0  # seconds for its workers to answer


def environment_of(name: str, requirement: str) -> Path:
    """The folder of programs of an environment with this one requirement, kept below the folder of state. Raises NightfoldError."""
    home = settings.home() / "bench-serving" / name
    mark = home / "requirement"
    if mark.exists() and mark.read_text(encoding="utf-8") == requirement:
        return home / "bin"
    uv = Path(sys.executable).with_name("uv")
    for command in (
        [str(uv), "venv", "--quiet", "--clear", "--python", sys.executable, str(home)],
        [str(uv), "pip", "install", "--quiet", "--python", str(home / "bin" / "python"), requirement],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise NightfoldError(f"{requirement} cannot be installed: {done.stderr.strip()}")
    mark.write_text(requirement, encoding="utf-8")
    return home / "bin"


@dataclass(frozen=True)
class Peer:
    """Its feature server."""

    port: int
    process: psutil.Process


@contextlib.contextmanager
def feast(folder: Path, uri: str, records: dict[str, bytes], *, workers: int) -> Iterator[Peer]:
    """Its feature server, with these lists."""
    programs = environment_of("feast", FEAST)
    folder.mkdir(parents=True)
    (folder / "records.json").write_text(json.dumps({key: record.decode() for key, record in records.items()}), encoding="utf-8")
    environment = {**os.environ, "STORE_URI": uri, "FEAST_USAGE": "False", "PYTHONPATH": ""}
    done = subprocess.run(
        [str(programs / "python"), str(MADE), str(folder)], env=environment, capture_output=True, text=True, check=False, cwd=folder
    )
    if done.returncode:
        raise NightfoldError("feast: " + (done.stderr.strip() or done.stdout.strip()).splitlines()[-1])
    port = free_port()
    command = [
        str(programs / "feast"),
        "serve",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--workers",
        str(workers),
        "--no-access-log",
    ]
    command += ["--max-requests", "0"]  # else each worker is started anew after 1,000
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, cwd=folder, stdout=log, stderr=log)
    try:

        def answers() -> bool:
            if process.poll() is not None:
                raise RuntimeError(f"feast does not come up: {(folder / 'log').read_text(errors='replace')[-1500:]}")
            return http.status(f"http://127.0.0.1:{port}/health") == 200

        until(answers, what="answer of feast", limit=LIMIT)
        yield Peer(port, psutil.Process(process.pid))
    finally:
        family = (
            [process.pid, *(child.pid for child in psutil.Process(process.pid).children(recursive=True))]
            if process.poll() is None
            else []
        )
        process.terminate()
        for pid in family[1:]:
            with contextlib.suppress(psutil.Error):
                psutil.Process(pid).terminate()
        process.wait(30)
