"""What every backend promises when versions go, many come at once, or the server is not as it should be."""

import copy
import itertools
import threading
from collections.abc import Callable

from nightfold.errors import (
    BadPipeline,
    IncompleteVersion,
    PromotionRefused,
    StoreError,
    UnknownVersion,
)
from nightfold.store import Store, store_at
from nightfold.store.records import checksum, decode, encode, record_digest
from nightfold.store.valkey import scripts
from nightfold.whole import all_lists

import pytest
from helpers import free_port
from publishing import FALLBACK, first, lists, lookup, serve, stage, states, three_nights

# --- what stays, what goes


def test_the_last_promoted_stay_and_older_ones_vanish_with_all_their_records(store, names):
    three_nights(store)
    store.write("shop", "v1", "20171203T023000-zombie", lists(anna="soap", carl="soap"))
    before = [name for name in names() if name.split(":")[2] in ("v2", "v3")]
    serve(store, "v4", night="2017-12-04", keep=3)
    assert states(store) == {"v4": "live", "v3": "retired", "v2": "retired"}
    assert [name for name in names() if name.split(":")[2] == "v1"] == []
    assert [name for name in names() if name.split(":")[2] in ("v2", "v3")] == before
    assert first(store, "anna", version="v2") == "eggs"
    assert store.find("shop", "v1") is None


def test_deleting_a_version_takes_nothing_of_one_whose_name_it_begins(store):
    serve(store, "v1", night="2017-12-01", keep=2)
    serve(store, "v12", lists(anna="eggs"), night="2017-12-02", keep=2)
    serve(store, "v1", lists(anna="tea"), night="2017-12-01", keep=2, pipeline="shop_two")
    serve(store, "v*", lists(anna="soap"), night="2017-12-03", keep=2)
    assert states(store) == {"v*": "live", "v12": "retired"}
    assert first(store, "anna", version="v12") == "eggs"
    assert lookup(store, "shop_two", ["anna"])[0]["items"][0]["id"] == "tea"


def test_deleting_a_version_named_like_a_pattern_takes_only_itself(store):
    for night, version in (("01", "v*"), ("02", "v2"), ("03", "v3")):
        serve(store, version, lists(anna=version), night=f"2017-12-{night}", keep=2)
    assert states(store) == {"v3": "live", "v2": "retired"}
    assert (first(store, "anna"), first(store, "anna", version="v2")) == ("v3", "v2")


def test_bad_and_never_promoted_versions_of_older_nights_vanish_too(store, names):
    three_nights(store)
    store.rollback("shop")
    store.release("shop")
    stage(store, "v3b", night="2017-12-03")
    for night in ("04", "05"):
        serve(store, f"v{night}", night=f"2017-12-{night}", keep=2)
    assert states(store) == {"v05": "live", "v04": "retired"}
    assert {name.split(":")[2] for name in names() if not name.startswith("nightfold:{")} == {"v04", "v05"}


def test_records_left_by_a_promotion_that_died_go_with_the_next(store, names, monkeypatch):
    serve(store, "v1", night="2017-12-01", keep=2)
    serve(store, "v2", night="2017-12-02", keep=2)
    with monkeypatch.context() as dying:
        dying.setattr(type(store), "_delete", lambda *_, **__: (_ for _ in ()).throw(StoreError("gone away")))
        with pytest.raises(StoreError):
            serve(store, "v3", night="2017-12-03", keep=2)
    assert states(store) == {"v3": "live", "v2": "retired"}
    assert store.promote("shop", "v3", store.begin("shop"), 2) is False
    assert [name for name in names() if name.split(":")[2] == "v1"] == []


# --- many at once


