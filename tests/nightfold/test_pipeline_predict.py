"""What a pipeline file of the tasks classify and regress may say, and what is answered to what it may not."""

from nightfold.pipeline import Pipeline, load

import pytest
import yaml
from helpers import ROOT, merged

FILE = ROOT / "pipelines" / "redemption.yaml"


NAMES = ("day", "days", "row", "rows", "Rows", "key", "window", "cutoff", "ahead")
NUMBERS = {"sources": {"transactions": {"columns": {name: {"type": "integer"} for name in NAMES}}}}


def changed(changes: dict) -> Pipeline:
    return Pipeline.model_validate(merged(yaml.safe_load(FILE.read_text(encoding="utf-8")), changes))


def test_the_shipped_files_say_what_they_are():
    redemption, spend = (load(ROOT / "pipelines" / f"{name}.yaml") for name in ("redemption", "spend"))
    assert (redemption.task, redemption.metric, redemption.baselines) == (
        "classify",
        "average_precision",
        ["past events", "base rate"],
    )
    assert (spend.task, spend.metric, spend.baselines) == ("regress", "mae", ["as before", "own average", "mean"])
    assert redemption.person == "household_id"
    assert redemption.roles("transactions") == {"user": "household_id", "time": "transaction_timestamp"}
    assert redemption.roles("campaigns") == {}
    assert "grocer_db" in spend.connections
    assert "purchases_basket_ids_28" in spend.predict.features
    assert len(spend.predict.features) == len(set(spend.predict.features))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"predict": {"population": "visits"}}, "population: no events 'visits'; there are: purchases, redemptions, campaigns"),
        ({"predict": {"label": {"of": "sales"}}}, "label.of: no events 'sales'"),
        ({"predict": {"label": {"of": "purchases", "sum": "tax"}}}, "label.sum: name 'tax' under events.purchases.sums, too"),
        (
            {"predict": {"crosses": [["purchases_rows_7", "nothing"]]}},
            "crosses: no feature 'nothing'; there are: purchases_since_last",
        ),
        (
            {"predict": {"crosses": None, "events": {"purchases": {"sums": ["basket_id"]}}}},
            "'basket_id' must be a number, not string",
        ),
        (
            {"predict": {"events": {"purchases": {"sums": ["Sales Value"]}}}},
            r"'Sales Value' cannot be part of a feature's name: call the column by letters, digits and _, .*say also: \[Sales Value\]",
        ),
        (
            {"predict": {"events": {"purchases": {"distinct": ["store.id"]}}}},
            "'store.id' cannot be part of a feature's name",
        ),
        ({"predict": {"events": {"purchases": {"distinct": ["7days"]}}}}, "'7days' cannot be part of a feature's name"),
        *(
            (
                {**NUMBERS, "predict": {"events": {"purchases": {field: [column]}}, "crosses": []}},
                f"events.purchases: {column!r} makes a second {twice}: call the column otherwise, and say also: ",
            )
            for field, column, twice in (
                ("sums", "days", "purchases_days_7"),
                ("sums", "rows", "purchases_rows_7"),
                ("distinct", "day", "purchases_days_7"),
                ("distinct", "row", "purchases_rows_7"),
                ("sums", "Rows", "purchases_Rows_7"),
            )
        ),
        *(
            (
                {**NUMBERS, "predict": {"events": {"purchases": {"sums": [column]}}, "crosses": []}},
                f"'{column}' is a name of Nightfold's own",
            )
            for column in ("day", "key", "window", "cutoff", "ahead")
        ),
        ({"predict": {"events": {"purchases": {"time": "basket_id"}}}}, "'basket_id' must be a date or timestamp, not string"),
        ({"predict": {"events": {"campaigns": {"through": {"column": "x"}}}}}, "has no column 'x'"),
        (
            {"predict": {"attributes": [{"source": "products", "columns": ["brand"]}]}},
            "source 'products' has no column 'household_id'",
        ),
        ({"predict": {"attributes": [{"source": "transactions", "columns": ["store_id"]}]}}, "'transactions' must be a snapshot"),
        ({"predict": {"write": {"connection": "grocer_db", "table": 'x"; DROP'}}}, "String should match pattern"),
        ({"predict": None}, "predict: missing: it describes the task classify"),
        ({"task": "recommend"}, "recommend: missing: it describes the task recommend"),
        ({"training": {"metric": "ndcg"}}, "training.metric: ndcg is not for classify; there are: average_precision"),
        ({"split": {"validation_days": 14}}, "split.validation_days: must be as long as test_days \\(28\\)"),
        ({"gate": {"beat": {"popularity": 0.0}}}, "gate.beat: 'popularity' is no baseline; there are: past events, base rate"),
    ],
)
def test_a_wrong_file_is_refused_with_the_field_and_the_mend(changes, words):
    with pytest.raises(ValueError, match=words):
        changed(changes)


def test_what_a_model_answers_and_what_a_figure_is_of_follow_the_file():
    now = changed({})
    for changes in (
        {"split": {"test_days": 14, "validation_days": 14}},
        {"predict": {"label": {"of": "purchases"}}},
        {"task": "regress", "training": {"metric": None}, "gate": {"beat": None}},
    ):
        other = changed(changes)
        assert other.asked != now.asked, changes
        assert other.measured != now.measured, changes
    assert changed({"training": {"windows": 2}}).measured == now.measured
    grocery = load(ROOT / "pipelines" / "grocery.yaml")
    longer = grocery.model_copy(update={"training": grocery.training.model_copy(update={"k": 30})})
    assert longer.asked == grocery.asked, "a ranker of the same"
    assert longer.measured != grocery.measured
