"""evaluate: the recipe, fitted as of `ds` less the test window, judged on the days after, beside baselines.

Reads   features, model              tonight's best parameters; no model of tonight's: it has seen the test days
Writes  evaluation/report.html, evaluation/evaluation.json
Raises  NothingToJudge               when nobody took anything in the test window
"""

import json
from datetime import date, timedelta
from typing import Any

from nightfold import schemas
from nightfold.reports.evaluation import render_evaluation
from nightfold.spark.job import Job, Outcome
from nightfold.spark.judging import coverage, intervals, segments
from nightfold.spark.recommend import recipe
from nightfold.spark.recommend.blend import BlendModel

from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

EPOCH = date(1970, 1, 1)
BASELINES = {"personal frequency": "frequency", "popularity": "popularity", "als": "als"}
EXAMPLES = 3  # users shown on the page, chosen by a hash of their index
SHOWN = 10  # items of an example's history
NIGHTS = 60  # earlier nights on the page


def fitted(job: Job, learned: DataFrame) -> dict[str, BlendModel]:
    """The recipe and its baselines, all fitted on the same days through the same code."""
    made = recipe.estimator(job)
    best = recipe.param_map(made, job.lake.get("model", job.ds).facts["best"])
    maps = [best, *({**best, **made.baseline_params(name)} for name in BASELINES.values())]
    models = dict(made.fitMultiple(learned, maps))
    return {name: models[i].copy(maps[i]) for i, name in enumerate(["recipe", *BASELINES])}


def lists_of(models: dict[str, BlendModel], later: DataFrame) -> dict[str, DataFrame]:
    """user, items, relevant for each system."""
    return {name: model.transform(later) for name, model in models.items()}


def kept(frame: DataFrame, place: str) -> DataFrame:
    """The same rows, computed once, read from the attempt's scratch: a local checkpoint would be lost with its executor, for good."""
    frame.write.parquet(place)
    return frame.sparkSession.read.schema(frame.schema).parquet(place)


def per_user(job: Job, judged: dict[str, DataFrame]) -> DataFrame:
    """user, and for each system its NDCG and recall: `ndcg 0`, `recall 0`, ... in the order of the systems."""
    evaluator = recipe.evaluator(job.pipeline)
    joined: DataFrame | None = None
    for i, frame in enumerate(judged.values()):
        measured = evaluator.per_user(frame, metrics=("ndcg", "recall")).select(
            "user", F.col("ndcg").alias(f"ndcg_{i}"), F.col("recall").alias(f"recall_{i}")
        )
        joined = measured if joined is None else joined.join(measured, "user")
    assert joined is not None  # noqa: S101 (there is always the recipe)
    return joined


def examples(judged: DataFrame, learned: DataFrame, items: DataFrame, users: DataFrame) -> list[dict[str, Any]]:
    """A few users' histories beside their lists; at most EXAMPLES x (SHOWN + k) rows come to the driver."""
    chosen = judged.where(F.size("relevant") > 0).orderBy(F.xxhash64("user")).limit(EXAMPLES).collect()
    ids = {row["user"]: row["id"] for row in users.where(F.col("user").isin([row["user"] for row in chosen])).collect()}
    listed = sorted({item for row in chosen for item in row["items"]})
    theirs = learned.where(F.col("user").isin(list(ids))).groupBy("user", "item")
    taken = theirs.agg(F.sum("weight").cast("int").alias("times"), F.max("day").alias("last"))
    placed = taken.withColumn("place", F.row_number().over(Window.partitionBy("user").orderBy(F.desc("times"), "item")))
    rows = placed.where((F.col("place") <= SHOWN) | F.col("item").isin(listed)).orderBy("user", "place").collect()
    wanted = sorted({row["item"] for row in rows} | set(listed))
    names = {row["item"]: {"id": row["id"], "title": row["title"]} for row in items.where(F.col("item").isin(wanted)).collect()}
    times = {(row["user"], row["item"]): row["times"] for row in rows}
    return [
        {
            "user": ids[user["user"]],
            "history": [
                {**names[row["item"]], "times": row["times"], "last": str(EPOCH + timedelta(days=row["last"]))}
                for row in rows
                if row["user"] == user["user"] and row["place"] <= SHOWN
            ],
            "list": [
                {**names[item], "why": _times(times.get((user["user"], item), 0)), "hit": item in user["relevant"]}
                for item in user["items"]
            ],
        }
        for user in chosen
    ]


