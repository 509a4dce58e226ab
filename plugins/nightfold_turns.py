"""The turn of a pipeline, as a run of its DAG has it: the first task takes it or waits outside the pool, the last leaves it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from nightfold import turns
from nightfold.errors import BadPipeline, NightfoldError, Permanent, TurnTaken
from nightfold.store import Store, Turn, store_at

from airflow.sdk import BaseHook, BaseOperator, Connection, Context
from airflow.sdk.exceptions import (
    AirflowException,
    AirflowFailException,
    AirflowNotFoundException,
    AirflowSkipException,
    TaskDeferred,
)
from airflow.triggers.base import BaseTrigger, TriggerEvent


def connected(conn_id: str) -> Connection:
    """An Airflow Connection. Raises BadPipeline when nobody has defined it."""
    try:
        return BaseHook.get_connection(conn_id)
    except AirflowNotFoundException as error:
        raise BadPipeline(
            f"connection {conn_id!r} is not defined: Airflow → Admin → Connections, or AIRFLOW_CONN_{conn_id.upper()}; then clear the task"
        ) from error


class TurnTrigger(BaseTrigger):
    """Ask for the turn until the run has it; the task then finds it taken for itself.

    :param connection: of the store
    :param holder: the run
    """

    def __init__(self, *, pipeline: str, night: str, holder: str, connection: str) -> None:
        super().__init__()
        self.pipeline = pipeline
        self.night = night
        self.holder = holder
        self.connection = connection

    def serialize(self) -> tuple[str, dict[str, Any]]:
        wanted = {"pipeline": self.pipeline, "night": self.night, "holder": self.holder, "connection": self.connection}
        return f"{type(self).__module__}.{type(self).__name__}", wanted

    async def run(self) -> AsyncIterator[TriggerEvent]:
        store = store_at((await BaseHook.aget_connection(self.connection)).get_uri())
        while True:
            try:
                await asyncio.to_thread(store.take_turn, self.pipeline, self.holder, self.night, seconds=turns.GAP)
                yield TriggerEvent("taken")
                return
            except TurnTaken:
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
        holder, said = str(context["run_id"]), self.log.warning
        try:
            store = self.opened()
            turn = store.take_turn(self.pipeline, holder, self.night, seconds=turns.LEASE)
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
                _ = store.leave_turn(self.pipeline, holder) if over else store.keep_turn(self.pipeline, holder, seconds=turns.GAP)
            except NightfoldError as error:  # the work is done; the turn frees itself
                said("nightfold: %s", error)

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
        self.log.error("nightfold: %s failed: %s", self.task_id, error)
        raise (AirflowFailException if isinstance(error, Permanent) else AirflowException)(f"nightfold: {error}") from None

    def skipped(self, why: object) -> NoReturn:
        """Say why there is nothing to do, and let the task count as skipped."""
        self.log.warning("nightfold: %s skipped: %s", self.task_id, why)
        raise AirflowSkipException(f"nightfold: {why}") from None

    def _wait(self, holder: str) -> NoReturn:
        trigger = TurnTrigger(pipeline=self.pipeline, night=self.night, holder=holder, connection=self.store)
        raise TaskDeferred(trigger=trigger, method_name="resumed")

    def resumed(self, context: Context, event: str) -> Any:
        """Go on after waiting; whatever the trigger saw, the turn is asked for again."""
        return self.execute(context)


def _is_tried_again(context: Context) -> bool:
    ti = context["ti"]
    return bool(ti.try_number <= ti.max_tries)
