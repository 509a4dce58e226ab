"""ingest on a tiny shop: every night up to `ds` that raw lacks, once, and none after it."""

import os
import sqlite3

import spark_jobs.ingest as ingest
from nightfold import intake, rollup
from nightfold.errors import BadInput, NotCommitted
from nightfold.lake import Lake
from nightfold.spark import databases

import pytest
from helpers import land, run, tiny_shop

HEAD = "client,article,ticket,pieces,sold_at\n"
FIRST, SECOND, THIRD, FOURTH = "2026-01-01", "2026-01-02", "2026-01-03", "2026-01-04"


@pytest.fixture
def no_spark(monkeypatch):
    """From now on, whoever opens a Spark session fails."""

    def refuse() -> None:
        monkeypatch.setattr("nightfold.spark.job.open_session", lambda *_, **__: pytest.fail("Spark was started"))

    return refuse


def sale(night: str, client: str = "007") -> str:
    return f"{HEAD}{client},0042,t1,1,{night} 10:00:00\n"


def deliver(home, *nights: str) -> None:
    for night in nights:
        land(home, f"shop/sales/{night}.csv", sale(night))


def rows(spark, night: str, name: str = "sales") -> dict[str, list[tuple]]:
    """What raw holds for a run, by night."""
    lake = Lake("shop")
    entries = lake.get("ingest", night).facts["sources"][name]
    return {
        n: sorted(tuple(r) for r in spark.read.parquet(lake.spark_path(e["data"])).collect()) if e["data"] else []
        for n, e in entries.items()
    }


def test_ids_keep_their_zeros_and_every_night_up_to_ds_is_taken_and_none_after(spark, home, no_spark):
    deliver(home, FIRST, SECOND, THIRD)
    assert run(ingest, tiny_shop(), SECOND) == f"2 deliveries taken, 2 rows up to {SECOND} (sales 2)"
    assert rows(spark, SECOND) == {
        FIRST: [("007", "0042", "t1", "1", f"{FIRST} 10:00:00", None, None, FIRST)],
        SECOND: [("007", "0042", "t1", "1", f"{SECOND} 10:00:00", None, None, SECOND)],
    }
    assert Lake("shop").nights("raw/sales") == [FIRST, SECOND]
    no_spark()
    again = run(ingest, tiny_shop(), SECOND)
    assert again == f"2 deliveries taken, 2 rows up to {SECOND} (sales 2) (committed before from the same inputs; reused)"


def test_what_lands_later_changes_nothing_of_an_earlier_night(spark, home):
    deliver(home, FIRST, SECOND)
    run(ingest, tiny_shop(), FIRST)
    alone = Lake("shop").get("ingest", FIRST)
    run(ingest, tiny_shop(), SECOND)
    os.rename(home / "lake", home / "another")
    deliver(home, THIRD)
    run(ingest, tiny_shop(), THIRD)
    run(ingest, tiny_shop(), FIRST)
    after = Lake("shop").get("ingest", FIRST)
    assert after.fingerprint == alone.fingerprint
    assert rollup.rows(after, "sales") == {FIRST: 1}


def test_a_delivery_that_has_changed_is_taken_again_and_it_alone(spark, home):
    deliver(home, FIRST, SECOND)
    run(ingest, tiny_shop(), SECOND)
    before = Lake("shop").find_all("raw/sales", [FIRST, SECOND])
    os.utime(home / "landing/shop/sales" / f"{SECOND}.csv")  # another time, the same content
    land(home, f"shop/sales/{FIRST}.csv", sale(FIRST, "008"))
    said = run(ingest, tiny_shop(), SECOND)
    assert said.startswith("1 deliveries taken")
    assert said.endswith(f"; sales of {FIRST} changed after it was taken, and was taken again")
    assert changes_of(SECOND) == [("sales", FIRST, "changed", "taken")]
    after = Lake("shop").find_all("raw/sales", [FIRST, SECOND])
    assert after[SECOND] == before[SECOND]
    assert after[FIRST].attempt != before[FIRST].attempt
    assert [row[0] for row in rows(spark, SECOND)[FIRST]] == ["008"]


