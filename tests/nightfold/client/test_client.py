"""The client on a real server: one round trip, one version, a fallback for everybody, also when the store is gone."""

import ast
import asyncio
import json
import socket
import subprocess
import sys
import threading
import time

from embedded.valkey import READER
from nightfold.client import AsyncClient, Client, Item
from nightfold.errors import BadPipeline, IncompleteVersion, StoreError, UnknownVersion
from nightfold.store import store_at
from nightfold.store.records import encode
from nightfold.store.valkey.wire import TURNS

import pytest
import redis
from helpers import ROOT, Valkey, free_port
from publishing import lists, serve, stage
from servers import frozen


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with Valkey(tmp_path_factory.mktemp("valkey")) as own:
        yield own


@pytest.fixture
def store(server):
    server.client.flushall()
    return store_at(server.uri)


class Counted:
    """A client that counts its round trips."""

    def __init__(self, client: Client) -> None:
        self.client, self.trips = client, []
        asked = client._wire.get
        client._wire.get = lambda keys: (self.trips.append(list(keys)), asked(keys))[1]


def test_a_lookup_is_one_round_trip_for_one_key_for_many_and_for_the_unknown(server, store):
    serve(store, "v1", lists(anna="bread", ben="eggs"))
    with Client(server.uri, pointer_seconds=60) as client:
        counted = Counted(client)
        client.lookup("shop", "anna")
        assert len(counted.trips) == 3, "the first one asks for the pointer and the fallback, too"
        for ask in (["anna"], ["anna", "ben"], ["nobody"], ["anna", "nobody", "ben"]):
            counted.trips.clear()
            client.lookup_many("shop", ask)
            assert len(counted.trips) == 1, ask
        client._memory.reading.pointer_seconds = 0
        counted.trips.clear()
        client.lookup("shop", "anna")
        assert len(counted.trips) == 1, "the pointer comes along"


def test_answers_are_typed_and_say_how_old_they_are(server, store):
    serve(store, "v1", {"anna": encode([("bread", 0.5, "bought twice"), ("soap", 0.25, "")])})
    with Client(server.uri) as client:
        answer = client.lookup("shop", "anna")
        assert (answer.pipeline, answer.key, answer.version, answer.night) == ("shop", "anna", "v1", "2017-12-03")
        assert (answer.source, answer.bucket, answer.degraded) == ("model", None, False)
        assert answer.items == [Item("bread", 0.5, "bought twice"), Item("soap", 0.25, "")]
        assert answer.published_at == "2017-12-04T02:41:07+00:00"
        assert answer.age_seconds == pytest.approx(time.time() - 1512355267, abs=60)
        assert [item.id for item in client.lookup("shop", "anna", n=1).items] == ["bread"]
        assert client.lookup_many("shop", []) == []


def test_a_promotion_is_seen_within_the_time_that_a_pointer_is_believed(server, store):
    serve(store, "v1", lists(anna="bread"), night="2017-12-01")
    with Client(server.uri, pointer_seconds=0.2) as client:
        assert client.lookup("shop", "anna").version == "v1"
        serve(store, "v2", lists(anna="eggs"), night="2017-12-02")
        began = time.monotonic()
        while client.lookup("shop", "anna").version == "v1":
            assert time.monotonic() - began < 5
        assert time.monotonic() - began < 2
        store.rollback("shop")
        while client.lookup("shop", "anna").version == "v2":
            assert time.monotonic() - began < 10


def test_a_version_deleted_while_its_pointer_is_believed_is_not_taken_for_unknown_keys(server, store):
    serve(store, "v1", lists(anna="bread"), night="2017-12-01", keep=1)
    with Client(server.uri, pointer_seconds=600) as client:
        assert client.lookup("shop", "anna").version == "v1"
        serve(store, "v2", lists(anna="eggs"), night="2017-12-02", keep=1)
        answer = client.lookup("shop", "anna")
        assert (answer.version, answer.source, answer.items[0].id) == ("v2", "model", "eggs")