def test_two_versions_promoted_at_once_end_with_one_live(store):
    for round_ in range(10):
        versions = [f"r{round_}-{n}" for n in range(4)]
        for version in versions:
            stage(store, version, lists(anna=version), keep=50)
        start = threading.Barrier(4)
        outcomes: list[bool | str] = []

        def promote(version: str, start: threading.Barrier = start, outcomes: list = outcomes) -> None:
            start.wait(10)
            try:
                outcomes.append(store.promote("shop", version, store.begin("shop"), 50))
            except PromotionRefused:
                outcomes.append("outdated")

        threads = [threading.Thread(target=promote, args=(version,)) for version in versions]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert len(outcomes) == 4
        assert True in outcomes
        assert list(states(store).values()).count("live") == 1
        live = store.live("shop")
        assert live is not None
        assert states(store)[live.version] == "live"
        assert first(store, "anna") == live.version


def test_a_reader_never_sees_half_a_list_or_two_versions_while_nights_are_promoted(store):
    people = [f"p{i}" for i in range(300)]
    done = threading.Event()
    wrong: list[str] = []
    served: set[str] = set()

    def read() -> None:
        while not done.is_set():
            answers = lookup(store, "shop", [*people, "nobody"])
            served.add(answers[0]["version"])
            seen = {(a["version"], a["source"], a["items"][0]["id"]) for a in answers[:-1]}
            if seen != {(answers[0]["version"], "model", answers[0]["version"])}:
                wrong.append(str(seen))
            if answers[-1]["source"] != "fallback":
                wrong.append("nobody has a list")

    serve(store, "n00", {p: encode([("n00", 1.0, "")]) for p in people}, keep=2)
    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for n in range(1, 25):
        serve(store, f"n{n:02}", {p: encode([(f"n{n:02}", 1.0, "")]) for p in people}, keep=2)
    done.set()
    for reader in readers:
        reader.join(10)
    assert wrong == []
    assert len(served) > 1, "the readers saw no change"


def late(store: Store, meanwhile: Callable[[], object]) -> Store:
    """The store as a slow reader sees it: something happens between its question for a list and the answer."""
    slow = object.__new__(type("Slow", (type(store),), {}))
    slow.__dict__.update(vars(store))
    slow.wire = copy.copy(store.wire)
    pending = [meanwhile]

    def get(keys: list[str]) -> list[bytes | None]:
        if pending and any(":u:" in key for key in keys):
            pending.pop()()
        return store.wire.get(keys)

    slow.wire.get = get
    return slow


def two_more_nights(store: Store) -> None:
    serve(store, "v2", lists(anna="eggs"), night="2017-12-04", keep=2)
    serve(store, "v3", lists(anna="soap"), night="2017-12-05", keep=2)


def test_a_reader_whose_version_was_deleted_meanwhile_gets_the_new_live_one(store):
    serve(store, "v1", lists(anna="bread"), keep=2)
    [answer] = lookup(late(store, lambda: two_more_nights(store)), "shop", ["anna"])
    assert (answer["version"], answer["source"], answer["items"][0]["id"]) == ("v3", "model", "soap")


def test_a_half_deleted_version_does_not_turn_a_known_key_into_the_fallback(store, uri):
    serve(store, "v1", lists(anna="bread", ben="bread"), keep=2)

    def half() -> None:
        two_more_nights(store)
        store.write("shop", "v1", "20171204T023000-0", lists(ben="bread"))  # as if the deletion had come so far only
        store.write_fallback("shop", "v1", "20171204T023000-0", FALLBACK)

    [anna, ben] = lookup(late(store, half), "shop", ["anna", "ben"])
    assert (anna["version"], anna["source"], anna["items"][0]["id"]) == ("v3", "model", "soap")
    assert ben["version"] == "v3"


def test_a_named_version_deleted_meanwhile_is_said_to_be_gone(store):
    serve(store, "v1", lists(anna="bread"), keep=2)
    with pytest.raises(UnknownVersion, match="no version 'v1'; kept are: v3, v2"):
        lookup(late(store, lambda: two_more_nights(store)), "shop", ["anna"], version="v1")


