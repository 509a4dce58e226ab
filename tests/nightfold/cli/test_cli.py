"""The command line answers as the design promises, for people and in JSON."""

import json

from nightfold.lake import Lake, Manifest

import pytest
from asking import PROMISED, SHOP, ageless, failed

# --- lookup


def test_lookup_shows_the_list_as_a_reader_gets_it(run, store):
    result = run("lookup", "shop", "1228")
    assert result.out == (
        "shop 1228 · night 2017-12-03 · version v3\n  1. 00123      2.500  bought 3 times\n  2. v3         1.250  popular\n"
    )
    assert (result.code, result.err) == (0, "")


def test_lookup_of_somebody_unknown_shows_the_fallback_and_says_so(run, store):
    result = run("lookup", "shop", "nobody")
    assert result.out.splitlines()[0] == "shop nobody · night 2017-12-03 · version v3 · no list of its own: the fallback"
    assert result.code == 0


@pytest.mark.parametrize(
    "words",
    [
        ("lookup", "shop", "1228", "--json"),
        ("lookup", "shop", "--json", "1228"),
        ("lookup", "--json", "shop", "1228"),
        ("--json", "lookup", "shop", "1228"),
    ],
    ids=" ".join,
)
def test_json_works_wherever_it_stands(run, store, words):
    assert ageless(run(*words).facts) == PROMISED


def test_several_keys_give_json_lines_in_the_order_asked(run, store):
    lines = run("lookup", "shop", "nobody", "--json", "Jürgen Ω", "1228", "1228").out.splitlines()
    assert [json.loads(line)["key"] for line in lines] == ["nobody", "Jürgen Ω", "1228", "1228"]
    assert [json.loads(line)["source"] for line in lines] == ["fallback", "model", "model", "model"]


def test_keys_that_look_like_something_else_are_keys(run, store):
    for words in (["-1"], ["*"], [""], ["--", "--all"]):
        result = run("lookup", "shop", "--json", *words)
        assert (result.code, json.loads(result.out)["source"]) == (0, "fallback"), words
        assert json.loads(result.out)["key"] == words[-1]


@pytest.mark.parametrize("words", [("1228", "-n", "1"), ("-n", "1", "1228"), ("-n1", "1228")], ids=" ".join)
def test_a_list_can_be_cut(run, store, words):
    assert [item["id"] for item in run("lookup", "shop", *words, "--json").facts["items"]] == ["00123"]


def test_another_version_than_live_can_be_looked_up(run, store):
    assert run("lookup", "shop", "1228", "--version", "v1", "--json").facts["items"][1]["id"] == "v1"
    assert failed(run("lookup", "shop", "1228", "--version", "v9")) == ("nightfold: shop: no version 'v9'; kept are: v3, v2, v1")


def test_all_gives_every_key_as_json_lines(run, store):
    for words in (("--all",), ("--all", "--json")):
        answers = [json.loads(line) for line in run("lookup", "shop", *words).out.splitlines()]
        assert sorted(answer["key"] for answer in answers) == ["1228", "Jürgen Ω"]
        assert PROMISED in [ageless(answer) for answer in answers]
    old = run("lookup", "shop", "--all", "--version", "v2", "-n", "1").out.splitlines()
    assert {json.loads(line)["version"] for line in old} == {"v2"}
    assert {len(json.loads(line)["items"]) for line in old} == {1}


def test_nothing_published_is_an_error_that_says_what_to_do(run):
    assert failed(run("lookup", "shop", "1228")) == (
        "nightfold: shop: nothing is published yet: run a night first (`make run`, or trigger nightly_shop)"
    )


# --- versions, rollback, release


def test_versions_shows_which_is_live(run, store):
    result = run("versions", "shop")
    assert [line.split() for line in result.out.splitlines()] == [
        ["version", "night", "state", "lists", "published", "at"],
        ["v3", "2017-12-03", "live", "2", "2017-12-03T23:00:00+00:00"],
        ["v2", "2017-12-02", "retired", "2", "2017-12-02T23:00:00+00:00"],
        ["v1", "2017-12-01", "retired", "2", "2017-12-01T23:00:00+00:00"],
    ]


