"""The test stand: one platform, two nights taken once undisturbed, and the way back to the moment before the second one."""

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.faults import shop, state
from embedded import platform
from embedded.airflow_api import AirflowApi
from embedded.errors import PlatformError
from embedded.settings import PORTS, Settings
from nightfold.lake import Lake
from nightfold.store import Store, store_at

import redis

OURS = ("NIGHTFOLD_", "AIRFLOW_", "MLFLOW_")
LOOK_EVERY = 0.5  # seconds between two looks at a run
NIGHT_LIMIT = 900.0  # seconds for a whole night; one takes about 80 on two idle cores
LAKE_SIZE = "400m"  # of the small disk that the lake lies on; two nights and what faults leave behind need 60 MB
SUBMIT = "spark3-submit"
"""The name under which the stand's own wrapper is found: the connection of Spark may say one of three."""
WRAPPER = """#!/bin/sh
# spark-submit, in the circumstances that the file beside this one describes
[ -f "$0.env" ] && . "$0.env"
exec spark-submit "$@"
"""

Say = Callable[[str], None]


class NotInTime(Exception):
    """What was waited for did not come."""


def until(seen: Callable[[], Any], *, what: str, limit: float, every: float = LOOK_EVERY) -> Any:
    """Look until there is something to see; a server that does not answer is looked at again.

    Raises NotInTime, with the last trouble, after `limit` seconds.
    """
    give_up, trouble = time.monotonic() + limit, ""
    while True:
        try:
            if found := seen():
                return found
        except (PlatformError, redis.RedisError) as error:
            trouble = f" ({error})"
        if time.monotonic() > give_up:
            raise NotInTime(f"no {what} after {limit:.0f} s{trouble}")
        time.sleep(every)


class Stand:
    """A running platform, and what is needed to break it and to put it right again."""

    def __init__(self, settings: Settings, folder: Path, environ: dict[str, str], *, small_disk: bool, say: Say) -> None:
        self.settings, self.folder, self.environ, self.say = settings, folder, environ, say
        self.small_disk = small_disk
        """Whether the lake lies on a disk of its own, that can be filled up."""
        self.api = AirflowApi(settings)
        self.store: Store = store_at(settings["AIRFLOW_CONN_KV_DEFAULT"])
        self.client = redis.Redis.from_url(settings["AIRFLOW_CONN_KV_DEFAULT"])
        self.lake_folder = Path(settings["NIGHTFOLD_LAKE"].removeprefix("file://"))
        self.landing = Path(settings["NIGHTFOLD_LANDING"].removeprefix("file://"))
        self.circumstances = folder / "bin" / f"{SUBMIT}.env"
        self.known: dict[str, dict[str, str]] = {}
        self.order: list[str] = []
        self.run_id = ""
        """The undisturbed run of the second night, whose tasks the faults clear and break."""

    @property
    def lake(self) -> Lake:
        return Lake(shop.PIPELINE, self.settings["NIGHTFOLD_LAKE"])

    @property
    def first(self) -> str:
        """The version that is live before each fault."""
        return self.order[0]

    @property
    def second(self) -> str:
        """The version that the second night has when nothing disturbs it."""
        return self.order[1]

    def take_both_nights(self) -> None:
        """Undisturbed; keeps what they made."""
        shop.land(self.settings["NIGHTFOLD_LANDING"])
        self.delivered = shop.delivery(self.landing).read_bytes()
        self.rows_landed = self._rows_landed()
        until(lambda: shop.DAG in self.api.dag_ids(), what=shop.DAG, limit=120)
        self._take(shop.FIRST)
        self.kept = state.Kept.of(self.client)
        self.run_id = self._take(shop.SECOND)
        state.keep_lake(self.lake_folder, self.folder / "lake")

    def _take(self, night: str) -> str:
        began = time.monotonic()
        run_id = self.api.trigger(shop.DAG, {"ds": night})
        ended = self.ended(run_id, limit=NIGHT_LIMIT)
        if ended != "success":
            failed = [task for task, found in self.tasks(run_id).items() if found["state"] == "failed"]
            words = "; ".join(self.causes(run_id, task, since=0)[0] for task in failed)
            raise NotInTime(f"the undisturbed night {night} ended with {ended}: {words}")
        version = self.store.live(shop.PIPELINE).version
        self.order.append(version)
        self.known[version] = state.what_it_holds(self.store, version)
        self.say(f"night {night} undisturbed: version {version} after {time.monotonic() - began:.0f} s")
        return run_id

    def _rows_landed(self) -> int:
        """Of all sources, counted where they lie."""
        folder = self.landing / "grocery"
        lines = sum(len(file.read_bytes().splitlines()) - 1 for file in (folder / "transactions").glob("*.csv"))
        lines += sum(len(file.read_bytes().splitlines()) for file in (folder / "redemptions").glob("*.jsonl"))
        from samples import shop_db

        with shop_db.connected() as connection, connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM campaign_descriptions")
            [campaigns] = cursor.fetchone()
        return lines + campaigns

    def put_back(self, start: str) -> None:
        """A healthy platform, the first night live, and of the second night nothing that `start` or a later stage makes."""
        self.circumstances.unlink(missing_ok=True)
        shop.delivery(self.landing).write_bytes(self.delivered)
        self.up()
        self.client.config_set("maxmemory", "0")
        self.end_all_runs()
        state.put_lake_back(self.lake_folder, self.folder / "lake", night=shop.SECOND, without=state.downstream(start))
        self.kept.put_back(self.client)

    def up(self) -> None:
        """What `make up` does."""
        platform.up(home=self.settings.home, names=platform.EVERYTHING, environ=self.environ, say=lambda line: None)

    def end_all_runs(self) -> None:
        """Nothing of an earlier fault is at work any more."""

        def over() -> bool:
            runs = self.api.get(f"dags/{shop.DAG}/dagRuns", limit=100)["dag_runs"]
            alive = [run["dag_run_id"] for run in runs if run["state"] in ("running", "queued")]
            for run in alive:
                self.api.patch(f"dags/{shop.DAG}/dagRuns/{run}", {"state": "failed"})
            return not alive

        until(over, what="end of all runs", limit=120)

    def tasks(self, run_id: str) -> dict[str, dict[str, Any]]:
        return {task["task_id"]: task for task in self.api.task_instances(shop.DAG, run_id)}

    def clear(self, run_id: str, stages: list[str]) -> None:
        """What a person does in Airflow: clear these tasks, so that they are run again."""
        body = {"dry_run": False, "dag_run_id": run_id, "task_ids": stages, "only_failed": False, "reset_dag_runs": True}
        self.api.post(f"dags/{shop.DAG}/clearTaskInstances", body)

    def ended(self, run_id: str, *, limit: float) -> str:
        """Wait for the run's end; success or failed."""
        over = lambda: (s := self.api.run_state(shop.DAG, run_id)) in ("success", "failed") and s  # noqa: E731
        return until(over, what=f"end of {run_id}", limit=limit)

    def causes(self, run_id: str, task: str, *, since: int) -> list[str]:
        """The first words, outside the folded output of spark-submit, of each try after the first `since` that failed."""
        found = []
        for number in range(since + 1, self.tasks(run_id)[task]["try_number"] + 1):
            lines = self.api.task_log(shop.DAG, run_id, task, number)
            found += [words] if (words := first_words(lines)) else []
        return found


