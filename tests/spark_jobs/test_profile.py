"""The profile: figures typed by hand, on a shop of a few rows; nothing of a later night; whatever is delivered, a page."""

import json
import re
from datetime import date, timedelta
from pathlib import Path

from nightfold.lake import Lake
from nightfold.pipeline import Pipeline
from nightfold.reports import attention
from nightfold.spark import profiling
from spark_jobs import clean, ingest, profile

import pytest
from helpers import land, run, tiny_shop
from pyspark.sql import SparkSession

HEADER = "client,article,ticket,pieces,sold_at"
FIRST = [
    "007,milk,t1,1,2026-01-01 09:00:00",
    "007,bread,t1,2,2026-01-01 09:00:00",
    "8,milk,t2,,2026-01-01 10:00:00",
    "8,milk,t3,3,2026-01-01 23:30:00",
]
SECOND = ["8,milk,t4,1,2026-01-03 09:00:00", "9,<script>alert(1)</script>,t5,many,2026-01-03 09:00:00"]
EVIL = "9,<script>alert(1)</script>,t5,5,2026-01-03 09:00:00"


def deliver(home: Path, **nights: list[str]) -> None:
    for name, rows in nights.items():
        land(home, f"shop/sales/{name[1:].replace('_', '-')}.csv", [HEADER, *rows])


def profiled(pipeline: Pipeline, ds: str) -> tuple[dict, str]:
    """Take the night through three stages; the profile as JSON, and the page."""
    for stage in (ingest, clean, profile):
        run(stage, pipeline, ds)
    lake = Lake(pipeline.pipeline)
    facts = lake.get("profile", ds).facts
    return json.loads(lake.read_text(facts["json"]), parse_constant=pytest.fail), lake.read_text(facts["report"])


def shop(**changes: dict) -> Pipeline:
    return tiny_shop({"description": "A tiny shop.", **changes})


def two_nights_landed(home: Path) -> None:
    deliver(home, d2026_01_01=FIRST, d2026_01_03=[*SECOND, EVIL], d2026_01_04=["later,later,later,77777,2026-01-04 00:00:00"])


