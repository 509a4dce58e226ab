"""The turn of a pipeline, as a run of its DAG has it: the first task takes it or waits outside the pool, the last leaves it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, NoReturn

from nightfold import turns
from nightfold.errors import BadPipeline, NightfoldError, Permanent, TurnTaken, failure
from nightfold.store import Store, Turn, said_night, store_at

from airflow.sdk import BaseHook, BaseOperator, Connection, Context
from airflow.sdk.exceptions import (
    AirflowException,
    AirflowFailException,
    AirflowNotFoundException,
    AirflowSkipException,
    TaskDeferred,
)
from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
from airflow.triggers.base import BaseTrigger, TriggerEvent
from asgiref.sync import sync_to_async


def connected(conn_id: str) -> Connection:
    """An Airflow Connection. Raises BadPipeline when nobody has defined it."""
    try:
        return BaseHook.get_connection(conn_id)
    except AirflowNotFoundException as error:
        raise BadPipeline(
            f"connection {conn_id!r} is not defined: Airflow → Admin → Connections, or AIRFLOW_CONN_{conn_id.upper()}; then clear the task"
        ) from error


def holder_of(dag_id: str, run_id: str) -> str:
    """By what name a run has the turn. Its id alone may be that of a run of another DAG at the same time."""
    return f"{dag_id}/{run_id}"


class TurnTrigger(BaseTrigger):
    """Ask for the turn until the run has it; the task then finds it taken for itself. Who has ended by Airflow's word leaves it.

    :param connection: of the store
    :param holder: the run
    :param gap: seconds for which it has the turn then, until its task has begun again
    """

    def __init__(self, *, pipeline: str, night: str, holder: str, connection: str, gap: float) -> None:
        super().__init__()
        self.gap = gap
        self.pipeline = pipeline
        self.night = night
        self.holder = holder
        self.connection = connection

    def serialize(self) -> tuple[str, dict[str, Any]]:
        wanted = {"pipeline": self.pipeline, "night": self.night, "holder": self.holder, "connection": self.connection}
        return f"{type(self).__module__}.{type(self).__name__}", {**wanted, "gap": self.gap}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        store = store_at((await BaseHook.aget_connection(self.connection)).get_uri())
        while True:
            try:
                await asyncio.to_thread(store.take_turn, self.pipeline, self.holder, self.night, seconds=self.gap)
                yield TriggerEvent("taken")
                return
            except TurnTaken:
                if not await sync_to_async(_let_go_if_ended)(store, self.pipeline, RuntimeTaskInstance.get_dr_count):
                    await asyncio.sleep(turns.ASK)
            except NightfoldError as error:  # the task says it, and is retried
                yield TriggerEvent(str(error))
                return


class InTurn(BaseOperator):
    """A task of the night that works in its run's turn.

    :param pipeline: the pipeline's name
    :param night: the night (templated by the subclass)
    :param store: the store's connection
    :param last: the run's last task leaves the turn when it has ended
    """

    def __init__(self, *, pipeline: str, night: str, store: str, last: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pipeline = pipeline
        self.night = night
        self.store = store
        self.last = last

    @contextmanager
    def turn(self, context: Context) -> Iterator[Turn]:
        """Have the turn while the block runs, and after it until the run's next task; defers while another run has it.

        A failure that is not retried ends the run, and leaves the turn.
        """
        holder, said = holder_of(self.dag_id, str(context["run_id"])), self.log.warning
        try:
            store = self.opened()
            turn = self._taken(store, context, holder)
        except TurnTaken as taken:
            self.log.info("nightfold: %s", taken)
            self._wait(holder)
        except NightfoldError as error:
            self.failed(error)
        over = True
        try:
            with turns.kept(store, self.pipeline, holder, self.night, say=said):
                yield turn
            over = self.last
        except (AirflowFailException, AirflowSkipException):
            raise
        except BaseException:
            over = not _is_tried_again(context)
            raise
        finally:
            try:
                _ = store.leave_turn(self.pipeline, holder) if over else store.keep_turn(self.pipeline, holder, seconds=self.gap)
            except NightfoldError as error:  # the work is done; the turn frees itself
                said("nightfold: %s", error)

    def _taken(self, store: Store, context: Context, holder: str) -> Turn:
        """The turn. Raises TurnTaken when another has it; not a run that somebody has ended, for that leaves it by nobody's hand."""
        try:
            return store.take_turn(self.pipeline, holder, self.night, seconds=turns.LEASE)
        except TurnTaken:
            run_id = _let_go_if_ended(store, self.pipeline, context["ti"].get_dr_count)
            if not run_id:
                raise
            self.log.warning("nightfold: %s has ended, and leaves its turn", run_id)
            return store.take_turn(self.pipeline, holder, self.night, seconds=turns.LEASE)

    @property
    def gap(self) -> float:
        """Seconds between two of its run's tasks for which the run keeps the turn: a retry may wait as long as it is allowed to, and
        another pipeline's stage may have the pool's slot until its time is over, which is taken to be as long as this one's."""
        waits = (self.max_retry_delay, self.execution_timeout)
        return max([turns.GAP, *(wait.total_seconds() + turns.SLACK for wait in waits if isinstance(wait, timedelta))])

    def opened(self) -> Store:
        """The store. Raises BadPipeline when nobody has defined its connection."""
        return store_at(connected(self.store).get_uri())

    def expect(self, holder: str, night: str) -> None:
        """Let another run, of an older night, have the turn first; if it does not ask for it in half a minute, it is forgotten."""
        try:
            self.opened().expect_turn(self.pipeline, holder, night)
        except NightfoldError as error:
            self.failed(error)

    def failed(self, error: NightfoldError) -> NoReturn:
        """Say the cause in a line of its own, and fail; for good where a retry would see the same facts."""
        self.log.error(failure(self.task_id, said_night(self.night), str(error)))
        raise (AirflowFailException if isinstance(error, Permanent) else AirflowException)(f"nightfold: {error}") from None

    def skipped(self, why: object) -> NoReturn:
        """Say why there is nothing to do, and let the task count as skipped."""
        self.log.warning("nightfold: %s skipped: %s", self.task_id, why)
        raise AirflowSkipException(f"nightfold: {why}") from None

    def _wait(self, holder: str) -> NoReturn:
        trigger = TurnTrigger(pipeline=self.pipeline, night=self.night, holder=holder, connection=self.store, gap=self.gap)
        raise TaskDeferred(trigger=trigger, method_name="resumed")

    def resumed(self, context: Context, event: str) -> Any:
        """Go on after waiting; whatever the trigger saw, the turn is asked for again."""
        return self.execute(context)


def _let_go_if_ended(store: Store, pipeline: str, count: Callable[..., int]) -> str:
    """Leave the turn for a run that is over by Airflow's word, and not merely unknown to it, as a holder by hand is.

    :param count: Airflow's number of runs: dag id, run_ids, states

    Returns the run's id; empty when it is not over.
    """
    theirs = store.turn(pipeline)
    dag_id, _, run_id = theirs.holder.partition("/") if theirs is not None else ("", "", "")
    if not run_id or count(dag_id, run_ids=[run_id], states=["queued", "running"]) or not count(dag_id, run_ids=[run_id]):
        return ""
    store.leave_turn(pipeline, holder_of(dag_id, run_id))
    return run_id


def _is_tried_again(context: Context) -> bool:
    ti = context["ti"]
    return bool(ti.try_number <= ti.max_tries)
