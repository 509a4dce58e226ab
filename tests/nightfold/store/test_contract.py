"""What every backend of the store promises: whole versions, opaque keys, one pointer that moves only as it may."""

from nightfold.errors import (
    OlderNight,
    PromotionHeld,
    PromotionRefused,
    UnknownVersion,
)
from nightfold.store.records import encode
from nightfold.whole import all_lists

import pytest
from publishing import first, lists, lookup, serve, stage, states, three_nights

# --- whole or not at all


def test_a_version_is_served_whole_or_not_at_all(store):
    serve(store, "v1", lists(anna="bread", ben="eggs"))
    stage(store, "v2", lists(anna="soap"))
    assert (first(store, "anna"), first(store, "ben")) == ("bread", "eggs"), "v2 is staged, not live"
    assert store.promote("shop", "v2", store.begin("shop"), 3) is True
    assert first(store, "anna") == "soap"
    assert [a["source"] for a in lookup(store, "shop", ["anna", "ben"])] == ["model", "fallback"], "ben is not in v2"


def test_what_is_staged_is_read_only_by_its_name(store):
    serve(store, "v1", lists(anna="bread"))
    stage(store, "v2", lists(anna="soap"))
    assert first(store, "anna", version="v2") == "soap"
    assert first(store, "anna") == "bread"
    assert states(store) == {"v1": "live", "v2": "verified"}


def test_what_is_not_sealed_is_no_version(store):
    store.write("shop", "v1", "a", lists(anna="bread"))
    assert store.find("shop", "v1") is None
    with pytest.raises(UnknownVersion, match="version v1 is not staged: run publish for its night first"):
        store.promote("shop", "v1", store.begin("shop"), 3)


def test_an_answer_has_exactly_the_promised_keys(store):
    serve(store, "v1", {"1228": encode([("eggs", 0.25, "bought 3 times"), ("tea", 0.1, "")])})
    assert lookup(store, "shop", ["1228", "nobody"]) == [
        {
            "pipeline": "shop",
            "key": "1228",
            "version": "v1",
            "night": "2017-12-03",
            "published_at": "2017-12-04T02:41:07+00:00",
            "source": "model",
            "bucket": None,
            "degraded": False,
            "items": [{"id": "eggs", "score": 0.25, "why": "bought 3 times"}, {"id": "tea", "score": 0.1, "why": ""}],
        },
        {
            "pipeline": "shop",
            "key": "nobody",
            "version": "v1",
            "night": "2017-12-03",
            "published_at": "2017-12-04T02:41:07+00:00",
            "source": "fallback",
            "bucket": None,
            "degraded": False,
            "items": [{"id": "milk", "score": 9.0, "why": "popular"}],
        },
    ]


def test_a_list_can_be_cut(store):
    serve(store, "v1", {"anna": encode([("a", 3, ""), ("b", 2, ""), ("c", 1, "")])})
    [answer] = lookup(store, "shop", ["anna"], n=2)
    assert [item["id"] for item in answer["items"]] == ["a", "b"]


def test_an_empty_list_is_the_models_answer_not_the_fallback(store):
    serve(store, "v1", {"anna": encode([])})
    [answer] = lookup(store, "shop", ["anna"])
    assert (answer["source"], answer["items"]) == ("model", [])


def test_nothing_published_says_how_to_publish(store):
    with pytest.raises(UnknownVersion, match="shop: nothing is published yet: run a night first"):
        lookup(store, "shop", ["anna"])
    assert store.live("shop") is None
    assert store.versions("shop") == []


def test_an_unknown_version_names_those_that_are_kept(store):
    serve(store, "v1")
    with pytest.raises(UnknownVersion, match="shop: no version 'v9'; kept are: v1"):
        lookup(store, "shop", ["anna"], version="v9")


# --- keys are opaque

KEYS = ["", "*", "?", "a[1]", "a1", "\\", "00123", "123", "Jürgen Ω", "two words", "a:b:u:c", ":", "line\nbreak", "{shop}", "-1"]


def test_keys_are_taken_as_they_are_whatever_they_look_like(store):
    records = {key: encode([(f"item of {key}", 1.0, "")]) for key in KEYS}
    serve(store, "v1", records)
    for key in KEYS:
        assert first(store, key) == f"item of {key}"
    assert sorted(answer.key for answer in all_lists(store, "shop")) == sorted(KEYS)
    assert store.count("shop", "v1", "20171204T023000-0", KEYS) == 15


