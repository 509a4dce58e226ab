"""One DAG, `nightfold_maintenance`: each day, for each pipeline, what its retention lets go. Order, schedule and sizes only."""

from datetime import timedelta

from nightfold import pipeline as pipelines
from nightfold.errors import BadPipeline

import pendulum
from airflow.sdk import DAG
from nightfold_operators import MaintainOperator

with DAG(
    dag_id="nightfold_maintenance",
    description="Removes dead attempts, old nights of what can be computed anew, old rows, MLflow's old runs.",
    doc_md="What goes is said in each pipeline file under `retention`. By hand: `nightfold maintain PIPELINE --dry-run`.",
    schedule="0 13 * * *",  # when no night is taken
    start_date=pendulum.datetime(2017, 1, 1, tz="UTC"),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5), "execution_timeout": timedelta(hours=2)},
    tags=["nightfold"],
) as dag:
    for file in pipelines.files():
        try:
            pipeline = pipelines.load(file)
        except BadPipeline:  # dags/refused.py shows it
            continue
        MaintainOperator(
            task_id=pipeline.pipeline,
            pipeline=pipeline.pipeline,
            store=pipeline.publish.connection,
            owner=pipeline.owner,
            doc_md="Remove what `retention` lets go.",
        )
