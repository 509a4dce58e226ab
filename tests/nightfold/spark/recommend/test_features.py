"""features on a tiny shop: the same night is the same, whatever has been cleaned after it."""

import spark_jobs.clean as clean
import spark_jobs.ingest as ingest
from nightfold.errors import BadInput, NotCommitted
from nightfold.lake import Lake
from nightfold.spark.recommend import features

import pytest
from helpers import land, run, tiny_shop

HEAD = "client,article,ticket,pieces,sold_at"
FIRST, SECOND = "2026-01-01", "2026-01-02"
DAY = 20454  # 2026-01-01 in days since 1970-01-01
ROWS = {
    FIRST: ["008,milk,t1,4,2026-01-01 10:00:00", "008,milk,t1,1,2026-01-01 10:00:00", "007,0042,t2,1,2026-01-01 11:00:00"],
    SECOND: ["009,bread,t3,1,2026-01-02 10:00:00", "007,0042,t4,1,2026-01-01 23:00:00"],
}


def test_a_run_sees_no_later_night_and_writes_what_the_map_says(spark, home):
    for night, rows in ROWS.items():
        land(home, f"shop/sales/{night}.csv", [HEAD, *rows])
    for night in (SECOND, FIRST):  # the later one first
        run(ingest, tiny_shop(), night)
        run(clean, tiny_shop(), night)
    words = run(features, tiny_shop(), FIRST)
    assert words == "2 users, 2 items (2 may be listed), 2 interactions from 2026-01-01 to 2026-01-01"
    manifest = Lake("shop").get("features", FIRST)
    part = lambda name: sorted(  # noqa: E731
        tuple(row) for row in spark.read.parquet(f"{Lake('shop').spark_path(manifest.data)}/{name}").collect()
    )
    assert part("users") == [(0, "007"), (1, "008")]
    assert part("items") == [(0, "0042", True, None, None), (1, "milk", True, None, None)]
    assert part("interactions") == [(0, 0, DAY, 1.0), (1, 1, DAY, 1.0)]
    assert manifest.facts == {"users": 2, "items": 2, "available": 2, "first_day": FIRST, "last_day": FIRST}
    assert run(features, tiny_shop(), FIRST).endswith("reused)")


def test_nothing_to_learn_from_and_no_clean_night_are_said(spark, home):
    with pytest.raises(NotCommitted, match=f"night {FIRST}: shop has no committed clean: run the stage that writes it first"):
        run(features, tiny_shop(), FIRST)
    accepting = tiny_shop({"sources": {"sales": {"empty": "accept"}}})
    land(home, f"shop/sales/{FIRST}.csv", [HEAD])
    run(ingest, accepting, FIRST)
    run(clean, accepting, FIRST)
    with pytest.raises(BadInput, match=f"sales, night {FIRST}: no interactions up to this night: have deliveries landed"):
        run(features, accepting, FIRST)
