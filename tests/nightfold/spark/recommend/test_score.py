"""Why an item is on a list, in words, and what somebody gets whom nobody knows."""

from nightfold.pipeline.recommend import Mix
from nightfold.spark.recommend import reasons, score
from nightfold.spark.recommend.candidates import ALS, OVERALL, POPULAR, REPEAT, SEGMENT, TOGETHER
from nightfold.spark.recommend.list_maker import ListMaker

from pyspark.ml import PipelineModel
from pyspark.sql import functions as F

DAY = 20454  # 2026-01-01 in days since 1970-01-01
ITEMS = "item int, id string, available boolean"


def test_every_item_says_why_it_is_listed(utc):
    rows = [
        (0, 2, DAY, "milk", REPEAT | TOGETHER),
        (1, 1, DAY + 1, None, REPEAT),
        (2, 0, None, "milk", TOGETHER | POPULAR),
        (3, 0, None, "milk", ALS | POPULAR),  # milk is no reason where its neighbours did not name it
        (4, 0, None, None, ALS),
        (5, 0, None, None, ALS | SEGMENT),
        (6, 0, None, None, POPULAR | SEGMENT),
        (7, 0, None, None, ALS | OVERALL),
    ]
    frame = utc.createDataFrame(rows, "n int, baskets int, last_day int, goes_with string, source int")
    why = reasons.why(*(F.col(name) for name in ("baskets", "last_day", "goes_with", "source")), verb="played")
    words = frame.select("n", why.alias("why"))
    assert [row["why"] for row in words.orderBy("n").collect()] == [
        "played 2 times, last on 2026-01-01",
        "played once, last on 2026-01-02",
        "goes with milk",
        "popular now",
        "suits your taste",
        "popular among people like you",
        "popular now",
        "popular at all times",
    ]


def test_the_rules_of_a_list_are_tonights_also_when_an_older_model_makes_it(utc):
    schema = (
        "window int, user int, item int, known boolean, source int, last_day int, category int, popularity_place int, label boolean, "
        "relevant int, baskets int, goes_with int, score double"
    )
    rows = [
        (0, 1, i, True, REPEAT if i < 3 else ALS, DAY if i < 3 else None, -1, i, False, 0, 1, None, 1.0 - i / 10) for i in range(5)
    ]
    older = PipelineModel([ListMaker(scoreCol="score", k=2, repeats=1.0)])
    users, items = (
        utc.createDataFrame([(1, "u")], "user int, id string"),
        utc.createDataFrame([(i, f"i{i}", True, None) for i in range(5)], ITEMS + ", title string"),
    )
    made = score.lists(older, utc.createDataFrame(rows, schema), users, items, n=4, mix=Mix(repeats=0.5), verb="bought")
    assert [item["id"] for item in made.first()["items"]] == ["i0", "i3", "i1", "i4"]


def fallback(spark, counts: list[tuple], *, n: int, per_category: int | None = None) -> list[tuple]:
    listed = [
        (0, "a", True, "dairy"),
        (1, "b", True, "dairy"),
        (2, "c", False, "dairy"),
        (3, "d", True, None),
        (4, "e", True, None),
    ]
    items = spark.createDataFrame(listed, f"{ITEMS}, category string")
    statistics = spark.createDataFrame(counts, "item int, baskets_28 bigint, baskets bigint")
    (row,) = score.fallback(statistics, items, n=n, recent=28, per_category=per_category).collect()
    assert row["key"] == ""
    return [tuple(item) for item in row["items"]]


def test_the_fallback_is_one_list_of_what_is_popular_now_and_may_be_listed(utc):
    counts = [(-1, 50, 90), (0, 2, 9), (1, 4, 4), (2, 9, 9), (3, 2, 20)]
    assert fallback(utc, counts, n=2) == [("b", 1.0, "popular now"), ("d", 0.5, "popular now")]


def test_the_fallback_keeps_the_rule_of_categories(utc):
    counts = [(-1, 50, 90), (0, 9, 9), (1, 8, 8), (3, 7, 7), (4, 6, 6)]
    named = lambda most: [item[0] for item in fallback(utc, counts, n=3, per_category=most)]  # noqa: E731
    assert (named(None), named(2), named(1)) == (["a", "b", "d"], ["a", "b", "d"], ["a", "d", "e"])


def test_a_catalogue_of_nothing_gives_an_empty_fallback(utc):
    assert fallback(utc, [(2, 1, 1)], n=2) == []
