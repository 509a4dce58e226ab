"""The rendered spark-submit commands are the ones in `tests/golden/`.

After a change on purpose: `NIGHTFOLD_GOLDEN=write .venv/bin/python -m pytest tests/plugins/test_golden_commands.py`, and read the diff.
"""

import os

import pytest
from airflow.dag_processing.dagbag import DagBag
from helpers import ROOT

GOLDEN = ROOT / "tests" / "golden"
CHECKOUT = "<checkout>"
SECRET = "MARKER-p4ss"
STAGES = ["ingest", "clean", "profile", "features", "train", "evaluate", "score", "publish"]


class Manual:
    run_type = "manual"
    run_id = "manual__2017-12-04T09:00:00+00:00"
    data_interval_start = None


@pytest.fixture(scope="module")
def commands():
    """Call it with the length of the lists: every stage's command, one line each, and the stages' operators."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NIGHTFOLD_PIPELINES", str(ROOT / "pipelines"))
        patch.setenv("AIRFLOW_CONN_SPARK_DEFAULT", '{"conn_type":"spark","host":"local[*]"}')
        patch.setenv("AIRFLOW_CONN_KV_DEFAULT", f"redis://:{SECRET}@127.0.0.1:6390/0")
        patch.setenv("AIRFLOW_CONN_GROCER_DB", f"postgresql://shop:{SECRET}@127.0.0.1:5443/grocer")
        dag = DagBag(dag_folder=str(ROOT / "dags")).dags["nightly_grocery"]

        def render(top_n: int | None) -> tuple[str, list]:
            lines, operators = [], []
            for name in STAGES:
                operator = dag.get_task(name).prepare_for_execution()
                operator.render_template_fields(
                    {"params": {"ds": "2017-12-03", "promote": True, "top_n": top_n}, "dag_run": Manual()}
                )
                hook = operator._get_hook()
                assert SECRET in hook._env["AIRFLOW_CONN_GROCER_DB"], "else the markers prove nothing"
                lines.append(" ".join(hook._build_spark_submit_command(operator.application)).replace(str(ROOT), CHECKOUT))
                operators.append(operator)
            return "".join(f"{line}\n" for line in lines), operators

        yield render


@pytest.mark.parametrize(("name", "top_n"), [("grocery.txt", None), ("grocery_top_10.txt", 10)])
def test_the_commands_of_a_night_are_the_golden_ones(commands, name, top_n):
    text, _ = commands(top_n)
    if os.environ.get("NIGHTFOLD_GOLDEN") == "write":
        (GOLDEN / name).write_text(text)
    assert text == (GOLDEN / name).read_text()


def test_no_secret_is_in_a_command_a_setting_or_a_rendered_field(commands):
    text, operators = commands(None)
    assert SECRET not in text
    for operator in operators:
        assert SECRET not in str(operator.conf)
        for field in operator.template_fields:
            assert SECRET not in str(getattr(operator, field)), (operator.task_id, field)