def test_a_key_that_would_match_as_a_pattern_is_unknown(store):
    serve(store, "v1", lists(anna="bread"))
    for key in ("*", "ann?", "[a]nna", "ANNA", "anna ", "fallback"):
        [answer] = lookup(store, "shop", [key])
        assert answer["source"] == "fallback", key


def test_all_keys_come_once_each_beyond_one_batch(store):
    serve(store, "v1", {f"k{i}": encode([(str(i), 1.0, "")]) for i in range(2345)})
    answers = list(all_lists(store, "shop", n=1))
    assert len(answers) == 2345
    assert {a.key: a.items[0].id for a in answers} == {f"k{i}": str(i) for i in range(2345)}


def test_all_keys_of_another_version_than_live(store):
    serve(store, "v1", lists(anna="bread"))
    stage(store, "v2", lists(ben="eggs"))
    assert [a.key for a in all_lists(store, "shop", version="v2")] == ["ben"]


def test_keys_are_counted_and_read_in_order(store):
    store.write("shop", "v1", "a", lists(x="bread", y="eggs"))
    assert store.read("shop", "v1", "a", ["y", "z", "x"]) == [b'[["eggs",1.0,""]]', None, b'[["bread",1.0,""]]']
    assert store.count("shop", "v1", "a", ["x", "y", "z"]) == 2
    assert store.read("shop", "v1", "a", []) == []
    assert store.count("shop", "v1", "a", []) == 0


def test_an_empty_batch_changes_nothing(store, names):
    store.write("shop", "v1", "a", {})
    assert names() == []


# --- immutable


def test_sealing_twice_keeps_the_first(store, names):
    stage(store, "v1", lists(anna="bread"), attempt="a1")
    kept = stage(store, "v1", lists(anna="soap", ben="soap"), attempt="a2")
    assert (kept.attempt, kept.keys) == ("a1", 1)
    store.promote("shop", "v1", store.begin("shop"), 3)
    assert first(store, "anna") == "bread"
    assert [name for name in names() if ":a2:" in name] == [], "nobody reads what the second attempt wrote"


def test_sealing_a_live_version_again_leaves_it_live(store):
    serve(store, "v1", attempt="a1")
    assert stage(store, "v1", attempt="a1").attempt == "a1"
    assert states(store) == {"v1": "live"}
    assert first(store, "anna") == "bread"


def test_the_records_of_another_attempt_are_not_seen(store):
    serve(store, "v1", lists(anna="bread"), attempt="a1")
    store.write("shop", "v1", "a2", lists(anna="soap", ben="soap"))
    store.write_fallback("shop", "v1", "a2", encode([("soap", 1.0, "")]))
    assert (first(store, "anna"), first(store, "ben")) == ("bread", "milk")
    assert [a.key for a in all_lists(store, "shop")] == ["anna"]


# --- promote


def test_promoting_what_is_live_changes_nothing_and_says_so(store, names):
    assert serve(store, "v1") is True
    before = names()
    assert store.promote("shop", "v1", store.begin("shop"), 3) is False
    assert [n for n in names() if not n.endswith(":token")] == [n for n in before if not n.endswith(":token")]
    assert states(store) == {"v1": "live"}


def test_an_older_night_is_refused_and_live_stays(store):
    serve(store, "v2", night="2017-12-04")
    with pytest.raises(OlderNight, match=r"shop, night 2017-12-03: version v1 is not promoted, live stays: night 2017-12-04 was"):
        serve(store, "v1", night="2017-12-03")
    assert states(store) == {"v2": "live", "v1": "verified"}


def test_another_version_of_the_same_night_is_served(store):
    serve(store, "v1", lists(anna="bread"))
    serve(store, "v1b", lists(anna="soap"))
    assert first(store, "anna") == "soap"
    assert states(store) == {"v1": "retired", "v1b": "live"}


def test_an_outdated_fencing_token_is_refused(store):
    old = store.begin("shop")
    serve(store, "v1", night="2017-12-03")
    stage(store, "v2", night="2017-12-04")
    with pytest.raises(PromotionRefused, match="a later attempt has promoted since"):
        store.promote("shop", "v2", old, 3)
    assert states(store) == {"v2": "verified", "v1": "live"}


def test_tokens_grow_and_are_each_pipelines_own(store):
    assert [store.begin("shop"), store.begin("shop"), store.begin("other")] == [1, 2, 1]


# --- rollback


