"""Indexes and interactions as of a night: explicit, stable, and blind to what comes later."""

from datetime import datetime

from nightfold.spark.recommend import indexing

import pytest
from helpers import tiny_shop

DS = "2026-01-03"
CLEAN = "client string, article string, ticket string, pieces bigint, sold_at timestamp"
DAY = 20454  # 2026-01-01 in days since 1970-01-01


@pytest.fixture
def sales(utc):
    """Clean rows: (client, article, ticket, pieces, moment)."""

    def frame(*rows: tuple):
        return utc.createDataFrame([(*row[:4], datetime.fromisoformat(row[4])) for row in rows], CLEAN)

    return frame


@pytest.fixture
def ids(utc):
    return lambda *values: utc.createDataFrame([(value,) for value in values], "id string")


@pytest.fixture
def catalogue(utc, sales, ids):
    """{id: (item, available, title)} of items a, b, c, d; a was sold on the first, b and d on the second, c on the third day."""
    taken = sales(*((f"u{i}", i, "t", 1, f"2026-01-0{day} 10:00") for i, day in (("a", 1), ("b", 2), ("c", 3), ("d", 2))))

    def listed(filters: dict, products: list[tuple] | None = None, available: dict | None = None) -> dict:
        goods = {"format": "jsonl", "path": "goods/{ds}", "columns": {"id": {}, "name": {}, "state": {}}}
        items = {"source": "goods", "id": "id", "title": "name", "available": available or {}}
        changes = {"recommend": {"filters": filters, **({"items": items} if products is not None else {})}}
        pipeline = tiny_shop({**changes, "sources": {"goods": goods}})
        rows = utc.createDataFrame(products, "id string, name string, state string") if products is not None else None
        found = indexing.catalogue(
            ids("a", "b", "c", "d"), indexing.events(taken, pipeline, until=DS), rows, pipeline, until=DS
        ).collect()
        return {row["id"]: (row["item"], row["available"], row["title"]) for row in found}

    return listed


@pytest.mark.parametrize("partitions", [1, 3])
def test_an_index_follows_the_ids_without_gaps_in_whatever_order_they_come(ids, partitions):
    shuffled = ids("b", "10", "ä", "007", "7", "A").repartition(partitions)
    found = indexing.index(shuffled, name="user")
    assert found.dtypes == [("user", "int"), ("id", "string")]
    assert [tuple(row) for row in found.orderBy("user").collect()] == [
        (0, "007"),
        (1, "10"),
        (2, "7"),
        (3, "A"),
        (4, "b"),
        (5, "ä"),
    ]


def test_baskets_count_and_pieces_do_not_and_nothing_after_the_night_enters(sales, ids):
    clean = sales(
        ("u1", "fuel", "t1", 40000, "2026-01-01 08:00"),
        ("u1", "fuel", "t1", 1, "2026-01-01 08:00"),
        ("u1", "fuel", "t2", 1, "2026-01-01 20:00"),
        ("u1", "fuel", "t3", 1, "2026-01-03 23:59:59"),
        ("u1", "milk", "t3", 1, "2026-01-03 23:59:59"),
        ("u1", "milk", "t4", 1, "2026-01-04 00:00:00"),
        ("u2", "milk", "t5", 1, "2026-02-01 00:00:00"),
    )
    taken = indexing.events(clean, tiny_shop(), until=DS)
    users, items = indexing.index(ids("u1", "u2"), name="user"), indexing.index(ids("fuel", "milk"), name="item")
    found = indexing.interactions(taken, users, items)
    named = [("user", "int"), ("item", "int"), ("day", "int"), ("weight", "double"), ("amount", "float"), ("discount", "float")]
    assert found.dtypes == named
    assert sorted(tuple(row)[:4] for row in found.collect()) == [(0, 0, DAY, 2.0), (0, 0, DAY + 2, 1.0), (0, 1, DAY + 2, 1.0)]


def test_without_baskets_every_row_is_an_occasion(sales, ids):
    rows = [("u1", "milk", "t1", 1, "2026-01-01 08:00")] * 3
    taken = indexing.events(sales(*rows).repartition(2), tiny_shop({"recommend": {"interactions": {"basket": None}}}), until=DS)
    (row,) = indexing.interactions(
        taken, indexing.index(ids("u1"), name="user"), indexing.index(ids("milk"), name="item")
    ).collect()
    assert row["weight"] == 3.0


