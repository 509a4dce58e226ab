"""The fault table's own judgement: what it calls mixed, wrong, red, lost. The faults themselves are tests/e2e/test_faults.py."""

import json

from benchmarks.faults import state, table
from benchmarks.faults.__main__ import main
from benchmarks.faults.judging import contents, trouble
from benchmarks.faults.reader import DEGRADED, Seen
from benchmarks.faults.registry import FAULTS
from benchmarks.faults.stand import NotInTime, first_words, until
from nightfold.lake import Lake, Manifest
from nightfold.stages import FLOW

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

MILK, BREAD, POPULAR = ([{"id": name, "score": 1.0, "why": ""}] for name in ("milk", "bread", "popular"))


def answer(key: str, version: str, items: list, source: str = "model") -> dict:
    return {"key": key, "version": version, "items": items, "source": source}


OLD = [answer("anna", "v1", MILK), answer("ben", "v1", BREAD), answer("nobody", "v1", POPULAR, "fallback")]
NEW = [answer("anna", "v2", BREAD), answer("nobody", "v2", MILK, "fallback")]
KNOWN = {"v1": contents(OLD), "v2": contents(NEW)}


def found(answers: list[dict], before: str | None = None) -> list[str]:
    return trouble(answers, KNOWN, before=before, order=["v1", "v2"])


def test_answers_that_are_what_their_version_holds_are_right():
    assert found(OLD) == []
    assert found(NEW, before="v1") == []
    assert found([answer("ben", "v2", MILK, "fallback")]) == [], "ben is not in v2"


def test_one_request_answered_from_two_versions_is_mixed():
    assert found([OLD[0], NEW[0]]) == ["mixed: one request was answered from v1 and v2"]


def test_a_list_of_another_version_an_unknown_version_a_fallback_for_somebody_known_and_a_step_back_are_wrong():
    assert found([answer("anna", "v2", MILK)]) == ["wrong: anna is not as v2 holds it"]
    assert found([answer("anna", "v3", MILK)]) == ["wrong: anna was answered from v3, which nobody has made"]
    assert found([answer("anna", "v1", POPULAR, "fallback")]) == ["wrong: anna of v1 was answered by the fallback"]
    assert found([answer("nobody", "v1", POPULAR, "model")]) == ["wrong: nobody of v1 was answered by the model"]
    assert found([OLD[0]], before="v2") == ["stale: v1 after v2"]


def test_only_what_was_asked_while_the_store_was_up_counts_as_a_readers_failure():
    failures = [(9.0, 9.9, "early"), (9.9, 10.1, "in flight"), (10.5, 10.6, "meanwhile"), (20.0, 20.1, "late")]
    seen = Seen(failures=failures, live=[(1.0, "v1"), (21.5, "v2"), (22.0, "v1")])
    assert seen.failures_outside([(10.0, 12.0)]) == ["early", "late"]
    assert (seen.first_seen("v2"), seen.first_seen("v3")) == (21.5, None)


def test_that_a_reader_asks_the_store_once_a_second_after_it_was_gone_is_no_failure():
    moments = (9.9, 11.0, 12.9, 13.1)
    degraded = Seen(failures=[(at, at + 0.001, DEGRADED) for at in moments])
    assert degraded.failures_outside([(10.0, 12.0)]) == [DEGRADED, DEGRADED], "that of 9.9 and that of 13.1"
    assert Seen(failures=[(12.9, 13.0, "no answer")]).failures_outside([(10.0, 12.0)]) == ["no answer"]


def test_the_operator_is_told_by_the_first_words_outside_the_folded_output():
    log = ["::group::What spark-submit says", "nightfold: publish failed: inside", "::endgroup::", "starting"]
    assert first_words(log) is None
    assert first_words([*log, "x nightfold: publish failed: night 2017-01-21: why: mend", "nightfold: publish failed: later"]) == (
        "nightfold: publish failed: night 2017-01-21: why: mend"
    )


def test_what_reads_a_stage_is_run_again_with_it():
    assert state.downstream("score") == ["score", "publish", "promote"]
    assert state.downstream("evaluate") == ["evaluate", "score", "publish", "promote"]  # or publish begins beside it
    assert state.downstream("clean") == ["clean", "profile", "features", "train", "evaluate", "score", "publish", "promote"]
    assert state.downstream("profile") == ["profile", "publish", "promote"]  # so that there is something to see


def test_the_order_of_stages_here_is_that_of_the_flow():
    assert {name for name in state.NEEDS if name != "promote"} | {"ingest"} == {stage.name for stage in FLOW if stage.spark}
    for stage in FLOW:
        made_by = {other.dataset: other.name for other in FLOW}
        reads = {made_by[dataset] for dataset in stage.reads}
        assert all(stage.name in state.downstream(name) for name in reads), stage.name


def test_the_lake_is_put_back_without_what_a_stage_and_those_after_it_have_committed(tmp_path):
    lake, copy = tmp_path / "lake", tmp_path / "copy"
    files = [
        f"faults/{layer}/{night}.000001-aa.json"
        for layer in ("raw/sales", "clean/sales", "clean")
        for night in ("2017-01-20", "2017-01-21")
    ]
    for name in [*files, "faults/clean/attempts/000001-aa/2017-01-21.json"]:
        (lake / name).parent.mkdir(parents=True, exist_ok=True)
        (lake / name).write_text("{}")
    state.keep_lake(lake, copy)
    (lake / "faults" / "leftover").write_text("of a fault")
    state.put_lake_back(lake, copy, night="2017-01-21", without=["clean"])
    left = {str(path.relative_to(lake)) for path in lake.rglob("*") if path.is_file()}
    gone = {"faults/clean/sales/2017-01-21.000001-aa.json", "faults/clean/2017-01-21.000001-aa.json"}
    assert left == {*files, "faults/clean/attempts/000001-aa/2017-01-21.json"} - gone


