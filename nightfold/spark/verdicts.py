"""What `evaluate` does for every task: whose recipe the champion's is, the gate, the page, and what is kept of all that.

Figures of every task: `pipeline`, `night`, `metric`, `users`, `systems` (name → metric → {"mean", "low", "high"}), `champion`, `gate`.
"""

import json
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

from nightfold.champion import Champion
from nightfold.fingerprint import digest
from nightfold.gate import judge
from nightfold.lake import Lake, Manifest
from nightfold.reports.evaluation import render_evaluation
from nightfold.spark.job import Job, Outcome

from pyspark.sql import DataFrame

NIGHTS = 60  # earlier nights on the page
RECIPE, CHAMPION = "recipe", "champion"
OF_THE_GATE = ("users", "active_users", "last_day", "compared_day", "last_day_users", "usual_users", "last_day_rows", "repeated")
"""Facts of `features` that the gate looks at."""


def kept(frame: DataFrame, place: str) -> DataFrame:
    """The same rows, computed once, read from the attempt's scratch: a local checkpoint would be lost with its executor, for good."""
    frame.write.parquet(place)
    return frame.sparkSession.read.schema(frame.schema).parquet(place)


def rival(served: Champion | None, best: dict[str, Any], baselines: Sequence[str]) -> tuple[str | None, dict[str, Any] | None]:
    """Which of the systems the champion's recipe is, or None, and its point of the grid when that is to be fitted beside `best`.

    :param baselines: of the pipeline; a champion that is another one cannot be held against anything
    """
    known = served.recipe if served is not None else None
    if known is None:
        return None, None
    if known["kind"] == "baseline":
        return (str(known["name"]) if known["name"] in baselines else None), None
    return (RECIPE, None) if known["params"] == best else (CHAMPION, known["params"])


def against(served: Champion | None, place: str | None) -> dict[str, Any] | None:
    """What people are told of the champion.

    :param place: which of the systems it is
    """
    if served is None:
        return None
    return {"version": served.version, "night": served.night, "recipe": served.recipe, "system": place, "metrics": served.metrics}


def has_its_model(job: Job, served: Champion | None) -> bool:
    """Whether the champion can score tonight, as far as the lake goes."""
    recipe = served.recipe if served is not None else None
    return recipe is not None and (recipe["kind"] != "model" or job.lake.exists(f"{recipe['data']}/model"))


def with_gate(job: Job, found: dict[str, Any], trained: Manifest, served: Champion | None) -> dict[str, Any]:
    """The figures, what the gate looks at beside them, and its verdict."""
    facts = job.lake.get("features", job.ds).facts
    found |= {
        "data": {name: facts[name] for name in OF_THE_GATE},
        "features": trained.facts["features"],
        "measured": digest(job.pipeline.measured),
        "champion_kept": has_its_model(job, served),
        "grid": trained.facts["grid"],
        "history": earlier(job),
        "came_true": came_true(job, [job.ds]).get(job.ds),
    }
    return {**found, "gate": judge(found, job.pipeline.gate, job.pipeline.baselines, served).facts()}


def earlier(job: Job) -> list[dict[str, Any]]:
    """The same figures of the nights before, and what came true in their test windows."""
    nights = [night for night in job.lake.nights("evaluation") if night < job.ds][-NIGHTS:]
    truth = came_true(job, nights)
    return [
        {"night": night, **manifest.facts["metrics"], "truth": truth[night]["metrics"] if night in truth else None}
        for night, manifest in sorted(job.lake.find_all("evaluation", nights).items())
    ]


def came_true(job: Job, nights: Sequence[str]) -> dict[str, dict[str, Any]]:
    """For each night, of what was published on the eve of its test window: `night`, `version`, `metrics` and `forecast` (the gate's
    metrics then). Judged on the same days as the night's systems; nights of which nothing is known are left out."""
    days = job.pipeline.split.test_days
    eves = {night: str(date.fromisoformat(night) - timedelta(days=days)) for night in nights}
    known = {
        eve: truth.facts for eve, truth in job.lake.find_all("truth", list(eves.values())).items() if truth.facts["days"] == days
    }
    return {night: {"night": eve, **known[eve]} for night, eve in eves.items() if eve in known}


def metrics_of(found: dict[str, Any], system: str, metrics: Sequence[str]) -> dict[str, float]:
    """A system's metrics, and the baselines' beside it."""
    metric = found["metric"]
    baselines = [name for name in found["systems"] if name not in (RECIPE, CHAMPION)]
    beside = {f"{metric} {name}".replace(" ", "_"): found["systems"][name][metric]["mean"] for name in baselines}
    ours = found["systems"][system]
    return {**{name: ours[name]["mean"] for name in metrics if name in ours}, **beside}


def served_system(found: dict[str, Any]) -> str:
    """Which of the systems is published; the recipe, too, where the night is refused."""
    serve = found["gate"]["serve"]
    if serve.get("kind") == "baseline":
        return str(serve["name"])
    return str(found["champion"]["system"]) if serve.get("kind") == "model" else RECIPE


def write_page(lake: Lake, found: dict[str, Any], *, numbers: str, report: str) -> None:
    """The evaluation's figures, and the page that shows them; in place of what is there."""
    lake.write_text(numbers, json.dumps(found, ensure_ascii=False, indent=1))
    lake.write_text(report, render_evaluation(found))


def concluded(job: Job, found: dict[str, Any], *, metric: str, metrics: Sequence[str]) -> Outcome:
    """Write the page and its figures; what the stage made.

    :param metric: its name, for people
    :param metrics: what is kept of a system, to be compared with later nights
    """
    page, numbers = f"{job.place}/report.html", f"{job.place}/evaluation.json"
    write_page(job.lake, found, numbers=numbers, report=page)
    verdict, systems = found["gate"], found["systems"]
    ours = systems[RECIPE][found["metric"]]
    beside = ", ".join(f"{name} {systems[name][found['metric']]['mean']:.4f}" for name in job.pipeline.baselines)
    return Outcome(
        summary=f"{metric} {ours['mean']:.4f} [{ours['low']:.4f}, {ours['high']:.4f}] on {found['users']:,} users, "
        f"{found['test_first']} to {found['test_last']}; {beside}; {verdict['outcome']}: {verdict['reason']}",
        rows=found["users"],
        facts={
            "report": page,
            "json": numbers,
            "metrics": metrics_of(found, RECIPE, metrics),
            "served": metrics_of(found, served_system(found), metrics),
            "verdict": verdict,
            "measured": found["measured"],
        },
    )