def test_a_version_of_a_release_that_made_no_mark_is_read_as_well(server, store):
    serve(store, "v1", lists(anna="bread"))
    server.client.delete("nightfold:shop:v1:20171204T023000-0:whole")
    with Client(server.uri) as client:
        assert [answer.source for answer in client.lookup_many("shop", ["anna", "nobody"])] == ["model", "fallback"]


def test_a_version_that_lost_its_lists_is_not_passed_off_as_fallbacks(server, store):
    serve(store, "v1", lists(anna="bread"))
    for key in server.client.scan_iter(match="nightfold:shop:v1:*"):
        server.client.delete(key)
    with Client(server.uri) as client, pytest.raises(IncompleteVersion, match="clear `publish` of night 2017-12-03"):
        client.lookup("shop", "anna")


def test_nothing_published_says_how_to_publish(server, store):
    with Client(server.uri) as client, pytest.raises(UnknownVersion, match="shop: nothing is published yet"):
        client.lookup("shop", "anna")


def test_a_user_who_may_only_get_is_enough(server, store):
    serve(store, "v1", lists(anna="bread"))
    stage(store, "v2", lists(anna="eggs"), night="2017-12-04")
    store.split("shop", "v2", 0.5)
    server.client.execute_command("ACL", "SETUSER", "reader", "on", ">s3cret", *READER.split())
    with Client(f"redis://reader:s3cret@127.0.0.1:{server.port}/0") as client:
        assert client.lookup_many("shop", ["anna", "nobody"])[0].items[0].id in ("bread", "eggs")


def test_an_address_of_nothing_is_refused(monkeypatch):
    with pytest.raises(BadPipeline, match="no store for 'http'"):
        Client("http://127.0.0.1")


# --- the store is gone


def test_when_the_store_is_gone_everybody_gets_the_fallback_from_memory_and_is_told(server, store, monkeypatch):
    serve(store, "v1", lists(anna="bread"))
    with Client(server.uri, timeout=0.5, retries=1) as client:
        assert client.lookup("shop", "anna").source == "model"
        server.__exit__()
        try:
            monkeypatch.setattr("nightfold.client.AGAIN", 3600)
            answer = client.lookup("shop", "anna")
            assert (answer.source, answer.degraded, answer.version) == ("fallback", True, "v1")
            assert [item.id for item in answer.items] == ["milk"]
            asked = []
            with monkeypatch.context() as patch:
                patch.setattr(client._wire, "get", asked.append)
                assert all(client.lookup("shop", "ben").degraded for _ in range(100))
            assert asked == [], "what is known to be gone is not asked for a while"
            client._memory.gone_until = 0.0
            monkeypatch.setattr("nightfold.client.AGAIN", 0.5)
            assert client.lookup("shop", "anna").degraded
        finally:
            server.__enter__()
        give_up = time.monotonic() + 20
        while client.lookup("shop", "anna").degraded:
            assert time.monotonic() < give_up
            time.sleep(0.05)
        assert client.lookup("shop", "anna").source == "model"


def test_a_store_that_is_slow_costs_at_most_the_time_outs(server, store):
    serve(store, "v1", lists(anna="bread"))
    with Client(server.uri, timeout=0.2, retries=1) as client:
        client.lookup("shop", "anna")
        with frozen(server.process):
            began = time.monotonic()
            assert client.lookup("shop", "anna").degraded
            assert time.monotonic() - began < 2


def test_without_a_store_and_without_memory_it_is_said_in_one_line():
    with Client(f"redis://:s3cret@127.0.0.1:{free_port()}/0", retries=0) as client, pytest.raises(StoreError) as caught:
        client.lookup("shop", "anna")
    assert "\n" not in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_a_connection_that_is_cut_is_made_anew_without_a_word(server, store):
    serve(store, "v1", lists(anna="bread"))
    with Client(server.uri) as client:
        client.lookup("shop", "anna")
        for _ in range(20):
            server.client.client_kill_filter(_type="normal", skipme=True)
            answer = client.lookup("shop", "anna")
            assert (answer.source, answer.degraded) == ("model", False)


# --- threads, and event loops