def test_all_keys_of_a_version_deleted_meanwhile_end_with_an_error_not_early(store):
    serve(store, "v1", {f"k{i}": encode([("x", 1.0, "")]) for i in range(1200)}, keep=2)
    answers = all_lists(store, "shop")
    next(answers)
    two_more_nights(store)
    with pytest.raises(UnknownVersion, match="no version 'v1'"):
        list(answers)


def test_a_version_that_lost_lists_is_not_called_whole(store, backend, names):
    serve(store, "v1", lists(anna="bread", ben="eggs"))
    backend.delete(next(name for name in names() if name.endswith(":u:anna")))
    with pytest.raises(IncompleteVersion, match="version v1 holds 1 of its 2 lists"):
        list(all_lists(store, "shop"))
    for lost in [name for name in names() if name.endswith((":fallback", ":whole"))]:
        backend.delete(lost)
    with pytest.raises(IncompleteVersion, match="shop: version v1 has lost its records: clear `publish` of night 2017-12-03"):
        lookup(store, "shop", ["anna"])


def test_another_attempt_takes_the_place_of_a_broken_one_and_of_no_other(store, names):
    serve(store, "v1", lists(anna="bread"), attempt="1")
    whole = store.find("shop", "v1").manifest
    for attempt, item in (("2", "soap"), ("3", "eggs")):
        store.announce("shop", "v1", attempt)
        store.write("shop", "v1", attempt, lists(anna=item))
        store.write_fallback("shop", "v1", attempt, FALLBACK)
    assert store.seal(whole.model_copy(update={"attempt": "3"}), broken="0") == whole, "0 is not the attempt that counts"
    assert first(store, "anna") == "bread"
    store.seal(whole.model_copy(update={"attempt": "2"}), broken="1")
    assert (first(store, "anna"), store.live("shop").attempt, states(store)) == ("soap", "2", {"v1": "live"})
    assert {name.split(":")[3] for name in names() if name.startswith("nightfold:shop:v1:")} == {"2"}


# --- the server


def test_a_store_that_is_down_is_said_in_one_line_without_the_password():
    store = store_at(f"redis://somebody:s3cret@127.0.0.1:{free_port()}/0")
    for ask in (lambda: store.live("shop"), lambda: store.begin("shop"), store.server_id, lambda: list(store.keys("s", "v", "a"))):
        with pytest.raises(StoreError, match=r"^store redis://127\.0\.0\.1:\d+/0: .*is it up") as caught:
            ask()
        assert "\n" not in str(caught.value)
        assert "s3cret" not in str(caught.value)
        assert "somebody" not in str(caught.value)


def test_a_wrong_password_is_said_in_one_line_without_it(uri):
    scheme, host = uri.split("://")[0], uri.rsplit("@", 1)[1]
    with pytest.raises(StoreError) as caught:
        store_at(f"{scheme}://:not-the-password@{host}").live("shop")
    assert "password" in str(caught.value)
    assert "not-the-password" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("address", "complaint"),
    [
        ("http://:s3cret@h:1/0", "no store for 'http'; use a connection of one of: redis, rediss, valkey, valkeys"),
        (":s3cret@h:1", "no store for ''; use a connection of one of: redis, rediss, valkey, valkeys"),
        ("redis://:s3cret/5@h:1/0", "the store's connection is not a URI: write / # "),
    ],
)
def test_an_address_that_no_backend_serves_is_refused_without_its_password(address, complaint):
    with pytest.raises(BadPipeline) as caught:
        store_at(address)
    assert str(caught.value).startswith(complaint)
    assert "s3cret" not in str(caught.value)


def test_a_server_that_may_evict_is_refused(store, backend):
    try:
        backend.may_evict(True)
        with pytest.raises(StoreError, match="maxmemory-policy is allkeys-lru, so the server may drop lists by itself"):
            store.server_id()
    finally:
        backend.may_evict(False)
    assert store.server_id() == store.server_id()


# --- records and checksums