def first_words(lines: list[str]) -> str | None:
    """The first line of a failed task's log, outside of folded groups, that says why; None when none does."""
    folded = False
    for line in lines:
        if line.startswith("::group::"):
            folded = True
        elif line.startswith("::endgroup::"):
            folded = False
        elif not folded and "nightfold: " in line and (" failed: " in line or "store " in line):
            return line[line.index("nightfold: ") :].strip()
    return None


@contextlib.contextmanager
def standing(folder: Path, *, say: Say) -> Iterator[Stand]:
    """Start the platform in `folder`, with both nights taken; all of it is ended and unmounted at the end."""
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / SUBMIT).write_text(WRAPPER, encoding="utf-8")
    (folder / "bin" / SUBMIT).chmod(0o755)
    shop.write_pipeline(folder / "pipelines")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(OURS)} | platform.free_ports()
    environ |= {name: os.environ[name] for name in PORTS if name in os.environ}
    environ |= {
        "NIGHTFOLD_HOME": str(folder / "home"),
        "NIGHTFOLD_PIPELINES": str(folder / "pipelines"),
        "AIRFLOW_CONN_SPARK_DEFAULT": f'{{"conn_type":"spark","host":"local[*]","extra":{{"spark-binary":"{SUBMIT}"}}}}',
        "PATH": f"{environ['PATH']}{os.pathsep}{folder / 'bin'}",
    }
    before = dict(os.environ)
    with (
        _small_disk(folder / "home" / "lake") as small_disk,
        platform.running(home=folder / "home", names=platform.EVERYTHING, environ=environ, say=say) as settings,
    ):
        try:
            os.environ.update(settings.job_environment())
            stand = Stand(settings, folder, environ, small_disk=small_disk, say=say)
            stand.take_both_nights()
            yield stand
        finally:
            os.environ.clear()
            os.environ.update(before)


@contextlib.contextmanager
def _small_disk(place: Path) -> Iterator[bool]:
    """Whether a disk of LAKE_SIZE could be mounted there: for root only. Without it the lake lies on the common disk."""
    place.mkdir(parents=True)
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={LAKE_SIZE}", "tmpfs", str(place)], capture_output=True, check=False
    )
    try:
        yield mount.returncode == 0
    finally:
        if mount.returncode == 0:
            subprocess.run(["umount", "--lazy", str(place)], check=True)