def test_rows_are_counted_in_the_data_and_what_is_missing_is_lost(home):
    lake, rows = Lake("faults"), {"raw": 5, "clean": 3, "rejected": 1}
    for layer, count in rows.items():
        folder = f"faults/{layer}/sales/attempts/000001-aa"
        lake.fs.create_dir(lake.local_path(folder), recursive=True)
        pq.write_table(pa.table({"n": list(range(count))}), f"{lake.local_path(folder)}/part-0.parquet")
        facts = {"by_reason": {"good": 3, "duplicate": 1, "malformed": 1}}
        place = {"night": "2017-01-21", "attempt": "000001-aa", "fingerprint": "f", "pipeline": "faults"}
        lake.commit(Manifest(dataset=f"{layer}/sales", data=folder, rows=count, facts=facts, **place))
        if layer in ("raw", "clean"):
            nights = {"sales": {"2017-01-21": {"fingerprint": "f", "data": folder, "rows": count}}}
            dataset = {"raw": "ingest", "clean": "clean"}[layer]
            lake.commit(Manifest(dataset=dataset, facts={"sources": nights}, **place))
    counted = state.rows_of(lake, "2017-01-21", landed=5)
    assert counted == state.Rows(landed=5, raw=5, clean=3, rejected=1, duplicates=1)
    assert counted.lost == 0
    assert state.rows_of(lake, "2017-01-21", landed=7).lost == 2


def test_a_red_cell_is_marked_with_its_reason_and_counted():
    good = table.Row(name="a", fault="kill a", requests=1200, told="why \x1b| mend", rows=1500, rows_lost=0, seconds=12.4)
    bad = table.Row(name="b", fault="kill b", end="v3 live", rows=10, rows_lost=2)
    bad.blame("end", "v2 was expected")
    bad.blame("rows lost", "of 10")
    skipped = table.Row(name="c", fault="fill the disk", not_run="needs root")
    page = table.markdown([good, bad, skipped], machine="2 cores", command="make bench-faults")
    assert "**1 of 3 faults have a red cell: b.** Not run here: c." in page
    assert (
        "| kill a |  | 1,200 requests: 0 failed while the store was up; 0 mixed, 0 wrong | `why \\x1b\\| mend` |  |  |  | 0 of 1,500 | 12 |"
        in page
    )
    assert "**RED** (v2 was expected) v3 live | **RED** (of 10) 2 of 10" in page
    assert "not run here: needs root" in page
    assert [table.as_json(row)["red"] for row in (good, bad, skipped)] == [False, True, False]
    assert [table.from_json(table.as_json(row)) for row in (good, bad)] == [good, bad]


def test_waiting_ends_with_what_was_waited_for():
    with pytest.raises(NotInTime, match="no dawn after 0 s"):
        until(lambda: None, what="dawn", limit=0.0)


def test_every_fault_that_the_night_must_hold_has_a_row(capsys):
    assert main(["--list"]) == 0
    listed = {line.split()[0] for line in capsys.readouterr().out.splitlines()}
    stages = {f"kill-{stage.name}" for stage in FLOW if stage.spark}
    servers = {"kill-scheduler", "kill-api", "kill-valkey", "kill-postgres", "valkey-full", "disk-full", "database-down"}
    inputs = {"csv-garbage", "csv-cut", "csv-column", "day-empty", "day-missing", "two-runs", "clock-back"}
    assert stages | servers | inputs | {"kill-publish-python"} <= listed == set(FAULTS)


def test_a_reader_writes_its_counts_last(valkey_server, monkeypatch):
    import io
    import threading

    from benchmarks.faults.reader import read
    from nightfold.store import store_at
    from nightfold.store.base import VersionManifest
    from nightfold.store.records import encode

    valkey_server.client.flushall()
    monkeypatch.setenv("AIRFLOW_CONN_KV_DEFAULT", valkey_server.uri)
    store = store_at(valkey_server.uri)
    store.announce("shop", "v1", "000001-aa")
    store.write("shop", "v1", "000001-aa", {"anna": encode([("milk", 1.0, "")]), "ben": encode([("milk", 1.0, "")])})
    store.write_fallback("shop", "v1", "000001-aa", encode([("popular", 1.0, "")]))
    manifest = {"night": "2017-01-20", "published_at": "2017-12-04T02:41:07+00:00", "keys": 2, "checksum": "0", "model": "m"}
    store.seal(VersionManifest(pipeline="shop", version="v1", attempt="000001-aa", **manifest))
    store.promote("shop", "v1", store.begin("shop"), 3)
    known = {"v1": contents([*OLD[:1], answer("ben", "v1", BREAD), OLD[2]])}
    until_set, out = threading.Event(), io.StringIO()
    monkeypatch.setattr("benchmarks.faults.reader.BATCH", 2)
    thread = threading.Thread(target=read, args=("shop", known, ["v1"]), kwargs={"until": until_set, "out": out})
    thread.start()
    until(lambda: "wrong" in out.getvalue(), what="wrong list", limit=30.0, every=0.01)
    until_set.set()
    thread.join(30)
    first, *_, last = (json.loads(line) for line in out.getvalue().splitlines())
    assert set(last) == {"requests", "slowest"}
    assert last["requests"] >= 1
    wrong = [json.loads(line).get("wrong") for line in out.getvalue().splitlines()]
    assert {words for words in wrong if words} == {"wrong: ben is not as v1 holds it"}, "ben has milk, not bread"
    assert first.keys() in ({"at", "live"}, {"at", "wrong"})