def test_a_record_is_compact_json_and_comes_back_as_items():
    assert encode([("00123", 0.1234567, "weil's schmeckt"), ("7", 2, "")]) == (
        b'[["00123",0.123457,"weil\'s schmeckt"],["7",2.0,""]]'
    )
    assert encode([("ö", 1.0, "Ω")]) == '[["ö",1.0,"Ω"]]'.encode()
    assert decode(b'[["00123",0.5,"why"]]') == [("00123", 0.5, "why")]


def test_the_checksum_does_not_depend_on_order():
    digests = [record_digest(key, record) for key, record in lists(a="x", b="y", c="z").items()]
    assert {checksum(order) for order in itertools.permutations(digests)} == {checksum(digests)}
    assert checksum([sum(digests[:2]), digests[2]]) == checksum(digests), "nor on how the records were divided"
    assert checksum([]) == "0000000000000000"


@pytest.mark.parametrize(
    "changed",
    [
        {"a": b"1", "b": b"3"},  # a record
        {"a": b"1"},  # one missing
        {"a": b"2", "b": b"1"},  # two swapped
        {"a": b"1", "c": b"2"},  # a key
        {"a": b"1", "b": b"2", "": b""},  # one more
    ],
)
def test_any_change_changes_the_checksum(changed):
    def of(records: dict[str, bytes]) -> str:
        return checksum(record_digest(key, record) for key, record in records.items())

    assert of(changed) != of({"a": b"1", "b": b"2"})


def test_a_rollback_whose_answer_was_lost_does_not_go_back_once_more(store):
    for day in (1, 2, 3):
        serve(store, f"v{day}", night=f"2017-12-0{day}")
    asked = ("shop", "", "wrong prices", "v3")
    first_time, again = (store._run(scripts.ROLLBACK, *asked) for _ in range(2))
    assert again == first_time == [b"done", b"v3", b"v2"]
    assert states(store) == {"v1": "retired", "v2": "live", "v3": "bad"}
    assert store.rollback("shop") == ("v2", "v1"), "asked for anew, it goes on"


def test_what_was_collected_is_never_sealed(store, names):
    serve(store, "v1", lists(anna="bread"))
    store.announce("shop", "v2", "a2")
    store.write("shop", "v2", "a2", lists(anna="soap"))
    store.collect("shop", older_than=0)
    with pytest.raises(
        StoreError, match="night 2017-12-04: attempt a2 at version v2 was taken for dead, and what it had written was"
    ):
        store.seal(store.live("shop").model_copy(update={"version": "v2", "attempt": "a2", "night": "2017-12-04"}))
    assert states(store) == {"v1": "live"}
    assert [name for name in names() if ":v2:" in name] == []


def test_an_earlier_attempt_whose_lists_went_with_its_version_is_never_sealed(store, names):
    store.announce("shop", "v1", "a1")
    store.write("shop", "v1", "a1", lists(anna="soap"))
    serve(store, "v1", lists(anna="bread"), attempt="a2", night="2017-12-01", keep=1)
    serve(store, "v2", lists(anna="eggs"), attempt="a3", night="2017-12-02", keep=1)
    assert [name for name in names() if ":v1:" in name] == []
    with pytest.raises(StoreError, match="attempt a1 at version v1 was taken for dead"):
        store.seal(store.live("shop").model_copy(update={"version": "v1", "attempt": "a1"}))


def test_a_version_that_has_lost_its_records_does_not_go_live(store, backend, names):
    serve(store, "v1", night="2017-12-01")
    stage(store, "v2", night="2017-12-02")
    backend.delete(next(name for name in names() if ":v2:" in name and name.endswith(":fallback")))
    with pytest.raises(IncompleteVersion, match="night 2017-12-02: version v2 has lost its records, live stays: clear `publish`"):
        store.promote("shop", "v2", store.begin("shop"), 3)
    assert states(store) == {"v1": "live", "v2": "verified"}
