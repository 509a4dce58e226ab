"""evaluate: tonight's recipe, learned without the test window, judged on it beside the champion's and baselines; and the gate.

Reads   features, model/judged       no model that has seen the test days
        the store                    what is served
Writes  evaluation/report.html, evaluation/evaluation.json
        truth                        of earlier nights whose following days have come (truth.py)
Raises  NothingToJudge               when nobody took anything in the test window
        NightRefused                 after it has committed, when the gate refuses the night
"""

import json
from typing import Any

from nightfold import schemas
from nightfold.champion import Champion, champion
from nightfold.gate import judge
from nightfold.reports.evaluation import render_evaluation
from nightfold.spark.job import Job, Outcome
from nightfold.spark.judging import coverage, intervals, segments
from nightfold.spark.recommend import examples, inspection, systems, truth
from nightfold.spark.recommend.parts import part
from nightfold.spark.recommend.ranker import evaluator
from nightfold.spark.recommend.systems import METRICS
from nightfold.spark.recommend.windows import LAST_VALIDATION, TEST, Window, of_facts

from pyspark.ml import PipelineModel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

NIGHTS = 60  # earlier nights on the page
RECIPE, CHAMPION = "recipe", "champion"


def kept(frame: DataFrame, place: str) -> DataFrame:
    """The same rows, computed once, read from the attempt's scratch: a local checkpoint would be lost with its executor, for good."""
    frame.write.parquet(place)
    return frame.sparkSession.read.schema(frame.schema).parquet(place)


def earlier(job: Job) -> list[dict[str, Any]]:
    """The same figures of the nights before, and what came true of them."""
    nights = [night for night in job.lake.nights("evaluation") if night < job.ds][-NIGHTS:]
    came_true = {night: manifest.facts["metrics"] for night, manifest in job.lake.find_all("truth", nights).items()}
    return [
        {"night": night, **manifest.facts["metrics"], "truth": came_true.get(night)}
        for night, manifest in sorted(job.lake.find_all("evaluation", nights).items())
    ]


def lists_of(
    spark: SparkSession, job: Job, served: Champion | None
) -> tuple[dict[str, DataFrame], DataFrame, PipelineModel, str | None]:
    """The lists of every system on the test window, its scored candidates, the recipe, and which of the systems the champion's is.

    The champion's point is fitted as the challenger's was; where it is the same point, it is the same recipe.
    """
    trained, training = job.lake.get("model", job.ds), job.pipeline.training
    recipe = PipelineModel.load(job.lake.spark_path(f"{trained.data}/judged"))
    known = served.recipe if served is not None else None
    other = known is not None and known["kind"] == "model" and known["params"] != trained.facts["best"]
    last = len(job.lake.get("features", job.ds).facts["windows"]) - 1
    learned = range(LAST_VALIDATION, min(last, LAST_VALIDATION + training.windows - 1) + 1) if other else ()
    made = examples.written(spark, job, [TEST, *learned], whole=[TEST])
    test = made.where((F.col("window") == TEST) & (F.col("relevant") > 0))
    candidates = kept(systems.scored(recipe, test), f"{job.scratch}/scored")
    lists = {RECIPE: systems.list_maker(recipe).transform(candidates)}
    lists |= systems.baselines(recipe, candidates, job.pipeline.recommend.baselines)
    place = None
    if known is not None:
        place = known["name"] if known["kind"] == "baseline" else CHAMPION if other else RECIPE
    if other:
        theirs = systems.champion(job.pipeline, known["params"], made.where((F.col("window") != TEST) & F.col("learn")))
        lists[CHAMPION] = systems.list_maker(theirs).transform(systems.scored(theirs, test))
    return (
        {name: kept(frame, f"{job.scratch}/judged-{i}") for i, (name, frame) in enumerate(lists.items())},
        candidates,
        recipe,
        place,
    )


def figures(spark: SparkSession, job: Job) -> dict[str, Any]:
    """All that the page shows, and that the gate looks at."""
    facts, trained = job.lake.get("features", job.ds).facts, job.lake.get("model", job.ds)
    window = next(w for w in of_facts(facts["windows"]) if w.number == TEST)
    served = champion(job.lake, job.store, job.ds)
    judged, candidates, recipe, place = lists_of(spark, job, served)
    measured = kept(systems.per_user(evaluator(job.pipeline), judged), f"{job.scratch}/measured")
    k, metric = job.pipeline.training.k, job.pipeline.training.metric
    found = {
        "pipeline": job.pipeline.pipeline,
        "night": job.ds,
        "cutoff": window.eve,
        "test_first": window.first,
        "test_last": window.last,
        "k": k,
        "metric": metric,
        "users": measured.count(),
        **compared(spark, job, window, judged, measured, place),
        "ceiling": evaluator(job.pipeline).evaluate(systems.perfect(candidates, k=k)),
        "data": {name: facts[name] for name in ("users", "active_users", "last_day", "last_day_rows", "repeated")},
        "features": trained.facts["features"],
        "champion": about(job, served, place),
        "champion_kept": _is_kept(job, served),
        "grid": trained.facts["grid"],
        "candidates": inspection.recall_of_candidates(candidates),
        "calibration": inspection.calibration(candidates, negatives=job.pipeline.training.negatives),
        "importance": inspection.importance(recipe, examples.names(job.pipeline)),
        "history": earlier(job),
        "examples": inspection.some_lists(
            judged[RECIPE], learned(spark, job, window), *(part(spark, job, *named) for named in inspection.NAMED)
        ),
    }
    return {**found, "gate": judge(found, job.pipeline.gate, job.pipeline.recommend.baselines, served).facts()}


