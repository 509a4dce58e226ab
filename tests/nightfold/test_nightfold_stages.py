"""The flow: names, order, what each stage reads, and what makes it run again."""

from nightfold import fingerprint
from nightfold.errors import NotCommitted
from nightfold.lake import Lake, Manifest
from nightfold.pipeline import Pipeline
from nightfold.stages import BY_NAME, FLOW, inputs_fingerprint

import pytest

NIGHT = "2017-12-03"
PIPELINE = {
    "pipeline": "shop",
    "description": "d",
    "task": "recommend",
    "sources": {
        "sales": {
            "format": "csv",
            "path": "{ds}.csv",
            "columns": {
                "client": {"required": True},
                "article": {"required": True},
                "sold_at": {"type": "timestamp", "required": True},
            },
        }
    },
    "recommend": {"interactions": {"source": "sales", "user": "client", "item": "article", "time": "sold_at"}},
    "schedule": {"start": "2017-01-01"},
}


def pipeline(**changes: dict) -> Pipeline:
    return Pipeline.model_validate({**PIPELINE, **changes})


@pytest.fixture
def lake(tmp_path) -> Lake:
    """Every dataset of the night is committed."""
    lake = Lake("shop", f"file://{tmp_path}")
    commit(lake, **{stage.dataset: "first" for stage in FLOW})
    return lake


def commit(lake: Lake, **fingerprints: str) -> None:
    for dataset, value in fingerprints.items():
        lake.commit(Manifest(pipeline="shop", dataset=dataset, night=NIGHT, attempt="a", fingerprint=value))


def of(stage: str, lake: Lake, made: Pipeline | None = None, ds: str = NIGHT) -> str:
    return inputs_fingerprint(BY_NAME[stage], pipeline=made or pipeline(), ds=ds, lake=Lake("shop", lake.uri))


def test_the_stages_are_the_promised_ones_in_the_order_of_the_flow():
    assert [stage.name for stage in FLOW] == [
        "ingest",
        "clean",
        "profile",
        "features",
        "train",
        "evaluate",
        "score",
        "publish",
        "promote",
    ]


def test_every_stage_writes_a_dataset_of_its_own():
    assert [stage.dataset for stage in FLOW] == [
        "ingest",
        "clean",
        "profile",
        "features",
        "model",
        "evaluation",
        "scores",
        "version",
        "promote",
    ]


def test_a_stage_reads_only_what_stages_before_it_write():
    written: set[str] = set()
    for stage in FLOW:
        assert set(stage.reads) <= written, stage.name
        written.add(stage.dataset)


def test_every_stage_says_what_it_does():
    assert all(stage.doc.endswith(".") for stage in FLOW)


def test_the_same_inputs_give_the_same_fingerprint(lake):
    assert of("train", lake) == of("train", lake)


@pytest.mark.parametrize(
    ("stage", "changes", "again"),
    [
        ("train", {"training": {"k": 5}}, True),
        ("train", {"publish": {"keep": 9}}, False),
        ("train", {"owner": "somebody else"}, False),
        ("features", {"split": {"test_days": 7}}, True),
        ("features", {"timezone": "Europe/Berlin"}, True),
        ("features", {"training": {"k": 5}}, True),  # by which the settings of ALS are chosen
        ("features", {"training": {"windows": 4, "negatives": 0.3}}, True),
        ("features", {"training": {"negatives": 0.3}}, False),
        ("publish", {"publish": {"keep": 9}}, True),
        ("score", {"recommend": {**PIPELINE["recommend"], "top_n": 5}}, True),
        ("score", {"resources": {"driver_memory": "4g"}}, False),
    ],
)
def test_a_stage_runs_again_only_for_the_configuration_it_depends_on(lake, stage, changes, again):
    assert (of(stage, lake, pipeline(**changes)) != of(stage, lake)) is again


def test_a_stage_runs_again_when_what_it_reads_has_changed_and_not_for_the_rest(lake):
    before = {stage: of(stage, lake) for stage in ("train", "publish")}
    commit(lake, profile="second")
    assert {stage: of(stage, lake) for stage in ("train", "publish")} == before
    commit(lake, features="second")
    assert of("train", lake) != before["train"]
    assert of("publish", lake) == before["publish"], "it reads scores and evaluation, which have not changed yet"
    commit(lake, evaluation="second")
    assert of("publish", lake) != before["publish"]


def test_a_stage_runs_again_for_another_night_or_other_code(lake, monkeypatch):
    before = of("ingest", lake)
    assert of("ingest", lake, ds="2017-12-04") != before
    monkeypatch.setattr(fingerprint, "code", lambda: "other")
    assert of("ingest", lake) != before


def test_a_stage_before_that_has_not_committed_is_named(lake):
    with pytest.raises(NotCommitted, match="night 2017-12-04: shop has no committed features: run the stage that writes it first"):
        of("train", lake, ds="2017-12-04")
