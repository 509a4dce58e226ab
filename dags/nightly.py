"""Every pipeline file becomes one DAG, `nightly_<pipeline>`. Order, schedule and sizes only."""

from datetime import timedelta
from itertools import pairwise

from nightfold import pipeline as pipelines
from nightfold import settings
from nightfold.errors import BadPipeline
from nightfold.pipeline import Pipeline
from nightfold.stages import FLOW

import pendulum
from airflow.sdk import DAG, Param, TriggerRule
from nightfold_operators import PromoteOperator, StageOperator, night_of
from nightfold_timetable import NightTimetable

POOL = "spark"  # its slots bound how many Spark jobs share a machine
LONGEST_WAIT = 30  # minutes between two tries, unless the pipeline's first wait is longer
LAST = {"priority_weight": 1, "trigger_rule": TriggerRule.ALL_DONE_MIN_ONE_SUCCESS}
"""Lists first, then what people look at: once the version is there, or can not be; without clean rows never (docs/decisions/0021)."""
NIGHT = "{{ night(dag_run, params) }}"
RUN = "--run={{ dag_run.run_id }}"

PARAMS = {
    "ds": Param(
        None,
        type=["null", "string"],
        format="date",
        title="Night",
        description="The day whose data is taken in, YYYY-MM-DD. A manual run must say it; a backfill takes its own: leave it empty there.",
    ),
    "promote": Param(True, type="boolean", title="Promote", description="No: the version is staged and verified, and live stays."),
    "top_n": Param(
        None,
        type=["null", "integer"],
        minimum=1,
        maximum=1000,
        title="Top N",
        description="Length of the lists; empty: as the pipeline file says.",
    ),
}

DAG_DOC = """
**{p.description}**

Task: {p.task}. Days are days in {p.timezone}. Owner: {p.owner}. File: `pipelines/{p.pipeline}.yaml`.

Trigger by hand with the night filled in. If a task is red, the first line in its log that starts with `nightfold:` says
why and what mends it; readers keep the lists of the last good night meanwhile. `nightfold rollback {p.pipeline}` goes back.
"""


def longest_wait(pipeline: Pipeline) -> float:
    """Minutes before the last retry. Airflow doubles by the number of tries ever made: a task that was cleared often would wait long."""
    size = pipeline.resources
    return min(size.retry_minutes * 2 ** max(0, size.retries - 1), max(LONGEST_WAIT, size.retry_minutes))


def nightly(pipeline: Pipeline) -> DAG:
    """The DAG of one pipeline."""
    size, schedule = pipeline.resources, pipeline.schedule
    until = str(schedule.until) if schedule.until else None
    dag = DAG(
        dag_id=f"nightly_{pipeline.pipeline}",
        description=pipeline.description,
        doc_md=DAG_DOC.format(p=pipeline),
        schedule=NightTimetable(schedule.cron, pipeline.timezone, until) if schedule.cron else None,
        start_date=pendulum.datetime(schedule.start.year, schedule.start.month, schedule.start.day, tz=pipeline.timezone),
        catchup=False,
        max_active_runs=1,
        params=PARAMS if pipeline.recommend is not None else {name: PARAMS[name] for name in PARAMS if name != "top_n"},
        tags=["nightfold", pipeline.task],
        user_defined_macros={"night": lambda dag_run, params: night_of(dag_run, params, pipeline.timezone)},
        default_args={
            "owner": pipeline.owner,
            "retries": size.retries,
            "retry_delay": timedelta(minutes=size.retry_minutes),
            "retry_exponential_backoff": True,
            "max_retry_delay": timedelta(minutes=longest_wait(pipeline)),
            "execution_timeout": timedelta(minutes=size.timeout_minutes),
        },
    )
    tasks = {}
    for stage in FLOW:
        if stage.spark:
            tasks[stage.name] = StageOperator(
                dag=dag,
                task_id=stage.name,
                doc_md=stage.doc,
                name=f"{pipeline.pipeline}-{stage.name}",
                application=str(settings.ROOT / "spark_jobs" / f"{stage.name}.py"),
                application_args=["--pipeline", pipeline.pipeline, "--ds", NIGHT, RUN, "--top-n={{ params.get('top_n') or '' }}"],
                connections=pipeline.connections,
                pipeline=pipeline.pipeline,
                night=NIGHT,
                store=pipeline.publish.connection,
                in_turn=stage.turn,
                timezone=pipeline.timezone,
                conf={"spark.ui.enabled": "false", **size.conf},
                driver_memory=size.driver_memory,
                executor_memory=size.executor_memory,
                executor_cores=size.executor_cores,
                num_executors=size.num_executors,
                pool=POOL,
                **(LAST if stage.name == "profile" else {"priority_weight": 10}),
                weight_rule="absolute",
            )
        else:
            tasks[stage.name] = PromoteOperator(
                dag=dag,
                task_id=stage.name,
                doc_md=stage.doc,
                pipeline=pipeline.pipeline,
                night=NIGHT,
                wanted="{{ params.promote }}",
                keep=pipeline.publish.keep,
                write=pipeline.write.model_dump() if pipeline.write is not None else None,
                store=pipeline.publish.connection,
            )
    for before, after in pairwise(["ingest", "clean", "features", "train", "evaluate", "score", "publish", "promote"]):
        tasks[before] >> tasks[after]
    [tasks["clean"], tasks["publish"]] >> tasks["profile"]
    return dag


for file in pipelines.files():
    try:
        globals()[f"nightly_{file.stem}"] = nightly(pipelines.load(file))
    except BadPipeline:  # one wrong file must not take the others down: dags/refused.py shows it as an import error
        continue
