"""evaluate: tonight's recipe, learned without the test window, judged on it beside the champion's and baselines; and the gate.

Reads   features, model/judged       no model that has seen the test days
        the store                    what is served
Writes  evaluation/report.html, evaluation/evaluation.json
        truth                        of earlier nights whose following days have come (truth.py)
Raises  NothingToJudge               when nobody took anything in the test window
        NightRefused                 after it has committed, when the gate refuses the night
"""

from typing import Any

from nightfold import schemas
from nightfold.champion import Champion, champion
from nightfold.lake import Manifest
from nightfold.spark import verdicts
from nightfold.spark.job import Job, Outcome
from nightfold.spark.judging import by_activity, by_value, intervals, reach
from nightfold.spark.recommend import examples, inspection, segments, systems
from nightfold.spark.recommend.parts import part
from nightfold.spark.recommend.ranker import evaluator
from nightfold.spark.recommend.systems import METRICS
from nightfold.spark.recommend.truth import measure
from nightfold.spark.truth import judge_what_came_true
from nightfold.spark.verdicts import CHAMPION, RECIPE, kept
from nightfold.spark.windows import LAST_VALIDATION, TEST, Window, of_facts

from pyspark.ml import PipelineModel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F


def lists_of(
    spark: SparkSession, job: Job, trained: Manifest, served: Champion | None
) -> tuple[dict[str, DataFrame], DataFrame, PipelineModel, str | None]:
    """The lists of every system on the test window; scored, its candidates of who took anything, and what is learned from of the others;
    the recipe, and which of the systems the champion's is.

    The champion's point is fitted as the challenger's was; where it is the same point, it is the same recipe.
    """
    training = job.pipeline.training
    recipe = PipelineModel.load(job.lake.spark_path(f"{trained.data}/judged"))
    place, theirs = verdicts.rival(served, trained.facts["best"], job.pipeline.baselines)
    last = len(job.lake.get("features", job.ds).facts["windows"]) - 1
    learned = range(LAST_VALIDATION, min(last, LAST_VALIDATION + training.windows - 1) + 1) if theirs else ()
    made = examples.written(spark, job, [TEST, *learned], whole=[TEST])
    took = F.col("relevant") > 0
    test = made.where((F.col("window") == TEST) & took)
    scored = systems.scored(recipe, made.where((F.col("window") == TEST) & (took | F.col("learn"))))
    scored = kept(scored, f"{job.scratch}/scored")
    candidates = scored.where(took)
    lists = {RECIPE: systems.list_maker(recipe, inspection.CARRIED).transform(candidates)}
    lists |= systems.baselines(recipe, candidates, job.pipeline.baselines)
    if theirs:
        fitted = systems.champion(job.pipeline, theirs, made.where((F.col("window") != TEST) & F.col("learn")))
        lists[CHAMPION] = systems.list_maker(fitted).transform(systems.scored(fitted, test))
    return (
        {name: kept(frame, f"{job.scratch}/judged-{i}") for i, (name, frame) in enumerate(lists.items())},
        scored,
        recipe,
        place,
    )


def figures(spark: SparkSession, job: Job) -> dict[str, Any]:
    """All that the page shows, and that the gate looks at."""
    facts, trained = job.lake.get("features", job.ds).facts, job.lake.get("model", job.ds)
    window = next(w for w in of_facts(facts["windows"]) if w.number == TEST)
    served = champion(job.lake, job.store, job.ds)
    judged, scored, recipe, place = lists_of(spark, job, trained, served)
    candidates = scored.where("relevant > 0")
    measured = kept(systems.per_user(evaluator(job.pipeline), judged), f"{job.scratch}/measured")
    k = job.pipeline.training.k
    found = {
        "pipeline": job.pipeline.pipeline,
        "task": job.pipeline.task,
        "night": job.ds,
        "cutoff": window.eve,
        "test_first": window.first,
        "test_last": window.last,
        "k": k,
        "certainty": job.pipeline.gate.certainty,
        "metric": job.pipeline.metric,
        "users": measured.count(),
        **compared(spark, job, window, judged, measured, place),
        "ceiling": evaluator(job.pipeline).evaluate(systems.perfect(candidates, k=k)),
        "champion": verdicts.against(served, place),
        "als_grid": facts["als_grid"],
        "candidates": inspection.recall_of_candidates(candidates),
        "calibration": inspection.calibration(scored, negatives=job.pipeline.training.negatives),
        "importance": inspection.importance(recipe, examples.names(job.pipeline)),
        "examples": inspection.some_lists(
            judged[RECIPE],
            learned(spark, job, window),
            *(part(spark, job, *named) for named in inspection.NAMED),
            verb=job.pipeline.recommend.verb,
        ),
    }
    return verdicts.with_gate(job, found, trained, served)


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
    names, training, users = list(judged), job.pipeline.training, job.pipeline.recommend.users
    at = {name: F.col(f"{job.pipeline.metric}_{i}") for i, name in enumerate(names)}
    less = {f"less {name}": at[RECIPE] - at[name] for name in names if name != RECIPE}
    if place is not None:
        less |= {"less served": at[RECIPE] - at[place]}
        less |= {f"served less {name}": at[place] - at[name] for name in job.pipeline.baselines}
    numbered = {f"less_{i}": column for i, column in enumerate(less.values())}
    wanted = [f"{metric}_{i}" for i in range(len(names)) for metric in METRICS]
    found = intervals(
        measured.withColumns(numbered), [*wanted, *numbered], seed=training.seed, certainty=job.pipeline.gate.certainty
    )
    reached = reach(judged, past, available)
    differences = dict(zip(less, (found[column] for column in numbered), strict=True))
    return {
        "systems": {
            name: {**{metric: found[f"{metric}_{i}"] for metric in METRICS}, **reached[name]} for i, name in enumerate(names)
        },
        "differences": {name: differences[f"less {name}"] for name in job.pipeline.baselines}
        | ({CHAMPION: differences["less served"]} if place is not None else {}),
        "champion_differences": {name: differences[f"served less {name}"] for name in job.pipeline.baselines if place is not None},
        "test": found[f"{job.pipeline.metric}_0"]["mean"],
        "by_activity": by_activity(measured, past, names, metric=job.pipeline.metric),
        "by_attribute": by_value(measured, part(spark, job, "attributes", segments.ATTRIBUTES), names, metric=job.pipeline.metric)
        if users is not None
        else [],
        "attribute": users.attributes[0] if users is not None else None,
        "by_category": inspection.by_category(judged, part(spark, job, "items", schemas.ITEMS)),
    }


def main(spark: SparkSession, job: Job) -> Outcome:
    judge_what_came_true(spark, job, measure)
    found = figures(spark, job)
    job.discard_scratch()
    metric = f"{found['metric'].upper()}@{found['k']}"
    return verdicts.concluded(job, found, metric=metric, metrics=METRICS)