def test_a_delivery_that_has_left_the_landing_place_stays_in_raw(spark, home):
    deliver(home, FIRST, SECOND)
    run(ingest, tiny_shop(), FIRST)
    (home / "landing/shop/sales" / f"{FIRST}.csv").unlink()
    run(ingest, tiny_shop(), SECOND)
    assert rollup.rows(Lake("shop").get("ingest", SECOND), "sales") == {FIRST: 1, SECOND: 1}
    assert changes_of(SECOND) == [], "old deliveries are cleared away, the oldest first"
    deliver(home, THIRD)
    run(ingest, tiny_shop(), THIRD)
    (home / "landing/shop/sales" / f"{THIRD}.csv").unlink()
    deliver(home, FOURTH)
    run(ingest, tiny_shop(), FOURTH)
    assert rollup.rows(Lake("shop").get("ingest", FOURTH), "sales") == {FIRST: 1, SECOND: 1, THIRD: 1, FOURTH: 1}
    assert changes_of(FOURTH) == [("sales", THIRD, "gone", "kept")]


@pytest.mark.parametrize("between", [True, False])
def test_an_old_delivery_that_lies_there_once_more_does_not_make_those_after_it_gone(spark, home, between):
    refusing = tiny_shop({"sources": {"sales": {"gone": "refuse", "changed": "refuse"}}})
    place = home / "landing/shop/sales"
    deliver(home, FIRST, SECOND, THIRD)
    run(ingest, refusing, THIRD)
    for night in (FIRST, SECOND):
        (place / f"{night}.csv").unlink()
    if between:  # a run has seen that they were cleared away
        deliver(home, FOURTH)
        run(ingest, refusing, FOURTH)
    ds = "2026-01-05"
    deliver(home, ds)
    land(home, f"shop/sales/{FIRST}.csv", sale(FIRST, "008"))
    intake.ask_again(Lake("shop"), "sales", FIRST)
    run(ingest, refusing, ds)
    assert changes_of(ds) == [("sales", FIRST, "changed", "taken")]
    (place / f"{THIRD}.csv").unlink()  # clearing goes on; the old one still lies there
    deliver(home, "2026-01-06")
    run(ingest, refusing, "2026-01-06")
    assert changes_of("2026-01-06") == []


def test_a_late_delivery_that_its_own_night_takes_is_said_where_a_later_night_was_taken_without_it(spark, home):
    deliver(home, FIRST, THIRD)
    run(ingest, tiny_shop(), FIRST)
    with pytest.raises(BadInput, match=f"no delivery for night {SECOND}"):
        run(ingest, tiny_shop(), SECOND)
    run(ingest, tiny_shop(), THIRD)
    deliver(home, SECOND)
    assert run(ingest, tiny_shop(), SECOND).endswith(f"; sales of {SECOND} came late, and was taken")
    assert Lake("shop").get("raw/sales", SECOND).facts["change"]["by"] == SECOND


def test_a_delivery_that_comes_late_is_taken_and_said(spark, home):
    deliver(home, FIRST)
    run(ingest, tiny_shop(), FIRST)
    assert changes_of(FIRST) == []
    closed = tiny_shop({"sources": {"sales": {"closed": [SECOND]}}})
    run(ingest, closed, SECOND)
    deliver(home, THIRD)
    run(ingest, closed, THIRD)
    deliver(home, SECOND)
    assert run(ingest, closed, THIRD).endswith(f"; sales of {SECOND} came late, and was taken")
    assert changes_of(THIRD) == [("sales", SECOND, "late", "taken")]
    assert rollup.rows(Lake("shop").get("ingest", THIRD), "sales") == {FIRST: 1, SECOND: 1, THIRD: 1}


