"""promote: flip the pointer to the night's version: readers get it from now on.

Reads   version            which version `publish` staged for the night
Writes  the store          one pointer, after all checks; versions beyond the last `publish.keep` are deleted
        a database         predictions, where the pipeline says `predict.write`: the night is replaced whole
Raises  PromotionRefused   live stays where it is

Starts no Spark session: the Airflow task `promote` calls the same function without spark-submit.
"""

from nightfold.promotion import promote, written_back
from nightfold.settings import connection_uri
from nightfold.spark.job import Job, run_plain


def main(job: Job) -> str:
    table = written_back(job.pipeline.write, job.pipeline.pipeline, connection_uri)
    return promote(job.store, job.pipeline.pipeline, job.ds, token=job.turn.token, keep=job.pipeline.publish.keep, table=table)


if __name__ == "__main__":
    run_plain("promote", main)
