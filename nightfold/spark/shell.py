"""A PySpark shell for exploring: the lake's datasets of the newest night as tables. Started by `make shell`.

>>> spark.sql("SELECT department, count(*) FROM clean_products GROUP BY 1").show()
"""

import argparse

from nightfold import pipeline as pipelines
from nightfold import rollup, schemas
from nightfold.errors import NotCommitted
from nightfold.lake import Lake
from nightfold.pipeline import Pipeline
from nightfold.spark import layers, tables
from nightfold.spark.session import open_session

from pyspark.sql import SparkSession

PARTS = {
    "features": {"users": schemas.USERS, "items": schemas.ITEMS, "interactions": schemas.INTERACTIONS},
    "scores": {"lists": schemas.SCORES, "fallback": schemas.SCORES},
}


def register(spark: SparkSession, pipeline: Pipeline, lake: Lake, night: str | None = None) -> dict[str, str]:
    """Make every committed dataset of a night a table; returns table → night. Raises NotCommitted when there is no clean one."""
    nights = lake.nights("clean")
    night = night or (nights[-1] if nights else None)
    if night is None:
        raise NotCommitted(f"{pipeline.pipeline}: the lake holds no night yet: run one first (`make run`)")
    found: dict[str, str] = {}
    cleaned = lake.get("clean", night)
    for name in pipeline.sources:
        for layer in layers.SCHEMAS:
            manifests = lake.find_all(f"{layer}/{name}", rollup.rows(cleaned, name)).values()
            rows = layers.nights(spark, pipeline, lake, f"{layer}/{name}", [m.data for m in manifests if m.data])
            rows.createOrReplaceTempView(f"{layer}_{name}")
            found[f"{layer}_{name}"] = night
    for dataset, parts in PARTS.items():
        manifest = lake.find(dataset, night)
        for part, schema in parts.items() if manifest else ():
            tables.read(spark, schema, [lake.spark_path(f"{manifest.data}/{part}")], what=part).createOrReplaceTempView(part)
            found[part] = night
    return found


def start() -> SparkSession:
    """Open the session and say what there is."""
    parser = argparse.ArgumentParser(prog="make shell", description=__doc__.split("\n")[0])
    parser.add_argument("--pipeline", required=True)
    parser.add_argument("--ds", default=None, help="another night than the newest")
    arguments = parser.parse_args()
    pipeline = pipelines.named(arguments.pipeline)
    session = open_session(pipeline, name=f"{pipeline.pipeline} shell")
    try:
        found = register(session, pipeline, Lake(pipeline.pipeline), arguments.ds)
        said = f"tables of night {next(iter(found.values()))}: {', '.join(found)}"
    except NotCommitted as nothing:  # what was refused can be looked at all the same
        said = f"no tables yet ({nothing})"
    print(f"\n`spark` is ready; {said}")  # noqa: T201
    return session


if __name__ == "__main__":
    spark = start()
