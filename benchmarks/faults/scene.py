"""One fault from its beginning to its end: put back, read all the while, strike, wait, judge."""

import re
import threading
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.faults import jobs, shop, state
from benchmarks.faults.reader import Reader
from benchmarks.faults.stand import NIGHT_LIMIT, NotInTime, Stand, until
from benchmarks.faults.table import Row
from embedded import night
from embedded.airflow_api import AirflowApi
from embedded.errors import PlatformError
from nightfold.settings import ROOT

READY_LIMIT = 60.0  # seconds until the reader has its first answer


class Scene:
    """What a fault's own function works with. It fills the row."""

    def __init__(self, stand: Stand, row: Row) -> None:
        self.stand, self.row = stand, row
        self.run_id = stand.run_id
        self.struck_at: float | None = None
        self.acted_at: float | None = None
        self.down: list[tuple[float, float]] = []
        """Windows in which the store was away."""
        self.acts: list[str] = []
        self.said: list[str] = []
        """What the terminal of `make run` says."""
        self.tries: dict[str, int] = {}
        self.reader: Reader | None = None
        self.before: dict[str, set[Path]] = {}

    def begin(self, start: str, *, harm: Callable[[], None] | None = None) -> None:
        """Readers read, and the tasks of the second night are run again from this stage on.

        :param harm: done just before they are, when all else is well
        """
        stand = self.stand
        stand.put_back(start)
        self.before = {stage: jobs.attempts(stand, stage) for stage in state.STAGES if stage != "promote"}
        environment = {**stand.settings.job_environment(), "PYTHONPATH": str(ROOT)}
        self.reader = Reader(stand.folder, stand.known, stand.order, environment)
        until(self.reader.ready, what="answer to the reader", limit=READY_LIMIT, every=0.05)
        tasks = stand.tasks(self.run_id)
        self.tries = {task: found["try_number"] for task, found in tasks.items()}
        if harm:
            self.strike(harm)
        again = {stage for stage in state.downstream(start) if stage != "profile" or stage == start}  # the others need no report
        unwell = {task for task, found in tasks.items() if found["state"] != "success"}  # an earlier fault's end was none
        stand.clear(self.run_id, sorted(again | unwell))
        self.watch(self.run_id)

    def watch(self, run_id: str) -> None:
        """The terminal of `make run`."""

        def look() -> None:
            settings = self.stand.settings
            try:
                night.watch(
                    settings, AirflowApi(settings), shop.DAG, run_id, pipeline=shop.PIPELINE, ds=shop.SECOND, say=self.said.append
                )
            except PlatformError as error:  # its main prints it
                self.said.append(f"nightfold: {error}")

        threading.Thread(target=look, daemon=True, name=f"watch {run_id}").start()

    def strike(self, blow: Callable[[], None], where: str = "") -> None:
        """The fault itself."""
        self.row.struck = where or self.row.struck
        self.struck_at = time.monotonic()
        blow()

    def kill_stage(self, stage: str, *, python: bool = False) -> None:
        """kill -9 of the stage's JVM, or of its Python process, in the middle of its work."""
        if stage == "publish":
            with jobs.half_published(self.stand, self.stand.second) as (job, where):
                self._kill(job, stage, where, python=python)
        else:
            job, where = jobs.at_work(self.stand, stage, before=self.before[stage])
            self._kill(job, stage, where, python=python)

    def _kill(self, job, stage: str, where: str, *, python: bool) -> None:
        victim = jobs.driver(self.stand, stage) if python else job
        if victim is None or not victim.is_running():
            raise NotInTime(f"{stage} had ended before it could be killed")
        self.strike(lambda: jobs.kill(victim), where)

    def person(self, what: str, does: Callable[[], None]) -> None:
        """Somebody has to act: it is in the table."""
        if self.acted_at is None:
            self.acted_at = time.monotonic()
        self.acts.append(what)
        does()

    def store_dies(self) -> None:
        """What readers are refused from now on, until it answers again, is no fault."""
        self.down.append((time.monotonic(), float("inf")))
        jobs.kill_part(self.stand, "valkey")

    def make_up(self) -> None:
        """A person does; the store counts as up again from its first answer on."""

        def answers() -> None:
            until(self.stand.client.ping, what="answer of the store", limit=jobs.START_LIMIT, every=0.02)
            self.down = [(start, min(end, time.monotonic())) for start, end in self.down]

        thread = threading.Thread(target=answers, daemon=True, name="ping")
        self.person("make up", lambda: (thread.start(), self.stand.up(), thread.join()))

    def ended(self, expected: str = "success", *, run_id: str | None = None) -> None:
        """Wait for the end of the run; another end than expected is red."""
        found = self.stand.ended(run_id or self.run_id, limit=NIGHT_LIMIT)
        if found != expected:
            self.row.blame("end", f"the run ended with {found}")

    def clear_failed(self, stage: str) -> None:
        """What the runbook says: mend, then clear the stage that is to see it, and what has failed since."""
        failed = {task for task, found in self.stand.tasks(self.run_id).items() if found["state"] in ("failed", "upstream_failed")}
        self.person(f"clear {stage} in Airflow", lambda: self.stand.clear(self.run_id, sorted(failed | {stage})))

    def first_failure(self, stage: str) -> None:
        """Wait until a try of the stage has failed."""

        def failed() -> bool:
            return self.stand.tasks(self.run_id)[stage]["state"] in ("up_for_retry", "failed") or bool(
                self.stand.causes(self.run_id, stage, since=self.tries[stage])
            )

        until(failed, what=f"failed try of {stage}", limit=jobs.START_LIMIT + jobs.WORK_LIMIT)

    def told_by_log(self, stage: str, *, cause: str, mend: str) -> None:
        """The first failed try's first words must say why and what mends it."""
        found = self.stand.causes(self.run_id, stage, since=self.tries[stage])
        self._told(found[0] if found else "", cause=cause, mend=mend)

    def told_by_terminal(self, *, cause: str, mend: str) -> None:
        """The same of the terminal of `make run`: its last line."""
        says = re.compile(cause)
        found = until(lambda: [line for line in self.said if says.search(line)], what=f"line on {cause}", limit=60)
        self._told(found[0].strip(), cause=cause, mend=mend)

    def _told(self, line: str, *, cause: str, mend: str) -> None:
        self.row.told = line.replace(str(self.stand.settings.home), "…")
        for what, pattern in (("cause", cause), ("mend", mend)):
            if not re.search(pattern, line):
                self.row.blame("the operator was told", f"no {what} ({pattern})")

    def no_retry(self, stage: str) -> None:
        """The task must have failed after one try."""
        task = self.stand.tasks(self.run_id)[stage]
        tries = task["try_number"] - self.tries[stage]
        self.row.tasks = f"{stage} {task['state']} after {tries} {'try' if tries == 1 else 'tries'}, no retry"
        if task["state"] != "failed" or tries != 1:
            self.row.blame("tasks", "a retry would see the same")

    def live_stays(self) -> None:
        """Until somebody mends it, readers have the first night's lists."""
        live = self.stand.store.live(shop.PIPELINE)
        if live is None or live.version != self.stand.first:
            self.row.blame("end", f"{live.version if live else 'nothing'} went live from bad data")

    def finish(self) -> None:
        """Judge what is left."""
        stand, row = self.stand, self.row
        if not row.tasks:
            row.tasks = self._tries()
        row.acted = "; ".join(self.acts) or "nobody: Airflow tried again"
        until(lambda: self.reader.has_seen(stand.second), what=f"reader with {stand.second}", limit=READY_LIMIT, every=0.05)
        self._judge_the_end()
        self._judge_the_rows()
        self._judge_the_reader()

    def _tries(self) -> str:
        words = []
        for task, found in self.stand.tasks(self.run_id).items():
            tries = found["try_number"] - self.tries.get(task, 0)
            if tries > 1:
                words.append(f"{task} {found['state']} after {tries} tries")
        return ", ".join(words) or "all went on"

    def _judge_the_end(self) -> None:
        stand, row = self.stand, self.row
        live = stand.store.live(shop.PIPELINE)
        row.end = f"{live.version} live, as undisturbed"
        if live.version != stand.second:
            row.end = f"{live.version} live"
            row.blame("end", f"{stand.second} was expected")
        for words in state.half_versions(stand.store, stand.known):
            row.blame("end", words)
        before = set(stand.client.scan_iter(match=f"nightfold:{shop.PIPELINE}:*"))
        left = stand.store.collect(shop.PIPELINE, older_than=0)
        row.end += f"; {left} records of dead attempts collected" if left else ""
        attempts = {(v.manifest.version, v.manifest.attempt) for v in stand.store.versions(shop.PIPELINE)}
        orphans = [key for key in before if tuple(key.decode().split(":")[2:4]) not in attempts]
        still = [key for key in orphans if stand.client.exists(key)]
        if still:
            row.blame("end", f"{len(still)} records of dead attempts stay")
        for words in state.half_versions(stand.store, stand.known):
            row.blame("end", f"after collecting: {words}")

    def _judge_the_rows(self) -> None:
        rows = state.rows_of(self.stand.lake, shop.SECOND, landed=self.stand.rows_landed)
        self.row.rows, self.row.rows_lost = rows.landed, rows.lost
        if rows.lost:
            self.row.blame("rows lost", str(rows))

    def _judge_the_reader(self) -> None:
        row, seen = self.row, self.reader.stop()
        self.reader = None
        outside = seen.failures_outside(self.down)
        row.requests, row.slowest = seen.requests, seen.slowest
        row.failed_while_up, row.failed_while_down = len(outside), len(seen.failures) - len(outside)
        row.mixed = sum(words.startswith("mixed") for words in seen.wrong)
        row.wrong_lists = len(seen.wrong) - row.mixed
        for words in [*outside[:1], *seen.wrong[:1]]:
            row.blame("reader", words)
        live = seen.first_seen(self.stand.second)
        since = self.acted_at or self.struck_at
        if live is not None and since is not None:
            row.seconds = max(0.0, live - since)  # lists go before the report: `profile` may be struck after

    def close(self) -> None:
        """End the reader when the fault's function did not get to its end."""
        if self.reader is not None:
            self.reader.kill()
            self.reader = None
