"""The operators of the night. Thin: what they do lives in `spark_jobs/` and `nightfold/`."""

import json
import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from nightfold import maintenance, stages
from nightfold import pipeline as pipelines
from nightfold.errors import BadPipeline, NightfoldError, NotCommitted, OlderNight, Permanent, PromotionHeld, failure
from nightfold.lake import Lake
from nightfold.pipeline.predict import WriteBack
from nightfold.promotion import promote, written_back
from nightfold.store import AFTER_ALL, Turn

from airflow.providers.apache.spark.hooks.spark_submit import SparkSubmitHook
from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.sdk import Connection, Context
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowTaskTimeout
from nightfold_turns import InTurn, connected, holder_of

ABOUT_TO_ASK = (None, "scheduled", "queued", "running")
"""States of a run's first task in which it may not yet have asked for the turn."""
CAUSE = re.compile(r"nightfold: \w+ failed: ")
"""How a job's own word on why it failed starts."""
WRONG_SETTINGS = re.compile(
    r"^Invalid maximum heap size|^Error: (Unrecognized option|Missing|Must specify|Failed to load class|Cluster deploy mode)"
    r'|^Exception in thread "main" (java\.lang\.IllegalArgumentException|org\.apache\.spark\.SparkException): '
    r"(?!.*awaitResult|.*finished with )"  # of a cluster's: a connection that broke, an application that failed
)
BY_THE_CLOCK = ("scheduled", "backfill")
"""Runs whose data interval says which night they are of. By hand, by another DAG, or for an asset: the form, or `conf`, says it."""
SERVERS_OWN = (
    "AIRFLOW__CORE__FERNET_KEY",
    "AIRFLOW__API_AUTH__JWT_SECRET",
    "AIRFLOW__API__SECRET_KEY",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC",
)
"""What a task finds in its environment and no job needs."""


def night_of(dag_run: Any, params: Any, timezone: str) -> str:
    """The night of a run, YYYY-MM-DD: of a manual one what the trigger form says, else the day on which the data interval starts.

    Raises AirflowFailException for a run by hand, or by another DAG, that does not say it (no task asks what day it is), and
    for one of a backfill that says another: each run of it would take that one night.
    """
    said, night = params["ds"], _night_of_interval(dag_run, timezone)
    if night is None:
        if not said:
            raise _without_a_night("a manual run must say its night: trigger again with 'Night' filled in, YYYY-MM-DD")
        return str(said)
    if said and said != night:
        raise _without_a_night(f"this is the run of night {night}, and its form says {said}: leave 'Night' empty in a backfill")
    return night


def _night_of_interval(dag_run: Any, timezone: str) -> str | None:
    """The day on which the data interval starts; None for a run that no clock has made: its interval says nothing."""
    begins = dag_run.data_interval_start
    if str(getattr(dag_run.run_type, "value", dag_run.run_type)) not in BY_THE_CLOCK or begins is None:
        return None
    return str(begins.astimezone(ZoneInfo(timezone)).strftime("%Y-%m-%d"))


def _without_a_night(why: str) -> AirflowFailException:
    logging.getLogger("airflow.task").error("nightfold: %s", why)  # a line of its own: the error itself stands in a traceback
    return AirflowFailException(f"nightfold: {why}")


class StageHook(SparkSubmitHook):
    """Streams what spark-submit says into a group of the task's log, and keeps the job's own word on why it failed."""

    cause: str | None = None
    refused: str | None = None
    """spark-submit's own word on settings that it cannot take: a retry would meet the same."""

    def submit(self, application: str = "", **kwargs: Any) -> str | None:
        self.log.info("::group::What spark-submit says")
        return super().submit(application, **kwargs)

    def _process_spark_submit_log(self, itr: Iterator[Any]) -> None:
        super()._process_spark_submit_log(self._heard(itr))
        self.log.info("::endgroup::")

    def _heard(self, lines: Iterator[Any]) -> Iterator[Any]:
        for line in lines:
            if self.cause is None and CAUSE.search(line):
                self.cause = line[line.index("nightfold: ") :].strip()
            if self.refused is None and WRONG_SETTINGS.search(line):
                self.refused = line.strip()
            yield line