def test_a_row_without_a_basket_is_an_occasion_of_its_own(sales, ids):
    rows = [("u1", "milk", ticket, 1, "2026-01-01 08:00") for ticket in ("t1", "t1", None, None)]
    taken = indexing.events(sales(*rows).repartition(2), tiny_shop(), until=DS)
    (row,) = indexing.interactions(
        taken, indexing.index(ids("u1"), name="user"), indexing.index(ids("milk"), name="item")
    ).collect()
    assert row["weight"] == 3.0
    assert indexing.visits(taken, indexing.index(ids("u1"), name="user")).first()["baskets"] == 3


def test_a_weight_says_how_often_a_row_counts(sales, ids):
    plays = {"recommend": {"interactions": {"basket": None, "weight": "pieces"}}}
    rows = [("u1", "song", "t1", 15, "2026-01-01 08:00"), ("u1", "song", "t2", 2, "2026-01-01 09:00")]
    rows += [("u1", "skipped", "t3", 0, "2026-01-01 08:00"), ("u1", "unknown", "t4", None, "2026-01-01 08:00")]
    taken = indexing.events(sales(*rows), tiny_shop(plays), until=DS)
    users, items = indexing.index(ids("u1"), name="user"), indexing.index(ids("song", "skipped", "unknown"), name="item")
    found = indexing.interactions(taken, users, items).orderBy("item").collect()
    assert [row["weight"] for row in found] == [0.0, 17.0, 0.0]
    with pytest.raises(ValueError, match="a basket counts an item once, a weight says how often: name one of them"):
        tiny_shop({"recommend": {"interactions": {"weight": "pieces"}}})


def test_of_ratings_only_what_was_liked_counts_and_the_rest_is_seen(sales, ids):
    rates = {"recommend": {"interactions": {"rating": "pieces", "liked": 4}}}
    taken = sales(("ann", "x", "t1", 5, "2026-01-01 10:00"), ("ann", "y", "t1", 3, "2026-01-01 10:00"))
    events = indexing.events(taken, tiny_shop(rates), until=DS)
    users, items = indexing.index(ids("ann"), name="user"), indexing.index(ids("x", "y"), name="item")
    found = indexing.interactions(events, users, items).orderBy("item").collect()
    assert [(row["item"], row["weight"]) for row in found] == [(0, 1.0), (1, 0.0)]
    with pytest.raises(ValueError, match=r"recommend\.interactions\.rating: source 'sales' has no column 'stars'"):
        tiny_shop({"recommend": {"interactions": {"rating": "stars"}}})


def test_a_day_is_a_day_of_the_pipelines_zone(utc, sales):
    utc.conf.set("spark.sql.session.timeZone", "Europe/Berlin")
    moments = sales(("u1", "milk", "t1", 1, "2026-01-03 22:59+00:00"), ("u1", "milk", "t1", 1, "2026-01-03 23:01+00:00"))
    found = indexing.events(moments, tiny_shop({"timezone": "Europe/Berlin"}), until=DS).selectExpr("string(day)").collect()
    assert [row[0] for row in found] == ["2026-01-03"]


def test_without_a_catalogue_all_that_was_sold_may_be_listed(catalogue):
    assert catalogue({}) == {"a": (0, True, None), "b": (1, True, None), "c": (2, True, None), "d": (3, True, None)}


def test_what_may_be_listed_follows_the_catalogue_and_the_filters(catalogue):
    goods = [("a", "apples", "on"), ("b", "bread", "off"), ("c", "cheese", None), ("x", "never sold", "on")]
    assert catalogue({}, goods) == {
        "a": (0, True, "apples"),
        "b": (1, True, "bread"),
        "c": (2, True, "cheese"),
        "d": (3, False, None),
    }
    assert catalogue({"only_catalogue": False, "never": ["a"]}, goods)["d"] == (3, True, None)
    available = catalogue({"never": ["c"]}, goods, {"state": ["on"]})
    assert {item for item, (_, listed, _) in available.items() if listed} == {"a"}
    recent = catalogue({"sold_within_days": 2}, goods)
    assert {item for item, (_, listed, _) in recent.items() if listed} == {"b", "c"}


def test_an_id_that_is_twice_in_the_catalogue_gives_one_answer(catalogue):
    rows = [("a", "old", "off"), ("a", "new", "on"), ("b", "b", "on"), ("c", "c", "on"), ("d", "d", "on")]
    answers = [catalogue({}, order, {"state": ["on"]})["a"] for order in (rows, rows[::-1])]
    assert answers == [(0, True, "new")] * 2
