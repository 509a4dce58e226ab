"""What became of each version is kept with its time and cause; and two versions may be served side by side."""

import re

from nightfold.buckets import bucket, place
from nightfold.errors import BadInput, IncompleteVersion, UnknownVersion
from nightfold.store import VersionManifest
from nightfold.store.records import checksum, encode, record_digest
from nightfold.store.valkey import scripts
from nightfold.whole import is_whole, verify

import pytest
from publishing import FALLBACK, answers, first, lists, serve, stage, states, three_nights

PEOPLE = [f"p{number}" for number in range(200)]


def happened(store, version: str) -> list[tuple[str, str]]:
    """State and cause of a version's changes, the oldest first."""
    return [(change.state, change.cause) for change in reversed(store.history("shop")) if change.version == version]


# --- history


def test_every_change_of_a_version_is_kept_with_its_time_and_cause(store):
    serve(store, "v1", night="2017-12-01", keep=2)
    assert store.staged("shop") == []
    for night in ("02", "03"):
        serve(store, f"v{night}", night=f"2017-12-{night}", keep=2)
    assert happened(store, "v1") == [
        ("staged", "attempt 20171204T023000-0 writes it"),
        ("verified", "read back whole by attempt 20171204T023000-0"),
        ("live", "promoted with token 1"),
        ("retired", "v02 went live"),
        ("gone", "not among the last 2 promoted"),
    ]
    assert all(re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", change.at) for change in store.history("shop"))


def test_a_rollback_says_why_in_the_history_and_to_who_asks_why_promotions_wait(store):
    three_nights(store)
    store.rollback("shop", because="prices of yesterday")
    assert happened(store, "v3")[-1] == ("bad", "rolled back from v3: prices of yesterday")
    assert happened(store, "v2")[-1] == ("live", "rolled back from v3: prices of yesterday")
    assert store.held("shop") == "rolled back from v3: prices of yesterday"


def test_what_is_announced_is_staged_until_it_is_sealed_or_discarded(store, names):
    store.announce("shop", "v1", "20171204T023000-0")
    assert [(s.version, s.attempt) for s in store.staged("shop")] == [("v1", "20171204T023000-0")]
    stage(store, "v1")
    assert store.staged("shop") == []
    store.discard("shop", "v1", "20171204T023000-0")
    assert verify_count(store, "v1") == 1, "what was sealed stays"
    store.announce("shop", "v2", "a")
    store.write("shop", "v2", "a", lists(anna="eggs", ben="eggs"))
    store.discard("shop", "v2", "a")
    assert [name for name in names() if ":v2:" in name] == []
    assert happened(store, "v2")[1:] == [("gone", "attempt a was never sealed")]


def verify_count(store, version: str) -> int:
    return sum(1 for _ in store.keys("shop", version, store.find("shop", version).manifest.attempt))


def test_who_comes_second_to_a_version_is_gone_with_a_word(store):
    for attempt in ("a1", "a2"):
        stage(store, "v1", attempt=attempt)
    assert happened(store, "v1")[-1] == ("gone", "attempt a2 came second: attempt a1 had it already")


def test_what_was_never_sealed_is_gone_with_a_word_and_once(store):
    store.announce("shop", "v9", "000009-aa")
    store.write("shop", "v9", "000009-aa", lists(anna="eggs", ben="eggs"))
    store.collect("shop", older_than=0)
    store.collect("shop", older_than=0)
    assert happened(store, "v9")[1:] == [("gone", "attempt 000009-aa was never sealed")]
    assert store.staged("shop") == []


def test_versions_staged_beyond_what_is_kept_are_gone_with_a_word(store):
    for day in (1, 2, 3):
        stage(store, f"v{day}", night=f"2017-12-0{day}", keep=2)
    assert happened(store, "v1")[-1] == ("gone", "never promoted, and 2 later ones were staged")


# --- two versions side by side


def two_versions(store) -> None:
    serve(store, "v1", {p: encode([("one", 1.0, "")]) for p in PEOPLE}, night="2017-12-01")
    stage(store, "v2", {p: encode([("two", 1.0, "")]) for p in PEOPLE}, night="2017-12-02")


def test_a_share_of_the_keys_get_the_second_version_the_same_ones_every_time(store):
    two_versions(store)
    store.split("shop", "v2", 0.25)
    said = answers(store, PEOPLE)
    assert {(answer.bucket, answer.version, answer.items[0].id) for answer in said} == {("A", "v1", "one"), ("B", "v2", "two")}
    chosen = {answer.key for answer in said if answer.bucket == "B"}
    assert chosen == {p for p in PEOPLE if bucket("shop", p, 0.25) == "B"}
    assert 30 <= len(chosen) <= 70
    assert {answer.key for answer in answers(store, PEOPLE) if answer.bucket == "B"} == chosen
    store.split("shop", "v2", 0.5)
    assert chosen < {answer.key for answer in answers(store, PEOPLE) if answer.bucket == "B"}, "a larger share takes nobody out"
    assert store.unsplit("shop") is True
    assert store.unsplit("shop") is False
    assert {(answer.bucket, answer.version) for answer in answers(store, PEOPLE)} == {(None, "v1")}


def test_places_are_those_that_any_language_can_work_out():
    assert place("shop", "anna") == 0x1EC317134DDB8184 / 2**64, "printf shop:anna | sha256sum"
    assert place("shop", "ben") == 0xE876EA0C2A6802A7 / 2**64
    assert bucket("shop", "anna", 1.0) == "B"
    assert bucket("shop", "anna", 0.0) == "A"
    spread = [place("shop", str(number)) for number in range(10_000)]
    assert [round(sum(p < edge for p in spread) / 10_000, 1) for edge in (0.2, 0.5, 0.8)] == [0.2, 0.5, 0.8]
    assert place("shop", "anna") != place("other", "anna")


def test_the_second_version_stays_while_it_is_served_whatever_is_promoted(store):
    two_versions(store)
    store.split("shop", "v2", 0.5)
    for day in range(3, 9):
        serve(store, f"v{day}", {p: encode([(str(day), 1.0, "")]) for p in PEOPLE}, night=f"2017-12-0{day}", keep=2)
    for day in range(3, 9):
        stage(store, f"s{day}", night=f"2017-12-1{day}", keep=1)
    assert {answer.version for answer in answers(store, PEOPLE)} == {"v8", "v2"}
    assert states(store) == {"v8": "live", "v7": "retired", "v2": "verified", "s8": "verified"}
    store.unsplit("shop")
    serve(store, "v9", night="2017-12-20", keep=2)
    assert set(states(store)) == {"v9", "v8", "s8"}


def test_a_split_ends_when_its_version_goes_live_or_is_rolled_back(store):
    two_versions(store)
    store.split("shop", "v2", 0.5)
    store.promote("shop", "v2", store.begin("shop"), 3)
    assert store.divided("shop") is None
    assert {(answer.bucket, answer.version) for answer in answers(store, PEOPLE)} == {(None, "v2")}
    store.split("shop", "v1", 0.5)
    store.rollback("shop")
    assert store.divided("shop") is None
    assert {(answer.bucket, answer.version) for answer in answers(store, PEOPLE)} == {(None, "v1")}


def test_a_split_that_cannot_be_is_refused_and_changes_nothing(store):
    with pytest.raises(
        UnknownVersion, match="shop: version v1 cannot be served beside live: no such version is kept; kept are: none"
    ):
        store.split("shop", "v1", 0.5)
    stage(store, "v0", night="2017-12-01")
    with pytest.raises(UnknownVersion, match="nothing is live yet: promote a version first"):
        store.split("shop", "v0", 0.5)
    three_nights(store)
    store.rollback("shop")
    for wrong, why in (
        ("v9", "no such version is kept; kept are: v3, v2, v[01], v[01]"),
        ("v2", "it is live"),
        ("v3", "somebody rolled back"),
    ):
        with pytest.raises(UnknownVersion, match=why):
            store.split("shop", wrong, 0.5)
    for share in (0.0, 1.0, -1, 2):
        with pytest.raises(BadInput, match=f"shop: a share of {share:g} is no split"):
            store.split("shop", "v1", share)
    assert store.divided("shop") is None


def test_a_remark_or_a_repair_of_the_second_version_reaches_its_readers_too(store):
    two_versions(store)
    store.split("shop", "v2", 0.5)
    store.remark("shop", "v2", "sales changed since")
    assert store.divided("shop").manifest.remarks == ["sales changed since"]
    whole = store.find("shop", "v2").manifest
    store.announce("shop", "v2", "a2")
    store.write("shop", "v2", "a2", {p: encode([("anew", 1.0, "")]) for p in PEOPLE})
    store.write_fallback("shop", "v2", "a2", FALLBACK)
    store.seal(whole.model_copy(update={"attempt": "a2"}), broken=whole.attempt)
    assert {answer.items[0].id for answer in answers(store, PEOPLE) if answer.bucket == "B"} == {"anew"}


# --- whole, and found to be


def sealed(store, records: dict[str, bytes]) -> None:
    """Live, with its true checksum."""
    store.announce("shop", "v1", "a")
    store.write("shop", "v1", "a", records)
    store.write_fallback("shop", "v1", "a", FALLBACK)
    content = checksum(record_digest(key, record) for key, record in {**records, "": FALLBACK}.items())
    manifest = {
        "pipeline": "shop",
        "version": "v1",
        "attempt": "a",
        "night": "2017-12-03",
        "published_at": "2017-12-04T02:41:07+00:00",
    }
    store.seal(VersionManifest(**manifest, keys=len(records), checksum=content, model="m"))
    store.promote("shop", "v1", store.begin("shop"), 3)


def test_a_version_is_verified_list_by_list(store, backend, names):
    sealed(store, {p: encode([(p, 1.0, "")]) for p in [*PEOPLE, *(f"q{n}" for n in range(700))]})
    assert verify(store, "shop").keys == 900
    store.write("shop", "v1", "a", {"p7": encode([("another", 1.0, "")])})
    with pytest.raises(IncompleteVersion, match=r"version v1 holds 900 of its 900 lists, checksum \w+ instead of \w+: clear"):
        verify(store, "shop")
    backend.delete(next(name for name in names() if name.endswith(":u:p7")))
    with pytest.raises(IncompleteVersion, match="version v1 holds 899 of its 900 lists"):
        verify(store, "shop", "v1")
    with pytest.raises(UnknownVersion, match="no version 'v7'"):
        verify(store, "shop", "v7")


def test_a_forgotten_key_leaves_a_version_that_is_whole_and_its_checksum_follows(store, names):
    sealed(store, lists(anna="bread", ben="eggs"))
    assert store.forget("shop", "v1", "anna") is True
    assert store.forget("shop", "v1", "anna") is False
    assert verify(store, "shop").keys == 1
    assert is_whole(store, store.live("shop"))
    assert first(store, "anna") == "milk"
    assert [name for name in names() if "anna" in name] == []


def test_forgetting_that_died_in_the_middle_is_ended_by_the_next(store, names, monkeypatch):
    sealed(store, lists(anna="bread", ben="eggs"))
    with monkeypatch.context() as dying:
        dying.setattr(type(store.wire), "unlink", lambda *_: (_ for _ in ()).throw(OSError("gone away")))
        with pytest.raises(Exception, match="gone away"):
            store.forget("shop", "v1", "anna")
    assert any(name.endswith(":u:anna") for name in names())
    assert store.forget("shop", "v1", "anna") is False
    assert [name for name in names() if "anna" in name] == []
    assert verify(store, "shop").keys == 1, "it was counted off once"


def test_a_key_is_counted_off_once_though_the_answer_was_lost_and_it_was_sent_again(store, monkeypatch):
    sealed(store, lists(anna="bread", ben="eggs", cleo="soap"))
    run, lost = store._run, []

    def loses(script, *arguments):
        found = run(script, *arguments)
        if script is scripts.AMEND and not lost:
            lost.append(found)
            return run(script, *arguments)  # as the client does that heard nothing
        return found

    monkeypatch.setattr(store, "_run", loses)
    assert store.forget("shop", "v1", "anna") is True
    assert lost == [1]
    assert verify(store, "shop").keys == 2
