"""The gate's second look, at what was made for the night itself: does everybody get the same, has nothing changed, has too much.

It stands on the page of the evaluation, under what the gate saw there.
"""

import json
from dataclasses import asdict
from typing import Any

from nightfold import schemas
from nightfold.champion import Champion, refusal
from nightfold.gate import FAILED, FEW, Check, checked
from nightfold.spark import tables, verdicts
from nightfold.spark.job import Job

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

IDS, SCORES = "id", "score"
"""What tells two lists apart: of recommend its items; of classify and regress, where each is one item, what is predicted."""


def churn(lists: DataFrame, before: DataFrame, *, by: str = IDS) -> dict[str, float]:
    """keys: who has a list in both; churn: mean share of a list that was not on the one before; unchanged: lists that are the same.

    :param lists: schemas.SCORES, as `before`, which is of the champion's night
    :param by: IDS or SCORES
    """
    now = lists.where(F.size("items") > 0).select("key", F.col(f"items.{by}").alias("now"))
    then = before.select("key", F.col(f"items.{by}").alias("then"))
    new = F.size(F.array_except("now", "then")) / F.size("now")
    row = (
        now.join(then, "key")
        .agg(F.count("*").alias("keys"), F.avg(new).alias("churn"), F.count_if(F.col("now") == F.col("then")).alias("unchanged"))
        .first()
    )
    return {"keys": row["keys"], "churn": round(row["churn"] or 0.0, 6), "unchanged": row["unchanged"]}


def most_common(lists: DataFrame, *, by: str = IDS) -> float:
    """Share of the users who get the most common list."""
    ids = lists.where(F.size("items") > 0).select(F.xxhash64(F.col(f"items.{by}")).alias("list"))
    row = ids.groupBy("list").count().agg(F.max("count").alias("most"), F.sum("count").alias("all")).first()
    return float(row["most"] / row["all"]) if row["all"] else 0.0


def check(
    spark: SparkSession, job: Job, lists: DataFrame, recipe: dict[str, Any], served: Champion | None, *, by: str = IDS
) -> dict[str, Any]:
    """What is known of the lists, for the version's manifest: `same_list`, and beside the champion's `churn`, `unchanged_nights`. The
    page of the night's evaluation tells it, too.

    Raises NightRefused
    """
    gate, users = job.pipeline.gate, lists.count()
    what, who = ("list", "users") if by == IDS else ("prediction", "keys")
    same = round(most_common(lists, by=by), 6)
    found: dict[str, Any] = {"same_list": same}
    checks = []
    if users >= FEW and recipe["kind"] != "baseline":
        words = f"{same:.0%} of the {who} get one and the same {what} (gate.same_list {gate.same_list:.0%})"
        checks.append(checked(f"same {what}", same <= gate.same_list, words))
    place = served.facts.get("lists") if served is not None else None
    if served is not None and place is not None and job.lake.exists(place):
        before = tables.read(spark, schemas.SCORES, [job.lake.spark_path(place)], what="scores/lists")
        beside = churn(lists, before, by=by)
        all_same = 0 < beside["keys"] == beside["unchanged"]
        nights = served.facts.get("unchanged_nights", 0) + 1 if all_same else 0
        found |= {"churn": beside["churn"], "unchanged_nights": nights}
        if beside["keys"] >= FEW and (by == IDS or recipe["kind"] != "baseline"):  # a count of rare events may stay as it is
            ok = nights < gate.unchanged_nights
            words = f"{beside['unchanged']:,} of {beside['keys']:,} {what}s are as on night {served.night}"
            stuck = f"not one {what} differs from those of night {served.night}, for {nights} nights now: does new data arrive?"
            checks.append(checked("unchanged", ok, words if ok else stuck))
            limit = f" (gate.churn {gate.churn:.0%})" if gate.churn is not None else ""
            new = "items were not on the lists of" if by == IDS else "predictions are others than on"
            words = f"{beside['churn']:.0%} of the {new} night {served.night}{limit}"
            checks.append(checked("churn", gate.churn is None or beside["churn"] <= gate.churn, words))
    _tell(job, checks)
    if wrong := "; ".join(one.words for one in checks if one.outcome == FAILED):
        raise refusal(job.lake, job.ds, wrong)
    return found


def _tell(job: Job, checks: list[Check]) -> None:
    """Have the page of the night's evaluation say what was found: it was written before there were lists."""
    page = job.lake.get("evaluation", job.ds).facts
    figures = json.loads(job.lake.read_text(page["json"])) | {"lists": [asdict(one) for one in checks]}
    verdicts.write_page(job.lake, figures, numbers=page["json"], report=page["report"])
