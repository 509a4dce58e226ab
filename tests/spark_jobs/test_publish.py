"""publish on a real Valkey: whole or not at all, and the same scores are one version."""

import json
import time

import spark_jobs.promote as promote
import spark_jobs.publish as publish
from nightfold import schemas
from nightfold.client import Client, Item
from nightfold.errors import IncompleteVersion, StoreError
from nightfold.lake import Lake
from nightfold.spark import loading, tables
from nightfold.store import open_store, store_at
from nightfold.store.records import checksum, encode, record_digest
from nightfold.whole import all_lists

import pytest
from helpers import Valkey, job, run, tiny_shop
from pyspark.sql import SparkSession
from servers import wait_for

DS = "2026-01-03"
LISTS = [
    ("007", [("0042", 2.5, "bought once"), ("milk", 1.25, "suits you")]),
    ("008", [("bread", 0.1234567, "süß")]),
    ("009", []),
]
RECIPE = {
    "kind": "model",
    "night": "2026-01-01",
    "data": "shop/model/attempts/1",
    "model": "model 1",
    "params": {},
    "features": "f",
    "twin": "shop/model/attempts/1/twin",
}
VERDICT = {"outcome": "held", "reason": "first things first", "serve": RECIPE, "checks": []}
POPULAR = [("", [("milk", 1.0, "popular now")])]


@pytest.fixture
def server(valkey_server, monkeypatch):
    """The shared server, empty, as the connection `kv_default`."""
    valkey_server.client.flushall()
    monkeypatch.setenv("AIRFLOW_CONN_KV_DEFAULT", valkey_server.uri)
    return valkey_server


@pytest.fixture
def scored(utc, home):
    """Commit scores (and what else publish reads) of a night."""

    def commit(rows=LISTS, fingerprint="scores 1", partitions=2, ds=DS):
        made = job("score", tiny_shop(), ds)
        for part, values in (("lists", rows), ("fallback", POPULAR)):
            frame = utc.createDataFrame(values, tables.struct(schemas.SCORES)).repartition(partitions)
            tables.write(frame, schemas.SCORES, f"{made.uri}/{part}")
        made.lake.commit(
            made.manifest("scores", ds, fingerprint=fingerprint, data=made.place, facts={"recipe": RECIPE, "churn": 0.25}),
            made.manifest("features", ds, fingerprint="features 1", facts={"users": 3, "active_users": 2}),
            made.manifest("evaluation", ds, fingerprint="evaluation 1", facts={"served": {"ndcg": 0.5}, "verdict": VERDICT}),
        )

    return commit


def published(ds: str = DS):
    """The store, and the version that the night has."""
    store = open_store()
    return store, store.find("shop", Lake("shop").get("version", ds).facts["version"]).manifest


def held(server) -> dict[bytes, object]:
    read = {b"string": server.client.get, b"hash": server.client.hgetall, b"list": lambda key: server.client.lrange(key, 0, -1)}
    return {key: read[server.client.type(key)](key) for key in server.client.scan_iter()}


def test_batches_are_of_the_size_asked_for_and_their_numbers_are_summed(utc):
    rows = [(f"{i:03}", [("a", 1.0, "w")]) for i in range(25)]
    frame = utc.createDataFrame(rows, tables.struct(schemas.SCORES))
    total = checksum(record_digest(key, encode(items)) for key, items in rows)

    def work(keys: list[str], records: list[bytes]) -> tuple[int, int]:
        assert records == [b'[["a",1.0,"w"]]'] * len(keys)
        return len(keys), int(len(keys) > 4)

    for given, number in ((frame.repartition(2), 25), (frame.coalesce(1), 25), (frame.limit(0), 0)):
        with loading.encoded(given) as records:
            keys, summed = loading.summed(records)
            assert (keys, checksum([summed])) == (number, total if number else checksum([]))
            assert loading.in_batches(records, work, batch=4) == (number, 0)
            assert loading.in_batches(records.coalesce(1), lambda keys, _: (1, len(keys)), batch=1000) == (int(number > 0), number)