def test_a_change_is_kept_out_or_stops_the_night_where_the_pipeline_says_so(spark, home):
    deliver(home, FIRST, SECOND)
    keeping, refusing = (tiny_shop({"sources": {"sales": {"changed": rule}}}) for rule in ("keep", "refuse"))
    run(ingest, keeping, SECOND)
    land(home, f"shop/sales/{FIRST}.csv", sale(FIRST, "008"))
    deliver(home, THIRD)
    assert run(ingest, keeping, THIRD).endswith(f"; sales of {FIRST} has changed since it was taken: what was taken is kept")
    assert changes_of(THIRD) == [("sales", FIRST, "changed", "kept")]
    assert [row[0] for row in rows(spark, THIRD)[FIRST]] == ["007"]
    with pytest.raises(
        BadInput,
        match=f"{FIRST}.csv: night {FIRST} has changed after it was taken, and sources.sales.changed is refuse: "
        f"have the first delivery restored, or take this one: `nightfold retake shop sales --ds {FIRST}`",
    ):
        run(ingest, refusing, THIRD)


def test_a_delivery_that_is_gone_stops_the_night_where_the_pipeline_says_so(spark, home):
    deliver(home, FIRST, SECOND)
    run(ingest, tiny_shop(), SECOND)
    (home / "landing/shop/sales" / f"{SECOND}.csv").unlink()
    deliver(home, THIRD)
    with pytest.raises(BadInput, match=f"{SECOND}.csv: night {SECOND} was taken and is gone now, and sources.sales.gone is refuse"):
        run(ingest, tiny_shop({"sources": {"sales": {"gone": "refuse"}}}), THIRD)


def test_the_last_nights_of_a_table_are_read_again_and_compared(spark, home, monkeypatch):
    base = home / "shop.db"
    monkeypatch.setenv("AIRFLOW_CONN_SHOP_DB", f"sqlite:///{base}")
    table = {"format": "table", "connection": "shop_db", "table": "sales", "night_column": "sold_at", "look_back": 1, "path": None}
    pipeline = tiny_shop({"sources": {"sales": table}, "schedule": {"start": FIRST}})

    def sold(*sales: tuple[str, str]) -> None:
        with sqlite3.connect(base) as database:
            database.execute("DROP TABLE IF EXISTS sales")
            database.execute("CREATE TABLE sales (client TEXT, article TEXT, ticket TEXT, pieces INTEGER, sold_at TEXT)")
            database.executemany("INSERT INTO sales VALUES (?, 'x', '1', 1, ?)", [(who, f"{day} 10:00:00") for who, day in sales])

    sold(("007", FIRST), ("007", SECOND))
    run(ingest, pipeline, SECOND)
    sold(("008", FIRST), ("008", SECOND), ("007", THIRD))
    run(ingest, pipeline, THIRD)
    assert changes_of(THIRD) == [("sales", SECOND, "changed", "taken")], "only the one night before is read again"
    assert {night: found[0][0] for night, found in rows(spark, THIRD).items()} == {FIRST: "007", SECOND: "008", THIRD: "007"}
    run(ingest, pipeline, THIRD)
    assert changes_of(THIRD) == [("sales", SECOND, "changed", "taken")], "what was noticed stays in that night's manifest"


