"""The operators of the night. Thin: what they do lives in `spark_jobs/` and `nightfold/`."""

import json
from collections.abc import Sequence
from typing import Any
from zoneinfo import ZoneInfo

from nightfold.errors import NightfoldError, OlderNight, Permanent, PromotionHeld
from nightfold.promotion import promote

from airflow.providers.apache.spark.hooks.spark_submit import SparkSubmitHook
from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.sdk import BaseHook, BaseOperator, Connection, Context
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException


def night_of(dag_run: Any, params: Any, timezone: str) -> str:
    """The night of a run, YYYY-MM-DD: what the trigger form says, else the day on which the data interval starts.

    Raises AirflowFailException for a manual run that does not say it: no task asks what day it is.
    """
    if params["ds"]:
        return str(params["ds"])
    if str(getattr(dag_run.run_type, "value", dag_run.run_type)) == "manual" or dag_run.data_interval_start is None:
        raise AirflowFailException("nightfold: a manual run must say its night: trigger again with 'Night' filled in, YYYY-MM-DD")
    return dag_run.data_interval_start.astimezone(ZoneInfo(timezone)).strftime("%Y-%m-%d")


class StageOperator(SparkSubmitOperator):
    """One stage of the night as a Spark job of its own.

    Connections reach the job through its environment, never through arguments. A job that says that a retry would
    see the same facts (exit code 65) fails at once.

    :param connections: ids of the Airflow Connections that the job may use
    """

    def __init__(self, *, connections: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.connections = list(connections)

    def execute(self, context: Context) -> None:
        try:
            super().execute(context)
        except AirflowException as error:
            process = self._hook._submit_sp if self._hook else None
            if process is not None and process.returncode == Permanent.EXIT:
                raise AirflowFailException(
                    f"nightfold: {self.task_id} failed for good, a retry would see the same facts: see the line above"
                ) from error
            raise

    def _get_hook(self) -> SparkSubmitHook:
        """With the connections in spark-submit's own environment: of `env_vars`, YARN and Kubernetes would make arguments."""
        hook = super()._get_hook()
        hook._env = {f"AIRFLOW_CONN_{name.upper()}": _value(BaseHook.get_connection(name)) for name in self.connections}
        return hook


def _value(connection: Connection) -> str:
    """As `AIRFLOW_CONN_...` holds it: a URI; JSON for JDBC, whose `host` is an address of its own."""
    if connection.conn_type != "jdbc":
        return connection.get_uri()
    fields = {"conn_type": "jdbc", "host": connection.host, "login": connection.login, "password": connection.password}
    return json.dumps(fields)


class PromoteOperator(BaseOperator):
    """Serve the night's version from now on, if it is whole.

    :param pipeline: the pipeline's name
    :param night: the night (templated)
    :param wanted: "True", or the version is left staged (templated)
    :param keep: how many promoted versions stay
    :param connection: the store's connection
    """

    template_fields: Sequence[str] = ("night", "wanted")

    def __init__(self, *, pipeline: str, night: str, wanted: str, keep: int, connection: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pipeline = pipeline
        self.night = night
        self.wanted = wanted
        self.keep = keep
        self.connection = connection

    def execute(self, context: Context) -> str:
        if self.wanted != "True":
            raise AirflowSkipException(
                f"nightfold: night {self.night} is staged, not promoted, as the trigger form says; live stays"
            )
        try:
            outcome = promote(self.pipeline, self.night, keep=self.keep, uri=BaseHook.get_connection(self.connection).get_uri())
        except (PromotionHeld, OlderNight) as error:
            raise AirflowSkipException(f"nightfold: {error}") from error
        except Permanent as error:
            raise AirflowFailException(f"nightfold: {error}") from error
        except NightfoldError as error:
            raise AirflowException(f"nightfold: {error}") from error
        self.log.info("nightfold: promote: %s", outcome)
        return outcome