def test_lists_are_encoded_as_one_by_one(utc):
    rows = [("a", [("1", 0.1234565, "w"), ('"\\', -2.5e-7, "\n")]), ("b", []), ("c", [("ö", 1e9 / 3, "Ω"), ("7", 2.0, "")])]
    with loading.encoded(utc.createDataFrame(rows, tables.struct(schemas.SCORES)).coalesce(1)) as records:
        kept = {row["key"]: bytes(row["record"]) for row in records.collect()}
    assert kept == {key: encode(items) for key, items in rows}
    assert json.loads(kept["a"]) == [["1", 0.123456, "w"], ['"\\', 0.0, "\n"]]


def test_how_far_it_is_is_said_while_it_is_written(server, monkeypatch):
    monkeypatch.setattr(loading, "TELL_EVERY", 0.01)
    said, place = [], loading.Place(server.uri, "shop", "v1", "a1")
    store = store_at(server.uri)
    with loading.told(store, place, 10, said.append):
        assert loading.write(place)(["anna", "ben"], [b"[]", b"[]"]) == (2, 0)
        wait_for(lambda: any(line.startswith("2 of 10 lists written, ") for line in said), what="a line")
    assert store.read("shop", "v1", "a1", ["ben"]) == [b"[]"]


def promoted() -> str:
    """As the process does, in its own turn."""
    last = job("promote", tiny_shop(), DS)
    last.turn = last.store.take_turn("shop", "by hand", DS, seconds=60)
    return promote.main(last)


def test_a_version_is_staged_whole_and_not_live_until_promoted(server, scored):
    scored()
    words = run(publish, tiny_shop(), DS)
    store, version = published()
    assert words == f"version {version.version} staged and verified: 3 lists, checksum {version.checksum}"
    assert version.checksum == checksum([record_digest(key, encode(items)) for key, items in (*LISTS, *POPULAR)])
    assert (version.keys, version.night, version.model, version.metrics) == (3, DS, "model 1", {"ndcg": 0.5})
    assert version.facts["twin"] == "shop/model/attempts/1/twin", (
        "of the model that made the lists: a champion's, on a night that is held"
    )
    assert store.live("shop") is None
    assert promoted() == f"version {version.version} of night {DS} is live: 3 lists"
    with Client() as client:
        answers = client.lookup_many("shop", ["007", "008", "009", "7"])
    assert {answer.key: (answer.source, answer.items) for answer in answers} == {
        "007": ("model", [Item("0042", 2.5, "bought once"), Item("milk", 1.25, "suits you")]),
        "008": ("model", [Item("bread", 0.123457, "süß")]),
        "009": ("model", []),
        "7": ("fallback", [Item("milk", 1.0, "popular now")]),
    }
    assert promoted().endswith("was live already: nothing changed")


def test_the_same_scores_twice_are_one_version_and_change_nothing(server, scored):
    scored()
    run(publish, tiny_shop(), DS)
    before, (_, version) = held(server), published()
    scored(LISTS[::-1], partitions=1)  # another attempt at the same scores, in another order
    assert run(publish, tiny_shop(), DS).endswith("reused)")
    forced = job("publish", tiny_shop(), DS)
    again = publish.main(SparkSession.active(), forced)
    assert again.facts["version"] == version.version
    assert held(server) == before
    scored([("007", [("milk", 1.0, "w")])], fingerprint="scores 2")
    run(publish, tiny_shop(), DS)
    assert published()[1].version != version.version


def test_a_version_that_the_store_has_lost_is_published_again(server, scored):
    scored()
    run(publish, tiny_shop(), DS)
    _, version = published()
    server.client.flushall()
    run(publish, tiny_shop(), DS)
    assert published()[1].version == version.version


def test_what_another_attempt_left_behind_does_not_matter(server, scored):
    scored()
    run(publish, tiny_shop(), DS)
    store, version = published()
    server.client.flushall()
    store.write("shop", version.version, "dead attempt", {"007": b"[]", "stranger": b"[]"})
    run(publish, tiny_shop(), DS)
    store, again = published()
    assert again.version == version.version
    assert sorted(store.keys("shop", again.version, again.attempt)) == ["007", "008", "009"]
    assert [len(json.loads(record)) for record in store.read("shop", again.version, again.attempt, ["007"])] == [2]


