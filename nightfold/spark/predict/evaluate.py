"""evaluate of classify and regress: tonight's recipe on the test window, beside the champion's and baselines; and the gate.

Reads   features, model/judged       no model that has seen the test days
        the store                    what is served
Writes  evaluation/report.html, evaluation/evaluation.json
        truth                        of earlier nights whose following days have come (truth.py)
Raises  NothingToJudge               when what was to be predicted (classify) happened to nobody in the test window, or to everybody
        NightRefused                 after it has committed, when the gate refuses the night
"""

from functools import partial
from typing import Any

from nightfold.champion import Champion, champion
from nightfold.lake import Manifest
from nightfold.spark import verdicts
from nightfold.spark.evaluators import NothingToJudge
from nightfold.spark.job import Job, Outcome
from nightfold.spark.judging import NOT_KNOWN, in_order, intervals, number_of, segment_of
from nightfold.spark.predict import inspection, systems
from nightfold.spark.predict.features import written
from nightfold.spark.predict.metrics import calibration, ranked
from nightfold.spark.predict.truth import measure
from nightfold.spark.truth import judge_what_came_true
from nightfold.spark.verdicts import CHAMPION, RECIPE, kept
from nightfold.spark.windows import LAST_VALIDATION, TEST, Window, of_facts

import numpy as np
from pyspark.ml import PipelineModel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

METRICS = {"classify": ("average_precision", "lift", "log_loss"), "regress": ("mae", "rmse")}
TINY = 1e-6  # a probability that is said to be 0 is taken for this much


def judged_rows(
    spark: SparkSession, job: Job, trained: Manifest, served: Champion | None
) -> tuple[DataFrame, list[str], PipelineModel, str | None]:
    """key, label, active (a segment of judging.SEGMENTS), attribute (NULL without any) and a column per system, of the test window;
    the systems; the recipe; and which of them the champion's is."""
    recipe = PipelineModel.load(job.lake.spark_path(f"{trained.data}/judged"))
    place, theirs = verdicts.rival(served, trained.facts["best"], job.pipeline.baselines)
    last = len(job.lake.get("features", job.ds).facts["windows"]) - 1
    learned = written(spark, job, range(LAST_VALIDATION, min(last, TEST + job.pipeline.training.windows) + 1))
    test = written(spark, job, [TEST])
    mean = systems.mean_label(learned)
    task = job.pipeline.predict
    active = segment_of(F.col(f"{task.population}_days_{max(task.days)}")).alias("active")
    attribute = F.coalesce(task.categories[0], F.lit(NOT_KNOWN)) if task.categories else F.lit(None).cast("string")
    facts = ("key", "label", active, attribute.alias("attribute"))
    rows = recipe.transform(test).select(*facts, *systems.PAST.values(), F.col("predicted").alias(RECIPE))
    names = [RECIPE, *job.pipeline.baselines]
    for name in job.pipeline.baselines:
        rows = rows.withColumn(name, systems.said(name, mean).cast("double"))
    if theirs:
        fitted = systems.champion(job.pipeline, theirs, learned)
        rows = rows.join(fitted.transform(test).select("key", F.col("predicted").alias(CHAMPION)), "key")
        names.append(CHAMPION)
    return kept(rows.select("key", "label", "active", "attribute", *names), f"{job.scratch}/judged"), names, recipe, place


def compared(job: Job, rows: DataFrame, names: list[str], place: str | None) -> dict[str, Any]:
    """Every system with intervals; by how much the recipe is better than each other system, and the champion than each baseline."""
    wanted = [(RECIPE, name) for name in (*job.pipeline.baselines, *([place] if place else []))]
    wanted += [(place, name) for name in job.pipeline.baselines] if place else []
    found, better = (_classes if job.pipeline.task == "classify" else _numbers)(job, rows, names, wanted)
    return {
        "systems": found,
        "differences": {name: better[RECIPE, name] for name in job.pipeline.baselines}
        | ({CHAMPION: better[RECIPE, place]} if place else {}),
        "champion_differences": {name: better[place, name] for name in job.pipeline.baselines} if place else {},
        "test": found[RECIPE][job.pipeline.metric]["mean"],
    }


Pairs = list[tuple[str, str]]
SAME = {"mean": 0.0, "low": 0.0, "high": 0.0}