def about(job: Job, served: Champion | None, place: str | None) -> dict[str, Any] | None:
    """What people are told of the champion."""
    if served is None:
        return None
    return {"version": served.version, "night": served.night, "recipe": served.recipe, "system": place, "metrics": served.metrics}


def _is_kept(job: Job, served: Champion | None) -> bool:
    recipe = served.recipe if served is not None else None
    return recipe is not None and (recipe["kind"] != "model" or job.lake.exists(f"{recipe['data']}/model"))


def learned(spark: SparkSession, job: Job, window: Window) -> DataFrame:
    """The interactions before the test window."""
    return part(spark, job, "interactions", schemas.INTERACTIONS).where(F.col("day") <= window.cutoff)


def compared(
    spark: SparkSession, job: Job, window: Window, judged: dict[str, DataFrame], measured: DataFrame, place: str | None
) -> dict[str, Any]:
    """Every system with intervals; the recipe less each other system, and the champion less each baseline, on the same users.

    :param place: which of the systems the champion's is
    """
    past, available = learned(spark, job, window), part(spark, job, "items", schemas.ITEMS).where("available").count()
    names, training = list(judged), job.pipeline.training
    at = {name: F.col(f"{training.metric}_{i}") for i, name in enumerate(names)}
    less = {f"less {name}": at[RECIPE] - at[name] for name in names if name != RECIPE}
    if place is not None:
        less |= {"less served": at[RECIPE] - at[place]}
        less |= {f"served less {name}": at[place] - at[name] for name in job.pipeline.recommend.baselines}
    numbered = {f"less_{i}": column for i, column in enumerate(less.values())}
    wanted = [f"{metric}_{i}" for i in range(len(names)) for metric in METRICS]
    found = intervals(
        measured.withColumns(numbered), [*wanted, *numbered], seed=training.seed, certainty=job.pipeline.gate.certainty
    )
    differences = dict(zip(less, (found[column] for column in numbered), strict=True))
    return {
        "systems": {
            name: {
                **{metric: found[f"{metric}_{i}"] for metric in METRICS},
                **coverage(judged[name], past, available),
                **inspection.novelty(judged[name], past),
            }
            for i, name in enumerate(names)
        },
        "differences": {name: differences[f"less {name}"] for name in job.pipeline.recommend.baselines}
        | ({CHAMPION: differences["less served"]} if place is not None else {}),
        "champion_differences": {
            name: differences[f"served less {name}"] for name in job.pipeline.recommend.baselines if place is not None
        },
        "test": found[f"{training.metric}_0"]["mean"],
        "by_activity": segments(measured, past, names),
    }


def metrics_of(found: dict[str, Any], system: str) -> dict[str, float]:
    """A system's metrics, and the baselines' beside it."""
    metric = found["metric"]
    baselines = [name for name in found["systems"] if name not in (RECIPE, CHAMPION)]
    beside = {f"{metric} {name}".replace(" ", "_"): found["systems"][name][metric]["mean"] for name in baselines}
    return {**{name: found["systems"][system][name]["mean"] for name in METRICS}, **beside}


def served_system(found: dict[str, Any]) -> str:
    """Which of the systems is published; the recipe, too, where the night is refused."""
    serve = found["gate"]["serve"]
    if serve.get("kind") == "baseline":
        return str(serve["name"])
    return str(found["champion"]["system"]) if serve.get("kind") == "model" else RECIPE


def main(spark: SparkSession, job: Job) -> Outcome:
    truth.judge_what_came_true(spark, job)
    found = figures(spark, job)
    job.discard_scratch()
    page, numbers = f"{job.place}/report.html", f"{job.place}/evaluation.json"
    job.lake.write_text(numbers, json.dumps(found, ensure_ascii=False, indent=1))
    job.lake.write_text(page, render_evaluation(found))
    verdict, metric = found["gate"], found["metric"]
    ours = found["systems"][RECIPE][metric]
    beside = ", ".join(f"{name} {found['systems'][name][metric]['mean']:.4f}" for name in job.pipeline.recommend.baselines)
    return Outcome(
        summary=f"{metric.upper()}@{found['k']} {ours['mean']:.4f} [{ours['low']:.4f}, {ours['high']:.4f}] on {found['users']:,} users, "
        f"{found['test_first']} to {found['test_last']}; {beside}; {verdict['outcome']}: {verdict['reason']}",
        rows=found["users"],
        facts={
            "report": page,
            "json": numbers,
            "metrics": metrics_of(found, RECIPE),
            "served": metrics_of(found, served_system(found)),
            "verdict": verdict,
        },
    )
