"""clean on a tiny shop: every row is accounted for, and only what is new is cleaned."""

import json
from pathlib import Path

import spark_jobs.clean as clean
import spark_jobs.ingest as ingest
from nightfold import intake, rollup
from nightfold.errors import BadInput, TooManyRejects
from nightfold.lake import Lake
from nightfold.spark import layers, tables

import pytest
from helpers import job, land, run, tiny_shop

HEAD = "client,article,ticket,pieces,sold_at"
FIRST, SECOND, THIRD = "2026-01-01", "2026-01-02", "2026-01-03"
MIXED = [
    HEAD,
    f"007,0042,t1,1,{FIRST} 10:00:00",
    f"007,0042,t1,3,{FIRST} 10:00:00",
    f"007,0043,t1,-1,{FIRST} 10:00:00",
    f",0043,t1,1,{FIRST} 10:00:00",
    f"007,0044,t2,1.5,{FIRST} 10:00:00",
    "008,0042",
    f"008,0042,t3,1,{FIRST} 23:30:00",
]
PER_TICKET = {"duplicates": {"key": ["ticket", "article"], "by": "sold_at"}}
GOODS = {
    "format": "jsonl",
    "path": "shop/goods/{ds}.jsonl",
    "columns": {"id": {"type": "string", "required": True}},
}


def both(pipeline, night: str) -> str:
    run(ingest, pipeline, night)
    return run(clean, pipeline, night)


def rows(spark, layer: str, night: str) -> list[dict]:
    lake = Lake("shop")
    data = lake.get(f"{layer}/sales", night).data
    found = [row.asDict() for row in spark.read.parquet(lake.spark_path(data)).collect()] if data else []
    return sorted(found, key=lambda row: str(list(row.values())))


def test_every_row_is_clean_rejected_with_its_text_and_reason_or_a_duplicate(spark, home):
    land(home, f"shop/sales/{FIRST}.csv", MIXED)
    pipeline = tiny_shop({"timezone": "Europe/Berlin", "sources": {"sales": {**PER_TICKET, "max_rejected": 0.6}}})
    assert both(pipeline, FIRST) == "2 rows cleaned, 4 rejected, 1 duplicates"
    lake = Lake("shop")
    counted = {layer: lake.get(f"{layer}/sales", FIRST) for layer in ("clean", "rejected")}
    assert {layer: m.rows for layer, m in counted.items()} == {"clean": 2, "rejected": 4}
    assert lake.get("raw/sales", FIRST).rows == 2 + 4 + 1
    good = rows(spark, "clean", FIRST)
    assert [(row["client"], row["article"], row["pieces"], row["night"]) for row in good] == [
        ("007", "0042", 3, FIRST),
        ("008", "0042", 1, FIRST),
    ]
    assert good[1]["sold_at"].timestamp() == 1767306600, "23:30 in Berlin is 22:30 UTC"
    refused = rows(spark, "rejected", FIRST)
    assert sorted((row["_reason"], row["article"], row["pieces"], row["_malformed"]) for row in refused) == [
        ("client: missing", "0043", "1", None),
        ("malformed: not 5 fields", "0042", None, "008,0042"),
        ("pieces: below 0", "0043", "-1", None),
        ("pieces: not integer", "0044", "1.5", None),
    ]


def test_too_many_rejects_stop_the_night_with_counts_and_the_place_of_the_rows(spark, home):
    land(home, f"shop/sales/{FIRST}.csv", MIXED)
    with pytest.raises(TooManyRejects) as stop:
        both(tiny_shop({"sources": {"sales": {"max_rejected": 0.5}}}), FIRST)
    words = str(stop.value)
    assert words.startswith(
        f"sales, night {FIRST}: 4 of 7 rows refused, more than max_rejected 0.5: "
        f"client: missing 1, malformed: not 5 fields 1, pieces: below 0 1, pieces: not integer 1; they are in file://{home}/lake/shop/"
    )
    place = words.split("they are in ")[1].split(": have")[0]
    assert spark.read.parquet(place).count() == 4
    assert Lake("shop").nights("clean/sales") == Lake("shop").nights("clean") == []


def test_a_second_run_does_nothing_and_only_a_night_whose_raw_changed_is_cleaned_again(spark, home, monkeypatch):
    for night in (FIRST, SECOND):
        land(home, f"shop/sales/{night}.csv", [HEAD, f"007,0042,t1,1,{night} 10:00:00"])
    both(tiny_shop(), SECOND)
    before = {night: Lake("shop").get("clean/sales", night) for night in (FIRST, SECOND)}
    with monkeypatch.context() as none:
        none.setattr("nightfold.spark.job.open_session", lambda *_, **__: pytest.fail("Spark was started"))
        assert both(tiny_shop(), SECOND).endswith("reused)")
    land(home, f"shop/sales/{FIRST}.csv", [HEAD, f"008,0042,t1,1,{FIRST} 10:00:00"])
    assert both(tiny_shop(), SECOND) == "1 rows cleaned, 0 rejected, 0 duplicates"
    after = {night: Lake("shop").get("clean/sales", night) for night in (FIRST, SECOND)}
    assert after[SECOND] == before[SECOND]
    assert after[FIRST].attempt != before[FIRST].attempt
    assert [row["client"] for row in rows(spark, "clean", FIRST)] == ["008"]
    assert rollup.rows(Lake("shop").get("clean", SECOND), "sales") == {FIRST: 1, SECOND: 1}
    run(clean, tiny_shop({"timezone": "Asia/Tokyo"}), SECOND)
    assert Lake("shop").get("clean/sales", SECOND).attempt != before[SECOND].attempt, "times are others in another zone"