def test_nights_that_have_left_a_table_stay_as_they_were_taken_when_it_is_to_be_read_otherwise(spark, home, monkeypatch):
    base = home / "shop.db"
    monkeypatch.setenv("AIRFLOW_CONN_SHOP_DB", f"sqlite:///{base}")
    table = {"format": "table", "connection": "shop_db", "table": "sales", "night_column": "sold_at", "path": None}
    changed = {**table, "extra_columns": "ignore"}
    of = lambda source: tiny_shop({"sources": {"sales": source}, "schedule": {"start": FIRST}})  # noqa: E731
    with sqlite3.connect(base) as database:
        database.execute("CREATE TABLE sales (client TEXT, article TEXT, ticket TEXT, pieces INTEGER, sold_at TEXT)")
        sales = [(who, f"{day} 10:00:00") for who, day in (("007", FIRST), ("007", SECOND), ("008", THIRD))]
        database.executemany("INSERT INTO sales VALUES (?, 'x', '1', 1, ?)", sales)
    run(ingest, of(table), SECOND)
    with sqlite3.connect(base) as database:  # the shop keeps two days
        database.execute("DELETE FROM sales WHERE sold_at < ?", [SECOND])
    with pytest.raises(BadInput, match=f"table sales: night {FIRST} was taken and is gone now, and sources.sales.gone is refuse"):
        run(ingest, of({**changed, "gone": "refuse"}), THIRD)
    said = run(ingest, of(changed), THIRD)
    assert said.startswith(
        f"2 deliveries taken, 3 rows up to {THIRD} (sales 3); sales of {FIRST} is no longer delivered: what was taken"
    )
    assert [row[0] for row in rows(spark, THIRD)[FIRST]] == ["007"]
    monkeypatch.setattr(databases, "table", lambda *given, **named: pytest.fail("it is looked for every night"))
    assert "0 deliveries taken, 3 rows" in run(ingest, of(changed), THIRD)
    assert changes_of(THIRD) == [("sales", FIRST, "gone", "kept")], "still said"


def changes_of(ds: str) -> list[tuple]:
    """What the night noticed: source, night, kind, what was done."""
    noticed = Lake("shop").get("ingest", ds).facts["changes"]
    return [(each["source"], each["night"], each["kind"], each["done"]) for each in noticed]


def test_no_delivery_stops_the_night_unless_the_day_is_declared_closed(spark, home):
    deliver(home, FIRST)
    with pytest.raises(BadInput) as stop:
        run(ingest, tiny_shop(), SECOND)
    assert str(stop.value) == (
        f"file://{home}/landing/shop/sales/{SECOND}.csv: no delivery for night {SECOND}: have it landed, "
        "or declare the day under sources.sales.closed"
    )
    assert Lake("shop").nights("raw/sales") == [], "nothing is taken"
    run(ingest, tiny_shop({"sources": {"sales": {"closed": [SECOND]}}}), SECOND)
    assert rollup.rows(Lake("shop").get("ingest", SECOND), "sales") == {FIRST: 1}


def test_a_delivery_without_rows_is_as_the_pipeline_says(spark, home):
    deliver(home, FIRST)
    land(home, f"shop/sales/{SECOND}.csv", HEAD)
    with pytest.raises(BadInput, match=f"sales/{SECOND}.csv: the delivery for night {SECOND} has no rows.*empty: accept"):
        run(ingest, tiny_shop(), SECOND)
    accepting = tiny_shop({"sources": {"sales": {"empty": "accept"}}})
    run(ingest, accepting, SECOND)
    assert rollup.rows(Lake("shop").get("ingest", SECOND), "sales") == {FIRST: 1, SECOND: 0}
    assert rollup.folders(Lake("shop").get("ingest", SECOND), "sales", since=SECOND) == []


def test_a_wrong_header_stops_before_anything_is_committed(spark, home):
    deliver(home, FIRST)
    land(home, f"shop/sales/{SECOND}.csv", sale(SECOND).replace("client", "customer"))
    with pytest.raises(BadInput, match=f"{SECOND}.csv: column client is missing; column customer is not declared"):
        run(ingest, tiny_shop(), SECOND)
    assert Lake("shop").nights("ingest") == Lake("shop").nights("raw/sales") == []