def test_versions_in_json(run, store):
    facts = run("versions", "shop", "--json").facts
    assert set(facts) == {"pipeline", "held", "turn", "split", "staged", "versions"}
    assert facts["held"] is None
    assert facts["versions"][0] == {
        "state": "live",
        "version": "v3",
        "night": "2017-12-03",
        "attempt": "a",
        "published_at": "2017-12-03T23:00:00+00:00",
        "keys": 2,
        "checksum": "0",
        "model": "m",
        "facts": {},
        "metrics": {"ndcg": 0.5},
        "remarks": [],
    }


def test_versions_shows_what_came_to_light_later_and_who_is_at_work(run, store):
    store.remark("shop", "v2", "sales of 2017-12-01 changed after it was taken")
    store.take_turn("shop", "run 1", "2017-12-04", seconds=60)
    *_, remark, turn = run("versions", "shop").out.splitlines()
    assert remark == "  note on v2: sales of 2017-12-01 changed after it was taken"
    assert turn.startswith("at work: run 1, night 2017-12-04; without a sign of life the next goes on in ")


def test_versions_says_that_newer_nights_wait_for_one_that_is_not_heard_of_any_more(run, store):
    store.take_turn("shop", "run 1", "2017-12-04", seconds=0)
    turn = run("versions", "shop").out.splitlines()[-1]
    assert turn == "not heard of any more: run 1, night 2017-12-04; newer nights wait a while for it, or `nightfold unlock shop`"
    assert run("unlock", "shop").out == "shop: it was that of run 1, night 2017-12-04; the next one goes on\n"
    assert store.take_turn("shop", "run 2", "2017-12-05", seconds=60).holder == "run 2"


def test_unlock_lets_the_next_run_go_on(run, store):
    store.take_turn("shop", "run 1", "2017-12-04", seconds=60)
    assert run("unlock", "shop").out == "shop: it was that of run 1, night 2017-12-04; the next one goes on\n"
    assert store.turn("shop") is None
    assert run("unlock", "shop", "--json").facts == {"pipeline": "shop", "freed": False, "was": None}
    assert run("unlock", "shop").out == "shop: nobody had the turn\n"


def test_no_versions_is_no_error(run):
    assert run("versions", "shop") == (0, "shop: no version is published yet\n", "")
    assert run("versions", "shop", "--json").facts == {
        "pipeline": "shop",
        "held": None,
        "split": None,
        "staged": [],
        "turn": None,
        "versions": [],
    }


def test_rollback_goes_one_back_and_release_lets_promotions_go_on(run, store):
    assert run("rollback", "shop") == (
        0,
        "shop: v2 is live, v3 is marked bad; promotions are held until `nightfold release shop`\n",
        "",
    )
    assert run("lookup", "shop", "1228", "--json").facts["version"] == "v2"
    assert run("versions", "shop").out.splitlines()[-1] == (
        "promotions are held (rolled back from v3): `nightfold release shop` lets them go on"
    )
    assert run("release", "shop") == (0, "shop: promotions go on\n", "")
    assert run("release", "shop") == (0, "shop: promotions were not held\n", "")


def test_a_rollback_by_mistake_is_taken_back(run, store):
    run("rollback", "shop")
    assert run("release", "shop", "--version", "v3") == (
        0,
        "shop: promotions go on; v3 is not bad: clear `promote` of its night in Airflow\n",
        "",
    )
    assert failed(run("release", "shop", "--version", "v3")) == "nightfold: shop: version v3 is not marked bad: it is verified"


def test_a_wrong_version_is_not_absolved_and_promotions_stay_held(run, store):
    run("rollback", "shop")
    assert failed(run("release", "shop", "--version", "v2")) == "nightfold: shop: version v2 is not marked bad: it is live"
    assert store.held("shop") == "rolled back from v3"


def test_rollback_and_release_in_json(run, store):
    assert run("rollback", "--json", "shop", "--to", "v1").facts == {"pipeline": "shop", "from": "v3", "to": "v1", "held": True}
    assert run("release", "shop", "--json").facts == {"pipeline": "shop", "released": True, "absolved": None}
    assert run("release", "shop", "--json").facts == {"pipeline": "shop", "released": False, "absolved": None}


