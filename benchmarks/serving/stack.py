"""The REST API as `make up-serving` starts it, on free ports and with a store of its own: replicas behind HAProxy."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.faults.stand import until
from benchmarks.serving import models, published
from embedded import platform, ports, processes, serving_parts
from embedded.balancer import states
from embedded.settings import Settings
from nightfold import api_keys
from nightfold.store import Store, store_at

import psutil

REPLICAS = 3
LIMIT = 60.0  # seconds for a replica to be asked
OURS = ("NIGHTFOLD_", "AIRFLOW_", "MLFLOW_")
FILE = f"""\
pipeline: {published.PIPELINE}
description: What the benchmark reads.
task: recommend
sources:
  sales:
    format: csv
    path: "{{ds}}.csv"
    columns: {{client: {{required: true}}, article: {{required: true}}, sold_at: {{type: timestamp, required: true}}}}
recommend:
  interactions: {{source: sales, user: client, item: article, time: sold_at}}
schedule: {{start: 2017-01-01}}
"""


@dataclass
class Stack:
    """What runs."""

    settings: Settings
    key: str
    """An API key that may do everything."""

    @property
    def url(self) -> str:
        """The balancer's."""
        return f"http://127.0.0.1:{self.settings['NIGHTFOLD_SERVING_PORT']}"

    @property
    def uri(self) -> str:
        """The store's, of its owner."""
        return self.settings["AIRFLOW_CONN_KV_DEFAULT"]

    @property
    def store(self) -> Store:
        return store_at(self.uri)

    def process(self, name: str) -> psutil.Process:
        """Of a part: valkey, balancer, serving-1. Raises RuntimeError when it does not run."""
        found = processes.process_of(processes.record_of(self.settings.home, name))
        if found is None:
            raise RuntimeError(f"{name} does not run")
        return found

    def start(self) -> None:
        """What does not run."""
        platform.up(home=self.settings.home, names=("valkey", platform.SERVING), environ=self.settings.environ, say=_nothing)

    def all_up(self) -> bool:
        """Whether the balancer asks every replica."""
        found = states(self.settings)
        return all(found.get(name) == "UP" for name in serving_parts.names(self.settings))


@contextlib.contextmanager
def serving(folder: Path, records: dict[str, bytes], *, night: str, replicas: int = REPLICAS) -> Iterator[Stack]:
    """Started, with a version v1 of these records, and a small model beside it; and ended."""
    (folder / "pipelines").mkdir(parents=True)
    (folder / "pipelines" / f"{published.PIPELINE}.yaml").write_text(FILE, encoding="utf-8")
    (folder / "pipelines" / f"{models.CLUB}.yaml").write_text(models.CLUB_FILE, encoding="utf-8")
    plain = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    environ = {
        **plain,
        **ports.free_ports(),
        "NIGHTFOLD_HOME": str(folder),
        "NIGHTFOLD_PIPELINES": str(folder / "pipelines"),
        "NIGHTFOLD_SERVING_REPLICAS": str(replicas),
        "NIGHTFOLD_SERVING_RATE": "1000000",  # what a key may ask in a second is not what is measured
    }
    _, key = api_keys.add(folder / "serving" / "keys.json", "benchmark", pipelines=["*"], scopes=list(api_keys.SCOPES))
    settings = platform.up(home=folder, names=("valkey",), environ=environ, say=_nothing)
    try:
        found = Stack(settings, key)
        lake, club = settings["NIGHTFOLD_LAKE"], {"m1": published.FALLBACK}
        published.publish(found.store, "v1", records, night=night, twin=models.write_baskets(lake, "twin of baskets"))
        twin = models.write_predictions(lake, "twin of predictions")
        published.publish(found.store, "c1", club, night=night, pipeline=models.CLUB, twin=twin)
        found.start()
        until(found.all_up, what="replica that is ready", limit=LIMIT)
        yield found
        found.store.wire.close()
    finally:
        platform.down(home=folder, say=_nothing)


def _nothing(line: str) -> None:
    """What is started and stopped is of no interest here."""