def test_a_folder_per_night_and_a_snapshot_are_taken_once_a_night(spark, home, no_spark):
    goods = {"format": "jsonl", "path": "shop/goods.jsonl", "delivery": "snapshot", "columns": {"id": {"type": "string"}}}
    pipeline = tiny_shop({"sources": {"sales": {"path": "shop/sales/{ds}"}, "goods": goods}})
    land(home, f"shop/sales/{FIRST}/a.csv", sale(FIRST))
    land(home, f"shop/sales/{FIRST}/b.csv", sale(FIRST, "008"))
    with pytest.raises(BadInput, match=f"shop/goods.jsonl: the snapshot for night {FIRST} is not there: have it delivered"):
        run(ingest, pipeline, FIRST)
    land(home, "shop/goods.jsonl", ['{"id": "0042"}'])
    run(ingest, pipeline, FIRST)
    assert rollup.rows(Lake("shop").get("ingest", FIRST), "sales") == {FIRST: 2}
    land(home, "shop/goods.jsonl", ['{"id": "0042"}', '{"id": "0043"}'])
    land(home, f"shop/sales/{SECOND}/a.csv", sale(SECOND))
    run(ingest, pipeline, SECOND)
    found = {night: rollup.rows(Lake("shop").get("ingest", night), "goods") for night in (FIRST, SECOND)}
    assert found == {FIRST: {FIRST: 1}, SECOND: {SECOND: 2}}
    no_spark()
    assert run(ingest, pipeline, FIRST).endswith("reused)"), "a snapshot is history once it is taken"


