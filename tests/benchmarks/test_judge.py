"""The judge reads as a reader would: through the command line, here one that answers from a file."""

import json
import stat
import sys

from benchmarks import judge, peers
from benchmarks.peers import Lists
from nightfold.errors import BadInput, NightfoldError

import numpy as np
import pytest

NIGHT = "2017-12-03"
FAKE = """#!{python}
import json, pathlib, sys
said = sys.argv[1:]
answers = json.loads(pathlib.Path({file!r}).read_text())
if said[2] == "--all":
    found = [a for a in answers if a["key"] != "?"]
else:
    found = [a for a in answers if a["key"] == said[2]]
if not answers:
    sys.exit("nightfold: grocery: nothing is published yet: run a night first")
for answer in found:
    print(json.dumps(answer))
"""


def answer(key: str, *items: str, source: str = "model", version: str = "v1", night: str = NIGHT) -> dict:
    listed = [{"id": item, "score": 1.0, "why": ""} for item in items]
    return {"pipeline": "grocery", "key": key, "version": version, "night": night, "source": source, "items": listed}


@pytest.fixture
def store(tmp_path, monkeypatch):
    """Call it with answers: from then on `nightfold lookup` gives them."""
    file, command = tmp_path / "answers.json", tmp_path / "nightfold"
    command.write_text(FAKE.format(python=sys.executable, file=str(file)))
    command.chmod(command.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))

    def serves(*answers: dict) -> None:
        file.write_text(json.dumps(answers))

    return serves


def test_lists_are_those_that_a_reader_gets(store):
    store(answer("7", "3", "1"), answer("8", "2"), answer("?", "9", source="fallback"))
    found = judge.published("grocery", NIGHT, None)
    assert (found.version, found.night) == ("v1", NIGHT)
    assert found.lists == Lists(own={"7": ["3", "1"], "8": ["2"]}, fallback=["9"])
    assert found.lists.of("unknown") == ["9"]


def test_lists_of_another_night_are_refused(store):
    store(answer("7", "3", night="2017-12-04"), answer("?", "9", source="fallback", night="2017-12-04"))
    with pytest.raises(BadInput, match="version v1 is of night 2017-12-04, not 2017-12-03: give --version"):
        judge.published("grocery", NIGHT, None)


def test_lists_of_two_versions_are_refused(store):
    store(answer("7", "3"), answer("8", "2", version="v2"), answer("?", "9", source="fallback"))
    with pytest.raises(NightfoldError, match="another version went live meanwhile"):
        judge.published("grocery", NIGHT, None)


def test_what_the_command_complains_of_is_passed_on_in_one_line(store, capsys):
    store()
    assert judge.main(["--ds", NIGHT]) == 1
    assert capsys.readouterr().err == "benchmarks.judge: nightfold: grocery: nothing is published yet: run a night first\n"


def test_a_missing_command_names_the_mend(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(NightfoldError, match="`make run` or `make test` installs it"):
        judge.published("grocery", NIGHT, None)


def test_households_without_a_list_count_with_the_fallback():
    truth = {"1": {"a"}, "2": {"b"}, "3": {"c"}, "4": {"z"}}
    row = judge.judged("x", Lists(own={"1": ["a"], "2": ["x", "b"], "9": ["q"]}, fallback=["c", "d"]), truth)
    # 1: 1.0; 2: 0.63093; 3: 1.0 by the fallback; 4: 0
    np.testing.assert_allclose(row.by_household, [1.0, 0.63093, 1.0, 0.0], atol=1e-5)
    assert row.ndcg == pytest.approx(0.65773, abs=1e-5)
    assert row.recall == 0.75
    assert row.hit_rate == 0.75
    assert row.distinct_items == 5, "a, x, b, c, d: nobody who is judged got q"
    assert row.own_list == 0.5


def test_publishing_personal_frequency_itself_differs_from_it_by_nothing(store):
    lists = peers.personal_frequency(peers.purchases().up_to(NIGHT), n=10)
    store(*(answer(key, *items) for key, items in lists.own.items()), answer("?", *lists.fallback, source="fallback"))
    catalogue, history = judge.judge("grocery", NIGHT)
    facts = json.loads(json.dumps(judge.as_json(history)))
    assert [row["name"] for row in facts["rows"]] == [
        "nightfold",
        "personal frequency",
        "popularity by baskets",
        "popularity by households",
    ]
    assert facts["rows"][0] == {**facts["rows"][1], "name": "nightfold"}
    assert (facts["difference"], facts["interval"]) == (0.0, [0.0, 0.0])
    assert (facts["households"], facts["window"]) == (2_009, ["2017-12-04", "2017-12-31"])
    text = judge.as_text(catalogue)
    assert "2,011 households with a purchase of a product of the catalogue" in text
    assert "nightfold less personal frequency: +0.0000 NDCG@10, 95% interval +0.0000 to +0.0000" in text
