"""A twin of predictions by itself, without Spark: what it says, and what it refuses. Beside Spark: spark/predict/test_predictor.py."""

import json
import math
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from nightfold.errors import BadInput
from nightfold.twins import folder
from nightfold.twins.predictions import BOOSTER, Boosted, Category, Cross, Document, Linear, Number, Predictions

import numpy as np
import pytest
import xgboost
from helpers import ROOT

NUMBERS = [
    Number(name="visits", median=math.e - 1, mean=0.5, scale=2.0),  # ln(1 + e - 1) is 1
    Number(name="paid", median=0.0, mean=0.0, scale=1.0),
]
LINEAR = Document(
    numbers=NUMBERS,
    unused=["letters"],
    crosses=[Cross(of=("visits", "paid"), mean=1.0, scale=0.5)],
    categories=[Category(name="town", values=["lower", "upper"])],
    model=Linear(coefficients=[1.0, 10.0, 100.0, 0.1, 0.2, 0.4], intercept=1000.0),
    calibration=None,
    answer="number",
)
E2 = math.e**2 - 1


def twin(path: Path, document: Document = LINEAR, files: dict[str, bytes] | None = None) -> str:
    """Written to a folder; its URI."""
    folder.write(f"file://{path}/twin", document, files or {})
    return f"file://{path}/twin"


def boosted(answer: str = "number") -> tuple[Document, dict[str, bytes]]:
    """Three trees on the columns of LINEAR."""
    draw = np.random.default_rng(1)
    inputs = draw.normal(size=(200, LINEAR.width)).astype(np.float32)
    learned = xgboost.DMatrix(inputs, label=inputs[:, 0] > inputs[:, 1])
    booster = xgboost.train({"max_depth": 2, "objective": "binary:logistic", "nthread": 1}, learned, num_boost_round=3)
    return LINEAR.model_copy(update={"model": Boosted(), "answer": answer}), {BOOSTER: bytes(booster.save_raw("ubj"))}


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({}, 1000 + 1 + 0 - 50 + 0.4),  # visits as the median, paid 0: cross (0 - 1) / 2; town not known
        ({"visits": 0, "paid": E2, "town": "lower"}, 1000 - 1 + 20 - 50 + 0.1),
        ({"visits": E2, "paid": -E2, "town": "upper"}, 1000 + 3 - 20 - 250 + 0.2),
        ({"visits": E2, "paid": E2, "town": "elsewhere", "letters": 7}, 1000 + 3 + 20 + 150 + 0.4),
        ({"visits": None, "paid": None, "town": None, "letters": None}, 1000 + 1 + 0 - 50 + 0.4),
    ],
)
def test_it_computes_what_one_computes_by_hand(tmp_path, row, expected):
    assert Predictions.load(twin(tmp_path)).predict([row]) == pytest.approx([expected])


@pytest.mark.parametrize(
    ("answer", "margin", "expected"), [("probability", math.log(3), 0.75), ("logarithm", -2.0, -E2), ("number", -2.0, -2.0)]
)
def test_an_answer_is_a_probability_or_a_number(tmp_path, answer, margin, expected):
    model = Linear(coefficients=[0.0] * LINEAR.width, intercept=margin)
    document = LINEAR.model_copy(update={"model": model, "answer": answer})
    assert Predictions.load(twin(tmp_path, document)).predict([{}]) == pytest.approx([expected])


def test_a_calibration_sees_both_margins(tmp_path):
    model = Linear(coefficients=[0.0] * LINEAR.width, intercept=2.0)
    calibration = Linear(coefficients=[-0.25, 0.5], intercept=-1.5)  # 0.5 + 1 - 1.5: an even chance
    document = LINEAR.model_copy(update={"model": model, "calibration": calibration, "answer": "probability"})
    assert Predictions.load(twin(tmp_path, document)).predict([{}]) == pytest.approx([0.5])


def test_no_row_is_no_answer_and_what_is_far_off_is_one_or_infinity(tmp_path):
    found = Predictions.load(twin(tmp_path, LINEAR.model_copy(update={"answer": "probability"})))
    assert found.predict([]) == []
    assert found.predict([{"visits": 1e308, "paid": 1e308}]) == [1.0]
    assert Predictions.load(twin(tmp_path, LINEAR.model_copy(update={"answer": "logarithm"}))).predict([{}]) == [math.inf]


def test_it_says_what_a_row_may_hold(tmp_path):
    assert Predictions.load(twin(tmp_path)).features == {
        "numbers": ["visits", "paid", "letters"],
        "categories": {"town": ["lower", "upper"]},
    }


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"visit": 1}, "row 1, 'visit': no such feature: did you mean one of visits?"),
        ({"xyz": 1}, "row 1, 'xyz': no such feature: did you mean one of letters, paid, town?"),
        ({7: 1}, "row 1, 7: no such feature: did you mean one of letters, paid, town?"),
        ([1, 2], "row 1: is [1, 2]: give an object, each feature by its name"),
        ("text", "row 1: is 'text': give an object, each feature by its name"),
        *(
            ({"paid": value}, f"row 1, paid: {shown} is no number: give a finite one without quotes, or null where it is not known")
            for value, shown in (
                (True, "True"),
                ("3", "'3'"),
                (math.nan, "nan"),
                (-math.inf, "-inf"),
                ([3], "[3]"),
                ("two\nlines", r"'two\nlines'"),
                (10**400, f"{'1' + '0' * 59}..."),
            )
        ),
        ({"letters": "a"}, "row 1, letters: 'a' is no number: give a finite one without quotes, or null where it is not known"),
        ({"town": 3}, "row 1, town: 3 is no text: put it in quotes, or give null where it is not known"),
    ],
)
def test_what_is_no_row_is_refused_in_one_line_that_names_field_and_mend(tmp_path, row, message):
    with pytest.raises(BadInput) as refused:
        Predictions.load(twin(tmp_path)).predict([{"visits": 1.0, "paid": None}, row, {"paid": 2}])
    assert str(refused.value) == message