def _classes(job: Job, rows: DataFrame, names: list[str], wanted: Pairs) -> tuple[dict[str, Any], dict[tuple[str, str], Any]]:
    seed, certainty = job.pipeline.training.seed, job.pipeline.gate.certainty
    found = ranked(rows, names, seed=seed, certainty=certainty)
    losses = {name: _log_loss(name) for name in names if name in systems.PROBABILITIES}
    measured = _by_user(rows).withColumns({f"loss_{i}": loss for i, loss in enumerate(losses.values())})
    means = intervals(measured, [f"loss_{i}" for i in range(len(losses))], seed=seed, certainty=certainty)
    for i, name in enumerate(losses):
        found["means"][name]["log_loss"] = means[f"loss_{i}"]
    return found["means"], {(a, b): SAME if a == b else found["less"][a, b] for a, b in wanted}


def _log_loss(name: str) -> Any:
    p = F.least(F.greatest(F.col(name), F.lit(TINY)), F.lit(1 - TINY))
    return -(F.col("label") * F.log(p) + (1 - F.col("label")) * F.log(1 - p))


def _numbers(job: Job, rows: DataFrame, names: list[str], wanted: Pairs) -> tuple[dict[str, Any], dict[tuple[str, str], Any]]:
    error = {name: F.abs(F.col(name) - F.col("label")) for name in names}
    squared = job.pipeline.metric == "rmse"
    loss = {name: found * found if squared else found for name, found in error.items()}
    columns = {f"mae_{i}": error[name] for i, name in enumerate(names)}
    columns |= {f"square_{i}": error[name] * error[name] for i, name in enumerate(names)}
    columns |= {f"less_{i}": loss[b] - loss[a] for i, (a, b) in enumerate(wanted)}
    made = intervals(
        _by_user(rows).withColumns(columns),
        list(columns),
        seed=job.pipeline.training.seed,
        certainty=job.pipeline.gate.certainty,
    )
    root = lambda found: {end: round(float(np.sqrt(value)), 6) for end, value in found.items()}  # noqa: E731
    found = {name: {"mae": made[f"mae_{i}"], "rmse": root(made[f"square_{i}"])} for i, name in enumerate(names)}
    return found, {pair: made[f"less_{i}"] for i, pair in enumerate(wanted)}


def _by_user(rows: DataFrame) -> DataFrame:
    return rows.withColumn("user", number_of("key"))


def _told_apart(job: Job, window: Window, mean: float) -> None:
    """Raises NothingToJudge when all keys have one label: every system orders them equally well then."""
    days = f"from {window.first} to {window.last}"
    if mean == 0:
        raise NothingToJudge(
            f"{job.pipeline.pipeline}, night {job.ds}: nothing happened {days} that was to be predicted: choose a larger split.test_days "
            "(and validation_days), or have those days' deliveries mended"
        )
    if mean == 1:
        raise NothingToJudge(
            f"{job.pipeline.pipeline}, night {job.ds}: what was to be predicted happened to everybody {days}: choose a smaller "
            "split.test_days (and validation_days), or another label"
        )


def figures(spark: SparkSession, job: Job) -> dict[str, Any]:
    """All that the page shows, and that the gate looks at."""
    facts, trained = job.lake.get("features", job.ds).facts, job.lake.get("model", job.ds)
    window = next(w for w in of_facts(facts["windows"]) if w.number == TEST)
    served = champion(job.lake, job.store, job.ds)
    rows, names, recipe, place = judged_rows(spark, job, trained, served)
    classes, metric, categories = job.pipeline.task == "classify", job.pipeline.metric, job.pipeline.predict.categories
    by_segment = partial(inspection.by_segment, rows, names=names, metric=metric, seed=job.pipeline.training.seed)
    counted = rows.agg(F.count("*").alias("rows"), F.avg("label").alias("mean")).first()
    if classes:
        _told_apart(job, window, counted["mean"])
    found = {
        "pipeline": job.pipeline.pipeline,
        "task": job.pipeline.task,
        "night": job.ds,
        "cutoff": window.eve,
        "test_first": window.first,
        "test_last": window.last,
        "certainty": job.pipeline.gate.certainty,
        "metric": metric,
        "larger_is_better": classes,
        "users": counted["rows"],
        "mean_label": round(float(counted["mean"]), 6),
        **compared(job, rows, names, place),
        "ceiling": 1.0 if classes else None,
        "champion": verdicts.against(served, place),
        "importance": inspection.importance(recipe),
        "by_activity": in_order(by_segment("active")),
        "by_attribute": by_segment("attribute") if categories else [],
        "attribute": categories[0] if categories else None,
        "examples": inspection.furthest_off(rows, names),
        "calibration": calibration(rows) if classes else None,
    }
    return verdicts.with_gate(job, found, trained, served)


def main(spark: SparkSession, job: Job) -> Outcome:
    judge_what_came_true(spark, job, measure)
    found = figures(spark, job)
    job.discard_scratch()
    metrics = METRICS[job.pipeline.task]
    return verdicts.concluded(job, found, metric=job.pipeline.metric.replace("_", " "), metrics=metrics)