def test_rollback_to_nowhere_names_what_there_is(run, store):
    assert failed(run("rollback", "shop", "--to", "v9")) == ("nightfold: shop: cannot roll back to v9: promoted before are: v2, v1")


# --- report


def test_report_says_where_the_reports_of_the_last_night_are(run, home):
    lake = Lake("shop")
    for dataset, night in (("profile", "2017-12-02"), ("profile", "2017-12-03"), ("evaluation", "2017-12-02")):
        place = f"shop/{dataset}/attempts/{night}"
        facts = {"report": f"{place}/report.html", "json": f"{place}/report.json"}
        lake.commit(Manifest(pipeline="shop", dataset=dataset, night=night, attempt="a", fingerprint="f", facts=facts))
    below = f"{home}/lake/shop"
    assert run("report", "shop").out == (
        f"data        2017-12-03  {below}/profile/attempts/2017-12-03/report.html\n"
        f"evaluation  2017-12-02  {below}/evaluation/attempts/2017-12-02/report.html\n"
    )
    assert run("report", "shop", "--json", "--ds", "2017-12-03").facts == {
        "pipeline": "shop",
        "data": {
            "night": "2017-12-03",
            "page": f"{below}/profile/attempts/2017-12-03/report.html",
            "figures": f"{below}/profile/attempts/2017-12-03/report.json",
        },
    }
    assert failed(run("report", "shop", "--ds", "2016-01-01")) == (
        "nightfold: shop: there are no reports for night 2016-01-01: run a night first"
    )


def test_no_reports_is_an_error_that_says_what_to_do(run):
    assert failed(run("report", "shop")) == "nightfold: shop: there are no reports: run a night first"


# --- validate


def test_validate_accepts_a_right_file(run, home):
    file = str(home / "pipelines" / "shop.yaml")
    assert run("validate", file) == (0, f"{file}: valid: recommend from sales\n", "")
    assert run("validate", file, "--json").facts == {
        "valid": True,
        "file": file,
        "pipeline": "shop",
        "task": "recommend",
        "sources": ["sales"],
    }


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (SHOP.replace("task:", "tsk:"), "task: missing; add it\nnightfold: {file}: tsk: unknown field; did you mean 'task'?"),
        (SHOP + "task: recommend\n", "cannot be read as YAML: the field 'task' is given twice in"),
        ("", "must be a mapping that starts with 'pipeline: wrong'"),
        (SHOP, "pipeline: is 'shop'; name it 'wrong', or rename the file"),
    ],
)
def test_validate_refuses_a_wrong_file_naming_file_and_field(run, tmp_path, content, complaint):
    file = tmp_path / "wrong.yaml"
    file.write_text(content)
    for more in ((), ("--json",)):
        code, said, complained = run("validate", str(file), *more)
        assert (code, said) == (1, "")
        assert complained.startswith(f"nightfold: {file}: {complaint.format(file=file)}")
        assert complained.count("\n") == complaint.count("\n") + 1, "each problem on a line of its own"


def test_validate_of_all_files_says_what_each_one_is(run, home):
    shop, wrong = home / "pipelines" / "shop.yaml", home / "pipelines" / "wrong.yaml"
    assert run("validate") == (0, f"{shop}: valid: recommend from sales\n", "")
    wrong.write_text("pipeline: other")
    code, said, complained = run("validate")
    assert (code, said) == (1, f"{shop}: valid: recommend from sales\n")
    assert "wrong.yaml: description: missing" in complained
    for file in (shop, wrong):
        file.unlink()
    assert failed(run("validate")).endswith(f"no pipeline file in {home / 'pipelines'}: name one, or mend NIGHTFOLD_PIPELINES")


def test_validate_of_no_file_and_of_a_folder(run, home):
    folder = home / "pipelines"
    assert failed(run("validate", str(folder / "nope.yaml"))).endswith("nope.yaml: no such pipeline file; there are: shop")
    assert "cannot be read as YAML: [Errno 21] Is a directory" in failed(run("validate", str(folder)))


# --- retake