def test_threads_may_share_a_client(server, store):
    serve(store, "v1", {f"p{n}": encode([(f"i{n}", 1.0, "")]) for n in range(500)})
    wrong: list[str] = []
    with Client(server.uri, pointer_seconds=0.01) as client:

        def ask(start: int) -> None:
            for n in range(start, 500, 7):
                answer = client.lookup("shop", f"p{n}")
                if answer.items[0].id != f"i{n}" or answer.key != f"p{n}":
                    wrong.append(f"p{n}: {answer}")

        threads = [threading.Thread(target=ask, args=(start,)) for start in range(7)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert wrong == []


def test_the_asynchronous_client_does_the_same(server, store):
    serve(store, "v1", lists(anna="bread", ben="eggs"))

    async def ask() -> None:
        async with AsyncClient(server.uri, timeout=10, retries=1) as client:
            answers = await asyncio.gather(*(client.lookup("shop", key) for key in ("anna", "ben", "nobody") * 20))
            assert [answer.items[0].id for answer in answers[:3]] == ["bread", "eggs", "milk"]
            assert await client.lookup_many("shop", []) == []
            server.__exit__()
            try:
                assert (await client.lookup("shop", "anna")).degraded
            finally:
                server.__enter__()

    asyncio.run(ask())


def test_an_answer_that_came_too_late_is_nobodys_else(server, store):
    """A time-out, and a caller who goes away, leave an answer on the way: the next question must not get it."""
    serve(store, "v1", lists(anna="bread", ben="eggs"))

    async def ask() -> None:
        async with AsyncClient(server.uri, timeout=1, retries=0) as client:
            await client.lookup("shop", "anna")
            with frozen(server.process):
                assert (await client.lookup("shop", "anna")).degraded
                client._memory.gone_until = 0.0
                gone_away = asyncio.create_task(client.lookup("shop", "anna"))
                await asyncio.sleep(0)
                gone_away.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await gone_away
            for key, item in (("ben", "eggs"), ("anna", "bread")) * 5:
                answer = await client.lookup("shop", key)
                assert (answer.items[0].id, answer.degraded) == (item, False)

    asyncio.run(ask())


def test_the_asynchronous_client_makes_a_cut_connection_anew_without_a_word(server, store):
    serve(store, "v1", lists(anna="bread"))

    async def ask() -> None:
        async with AsyncClient(server.uri, timeout=10) as client:
            for _ in range(20):
                assert not (await client.lookup("shop", "anna")).degraded
                server.client.client_kill_filter(_type="normal", skipme=True)

    asyncio.run(ask())


def test_a_store_that_is_well_is_not_gone_because_many_ask_at_once(server, store):
    serve(store, "v1", lists(anna="bread"))

    async def ask():
        async with AsyncClient(server.uri, timeout=10, retries=0, pointer_seconds=60) as client:
            await client.lookup("shop", "anna")
            client._wire._patience = 0.1
            answered, freed = client._wire._try, asyncio.Event()

            async def held(keys):
                await freed.wait()
                return await answered(keys)

            client._wire._try = held
            asking = [asyncio.create_task(client.lookup("shop", "anna")) for _ in range(400)]
            refused = await asyncio.gather(*asking[TURNS:])  # they have waited for a turn in vain
            freed.set()
            return refused, await asyncio.gather(*asking[:TURNS]), await client.lookup("shop", "anna")

    refused, answered, after = asyncio.run(ask())
    assert all(answer.degraded for answer in refused)
    assert not any(answer.degraded for answer in [*answered, after])


@pytest.mark.parametrize(("keys", "gone"), [(1, True), (1000, False)])
def test_that_a_large_question_takes_too_long_does_not_make_the_store_gone_for_small_ones(server, store, keys, gone):
    serve(store, "v1", lists(anna="bread"))
    with Client(server.uri, timeout=0.5, retries=0, pointer_seconds=60) as client:
        client.lookup("shop", "anna")
        with frozen(server.process):
            assert all(answer.degraded for answer in client.lookup_many("shop", ["anna"] * keys))
        assert client.lookup("shop", "anna").degraded == gone


def test_the_asynchronous_client_without_memory_says_that_the_store_is_gone():
    async def ask() -> None:
        async with AsyncClient(f"redis://127.0.0.1:{free_port()}/0", retries=0) as client:
            with pytest.raises(StoreError, match="is it up"):
                await client.lookup("shop", "anna")

    asyncio.run(ask())


def test_a_server_that_answers_nonsense_is_a_failure_of_the_store():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def nonsense() -> None:
            for _ in range(2):
                connection, _ = listener.accept()
                connection.sendall(b"SSH-2.0\r\n")
                connection.close()

        thread = threading.Thread(target=nonsense, daemon=True)
        thread.start()
        with Client(f"redis://127.0.0.1:{listener.getsockname()[1]}/0", retries=0) as client, pytest.raises(StoreError):
            client.lookup("shop", "anna")


def test_hundreds_that_ask_at_once_are_all_answered_by_the_store(server, store):
    serve(store, "v1", {f"p{n}": encode([(f"i{n}", 1.0, "")]) for n in range(300)})

    async def all_of_them():
        async with AsyncClient(server.uri, timeout=2) as client:
            return await asyncio.gather(*(client.lookup("shop", f"p{n}") for n in range(300)))

    found = asyncio.run(all_of_them())
    assert {(answer.source, answer.degraded) for answer in found} == {("model", False)}
    assert [answer.items[0].id for answer in found] == [f"i{n}" for n in range(300)]


def test_what_is_refused_of_one_pipeline_degrades_no_other(server, store, monkeypatch):
    for pipeline in ("shop", "club"):
        serve(store, "v1", lists(anna="bread"), pipeline=pipeline)
    with Client(server.uri) as client:
        for pipeline in ("shop", "club"):
            client.lookup(pipeline, "anna")
        get = client._wire.get

        def refused(keys):
            if any("club" in key for key in keys):
                raise redis.exceptions.NoPermissionError("no permission to access one of the keys")
            return get(keys)

        monkeypatch.setattr(client._wire, "get", refused)
        assert client.lookup("club", "anna").degraded
        assert not client.lookup("shop", "anna").degraded


def test_a_store_that_comes_back_empty_gives_the_fallback_from_memory(server, store):
    serve(store, "v1", lists(anna="bread"))
    with Client(server.uri, pointer_seconds=0) as client:
        assert client.lookup("shop", "anna").source == "model"
        server.client.flushall()
        answer = client.lookup("shop", "anna")
        assert (answer.source, answer.degraded, answer.items[0].id) == ("fallback", True, "milk")
        with pytest.raises(StoreError, match="shop: the store has lost what was live"):
            client.live("shop")
        serve(store, "v2", lists(anna="eggs"))
        assert client.lookup("shop", "anna").version == "v2"


def test_a_later_release_may_say_more_of_a_version_and_what_is_none_gives_the_fallback(server, store):
    serve(store, "v1", lists(anna="bread"))
    pointer = "nightfold:{shop}:live"
    said = json.loads(server.client.get(pointer))
    server.client.set(pointer, json.dumps(said | {"of_a_later_release": 1}))
    with Client(server.uri, pointer_seconds=0) as client:
        assert client.lookup("shop", "anna").items[0].id == "bread"
        server.client.set(pointer, json.dumps({"version": "v1"}))
        assert client.lookup("shop", "anna").degraded
    with Client(server.uri) as fresh, pytest.raises(StoreError, match="what is live was written by another release"):
        fresh.lookup("shop", "anna")
    server.client.flushall()


def test_an_application_needs_little_to_read_lists():
    """What docs/serving.md says, and pyproject.toml under `client`."""
    code = "import sys, nightfold.client; print(sorted({name.partition('.')[0] for name in sys.modules}))"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert {"redis", "msgspec", "pydantic"} <= set(ast.literal_eval(found))
    assert not {"numpy", "pyarrow", "pyspark", "airflow", "yaml", "mlflow", "fsspec"} & set(ast.literal_eval(found))