@pytest.mark.parametrize(("missing", "kept", "refused"), [("refuse", 1, 1), ("keep", 2, 0)])
def test_a_reference_refuses_or_keeps_by_rule(spark, home, missing, kept, refused):
    refers = {"references": [{"column": "article", "to": "goods.id", "missing": missing}]}
    pipeline = tiny_shop({"sources": {"sales": refers, "goods": GOODS}})
    land(home, f"shop/goods/{FIRST}.jsonl", [json.dumps({"id": "0042"})])
    land(home, f"shop/sales/{FIRST}.csv", [HEAD, *(f"007,{article},t1,1,{FIRST} 10:00:00" for article in ("0042", "42"))])
    assert both(pipeline, FIRST) == f"{kept + 1} rows cleaned, {refused} rejected, 0 duplicates"
    assert [row["_reason"] for row in rows(spark, "rejected", FIRST)] == ["article: not in goods.id"] * refused


@pytest.mark.parametrize("delivery", ["nightly", "snapshot"])
def test_what_was_refused_follows_when_what_it_refers_to_is_mended(spark, home, delivery):
    refers = {"references": [{"column": "article", "to": "goods.id", "missing": "refuse"}], "max_rejected": 0.5}
    goods = GOODS if delivery == "nightly" else {**GOODS, "path": "shop/goods.jsonl", "delivery": "snapshot"}
    pipeline = tiny_shop({"sources": {"sales": refers, "goods": goods}})
    articles = lambda *ids: land(home, f"shop/{place}.jsonl", [json.dumps({"id": each}) for each in ids])  # noqa: E731
    for night in (FIRST, SECOND):
        place = f"goods/{night}" if delivery == "nightly" else "goods"
        articles("0042")
        land(home, f"shop/sales/{night}.csv", [HEAD, *(f"007,{article},t1,1,{night} 10:00:00" for article in ("0042", "0043"))])
        assert both(pipeline, night) == "2 rows cleaned, 1 rejected, 0 duplicates"
    articles("0042", "0043")
    intake.ask_again(Lake("shop"), "goods", SECOND)
    assert both(pipeline, SECOND) == "4 rows cleaned, 0 rejected, 0 duplicates"
    assert Lake("shop").get("rejected/sales", SECOND).rows == 0
    assert rollup.rows(Lake("shop").get("clean", SECOND), "sales") == {FIRST: 1, SECOND: 2}, "each by its own night's"
    assert both(pipeline, SECOND).endswith("reused)")


def test_an_accepted_empty_night_is_clean_and_empty(spark, home):
    pipeline = tiny_shop({"sources": {"sales": {"empty": "accept"}}})
    land(home, f"shop/sales/{FIRST}.csv", [HEAD])
    assert both(pipeline, FIRST) == "0 rows cleaned, 0 rejected, 0 duplicates"
    assert rollup.rows(Lake("shop").get("clean", FIRST), "sales") == {FIRST: 0}


def test_rows_that_got_lost_on_the_way_stop_the_night():
    sales = tiny_shop().sources["sales"]
    with pytest.raises(clean.RowsLost, match="sales, night 2026-01-01: 3 rows in, 2 out"):
        clean.check("sales", sales, FIRST, rows=3, by_reason={"good": 1, "duplicate": 1}, where="there")


def test_more_nights_than_partitions_are_cleaned_alike(spark, home):
    nights = [f"2026-01-0{day}" for day in range(1, 7)]
    for night in nights:
        land(home, f"shop/sales/{night}.csv", [HEAD, f"007,0042,t1,1,{night} 10:00:00", f"007,0042,t1,2,{night} 10:00:00"])
    pipeline = tiny_shop({"sources": {"sales": PER_TICKET}})
    assert both(pipeline, nights[-1]) == "6 rows cleaned, 0 rejected, 6 duplicates"
    wanted = clean.plan(job("clean", pipeline, nights[-1]), "sales", Lake("shop").get("ingest", nights[-1]), {})
    assert (list(wanted.kept), wanted.entries, wanted.prints) == (nights, {}, {})


