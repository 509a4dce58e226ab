"""The lake's map: what is committed counts, all else was never written."""

import json
import os
from concurrent.futures import ThreadPoolExecutor

from nightfold import rollup, schemas
from nightfold.errors import NotCommitted
from nightfold.lake import Lake, Manifest

import pytest
from helpers import job, source, tiny_shop
from pydantic import ValidationError

FIRST, SECOND, THIRD = "2026-01-01", "2026-01-02", "2026-01-03"


def manifest(night: str, fingerprint: str = "x", attempt: str = "1", **more) -> Manifest:
    return Manifest(pipeline="shop", dataset="raw/sales", night=night, attempt=attempt, fingerprint=fingerprint, **more)


def test_an_attempt_counts_from_its_commit_on(home):
    lake = Lake("shop")
    assert lake.place("raw/sales", "1") == "shop/raw/sales/attempts/1"
    (home / "lake/shop/raw/sales/attempts/1").mkdir(parents=True)
    assert lake.find("raw/sales", FIRST) is None
    assert lake.nights("raw/sales") == []
    with pytest.raises(NotCommitted, match=f"night {FIRST}: shop has no committed raw/sales: run the stage"):
        lake.get("raw/sales", FIRST)
    lake.commit(manifest(FIRST), manifest(THIRD))
    assert lake.nights("raw/sales") == [FIRST, THIRD]
    assert lake.get("raw/sales", FIRST).attempt == "1"
    assert list(lake.find_all("raw/sales", [FIRST, SECOND, THIRD])) == [FIRST, THIRD]
    assert lake.get("raw/sales", FIRST).committed_at.endswith("+00:00")


def test_the_later_attempt_counts_whichever_commits_last(home):
    lake = Lake("shop")
    zombie, retry = (lake.begin("raw/sales", FIRST) for _ in range(2))
    lake.commit(manifest(FIRST, attempt=retry))
    lake.commit(manifest(FIRST, attempt=zombie))
    assert lake.find("raw/sales", FIRST).attempt == retry
    assert lake.committed("raw/sales") == {FIRST: [f"{FIRST}.{zombie}.json", f"{FIRST}.{retry}.json"]}


def test_a_job_reads_one_attempt_of_what_lies_before_it_though_a_later_one_commits_meanwhile(home):
    lake = Lake("shop")
    lake.commit(manifest(FIRST, attempt="000001-a"))
    assert lake.get("raw/sales", FIRST).attempt == "000001-a"
    Lake("shop").commit(manifest(FIRST, attempt="000002-b"))
    assert lake.get("raw/sales", FIRST).attempt == "000001-a"
    assert Lake("shop").get("raw/sales", FIRST).attempt == "000002-b"


def test_a_manifest_of_the_first_release_is_the_earliest_attempt(home):
    lake = Lake("shop")
    lake.write_text(f"shop/raw/sales/{FIRST}.json", manifest(FIRST, attempt="20171204T023000-ab").model_dump_json())
    assert lake.find("raw/sales", FIRST).attempt == "20171204T023000-ab"
    lake.commit(manifest(FIRST, attempt="000001-ab"))
    assert lake.find("raw/sales", FIRST).attempt == "000001-ab"


def test_pipelines_do_not_see_each_other(home):
    Lake("shop").commit(manifest(FIRST))
    assert Lake("shop2").find("raw/sales", FIRST) is None
    assert Lake("shop2").nights("raw/sales") == []


def test_many_writers_leave_whole_manifests_and_nothing_else(home):
    lake = Lake("shop")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: lake.commit(manifest(FIRST, attempt=f"{i % 2}", summary="x" * 5000)), range(40)))
    assert lake.get("raw/sales", FIRST).summary == "x" * 5000
    names = sorted(path.name for path in (home / "lake/shop/raw/sales").iterdir())
    assert names == [f"{FIRST}.0.json", f"{FIRST}.1.json"]


def test_a_folder_with_a_space_is_a_folder(home, monkeypatch):
    monkeypatch.setenv("NIGHTFOLD_LAKE", f"file://{home}/my lake%20")
    Lake("shop").commit(manifest(FIRST))
    assert (home / "my lake%20/shop/raw/sales" / f"{FIRST}.1.json").is_file()
    assert Lake("shop").nights("raw/sales") == [FIRST]


def test_a_manifest_of_another_shape_is_not_read_as_one(home):
    Lake("shop").commit(manifest(FIRST))
    path = home / "lake/shop/raw/sales" / f"{FIRST}.1.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "colour": "red"}))
    with pytest.raises(ValidationError, match="colour"):
        Lake("shop").find("raw/sales", FIRST)


def test_attempts_are_numbered_as_they_begin_and_no_two_have_one_name(home):
    lake = Lake("shop")
    first, second = lake.begin("clean", FIRST), lake.begin("clean", SECOND)
    assert [name.split("-")[0] for name in (first, second)] == ["000001", "000002"]
    assert lake.attempts("clean") == [first, second]
    about = json.loads((home / "lake" / "shop/clean/attempts" / second / "_started.json").read_text())
    assert (about["night"], about["pid"]) == (SECOND, os.getpid())
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(lambda _: lake.begin("clean", FIRST), range(40)))) == 40


def test_a_job_announces_its_attempt_when_it_first_writes(home):
    waiting = job("clean", tiny_shop(), FIRST)
    assert waiting.lake.attempts("clean") == []
    assert waiting.place == f"shop/clean/attempts/{waiting.attempt}"
    assert waiting.lake.attempts("clean") == [waiting.attempt]


def test_a_roll_up_names_what_counts_and_its_fingerprint_follows_the_content_only():
    nights = {night: manifest(night, data=f"d/{night}", rows=2) for night in (SECOND, FIRST)}
    nights[THIRD] = manifest(THIRD, rows=0)
    whole = manifest(THIRD, facts=rollup.facts({"sales": nights}))
    assert rollup.rows(whole, "sales") == {FIRST: 2, SECOND: 2, THIRD: 0}
    assert rollup.folders(whole, "sales") == [f"d/{FIRST}", f"d/{SECOND}"]
    assert rollup.folders(whole, "sales", until=FIRST) == [f"d/{FIRST}"]
    assert rollup.folders(whole, "sales", since=SECOND) == [f"d/{SECOND}"]
    before = rollup.fingerprint_of({"sales": nights})
    again = {night: manifest(night, attempt="9") for night in (FIRST, SECOND, THIRD)}
    assert rollup.fingerprint_of({"sales": again}) == before
    assert rollup.fingerprint_of({"sales": {**again, FIRST: manifest(FIRST, "y")}}) != before
    assert rollup.fingerprint_of({"sales": {FIRST: again[FIRST]}}) != before


def test_a_source_is_text_when_raw_typed_when_clean_and_text_when_rejected():
    sales = source("format: csv\npath: x/{ds}\ncolumns: {id: {}, n: {type: integer}, p: {type: 'decimal(6,2)'}}\n")
    assert schemas.raw(sales) == schemas.rejected(sales)
    assert schemas.raw(sales) == dict.fromkeys(["id", "n", "p", "_malformed", "_reason", "night"], "string")
    assert schemas.clean(sales) == {"id": "string", "n": "bigint", "p": "decimal(6,2)", "night": "string"}
    assert schemas.differences({"a": "int", "b": "int"}, {"b": "string", "c": "int"}) == [
        "missing a int",
        "unexpected c int",
        "b is string, not int",
    ]
