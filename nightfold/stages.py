"""The flow: each stage of the night, what it reads, and which parts of the pipeline file it depends on."""

import math
import os
from dataclasses import dataclass

from nightfold import fingerprint
from nightfold.lake import Lake
from nightfold.pipeline import Pipeline

FIRST_COMPILER = "-XX:TieredStopAtLevel=1"
FEW, MORE, ANY = 500_000, 3_000_000, math.inf  # rows; measured at 7 thousand and 1.6 million (docs/decisions/0010)

_CANDIDATES = ("recommend.filters", "recommend.candidates")
_PREDICT = ("task", "predict")
_WINDOWS = ("split", "training.windows")


@dataclass(frozen=True)
class Stage:
    """One task of the DAG, one job file, one dataset of the same name unless `writes` says otherwise."""

    name: str
    reads: tuple[str, ...] = ()
    """Datasets of the same night."""
    config: tuple[str, ...] = ()
    """Dotted paths into the pipeline file."""
    writes: str | None = None
    spark: bool = True
    turn: bool = True
    """Whether it waits for the pipeline's turn: nights are taken one by one, the oldest first."""
    short: float = FEW
    """Clean rows up to which a job is over before the JVM's second compiler has paid."""
    doc: str = ""

    @property
    def dataset(self) -> str:
        return self.writes or self.name


FLOW = (
    Stage("ingest", short=ANY, doc="Take in every landed night up to `ds` that raw lacks, as delivered: every column a string."),
    Stage(
        "clean", reads=("ingest",), short=ANY, doc="Type and check the rows; what is refused goes to `rejected`, with its reason."
    ),
    Stage(
        "profile",
        reads=("ingest", "clean"),
        config=("sources", "recommend.interactions", "predict.key", "predict.events", "timezone"),
        turn=False,  # nothing is made from it
        doc="A page with plots, to look at before trusting the data.",
    ),
    Stage(
        "features",
        reads=("clean",),
        config=(
            *_CANDIDATES,
            *("recommend.interactions", "recommend.items", "recommend.users", "recommend.promotions", "recommend.als"),
            *("timezone", *_WINDOWS, "training.seed", "training.k", "training.metric", *_PREDICT),
        ),
        short=MORE,
        doc="Index users and items; what was known of them as of each window's cutoff, never a later fact.",
    ),
    Stage(
        "train",
        reads=("features",),
        config=(*_CANDIDATES, "recommend.mix", "training", "split", *_PREDICT),
        writes="model",
        doc="Choose by cross-validation on earlier days only, then fit on everything up to `ds`.",
    ),
    Stage(
        "evaluate",
        reads=("features", "model"),
        config=(*_CANDIDATES, "recommend.mix", "recommend.verb", "training", "split", "gate", *_PREDICT),
        writes="evaluation",
        doc="The recipe fitted as of `ds` less the test window, judged on the days after, beside champion and baselines: the gate.",
    ),
    Stage(
        "score",
        reads=("features", "model"),
        config=("recommend", "gate", *_PREDICT),
        writes="scores",
        short=MORE,
        doc="The list of every user, and the fallback.",
    ),
    Stage(
        "publish",
        reads=("scores", "evaluation"),
        config=("publish",),
        writes="version",
        short=ANY,
        doc="Stage a version whole in the key-value store, and read it back.",
    ),
    Stage("promote", reads=("version",), spark=False, doc="Flip the pointer: readers get this version from now on."),
)

BY_NAME = {stage.name: stage for stage in FLOW}


def inputs_fingerprint(stage: Stage, *, pipeline: Pipeline, ds: str, lake: Lake) -> str:
    """Of all that decides a stage's result: night, configuration, code, and what the stages before committed.

    Raises NotCommitted when a stage before has not committed this night.
    """
    upstream = {dataset: lake.get(dataset, ds).fingerprint for dataset in stage.reads}
    configuration = {path: _config(pipeline, path) for path in stage.config}
    return fingerprint.digest(stage.name, pipeline.pipeline, ds, configuration, upstream, fingerprint.code())


def jvm_options(stage: Stage, *, pipeline: str, ds: str) -> str:
    """SPARK_SUBMIT_OPTS of a stage's job: ours, and the first compiler alone where the second one would cost more than it brings."""
    ours = os.environ.get("SPARK_SUBMIT_OPTS", "")
    return f"{ours} {FIRST_COMPILER}".strip() if _is_short(stage, pipeline, ds) else ours


def _is_short(stage: Stage, pipeline: str, ds: str) -> bool:
    if stage.short == ANY:
        return True
    night = Lake(pipeline).find("clean", ds)
    return night is not None and night.rows is not None and night.rows <= stage.short


def _config(pipeline: Pipeline, path: str) -> object:
    value: object = pipeline.model_dump(mode="json")
    for part in path.split("."):
        value = value[part] if value is not None else None  # type: ignore[index] (the other task's)
    return value
