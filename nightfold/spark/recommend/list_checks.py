"""The gate's second look, at the lists themselves: does everybody get the same, has nothing changed, has too much."""

from typing import Any

from nightfold import schemas
from nightfold.champion import Champion
from nightfold.errors import NightRefused
from nightfold.gate import FEW
from nightfold.pipeline.gate import Gate
from nightfold.spark import tables
from nightfold.spark.job import Job

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F


def churn(lists: DataFrame, before: DataFrame) -> dict[str, float]:
    """keys: who has a list in both; churn: mean share of a list that was not on the one before; unchanged: lists that are the same.

    :param lists: schemas.SCORES, as `before`, which is of the champion's night
    """
    now = lists.where(F.size("items") > 0).select("key", F.col("items.id").alias("now"))
    then = before.select("key", F.col("items.id").alias("then"))
    new = F.size(F.array_except("now", "then")) / F.size("now")
    row = (
        now.join(then, "key")
        .agg(F.count("*").alias("keys"), F.avg(new).alias("churn"), F.count_if(F.col("now") == F.col("then")).alias("unchanged"))
        .first()
    )
    return {"keys": row["keys"], "churn": round(row["churn"] or 0.0, 6), "unchanged": row["unchanged"]}


def most_common(lists: DataFrame) -> float:
    """Share of the users who get the most common list."""
    ids = lists.where(F.size("items") > 0).select(F.xxhash64(F.col("items.id")).alias("list"))
    row = ids.groupBy("list").count().agg(F.max("count").alias("most"), F.sum("count").alias("all")).first()
    return float(row["most"] / row["all"]) if row["all"] else 0.0


def check(spark: SparkSession, job: Job, lists: DataFrame, recipe: dict[str, Any], served: Champion | None) -> dict[str, Any]:
    """What is known of the lists, for the version's manifest: `same_list`, and beside the champion's `churn`, `unchanged_nights`.

    Raises NightRefused
    """
    gate, users = job.pipeline.gate, lists.count()
    found: dict[str, Any] = {"same_list": round(most_common(lists), 6)}
    if users >= FEW and found["same_list"] > gate.same_list and recipe["kind"] != "baseline":
        _refuse(job, f"{found['same_list']:.0%} of the users get one and the same list (gate.same_list {gate.same_list:.0%})")
    place = served.facts.get("lists") if served is not None else None
    if served is None or place is None or not job.lake.exists(place):
        return found
    beside = churn(lists, tables.read(spark, schemas.SCORES, [job.lake.spark_path(place)], what="scores/lists"))
    same = 0 < beside["keys"] == beside["unchanged"]
    found |= {"churn": beside["churn"], "unchanged_nights": served.facts.get("unchanged_nights", 0) + 1 if same else 0}
    _change(job, gate, found, served, users=beside["keys"])
    return found


def _change(job: Job, gate: Gate, found: dict[str, Any], served: Champion, *, users: int) -> None:
    if users < FEW:
        return
    if found["unchanged_nights"] >= gate.unchanged_nights:
        nights = found["unchanged_nights"]
        _refuse(job, f"not one list differs from those of night {served.night}, for {nights} nights now: does new data arrive?")
    if gate.churn is not None and found["churn"] > gate.churn:
        _refuse(
            job, f"{found['churn']:.0%} of the items were not on the lists of night {served.night} (gate.churn {gate.churn:.0%})"
        )


def _refuse(job: Job, why: str) -> None:
    raise NightRefused(f"{job.pipeline.pipeline}, night {job.ds}: refused, nothing is published, live stays: {why}")