def test_without_its_raw_rows_a_night_stays_as_older_rules_cleaned_it(spark, home):
    for night in (FIRST, SECOND):
        land(home, f"shop/sales/{night}.csv", [HEAD, f"007,0042,t1,1,{night} 10:00:00"])
    both(tiny_shop(), SECOND)
    lake = Lake("shop")
    lake.fs.delete_dir(lake.local_path(lake.get("raw/sales", FIRST).data))  # as maintenance does
    stricter = tiny_shop({"sources": {"sales": {"columns": {"pieces": {"min": 1}}}}})
    assert both(stricter, SECOND) == (
        "1 rows cleaned, 0 rejected, 0 duplicates; "
        "nights that stay as older rules cleaned them: 1 (retention.raw_days: their raw rows are gone)"
    )
    assert rollup.rows(Lake("shop").get("clean", SECOND), "sales") == {FIRST: 1, SECOND: 1}
    [manifest] = list(Path(lake.local_path("shop/clean/sales")).glob(f"{FIRST}*.json"))
    manifest.unlink()
    with pytest.raises(
        BadInput, match=f"sales, night {FIRST}: its raw rows are gone .* `nightfold retake shop sales --ds {FIRST}`"
    ):
        both(stricter, SECOND)
    intake.ask_again(lake, "sales", FIRST)
    assert both(stricter, SECOND) == "1 rows cleaned, 0 rejected, 0 duplicates"


def test_all_nights_that_must_be_landed_again_are_named_at_once(spark, home):
    nights = [f"2026-01-{day:02}" for day in range(1, 14)]
    for night in nights:
        land(home, f"shop/sales/{night}.csv", [HEAD, f"007,0042,t1,1,{night} 10:00:00"])
    pipeline, lake = tiny_shop(), Lake("shop")
    run(ingest, pipeline, nights[-1])
    taken = lake.get("ingest", nights[-1])
    for night in nights:
        lake.fs.delete_dir(lake.local_path(lake.get("raw/sales", night).data))
    with pytest.raises(
        BadInput, match=f"--ds {nights[0]}`; the same for {', '.join(nights[1:10])} and 3 more nights, and run ingest"
    ):
        clean.plan(job("clean", pipeline, nights[-1]), "sales", taken, {})


WIDER = tiny_shop({"sources": {"sales": {"columns": {"shop": {"optional": True}}}}})


@pytest.fixture
def two_old_nights_and_a_wider_one(home):
    """FIRST and SECOND are clean and their deliveries cleared away; THIRD is landed with one column more."""
    for night in (FIRST, SECOND):
        land(home, f"shop/sales/{night}.csv", [HEAD, f"007,0042,t1,1,{night} 10:00:00"])
    both(tiny_shop(), SECOND)
    for night in (FIRST, SECOND):
        (home / f"landing/shop/sales/{night}.csv").unlink()
    land(home, f"shop/sales/{THIRD}.csv", [f"{HEAD},shop", f"007,0042,t1,1,{THIRD} 10:00:00,s1"])


@pytest.mark.usefixtures("two_old_nights_and_a_wider_one")
@pytest.mark.parametrize("raw_rows", ["kept", "gone"])
def test_nights_from_before_a_column_was_declared_know_nothing_of_it(spark, raw_rows):
    lake = Lake("shop")
    for night in (FIRST, SECOND) if raw_rows == "gone" else ():
        lake.fs.delete_dir(lake.local_path(lake.get("raw/sales", night).data))  # as maintenance does
    assert both(WIDER, THIRD).startswith(f"{3 if raw_rows == 'kept' else 1} rows cleaned, 0 rejected, 0 duplicates")
    found = layers.clean(spark, job("features", WIDER, THIRD), "sales")
    assert found.columns == [*WIDER.sources["sales"].columns, "night"]
    assert {(row["night"], row["client"], row["shop"]) for row in found.collect()} == {
        (FIRST, "007", None),
        (SECOND, "007", None),
        (THIRD, "007", "s1"),
    }
    run(ingest, tiny_shop({"sources": {"sales": {"extra_columns": "ignore"}}}), THIRD)
    narrow = layers.clean(spark, job("features", tiny_shop(), THIRD), "sales")
    assert (narrow.columns, narrow.count()) == ([*tiny_shop().sources["sales"].columns, "night"], 3), "it is taken out again"


@pytest.mark.usefixtures("two_old_nights_and_a_wider_one")
def test_a_required_column_that_clean_nights_lack_is_refused_with_the_nights_and_the_mend(spark):
    lake = Lake("shop")
    for night in (FIRST, SECOND):
        lake.fs.delete_dir(lake.local_path(lake.get("raw/sales", night).data))
    strict = tiny_shop({"sources": {"sales": {"columns": {"shop": {"optional": True, "required": True}}}}})
    both(strict, THIRD)
    with pytest.raises(tables.SchemaMismatch) as stop:
        layers.clean(spark, job("features", strict, THIRD), "sales")
    assert str(stop.value) == (
        f"clean/sales: nights {FIRST}, {SECOND} lack shop, which is required: declare it without `required: true`, or have the deliveries "
        "of such nights landed, then `nightfold retake shop sales --ds NIGHT`, and run ingest"
    )