@pytest.fixture(scope="module")
def two_nights(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, str]:
    """2026-01-01 and 2026-01-03; nothing on the 2nd, and the 4th has landed already."""
    home = tmp_path_factory.mktemp("two_nights")
    two_nights_landed(home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NIGHTFOLD_HOME", str(home))
        return profiled(shop(), "2026-01-03")


def test_the_figures_are_those_that_one_counts_by_hand(two_nights):
    figures, _ = two_nights
    sales = figures["sources"]["sales"]
    assert sales["volume"] == {
        "nights": ["2026-01-01", "2026-01-02", "2026-01-03"],
        "clean": [4, None, 2],
        "rejected": [0, None, 1],
        "duplicates": [0, None, 0],
        "users": [2, None, 2],
        "items": [2, None, 2],
    }
    assert (sales["rows"], sales["missing_nights"]) == (6, ["2026-01-02"])
    pieces = sales["columns"]["pieces"]  # 1, 2, 3, 1, 5
    assert (pieces["missing"], pieces["missing_share"]) == (1, pytest.approx(1 / 6))
    assert (pieces["min"], pieces["max"], pieces["mean"], pieces["distinct"]) == (1, 5, pytest.approx(2.4), 4)
    assert pieces["sd"] == pytest.approx((11.2 / 4) ** 0.5)
    assert (pieces["quantiles"]["p50"], pieces["quantiles"]["p99"]) == (2, 5)
    assert pieces["histogram"] == {"edges": [0.5, 1.5, 2.5, 3.5, 4.5, 5.5], "counts": [2, 1, 1, 0, 1], "log": False}
    client = sales["columns"]["client"]
    assert client["top"][0] == {"value": "8", "rows": 3, "share": 0.5}
    assert (client["distinct"], client["role"], client["length"]["max"]) == (3, "user", 3)
    time = sales["columns"]["sold_at"]
    assert (time["min"], time["max"]) == ("2026-01-01 09:00", "2026-01-03 09:00")
    assert time["drift"]["on_night"]["tonight"] == 1


def test_rejected_rows_are_counted_by_reason_and_shown(two_nights):
    figures, html = two_nights
    rejected = figures["sources"]["sales"]["rejected"]
    assert (rejected["tonight"], rejected["before"]) == ({"pieces: not integer": 1}, {})
    assert rejected["examples"][0]["pieces"] == "many"
    assert ">many<" in html


def test_activity_tells_the_long_tail_and_the_hours(two_nights):
    activity = two_nights[0]["sources"]["sales"]["activity"]
    assert (activity["users"]["distinct"], activity["users"]["once"]) == (3, 1)
    assert activity["users"]["per"]["max"] == 3
    thursday, saturday = activity["week_hours"][3], activity["week_hours"][5]
    assert (thursday[9], thursday[10], thursday[23], saturday[9], sum(map(sum, activity["week_hours"]))) == (2, 1, 1, 2, 6)


def test_what_to_look_at_is_found_again_in_the_figures_as_they_are_written_also_in_those_of_0_1(two_nights):
    figures, sources = two_nights[0], two_nights[0]["sources"]
    assert attention.findings(sources, figures["night"]) == figures["attention"]
    older = {name: {key: value for key, value in source.items() if key != "changes"} for name, source in sources.items()}
    assert attention.findings(older, figures["night"]) == figures["attention"]


def test_a_later_night_is_not_seen(two_nights):
    figures, html = two_nights
    assert "later" not in json.dumps(figures["sources"])
    assert "77777" not in html
    assert "77,777" not in html


def test_what_to_look_at_is_said_in_words(two_nights):
    figures, html = two_nights
    said = [(f["level"], f["text"]) for f in figures["attention"]]
    assert said[0] == ("act", "no delivery for 2026-01-02: neither delivered nor declared closed")
    assert ("look", "rejected for a reason not seen before: pieces: not integer (1 rows)") in said
    assert all(text in html for _, text in said)


def test_the_page_is_escaped_self_contained_and_says_what_the_json_says(two_nights):
    figures, html = two_nights
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert not re.search(r"https?://|xmlns|@import|<(script|link|iframe|object)\b", html)
    assert not re.search(r"\b(src|href)=\"(?!#|data:)", html)
    pieces = figures["sources"]["sales"]["columns"]["pieces"]
    for shown in (f"mean <b>{pieces['mean']}</b>", "missing <b>16.7%</b>", "distinct <b>≈ 4</b>", "<b>2026-01-03 09:00</b>"):
        assert shown in html, shown


def test_the_page_of_the_same_data_is_the_same_twice(spark, home, two_nights):
    two_nights_landed(home)
    assert profiled(shop(resources={"shuffle_partitions": 1}), "2026-01-03") == two_nights


def test_a_shift_and_new_values_are_found_and_a_weekday_is_not(spark: SparkSession, home: Path):
    ds, rows = date(2026, 2, 1), {}
    for back in range(29):
        day = ds - timedelta(days=back)
        count = 40 if day.weekday() == 6 else 20  # Sundays are always busy
        pieces, till = (9, "web") if back == 0 else (1 + back % 3, "town")
        rows[f"d{day}".replace("-", "_")] = [f"{i % 7},a{i % 5},{till},{pieces + i % 2},{day} 09:00:00" for i in range(count)]
    deliver(home, **rows)
    figures, _ = profiled(shop(), str(ds))
    columns, texts = figures["sources"]["sales"]["columns"], [f["text"] for f in figures["attention"]]
    stability = columns["ticket"]["drift"]["stability"]
    assert stability["classes"] == [
        {"class": "town", "before": 1.0, "tonight": 0.0},
        {"class": "(other)", "before": 0.0, "tonight": 1.0},
    ]
    assert (stability["usual"], columns["ticket"]["drift"]["new"]) == (0, 1.0)
    assert columns["pieces"]["drift"]["mean"]["tonight"] == 9.5
    assert any(text.startswith("pieces: mean 9.5 is") and "sd above the 28 nights before" in text for text in texts)
    assert any(text.startswith("ticket: the distribution has moved (PSI") for text in texts)
    assert figures["sources"]["sales"]["drift"]["volume"]["ratio"] == 1.0
    assert not [text for text in texts if "rows" in text and "usual Sunday" in text]


def test_a_delivery_that_changed_is_said_on_the_page_and_of_an_old_night_refused_rows_may_be_gone(spark: SparkSession, home: Path):
    deliver(home, d2026_01_01=FIRST, d2026_01_02=SECOND)
    run(ingest, shop(), "2026-01-02")
    deliver(home, d2026_01_01=FIRST[:3])
    run(ingest, shop(), "2026-01-02")
    run(clean, shop(), "2026-01-02")
    lake = Lake("shop")
    lake.fs.delete_dir(lake.local_path(lake.get("rejected/sales", "2026-01-02").data))  # as maintenance does
    numbers, page = profiled(shop(), "2026-01-02")
    said = "sales of 2026-01-01 changed after it was taken, and was taken again"
    assert said in page
    assert {"source": "sales", "column": None, "level": "look", "text": said} in numbers["attention"]
    assert numbers["sources"]["sales"]["rejected"]["examples"] == []


@pytest.mark.parametrize(
    ("rows", "distinct"),
    [
        pytest.param([], 0, id="no row at all"),
        pytest.param(["1,milk,,,2026-01-01 09:00:00"], 1, id="a single row, with columns that are empty in every row"),
        pytest.param(
            ["1,$\\frac,t,0,2026-01-01 09:00:00", "1,naïve 牛乳 🥛,t,0,2026-01-01 09:00:00"], 1, id="odd names, a constant"
        ),
    ],
)
def test_little_data_gives_a_page_all_the_same(spark: SparkSession, home: Path, rows: list[str], distinct: int):
    deliver(home, d2026_01_01=rows)
    figures, html = profiled(shop(sources={"sales": {"empty": "accept"}}), "2026-01-01")
    assert figures["sources"]["sales"]["columns"]["client"]["distinct"] == distinct
    assert html.endswith("</html>\n")


def test_a_snapshot_is_profiled_as_of_the_night(spark: SparkSession, home: Path):
    deliver(home, d2026_01_01=FIRST)
    land(home, "shop/articles.csv", ["id,price,fresh", "milk,1.5,true", "bread,,false", "oats,1.5,true"])
    articles = {
        "format": "csv",
        "path": "shop/articles.csv",
        "delivery": "snapshot",
        "columns": {"id": {"required": True}, "price": {"type": "double"}, "fresh": {"type": "boolean"}},
    }
    figures, _ = profiled(shop(sources={"articles": articles}), "2026-01-01")
    columns = figures["sources"]["articles"]["columns"]
    assert (columns["price"]["max"], columns["price"]["missing"], columns["price"]["sd"]) == (1.5, 1, 0)
    assert columns["fresh"]["top"] == [
        {"value": "true", "rows": 2, "share": pytest.approx(2 / 3)},
        {"value": "false", "rows": 1, "share": pytest.approx(1 / 3)},
    ]
    assert [f["text"] for f in figures["attention"] if f["column"] == "price"] == [
        "price: the same value in every row that has one",
    ]


def test_a_tail_of_frequencies_is_told_in_few_groups(utc: SparkSession):
    rows = [("c0", f"v{i}", i, 0, i if i == 3 else 0) for i in range(1, 1001)]
    frame = utc.createDataFrame(rows, "key string, value string, rows long, before long, tonight long")
    tail = profiling.tails(frame)["c0"]
    assert len(tail) < 100 + 64 * 4
    assert sum(group["rows"] for group in tail) == 500_500
    assert sum(group["values"] for group in tail) == 1000
    assert [group["new"] for group in tail if group["times"] == 3] == [3]