def broken(path: Path, change) -> str:
    """A twin whose document was changed by hand."""
    uri = twin(path)
    file = path / "twin" / folder.DOCUMENT
    file.write_text(change(file.read_text()))
    return uri


def set_to(**values: object):
    return lambda text: json.dumps(json.loads(text) | values)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[:50], "is no JSON (Expecting"),
        (lambda text: "[]", "kind is None, not 'predictions'"),
        (set_to(kind="baskets"), "kind is 'baskets', not 'predictions'"),
        (set_to(format=2), "has format 2, and format 1 is read here: take the same release for both"),
        (set_to(more=1), "more: Extra inputs are not permitted"),
        (set_to(answer="word"), "answer: Input should be 'probability', 'logarithm' or 'number'"),
        (set_to(model={"family": "linear", "coefficients": [1.0], "intercept": 0.0}), "model: 1 coefficients for 6 columns"),
        (set_to(crosses=[{"of": ["visits", "nothing"], "mean": 0.0, "scale": 1.0}]), "crosses: no number 'nothing'"),
        (set_to(model={"family": "xgboost"}), "files: names [], and needs ['booster.ubj']"),
        (lambda text: text.replace("1000.0", "1e999"), "model.linear.intercept: Input should be a finite number"),
    ],
)
def test_a_twin_that_is_broken_or_foreign_is_refused_in_one_line(tmp_path, change, message):
    with pytest.raises(BadInput) as refused:
        Predictions.load(broken(tmp_path, change))
    assert message in str(refused.value)
    assert str(refused.value).startswith(f"file://{tmp_path}/twin/twin.json: ")
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there_or_not_what_was_written_is_refused(tmp_path):
    uri = twin(tmp_path, *boosted())
    (tmp_path / "twin" / BOOSTER).write_bytes(b"{L")
    with pytest.raises(BadInput, match=r"/twin/booster.ubj: is not what was written with twin.json: clear `train` of its night"):
        Predictions.load(uri)
    (tmp_path / "twin" / BOOSTER).unlink()
    with pytest.raises(BadInput, match=r"/twin/booster.ubj: is not there: clear `train` of its night"):
        Predictions.load(uri)
    with pytest.raises(BadInput, match=r"/nowhere/twin.json: is not there"):
        Predictions.load(f"file://{tmp_path}/nowhere")


def test_trees_that_are_none_or_of_other_columns_are_refused(tmp_path):
    document, files = boosted()
    with pytest.raises(BadInput, match=r"booster.ubj: XGBoost [\d.]+ cannot read it"):
        Predictions.load(twin(tmp_path, document, {BOOSTER: b"{}"}))
    with pytest.raises(BadInput, match=r"booster.ubj: has 6 features, the document 5"):
        Predictions.load(twin(tmp_path, document.model_copy(update={"crosses": []}), files))


def rows(n: int) -> list[dict[str, float | str | None]]:
    draw = np.random.default_rng(2)
    visits, paid = draw.gamma(1, 10, n).tolist(), draw.normal(0, 50, n).tolist()
    towns = [None, "lower", "upper", "elsewhere"]
    return [{"visits": visits[i] if i % 3 else None, "paid": paid[i], "town": towns[i % 4]} for i in range(n)]


def test_a_row_has_the_same_answer_alone_in_company_at_once_and_after_loading_again(tmp_path):
    uri, asked = twin(tmp_path, *boosted()), rows(50)
    one, again = Predictions.load(uri), Predictions.load(uri)
    found = one.predict(asked)
    assert len(set(found)) > 3
    assert found == again.predict(asked)
    assert found == [one.predict([row])[0] for row in asked]
    with ThreadPoolExecutor(8) as pool:
        assert all(said == found for said in pool.map(lambda _: one.predict(asked), range(40)))


def test_ten_thousand_rows_take_well_under_a_second(tmp_path):
    found, asked = Predictions.load(twin(tmp_path, *boosted())), rows(10_000)
    started = time.perf_counter()
    assert len(found.predict(asked)) == 10_000
    assert time.perf_counter() - started < 1.0, "it takes 0.03"


def test_a_process_that_serves_it_has_neither_spark_nor_airflow(tmp_path):
    code = (
        "import sys; from nightfold.twins.predictions import Predictions; from nightfold.twins.baskets import Baskets\n"
        f"print(Predictions.load('{twin(tmp_path, *boosted())}').predict([{{}}]))\nprint(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    said, modules = done.stdout.split("\n", 1)
    assert len(json.loads(said)) == 1
    assert {name.split(".")[0] for name in modules.split()} & {"pyspark", "py4j", "airflow", "implicit"} == set()
