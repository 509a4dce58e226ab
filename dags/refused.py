"""Shows every wrong pipeline file as an import error in the web UI, while the DAGs of the right ones go on (dags/nightly.py)."""

from nightfold import pipeline as pipelines
from nightfold.errors import BadPipeline

from airflow.sdk import DAG  # noqa: F401 (Airflow reads only files that mention it)

wrong = []
for file in pipelines.files():
    try:
        pipelines.load(file)
    except BadPipeline as error:
        wrong.append(str(error))
if wrong:
    raise BadPipeline(" | ".join(wrong))