def test_a_nightly_table_is_taken_from_the_first_night_on_and_only_what_is_new(spark, home, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_SHOP_DB", f"sqlite:///{home / 'shop.db'}")
    with sqlite3.connect(home / "shop.db") as database:
        database.execute("CREATE TABLE sales (client text, article text, ticket text, pieces integer, sold_at text)")
        for night in ("2025-12-31", FIRST, SECOND, THIRD):
            database.execute("INSERT INTO sales VALUES ('007', '0042', 't1', 1, ?)", [f"{night} 10:00:00"])
    database.close()
    table = {"format": "table", "connection": "shop_db", "table": "sales", "night_column": "sold_at", "path": None}
    pipeline = tiny_shop({"sources": {"sales": table}})
    run(ingest, pipeline, FIRST)
    first = Lake("shop").get("raw/sales", FIRST)
    assert run(ingest, pipeline, SECOND).startswith("1 deliveries taken, 2 rows")
    assert rows(spark, SECOND)[SECOND] == [("007", "0042", "t1", "1", f"{SECOND} 10:00:00", None, None, SECOND)]
    assert Lake("shop").get("raw/sales", FIRST) == first
    with pytest.raises(BadInput, match="table sales: the delivery for night 2026-01-04 has no rows"):
        run(ingest, pipeline, "2026-01-04")


def test_the_plan_names_what_is_to_be_taken(spark, home):
    deliver(home, FIRST, SECOND)
    wanted = intake.plan(Lake("shop"), tiny_shop(), SECOND, "sales")
    assert (list(wanted.files), wanted.nights, wanted.kept, wanted.done) == ([FIRST, SECOND], [], {}, False)


def test_a_night_takes_and_learns_from_as_many_days_as_the_pipeline_says(spark, home):
    deliver(home, FIRST, SECOND, THIRD, "2026-01-04")
    short = {"split": {"test_days": 1, "validation_days": 1, "folds": 2}, "retention": {"nights_days": 1, "clean_days": 5}}
    pipeline = tiny_shop(short)
    deliver(home, "2026-01-05", "2026-01-06")
    assert run(ingest, pipeline, "2026-01-06") == "5 deliveries taken, 5 rows up to 2026-01-06 (sales 5)"
    assert Lake("shop").nights("raw/sales") == [SECOND, THIRD, "2026-01-04", "2026-01-05", "2026-01-06"]
    assert list(rows(spark, "2026-01-06")) == [SECOND, THIRD, "2026-01-04", "2026-01-05", "2026-01-06"]
    deliver(home, "2026-01-07")
    assert run(ingest, pipeline, "2026-01-07") == "1 deliveries taken, 5 rows up to 2026-01-07 (sales 5)"
    assert list(rows(spark, "2026-01-07")) == [THIRD, "2026-01-04", "2026-01-05", "2026-01-06", "2026-01-07"]


def test_a_night_that_is_asked_for_is_taken_again_whatever_the_pipeline_says_of_changes(spark, home, no_spark):
    goods = {"format": "jsonl", "path": "shop/goods.jsonl", "delivery": "snapshot", "columns": {"id": {}}}
    pipeline = tiny_shop({"sources": {"sales": {"changed": "refuse"}, "goods": goods}})
    lake = Lake("shop")
    with pytest.raises(NotCommitted, match=f"sales, night {FIRST}: shop has not taken it yet: run ingest"):
        intake.ask_again(lake, "sales", FIRST)
    deliver(home, FIRST, SECOND)
    land(home, "shop/goods.jsonl", ['{"id": "1"}'])
    run(ingest, pipeline, SECOND)
    land(home, f"shop/sales/{FIRST}.csv", sale(FIRST, "008"))
    land(home, "shop/goods.jsonl", ['{"id": "2"}'])
    with pytest.raises(BadInput, match="changed is refuse"):
        run(ingest, pipeline, SECOND)
    intake.ask_again(lake, "sales", FIRST)
    intake.ask_again(lake, "goods", SECOND)
    assert [row[0] for row in rows(spark, SECOND)[FIRST]] == ["007"], "until then it counts as it is"
    assert run(ingest, pipeline, SECOND).startswith("2 deliveries taken, 3 rows")
    assert [row[0] for row in rows(spark, SECOND)[FIRST]] == ["008"]
    assert [row[0] for row in rows(spark, SECOND, "goods")[SECOND]] == ["2"]
    assert changes_of(SECOND) == [("goods", SECOND, "changed", "taken"), ("sales", FIRST, "changed", "taken")]
    no_spark()
    assert run(ingest, pipeline, SECOND).endswith("reused)"), "once"


def test_a_night_that_is_asked_for_and_has_not_landed_stops_the_night(spark, home):
    deliver(home, FIRST, SECOND)
    run(ingest, tiny_shop(), SECOND)
    intake.ask_again(Lake("shop"), "sales", FIRST)
    (home / "landing/shop/sales" / f"{FIRST}.csv").unlink()
    with pytest.raises(BadInput, match=f"night {FIRST} is to be taken again and is not there: have it landed"):
        run(ingest, tiny_shop(), SECOND)


def test_a_night_of_a_table_that_is_asked_for_is_read_again(spark, home, monkeypatch):
    database = sqlite3.connect(home / "shop.db")
    database.execute("CREATE TABLE sales (client, article, ticket, pieces, sold_at)")
    database.execute("INSERT INTO sales VALUES ('007', '0042', 't1', '1', ?)", [f"{SECOND} 10:00:00"])
    database.commit()
    monkeypatch.setenv("AIRFLOW_CONN_SHOP_DB", f"sqlite:///{home / 'shop.db'}")
    table = {
        "format": "table",
        "connection": "shop_db",
        "table": "sales",
        "night_column": "sold_at",
        "path": None,
        "empty": "accept",
    }
    pipeline = tiny_shop({"sources": {"sales": table}, "schedule": {"start": FIRST}})
    run(ingest, pipeline, SECOND)
    database.execute("UPDATE sales SET client = '008'")
    database.commit()
    database.close()
    assert run(ingest, pipeline, SECOND).endswith("reused)")
    intake.ask_again(Lake("shop"), "sales", SECOND)
    run(ingest, pipeline, SECOND)
    assert [row[0] for row in rows(spark, SECOND)[SECOND]] == ["008"]
    assert changes_of(SECOND) == [("sales", SECOND, "changed", "taken")]
    assert Lake("shop").get("raw/sales", SECOND).facts["change"]["by"] == SECOND
    intake.ask_again(Lake("shop"), "sales", SECOND)
    run(ingest, pipeline, SECOND)
    assert Lake("shop").get("raw/sales", SECOND).facts["change"] is None, "the same rows as before are no change"
