"""One run of a pipeline at a time, the oldest night first; a run that dies stands in nobody's way for long."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from nightfold.errors import PromotionRefused, TurnTaken
from nightfold.store import store_at

import pytest
from publishing import first, lists, serve, stage

ONE, TWO, THREE = "2017-12-01", "2017-12-02", "2017-12-03"


def test_one_run_has_the_turn_and_the_next_is_told_whose_it_is(store):
    mine = store.take_turn("shop", "run 1", ONE, seconds=60)
    assert (mine.holder, mine.night, store.turn("shop").holder) == ("run 1", ONE, "run 1")
    with pytest.raises(
        TurnTaken, match=f"shop, night {TWO}: waits for its turn: run 1 of night {ONE} is at work; it ends by itself"
    ):
        store.take_turn("shop", "run 2", TWO, seconds=60)
    assert store.take_turn("shop2", "run 2", TWO, seconds=60).holder == "run 2", "pipelines do not wait for each other"
    assert store.leave_turn("shop", "run 2") is False
    assert store.leave_turn("shop", "run 1") is True
    assert store.turn("shop") is None
    assert store.take_turn("shop", "run 2", TWO, seconds=60).token > mine.token


def test_one_that_asks_for_no_night_of_its_own_goes_first_and_breaks_nothing(store):
    store.take_turn("shop", "run 1", ONE, seconds=60)
    with pytest.raises(TurnTaken, match=r"^shop: waits for its turn: run 1"):
        store.take_turn("shop", "forgetting", "", seconds=60)
    store.leave_turn("shop", "run 1")
    with pytest.raises(TurnTaken, match="forgetting waits, and is older"):
        store.take_turn("shop", "run 2", TWO, seconds=60)
    assert store.leave_turn("shop", "forgetting") is False, "it only waited, and waits no longer"
    assert store.take_turn("shop", "run 2", TWO, seconds=60).holder == "run 2"


def test_a_run_that_asks_again_has_the_same_turn(store):
    before = store.take_turn("shop", "run 1", ONE, seconds=1)
    again = store.take_turn("shop", "run 1", ONE, seconds=60)
    assert again.token == before.token
    assert store.turn("shop").seconds_left > 50
    assert store.keep_turn("shop", "run 1", seconds=600) is True
    assert store.turn("shop").seconds_left > 500
    assert store.keep_turn("shop", "run 2", seconds=600) is False


def test_of_those_that_wait_the_oldest_night_is_next(store):
    store.take_turn("shop", "now", ONE, seconds=60)
    for run, night in (("late", THREE), ("early", TWO)):
        with pytest.raises(TurnTaken):
            store.take_turn("shop", run, night, seconds=60)
    store.leave_turn("shop", "now")
    with pytest.raises(TurnTaken, match=f"early of night {TWO} waits, and is older"):
        store.take_turn("shop", "late", THREE, seconds=60)
    assert store.take_turn("shop", "early", TWO, seconds=60).night == TWO
    store.leave_turn("shop", "early")
    assert store.take_turn("shop", "late", THREE, seconds=60).night == THREE


def test_one_that_is_expected_goes_first_unless_it_has_the_turn_already(store):
    store.expect_turn("shop", "early", ONE)
    with pytest.raises(TurnTaken, match=f"early of night {ONE} waits, and is older"):
        store.take_turn("shop", "late", TWO, seconds=60)
    store.take_turn("shop", "early", ONE, seconds=60)
    store.expect_turn("shop", "early", ONE)
    store.leave_turn("shop", "early")
    assert store.take_turn("shop", "late", TWO, seconds=60).holder == "late"


def test_who_gives_up_waiting_is_waited_for_by_nobody(store):
    store.take_turn("shop", "now", ONE, seconds=60)
    with pytest.raises(TurnTaken):
        store.take_turn("shop", "early", TWO, seconds=60)
    store.leave_turn("shop", "early")
    store.leave_turn("shop", "now")
    assert store.take_turn("shop", "late", THREE, seconds=60).night == THREE


def lapsed(store) -> None:
    """A run that died: its lease of 50 ms is over."""
    store.take_turn("shop", "dead", TWO, seconds=0.05)
    limit = time.monotonic() + 10
    while store.turn("shop").seconds_left > 0:
        assert time.monotonic() < limit


@pytest.mark.parametrize("night", [TWO, ONE, ""])
def test_the_turn_of_a_run_that_died_is_free_when_its_lease_is_over(store, night):
    lapsed(store)
    assert store.take_turn("shop", "next", night, seconds=60).holder == "next"
    assert store.turn("shop").holder == "next"


def test_a_newer_night_waits_a_while_for_one_that_was_not_done(store):
    lapsed(store)
    words = f"dead of night {TWO} was not done when it was last heard of; it goes first if it comes back within 600 s"
    with pytest.raises(TurnTaken, match=words):
        store.take_turn("shop", "newer", THREE, seconds=60)
    token = store.turn("shop").token
    assert store.take_turn("shop", "dead", TWO, seconds=60).token == token, "it came back, and goes on"
    with pytest.raises(TurnTaken, match="is at work"):
        store.take_turn("shop", "newer", THREE, seconds=60)
    store.leave_turn("shop", "dead")
    assert store.take_turn("shop", "newer", THREE, seconds=60).holder == "newer"


def test_a_newer_night_waits_no_more_when_it_does_not_come_back_or_is_said_to_be_dead(store, monkeypatch):
    lapsed(store)
    monkeypatch.setattr("nightfold.store.valkey.turns.RETURN", 0.05)
    freed = threading.Event()

    def ask() -> None:
        while not freed.is_set():
            try:
                store.take_turn("shop", "newer", THREE, seconds=60)
                freed.set()
            except TurnTaken:
                freed.wait(0.02)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    assert freed.wait(10), "50 ms after the first question"
    store.leave_turn("shop", "newer")
    monkeypatch.undo()
    lapsed(store)
    assert store.leave_turn("shop", "dead") is True
    assert store.take_turn("shop", "newer", THREE, seconds=60).holder == "newer"


def test_of_many_that_ask_at_once_one_has_it(store, uri):
    def ask(number: int) -> bool:
        try:
            store_at(uri).take_turn("shop", f"run {number}", ONE, seconds=60)
        except TurnTaken:
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(ask, range(64))) == 1


def test_a_run_that_lost_its_turn_promotes_nothing_over_a_later_run(store):
    zombie = store.take_turn("shop", "zombie", ONE, seconds=60)
    store.leave_turn("shop", "zombie")
    after = store.take_turn("shop", "after", ONE, seconds=60)
    stage(store, "old", lists(anna="soap"), night=ONE)
    stage(store, "new", lists(anna="bread"), night=ONE)
    store.promote("shop", "new", after.token, 3)
    with pytest.raises(PromotionRefused, match="a later attempt has promoted since"):
        store.promote("shop", "old", zombie.token, 3)
    assert first(store, "anna") == "bread"


def test_a_remark_is_added_once_and_changes_nothing_else(store):
    serve(store, "v1", lists(anna="bread"))
    before = store.live("shop")
    assert store.remark("shop", "v1", "sales of 2017-12-01 changed") is True
    assert store.remark("shop", "v1", "sales of 2017-12-01 changed") is False
    assert store.remark("shop", "v9", "sales of 2017-12-01 changed") is False
    assert store.live("shop").remarks == ["sales of 2017-12-01 changed"]
    assert store.find("shop", "v1").manifest == store.live("shop")
    assert store.live("shop").model_copy(update={"remarks": []}) == before
    assert first(store, "anna") == "bread"