def test_a_night_of_a_source_is_asked_for_again(run):
    lake = Lake("shop")
    lake.commit(Manifest(pipeline="shop", dataset="raw/sales", night="2017-12-03", attempt="000001-a", fingerprint="f"))
    result = run("retake", "shop", "sales", "--ds", "2017-12-03")
    assert (result.code, result.out) == (
        0,
        "shop: sales of night 2017-12-03 is taken again by the next ingest: clear `ingest` of that night or of a later one in Airflow\n",
    )
    assert lake.find("raw/sales", "2017-12-03").facts == {"again": True}
    assert run("retake", "shop", "sales", "--ds", "2017-12-03", "--json").facts == {
        "pipeline": "shop",
        "source": "sales",
        "night": "2017-12-03",
    }


def test_what_cannot_be_asked_for_is_said(run):
    assert failed(run("retake", "shop", "sale", "--ds", "2017-12-03")) == "nightfold: shop: no source 'sale'; there are: sales"
    assert "sales, night 2017-12-03: shop has not taken it yet" in failed(run("retake", "shop", "sales", "--ds", "2017-12-03"))
    assert "night 'today' is not a day: write it as YYYY-MM-DD" in failed(run("retake", "shop", "sales", "--ds", "today"), 2)


# --- what became of versions, two side by side, keys


def test_history_says_what_became_of_versions(run, store):
    run("rollback", "shop", "--because", "wrong prices")
    lines = run("history", "shop").out.splitlines()
    assert lines[0].split(maxsplit=2)[1:] == ["v2", "live      rolled back from v3: wrong prices"]
    assert any(line.endswith("bad       rolled back from v3: wrong prices") for line in lines)
    change = run("history", "shop", "--json").facts["changes"][0]
    assert (change["version"], change["state"], change["cause"]) == ("v2", "live", "rolled back from v3: wrong prices")


def test_two_versions_are_served_side_by_side_and_the_list_says_which(run, store):
    assert run("split", "shop", "--version", "v2", "--percent", "50").out == (
        "shop: 50 % of the keys get v2 (bucket B), the others the live version\n"
    )
    assert run("versions", "shop", "--json").facts["split"] == {"version": "v2", "share": 0.5}
    assert "split: a share of 0.5 of the keys get v2 (bucket B)" in run("versions", "shop").out
    [list_] = [line for line in run("lookup", "shop", "1228").out.splitlines() if "shop 1228" in line]
    assert " · bucket " in list_
    assert run("split", "shop", "--end").out == "shop: all get the live version\n"
    assert run("split", "shop", "--end").out == "shop: all get the live version, as before\n"
    assert failed(run("split", "shop", "--version", "v9")) == (
        "nightfold: shop: version v9 cannot be served beside live: no such version is kept; kept are: v3, v2, v1"
    )
    for wrong in ("0", "100", "x", "-5"):
        assert run("split", "shop", "--version", "v2", f"--percent={wrong}").code == 2


def test_verify_reads_every_list_again(run, store):
    said = failed(run("verify", "shop"))
    assert said.startswith("nightfold: shop: version v3 holds 2 of its 2 lists, checksum ")
    assert said.endswith("instead of 0: clear `publish` of night 2017-12-03 in Airflow, which writes it anew")


def test_keys_are_made_shown_and_revoked(run, home):
    assert run("keys").out.startswith("no keys yet: `nightfold keys add NAME` makes one, in ")
    made = run("keys", "add", "app", "--pipelines", "shop", "--scopes", "lists,versions", "--json").facts
    assert made["key"].startswith(f"nf_{made['id']}_")
    [line, file] = run("keys").out.splitlines()
    assert file.startswith("in ")
    assert file.endswith("keys.json")
    assert line.split(maxsplit=3)[2:] == ["app", "                 lists, versions of shop".strip()]
    assert made["key"] not in run("keys", "--json").out
    assert run("keys", "revoke", made["id"]).out.startswith(f"{made['id']} of app is revoked")
    assert failed(run("keys", "revoke", made["id"])).endswith("; there are: none")
    for wrong in (("add",), ("revoke",), ("list", "x"), ("drop", "x")):
        assert run("keys", *wrong).code == 2