def test_rollback_goes_to_the_version_before(store):
    three_nights(store)
    assert store.rollback("shop") == ("v3", "v2")
    assert first(store, "anna") == "eggs"
    assert states(store) == {"v3": "bad", "v2": "live", "v1": "retired"}
    assert store.held("shop") == "rolled back from v3"


def test_rollback_goes_to_a_named_version_and_those_between_are_bad(store):
    three_nights(store)
    assert store.rollback("shop", to="v1") == ("v3", "v1")
    assert first(store, "anna") == "bread"
    assert states(store) == {"v3": "bad", "v2": "bad", "v1": "live"}


def test_rollback_with_nothing_older_changes_nothing(store):
    with pytest.raises(UnknownVersion, match="shop: cannot roll back to an older version: no older promoted version is kept"):
        store.rollback("shop")
    serve(store, "v1")
    with pytest.raises(UnknownVersion, match="no older promoted version is kept"):
        store.rollback("shop")
    assert states(store) == {"v1": "live"}
    assert store.held("shop") is None


def test_rollback_to_what_was_never_promoted_names_what_was(store):
    three_nights(store)
    stage(store, "v4", night="2017-12-04")
    for wrong in ("v4", "v9", "v3"):
        with pytest.raises(UnknownVersion, match=f"shop: cannot roll back to {wrong}: promoted before are: v2, v1"):
            store.rollback("shop", to=wrong)
    assert states(store)["v3"] == "live"
    assert store.held("shop") is None


def test_promotions_are_held_after_a_rollback_until_released(store):
    three_nights(store)
    store.rollback("shop")
    with pytest.raises(PromotionHeld, match=r"promotions are held \(rolled back from v3\): `nightfold release shop` lets"):
        serve(store, "v4", lists(anna="tea"), night="2017-12-04")
    assert first(store, "anna") == "eggs"
    assert store.release("shop") is True
    assert store.release("shop") is False
    assert store.promote("shop", "v4", store.begin("shop"), 3) is True
    assert first(store, "anna") == "tea"


def test_a_bad_version_is_not_promoted_again(store):
    three_nights(store)
    store.rollback("shop")
    store.release("shop")
    with pytest.raises(PromotionRefused, match="somebody rolled back from it: mend the cause"):
        store.promote("shop", "v3", store.begin("shop"), 3)
    assert first(store, "anna") == "eggs"


def test_what_was_rolled_back_from_by_mistake_may_be_promoted_again(store):
    three_nights(store)
    store.rollback("shop")
    store.release("shop")
    store.absolve("shop", "v3")
    assert states(store) == {"v3": "verified", "v2": "live", "v1": "retired"}
    assert store.promote("shop", "v3", store.begin("shop"), 3) is True
    assert first(store, "anna") == "soap"
    assert states(store) == {"v3": "live", "v2": "retired", "v1": "retired"}


def test_only_a_bad_version_is_absolved(store):
    three_nights(store)
    for version, why in {"v3": "it is live", "v2": "it is retired", "v9": "it is not kept"}.items():
        with pytest.raises(UnknownVersion, match=f"shop: version {version} is not marked bad: {why}"):
            store.absolve("shop", version)
    assert states(store) == {"v3": "live", "v2": "retired", "v1": "retired"}


def test_after_a_rollback_the_night_can_be_published_anew_but_no_older_one(store):
    three_nights(store)
    store.rollback("shop")
    store.release("shop")
    with pytest.raises(OlderNight):
        serve(store, "v2b", night="2017-12-02")
    assert serve(store, "v3b", lists(anna="tea"), night="2017-12-03") is True
    assert first(store, "anna") == "tea"


def test_of_versions_never_promoted_the_last_nights_stay_and_what_is_promoted_is_not_counted(store, names):
    """A backfill of a year of old nights stages a year of versions."""
    serve(store, "live", lists(anna="bread"), night="2017-12-31")
    for day in (3, 1, 2, 5, 4):
        stage(store, f"v{day}", lists(anna="soap"), night=f"2017-12-0{day}", keep=3)
    assert states(store) == {"live": "live", "v5": "verified", "v4": "verified", "v3": "verified"}
    stage(store, "v1", lists(anna="soap"), night="2017-12-01", keep=3)
    assert states(store) == {"live": "live", "v5": "verified", "v4": "verified", "v1": "verified"}, "the one just made stays"
    assert first(store, "anna") == "bread"
    assert [name for name in names() if ":u:" in name] == sorted(
        f"nightfold:shop:{version}:20171204T023000-0:u:anna" for version in ("live", "v1", "v4", "v5")
    )
