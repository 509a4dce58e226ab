"""evaluate: tonight's recipe, learned without the test window, judged on it beside baselines.

Reads   features, model/judged       no model that has seen the test days
Writes  evaluation/report.html, evaluation/evaluation.json
Raises  NothingToJudge               when nobody took anything in the test window
"""

import json
from typing import Any

from nightfold import schemas
from nightfold.reports.evaluation import render_evaluation
from nightfold.spark.evaluators import RankingEvaluator
from nightfold.spark.job import Job, Outcome
from nightfold.spark.judging import coverage, intervals, segments
from nightfold.spark.recommend import examples, inspection
from nightfold.spark.recommend.parts import part
from nightfold.spark.recommend.ranker import BASELINES, baseline, evaluator
from nightfold.spark.recommend.windows import TEST, Window, of_facts

from pyspark.ml import PipelineModel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

NIGHTS = 60  # earlier nights on the page
CARRIED = ["baskets"]  # of a list's items


def kept(frame: DataFrame, place: str) -> DataFrame:
    """The same rows, computed once, read from the attempt's scratch: a local checkpoint would be lost with its executor, for good."""
    frame.write.parquet(place)
    return frame.sparkSession.read.schema(frame.schema).parquet(place)


def lists_of(recipe: PipelineModel, scored: DataFrame) -> dict[str, DataFrame]:
    """user, items, hits, relevant, and CARRIED, for each system.

    :param scored: the test window's examples with the recipe's score
    """
    *_, to_lists = recipe.stages
    to_lists = to_lists.copy({to_lists.carried: CARRIED})
    return {"recipe": to_lists.transform(scored), **{name: baseline(name, to_lists).transform(scored) for name in BASELINES}}


def per_user(measure: RankingEvaluator, judged: dict[str, DataFrame]) -> DataFrame:
    """user, and for each system its NDCG and recall: `ndcg_0`, `recall_0`, ... in the order of the systems."""
    joined: DataFrame | None = None
    for i, frame in enumerate(judged.values()):
        measured = measure.per_user(frame, metrics=("ndcg", "recall")).select(
            "user", F.col("ndcg").alias(f"ndcg_{i}"), F.col("recall").alias(f"recall_{i}")
        )
        joined = measured if joined is None else joined.join(measured, "user")
    assert joined is not None  # noqa: S101 (there is always the recipe)
    return joined


def earlier(job: Job) -> list[dict[str, Any]]:
    """The same figures of the nights before."""
    nights = [night for night in job.lake.nights("evaluation") if night < job.ds][-NIGHTS:]
    return [
        {"night": night, **manifest.facts["metrics"]} for night, manifest in sorted(job.lake.find_all("evaluation", nights).items())
    ]


def figures(spark: SparkSession, job: Job) -> dict[str, Any]:
    """All that the page shows."""
    window = next(w for w in of_facts(job.lake.get("features", job.ds).facts["windows"]) if w.number == TEST)
    trained = job.lake.get("model", job.ds)
    recipe = PipelineModel.load(job.lake.spark_path(f"{trained.data}/judged"))
    candidates = examples.written(spark, job, [TEST], whole=[TEST]).where("relevant > 0")
    scored = kept(PipelineModel(recipe.stages[:-1]).transform(candidates).drop("features", "scaled"), f"{job.scratch}/scored")
    judged = {name: kept(frame, f"{job.scratch}/judged-{i}") for i, (name, frame) in enumerate(lists_of(recipe, scored).items())}
    measured = kept(per_user(evaluator(job.pipeline), judged), f"{job.scratch}/measured")
    return {
        "pipeline": job.pipeline.pipeline,
        "night": job.ds,
        "cutoff": window.eve,
        "test_first": window.first,
        "test_last": window.last,
        "k": job.pipeline.training.k,
        "users": measured.count(),
        **compared(spark, job, window, judged, measured),
        "grid": trained.facts["grid"],
        "candidates": inspection.recall_of_candidates(scored),
        "calibration": inspection.calibration(scored, negatives=job.pipeline.training.negatives),
        "importance": inspection.importance(recipe, examples.names(job.pipeline)),
        "history": earlier(job),
        "examples": inspection.some_lists(
            judged["recipe"], learned(spark, job, window), *(part(spark, job, *named) for named in inspection.NAMED)
        ),
    }


def learned(spark: SparkSession, job: Job, window: Window) -> DataFrame:
    """The interactions before the test window."""
    return part(spark, job, "interactions", schemas.INTERACTIONS).where(F.col("day") <= window.cutoff)


def compared(spark: SparkSession, job: Job, window: Window, judged: dict[str, DataFrame], measured: DataFrame) -> dict[str, Any]:
    """Every system with intervals, and the recipe less each baseline on the same users."""
    past, available = learned(spark, job, window), part(spark, job, "items", schemas.ITEMS).where("available").count()
    systems = list(judged)
    with_differences = measured.withColumns({f"less_{i}": F.col("ndcg_0") - F.col(f"ndcg_{i}") for i in range(1, len(systems))})
    columns = [column for column in with_differences.columns if column != "user"]
    found = intervals(with_differences, columns, seed=job.pipeline.training.seed)
    return {
        "systems": {
            name: {
                "ndcg": found[f"ndcg_{i}"],
                "recall": found[f"recall_{i}"],
                **coverage(judged[name], past, available),
                **inspection.novelty(judged[name], past),
            }
            for i, name in enumerate(systems)
        },
        "differences": {name: found[f"less_{i}"] for i, name in enumerate(systems) if i},
        "test": found["ndcg_0"]["mean"],
        "by_activity": segments(measured, past, systems),
    }


def main(spark: SparkSession, job: Job) -> Outcome:
    found = figures(spark, job)
    job.discard_scratch()
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