def _times(count: int) -> str:
    return f"bought {count} times" if count > 1 else "bought once" if count else "new to this user"


def earlier(job: Job) -> list[dict[str, Any]]:
    """The same figures of the nights before."""
    nights = [night for night in job.lake.nights("evaluation") if night < job.ds][-NIGHTS:]
    return [
        {"night": night, **manifest.facts["metrics"]} for night, manifest in sorted(job.lake.find_all("evaluation", nights).items())
    ]


def figures(spark: SparkSession, job: Job) -> dict[str, Any]:
    """All that the page shows."""
    interactions = recipe.part(spark, job, "interactions", schemas.INTERACTIONS)
    items, users = (recipe.part(spark, job, name, schema) for name, schema in (("items", schemas.ITEMS), ("users", schemas.USERS)))
    first = date.fromisoformat(job.ds) - timedelta(days=job.pipeline.split.test_days - 1)
    day = F.col("day")
    learned, later = interactions.where(day < (first - EPOCH).days), interactions.where(day >= (first - EPOCH).days)
    models = fitted(job, learned)
    lists = lists_of(models, later)
    judged = {name: kept(frame, f"{job.uri}/scratch/judged-{i}") for i, (name, frame) in enumerate(lists.items())}
    measured = kept(per_user(job, judged), f"{job.uri}/scratch/measured")
    systems = list(models)
    with_differences = measured.withColumns({f"less_{i}": F.col("ndcg_0") - F.col(f"ndcg_{i}") for i in range(1, len(systems))})
    columns = [column for column in with_differences.columns if column != "user"]
    found = intervals(with_differences, columns, seed=job.pipeline.training.seed)
    available = items.where("available").count()
    trained = job.lake.get("model", job.ds).facts
    return {
        "pipeline": job.pipeline.pipeline,
        "night": job.ds,
        "cutoff": str(first - timedelta(days=1)),
        "test_first": str(first),
        "test_last": job.ds,
        "k": job.pipeline.training.k,
        "users": measured.count(),
        "systems": {
            name: {"ndcg": found[f"ndcg_{i}"], "recall": found[f"recall_{i}"], **coverage(judged[name], learned, available)}
            for i, name in enumerate(systems)
        },
        "differences": {name: found[f"less_{i}"] for i, name in enumerate(systems) if i},
        "grid": trained["grid"],
        "test": found["ndcg_0"]["mean"],
        "by_activity": segments(measured, learned, systems),
        "history": earlier(job),
        "examples": examples(judged["recipe"], learned, items, users),
    }


def main(spark: SparkSession, job: Job) -> Outcome:
    found = figures(spark, job)
    recipe.discard_scratch(job)
    page, numbers = f"{job.place}/report.html", f"{job.place}/evaluation.json"
    job.lake.write_text(numbers, json.dumps(found, ensure_ascii=False, indent=1))
    job.lake.write_text(page, render_evaluation(found))
    recipe_ndcg, frequency = found["systems"]["recipe"]["ndcg"], found["systems"]["personal frequency"]["ndcg"]
    metrics = {
        "ndcg": recipe_ndcg["mean"],
        "recall": found["systems"]["recipe"]["recall"]["mean"],
        "ndcg_frequency": frequency["mean"],
        "ndcg_popularity": found["systems"]["popularity"]["ndcg"]["mean"],
        "ndcg_als": found["systems"]["als"]["ndcg"]["mean"],
    }
    measured = f"NDCG@{found['k']} {recipe_ndcg['mean']:.4f} [{recipe_ndcg['low']:.4f}, {recipe_ndcg['high']:.4f}]"
    beside = f"personal frequency {frequency['mean']:.4f}, popularity {metrics['ndcg_popularity']:.4f}"
    return Outcome(
        summary=f"{measured} on {found['users']:,} users, {found['test_first']} to {found['test_last']}; {beside}",
        rows=found["users"],
        facts={"report": page, "json": numbers, "metrics": metrics},
    )