def test_lists_that_go_missing_while_staging_are_noticed(server, scored, monkeypatch):
    scored()
    whole = loading.write
    monkeypatch.setattr(loading, "write", lambda place: losing(place, whole(place)))
    with pytest.raises(IncompleteVersion, match=r"shop, night 2026-01-03: of 3 lists 3 were written, 2 are in the store"):
        run(publish, tiny_shop(), DS)
    assert store_at(server.uri).versions("shop") == []
    assert Lake("shop").find("version", DS) is None


def losing(place, work):
    """The same work, after which one list is gone."""

    def lose(keys, records):
        done = work(keys, records)
        client = store_at(place.uri).wire.client
        client.delete(*client.keys(f"nightfold:shop:{place.version}:*:u:008"), "nothing")
        return done

    return lose


def test_a_store_that_restarted_meanwhile_is_refused(scored, monkeypatch, tmp_path):
    scored()
    folder = tmp_path / "kv"
    folder.mkdir()
    with Valkey(folder) as own:
        monkeypatch.setenv("AIRFLOW_CONN_KV_DEFAULT", own.uri)
        inspect = loading.inspect
        monkeypatch.setattr(loading, "inspect", lambda place: (own.restart(), inspect(place))[1])
        with pytest.raises(
            IncompleteVersion, match="the store restarted meanwhile: nothing is sealed, live stays; run the task again"
        ):
            run(publish, tiny_shop(), DS)
        assert list(own.client.scan_iter(match="*:u:*")) == [], "what the failed attempt has written makes room"
        assert store_at(own.uri).versions("shop") == []


def test_a_store_that_may_drop_lists_by_itself_is_refused(server, scored):
    scored()
    server.client.config_set("maxmemory", "100mb")
    server.client.config_set("maxmemory-policy", "allkeys-lru")
    try:
        with pytest.raises(StoreError, match=r"maxmemory-policy is allkeys-lru.*set it to noeviction") as refused:
            run(publish, tiny_shop(), DS)
    finally:
        server.client.config_set("maxmemory-policy", "noeviction")
        server.client.config_set("maxmemory", "0")
    assert server.password not in str(refused.value)
    assert server.client.keys() == []


def noticed(night: str, *, by: str, kind: str = "changed", done: str = "taken") -> None:
    """A run has noticed a change of a night's sales, and has said so in raw; in a second of its own, for manifests count in seconds."""
    made = job("ingest", tiny_shop(), by)
    change = {"source": "sales", "night": night, "kind": kind, "done": done, "by": by}
    next_second()
    made.lake.commit(made.manifest("raw/sales", night, fingerprint=f"{kind} by {by}", facts={"change": change}))
    next_second()


def next_second() -> None:
    now = int(time.time())
    wait_for(lambda: int(time.time()) > now, what="the next second")


def remarks(store) -> dict[str, list[str]]:
    """By night."""
    return {version.manifest.night: version.manifest.remarks for version in store.versions("shop")}


def test_versions_that_were_made_from_a_past_that_changed_say_so_from_then_on(server, scored):
    later = "2026-01-05"
    scored()
    run(publish, tiny_shop(), DS)
    store, before = published()
    scored(fingerprint="scores 2", ds=later)
    noticed("2026-01-02", by=later)
    noticed("2026-01-01", by=later, kind="gone", done="kept")
    noticed("2026-01-04", by=later)
    assert run(publish, tiny_shop(), later).endswith(f"; from older data, and marked so: {before.version}")
    assert store.find("shop", before.version).manifest.remarks == [
        "sales of 2026-01-02 changed after it was taken, and was taken again by the night of 2026-01-05"
    ]
    assert published(later)[1].remarks == [], "it was made from what is there now"
    server.client.delete(*server.client.keys("nightfold:shop:20260105-*:u:008"))
    run(publish, tiny_shop(), later)
    assert published(later)[1].remarks == ["the store had lost lists of it: it was written anew"], "and so it is written anew"


