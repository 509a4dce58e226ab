"""What came true of lists that were live."""

from datetime import date

from nightfold import schemas
from nightfold.champion import record
from nightfold.lake import Lake, Manifest
from nightfold.spark import tables
from nightfold.spark.recommend.truth import measure
from nightfold.spark.truth import due, judge_what_came_true
from nightfold.spark.verdicts import came_true
from nightfold.spark.windows import EPOCH
from nightfold.store import VersionManifest

import pytest
from helpers import job, tiny_shop

DS, LIVE = "2026-01-08", "2026-01-06"
DAY = {day: (date(2026, 1, day) - EPOCH).days for day in range(1, 10)}
TAKEN = [("ann", "x", 5), ("ann", "x", 7), ("ann", "z", 8), ("bob", "y", 8), ("bob", "sold out", 7), ("cid", "x", 5)]
LISTS = {"ann": ["x", "y"], "bob": ["z", "x"], "cid": ["x"]}
FALLBACK = ["y", "x"]


def shop(**filters: bool):
    split = {"test_days": 2, "validation_days": 2, "folds": 2}
    return tiny_shop({"split": split, "training": {"k": 2}, "recommend": {"filters": filters}})


@pytest.fixture
def night(utc, home):
    """Night DS has its features; the lists of LIVE were promoted."""
    tonight, lake = job("features", shop(), DS), Lake("shop")
    users, items = sorted(LISTS), ["x", "y", "z", "sold out"]
    write = lambda rows, schema, where: tables.write(utc.createDataFrame(rows, tables.struct(schema)), schema, where)  # noqa: E731
    write([(i, name) for i, name in enumerate(users)], schemas.USERS, f"{tonight.uri}/users")
    write(
        [(i, name, name != "sold out", True, None, None, []) for i, name in enumerate(items)], schemas.ITEMS, f"{tonight.uri}/items"
    )
    taken = [(users.index(user), items.index(item), DAY[day], 1.0, 1.0, 0.0) for user, item, day in TAKEN]
    write(taken, schemas.INTERACTIONS, f"{tonight.uri}/interactions")
    lake.commit(Manifest(pipeline="shop", dataset="features", night=DS, attempt="a", fingerprint="f", data=tonight.place))
    promoted(LIVE, "v1", utc, LISTS)
    return utc


def promoted(night: str, version: str, spark, lists: dict[str, list[str]]) -> None:
    place = f"shop/scores/attempts/{version}"
    for part, given in (("lists", lists), ("fallback", {"": FALLBACK})):
        rows = [(key, [(item, 1.0, "w") for item in ids]) for key, ids in given.items()]
        frame = spark.createDataFrame(rows, tables.struct(schemas.SCORES))
        tables.write(frame, schemas.SCORES, Lake("shop").spark_path(f"{place}/{part}"))
    known = {"pipeline": "shop", "attempt": "a", "published_at": "", "keys": 3, "checksum": "", "model": "m"}
    record(
        Lake("shop"),
        VersionManifest(version=version, night=night, facts={"lists": f"{place}/lists"}, metrics={"ndcg": 0.4}, **known),
    )


def truth(night: str = LIVE) -> dict:
    return Lake("shop").get("truth", night).facts


def test_the_lists_that_were_live_are_judged_on_the_days_after(night):
    judge_what_came_true(night, job("evaluate", shop(), DS), measure)
    found = truth()
    assert (found["version"], found["forecast"], found["days"]) == ("v1", {"ndcg": 0.4}, 2)
    assert found["metrics"]["users"] == 2, "cid took nothing, and what cannot be listed is no miss"
    assert found["metrics"]["recall"] == pytest.approx((1 / 2 + 0) / 2)
    assert found["metrics"]["ndcg"] == pytest.approx((1 / (1 + 0.6309297535714575) + 0) / 2)


def test_who_had_no_list_is_judged_by_the_fallback_that_he_got(night):
    promoted(LIVE, "v2", night, {"ann": ["x", "y"]})
    judge_what_came_true(night, job("evaluate", shop(), DS), measure)
    assert truth()["metrics"]["users"] == 2
    assert truth()["metrics"]["recall"] == pytest.approx((1 / 2 + 1) / 2), "bob took y"


def test_what_nobody_had_taken_lately_is_no_miss_where_it_cannot_be_listed(night):
    """`z` was taken by nobody before LIVE: as in the evaluation's windows."""
    judge_what_came_true(night, job("evaluate", shop(sold_within_days=28), DS), measure)
    assert truth()["metrics"]["users"] == 1
    assert truth()["metrics"]["recall"] == 1.0, "ann's x"


def test_an_evaluation_finds_what_was_published_on_the_eve_of_its_days(night):
    tonight = job("evaluate", shop(), DS)
    assert came_true(tonight, [DS]) == {}
    judge_what_came_true(night, tonight, measure)
    found = came_true(tonight, ["2026-01-07", DS])
    assert list(found) == [DS]
    assert (found[DS]["night"], found[DS]["version"], found[DS]["metrics"]) == (LIVE, "v1", truth()["metrics"])
    longer = tiny_shop({"split": {"test_days": 3, "validation_days": 3, "folds": 2}})
    assert came_true(job("evaluate", longer, "2026-01-09"), ["2026-01-09"]) == {}, "of other days than its own"


def test_with_exclude_seen_only_what_was_new_counts(night):
    judge_what_came_true(night, job("evaluate", shop(exclude_seen=True), DS), measure)
    assert truth()["metrics"] == pytest.approx({"users": 2, "ndcg": 0.0, "recall": 0.0, "map": 0.0})


def test_a_night_is_judged_once_its_days_have_come_and_again_when_it_was_published_again(night):
    tonight = job("evaluate", shop(), DS)
    promoted("2026-01-07", "v2", night, LISTS)
    assert [found for found, _ in due(tonight)] == [LIVE]
    judge_what_came_true(night, tonight, measure)
    assert due(tonight) == []
    promoted(LIVE, "v3", night, {"ann": ["z", "x"]})
    judge_what_came_true(night, tonight, measure)
    assert (truth()["version"], truth()["metrics"]["ndcg"]) == ("v3", pytest.approx(1.0))


def test_days_on_which_nobody_took_anything_are_no_failure(night):
    promoted("2026-01-01", "v0", night, {"nobody": ["x"]})
    judge_what_came_true(night, job("evaluate", shop(), DS), measure)
    assert truth("2026-01-01")["metrics"] == {"users": 0}