class StageOperator(InTurn, SparkSubmitOperator):
    """One stage of the night as a Spark job of its own.

    Connections reach the job through its environment, never through arguments. A job that says that a retry would
    see the same facts (exit code 65) fails at once. A little job has its JVM's first compiler alone.

    :param connections: ids of the Airflow Connections that the job may use
    :param in_turn: whether it waits for the pipeline's turn
    :param timezone: the pipeline's
    """

    template_fields: Sequence[str] = (*SparkSubmitOperator.template_fields, "night")

    def __init__(self, *, timezone: str, connections: Sequence[str] = (), in_turn: bool = True, **kwargs: Any) -> None:
        # durable would follow an attempt over its retries, one that has lost its turn too; a retry goes on with what is committed
        super().__init__(durable=False, **kwargs)
        self.timezone = timezone
        self.connections = list(connections)
        self.in_turn = in_turn

    def execute(self, context: Context) -> None:
        if self.task_id == stages.FLOW[0].name:
            self._expect_the_run_before(context)
        with self.turn(context) if self.in_turn else nullcontext():
            self._submit(context)

    def _expect_the_run_before(self, context: Context) -> None:
        """An older night's run that has begun goes first, also where its first task asks for the turn a moment after this one."""
        ti = context["ti"]
        before = ti.get_previous_dagrun(state="running")
        if before is None:
            return
        night = _night_of_interval(before, self.timezone) or (before.conf or {}).get("ds")
        states = ti.get_task_states(dag_id=self.dag_id, run_ids=[before.run_id]).get(before.run_id, {})
        if night and night < self.night and states.get(self.task_id) in ABOUT_TO_ASK:
            self.expect(holder_of(self.dag_id, before.run_id), night)

    def _submit(self, context: Context) -> None:
        try:
            super().execute(context)
        except AirflowTaskTimeout:
            limit = f"{self.execution_timeout.total_seconds() / 60:g} minutes" if self.execution_timeout else "its time"
            why = f"it took longer than {limit}: raise resources.timeout_minutes, or see what it waits for"
            self.log.error(failure(self.task_id, self.night, why))
            raise
        except NightfoldError as error:
            self.failed(error)
        except (NameError, TypeError, ValueError) as error:  # the hook's own, before it starts anything
            why = f"Spark's connection cannot be used ({error}): mend it, or resources.conf in the pipeline file"
            self.log.error(failure(self.task_id, self.night, why))
            raise AirflowFailException(f"nightfold: {why}") from error
        except AirflowException:
            process = self._hook._submit_sp if self._hook else None
            code = process.returncode if process is not None else None
            cause, refused = getattr(self._hook, "cause", None), getattr(self._hook, "refused", None)
            for_good = code == Permanent.EXIT or (cause is None and refused is not None)
            cause = cause or self._without_a_word(code, refused)
            self.log.error(cause)  # the first line of the log that is in no group
            if for_good:
                raise AirflowFailException(f"{cause} (not tried again: a retry would see the same facts)") from None
            raise AirflowException(cause) from None

    def _without_a_word(self, code: int | None, refused: str | None) -> str:
        if refused is not None:
            mend = "mend resources in the pipeline file, or the connection of Spark"
            return failure(self.task_id, self.night, f"spark-submit refuses its settings ({refused}): {mend}")
        signal = None if code is None else -code if code < 0 else code - 128 if 128 < code < 160 else None  # its JVM; its Python
        ended = f"ended with exit code {code}" if signal is None else f"was killed by signal {signal}"
        return failure(
            self.task_id,
            self.night,
            f"spark-submit {ended} before the job could say why: "
            "look at its last lines above; was it killed, or is memory short (resources.driver_memory)?",
        )

    def _get_hook(self) -> SparkSubmitHook:
        """With the connections in spark-submit's own environment: of `env_vars`, YARN and Kubernetes would make arguments."""
        hook = super()._get_hook()
        hook.__class__ = StageHook  # the operator names the class that it makes, and has no other place to say so
        hook._env = {f"AIRFLOW_CONN_{name.upper()}": _value(connected(name)) for name in self.connections}
        hook._env |= dict.fromkeys(SERVERS_OWN, "")
        hook._env["SPARK_SUBMIT_OPTS"] = stages.jvm_options(stages.BY_NAME[self.task_id], pipeline=self.pipeline, ds=self.night)
        return hook


def _value(connection: Connection) -> str:
    """As `AIRFLOW_CONN_...` holds it: a URI; JSON for JDBC, whose `host` is an address of its own."""
    if connection.conn_type != "jdbc":
        return connection.get_uri()
    if not connection.host:
        raise BadPipeline(
            f"connection {connection.conn_id!r}: of JDBC give JSON, "
            '{"conn_type": "jdbc", "host": "jdbc:...", "login": ..., "password": ...}: Airflow loses the address of a plain URI'
        )
    fields = {"conn_type": "jdbc", "host": connection.host, "login": connection.login, "password": connection.password}
    return json.dumps(fields)


class PromoteOperator(InTurn):
    """Serve the night's version from now on, if it is whole.

    :param wanted: "True", or the version is left staged (templated)
    :param keep: how many promoted versions stay
    :param write: {"connection", "table"} where predictions go, too
    """

    template_fields: Sequence[str] = ("night", "wanted")

    def __init__(self, *, wanted: str, keep: int, write: dict[str, str] | None = None, **kwargs: Any) -> None:
        super().__init__(last=True, **kwargs)
        self.wanted = wanted
        self.keep = keep
        self.write = write

    def execute(self, context: Context) -> str:
        with self.turn(context) as turn:
            return self._promote(turn)

    def _promote(self, turn: Turn) -> str:
        if self.wanted != "True":
            self.skipped(f"night {self.night} is staged, not promoted, as the trigger form says; live stays")
        try:
            store = self.opened()
            target = WriteBack(**self.write) if self.write is not None else None
            table = written_back(target, self.pipeline, lambda connection: connected(connection).get_uri())
            outcome = promote(store, self.pipeline, self.night, token=turn.token, keep=self.keep, table=table)
        except (PromotionHeld, OlderNight) as error:
            self.skipped(error)
        except NightfoldError as error:
            self.failed(error)
        self.log.info("nightfold: promote: %s", outcome)
        return outcome


class MaintainOperator(InTurn):
    """Remove what a pipeline's retention lets go, counted back from the last night that was taken."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(last=True, night=AFTER_ALL, **kwargs)

    def execute(self, context: Context) -> str:
        with self.turn(context):
            try:
                return self._maintain()
            except NotCommitted as nothing:
                self.skipped(nothing)
            except NightfoldError as error:
                self.failed(error)

    def _maintain(self) -> str:
        lake, store = Lake(self.pipeline), self.opened()
        ds = maintenance.last_night(lake)
        going = maintenance.maintain(lake, pipelines.named(self.pipeline), store, ds=ds, now=datetime.now(UTC))
        for one in going:
            self.log.info("nightfold: removed %s (%s)", one.path, one.why)
        return maintenance.summary(self.pipeline, going)