def test_a_change_that_a_refused_night_noticed_is_said_by_the_next_one_that_publishes_and_once(server, scored):
    scored()
    run(publish, tiny_shop(), DS)
    store, before = published()
    refused, later, last = "2026-01-04", "2026-01-05", "2026-01-06"
    noticed("2026-01-02", by=refused, kind="late")  # and its `ingest` was never committed: another source was away
    scored(fingerprint="scores 2", ds=later)
    assert run(publish, tiny_shop(), later).endswith(f"; from older data, and marked so: {before.version}")
    said = ["sales of 2026-01-02 came late, and was taken by the night of 2026-01-04"]
    scored(fingerprint="scores 3", ds=last)
    assert "marked so" not in run(publish, tiny_shop(), last), "once"
    assert remarks(store) == {DS: said, later: [], last: []}


def test_what_an_older_night_that_is_taken_again_notices_is_said_of_newer_nights_too(server, scored):
    later = "2026-01-04"
    for ds in (DS, later):
        scored(fingerprint=f"scores of {ds}", ds=ds)
        run(publish, tiny_shop(), ds)
    store, old = published()
    noticed(DS, by=DS, kind="late")
    scored(fingerprint="scores with it")
    assert run(publish, tiny_shop(), DS).endswith(f"marked so: {published(later)[1].version}, {old.version}")
    made = {version.manifest.version: version.manifest.remarks for version in store.versions("shop")}
    said = [f"sales of {DS} came late, and was taken by the night of {DS}"]
    assert [made[published(DS)[1].version], made[published(later)[1].version], made[old.version]] == [[], said, said]


def test_a_night_that_is_taken_again_does_not_accuse_what_was_made_with_its_change(server, scored):
    noticed("2026-01-02", by=DS)
    nights = [DS, "2026-01-04", "2026-01-05"]
    for i, ds in enumerate(nights):
        scored(fingerprint=f"scores {i}", ds=ds)
        run(publish, tiny_shop(), ds)
    scored(fingerprint="scores 0 by a new release", ds=DS)
    assert "marked so" not in run(publish, tiny_shop(), DS)
    assert set(map(tuple, remarks(published()[0]).values())) == {()}


def test_a_version_says_when_its_catalogue_is_of_another_day(server, scored):
    goods = {"format": "jsonl", "path": "goods.jsonl", "delivery": "snapshot", "columns": {"id": {}}}
    pipeline = tiny_shop({"sources": {"goods": goods}})
    scored()
    made = job("ingest", pipeline, DS)
    made.lake.commit(made.manifest("raw/goods", DS, fingerprint="g"))
    taken = Lake("shop").get("raw/goods", DS).committed_at[:10]
    run(publish, pipeline, DS)
    assert published()[1].facts["dimensions"] == {"goods": f"as of {taken}"}


def test_a_live_version_that_lost_lists_is_written_anew_and_readers_get_it_at_once(server, scored):
    scored()
    run(publish, tiny_shop(), DS)
    promoted()
    store, before = published()
    server.client.delete(*server.client.keys(f"nightfold:shop:{before.version}:*:u:008"))
    with pytest.raises(IncompleteVersion, match=f"holds 2 of its 3 lists: clear `publish` of night {DS}"):
        list(all_lists(store, "shop"))
    run(publish, tiny_shop(), DS)
    live = store.live("shop")
    assert (live.version, live.checksum, live.published_at) == (before.version, before.checksum, before.published_at)
    assert live.attempt != before.attempt
    assert live.remarks == ["the store had lost lists of it: it was written anew"]
    assert store.find("shop", before.version).state == "live"
    assert sorted(answer.key for answer in all_lists(store, "shop")) == ["007", "008", "009"]
    assert server.client.keys(f"nightfold:shop:{before.version}:{before.attempt}:*") == []
    assert run(publish, tiny_shop(), DS).endswith("reused)"), "it is whole now"
