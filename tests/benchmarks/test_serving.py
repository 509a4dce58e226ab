"""The benchmark of the store and its readers: what it makes up, how it counts, and when it says that a figure falls short."""

import asyncio
import io
import json
import random
import threading
import time

from benchmarks.faults import reader
from benchmarks.faults.judging import contents
from benchmarks.serving import lists, load_generator, nonsense, page, published, rest, struck
from benchmarks.serving.__main__ import PARTS, main
from benchmarks.serving.faults import HEAD, cells
from benchmarks.serving.jobs.load import first_to_last, timed
from benchmarks.serving.page import Figure, Part, Table
from benchmarks.serving.replica_faults import FAULTS as OF_REPLICAS
from benchmarks.serving.store_faults import FAULTS as OF_THE_STORE
from nightfold.client import Client
from nightfold.errors import NightfoldError
from nightfold.store import store_at
from nightfold.store.encoding import encode_all
from nightfold.store.records import decode

import msgspec
import pytest


def test_a_figure_says_what_is_wanted_and_whether_it_is_kept():
    assert page.at_least("share", 0.6, 0.594, " (0.50–0.70)") == Figure("share", "≥ 0.6", "0.59 (0.50–0.70)", False)
    assert page.at_most("p50", 1.5, 1.5).kept
    assert page.none("failed", 0, " of 1,200") == Figure("failed", "0", "0 of 1,200", True)
    assert not page.none("failed", 1).kept


def test_a_percentile_is_a_value_that_was_measured():
    values = [float(n) for n in range(1, 1001)]
    assert [page.percentile(values, share) for share in (0.5, 0.99, 0.999, 1.0)] == [500.0, 990.0, 999.0, 1000.0]
    assert page.percentile([7.0], 0.5) == 7.0
    with pytest.raises(ValueError, match="no value was measured"):
        page.percentile([], 0.5)
    assert page.stated([3.0, 1.0, 2.0], "{:.0f}") == "2 (1–3)"


def test_the_page_says_first_what_falls_short_and_keeps_the_parts_that_were_not_run_again():
    part = Part("load", "Into the store", [Figure("share", "≥ 0.6", "0.50", False)], [Table(["way"], [["a|b"]])], ["A note."])
    part.date, part.seconds, part.scale = "2026-11-28", 120.0, 0.5
    assert page.from_json(json.loads(json.dumps(page.as_json(part)))) == part
    text = page.markdown([part], machine="2 cores", command="make bench-serving")
    assert "in 2 minutes; 2 cores. **1 figures fall short: share.** Not of full size: load at 0.5 of its size." in text
    assert " Not measured yet: rest." in page.markdown([part], machine="", command="", without=["rest"])
    assert "| share | ≥ 0.6 | **FALLS SHORT** 0.50 | load |" in text
    assert "| a\\|b |" in text
    assert "FALLS SHORT" in page.as_text(part)


def test_a_part_that_is_none_is_wrong_use(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--only", "load,lode"])
    assert ended.value.code == 2
    assert f"'lode' is none of {', '.join(PARTS)}" in capsys.readouterr().err


def test_lists_in_bulk_are_of_about_750_bytes_with_items_that_differ_and_the_same_every_time():
    keys, values = lists.bulk(range(100, 300), length=50)
    records = encode_all(values)
    assert (keys[0].as_py(), keys[-1].as_py()) == ("user00000100", "user00000299")
    assert 740 < sum(map(len, records)) / len(records) < 760
    rows = [decode(record) for record in records]
    assert all(len({row[0] for row in one}) == 50 for one in rows)
    assert records[0] == encode_all(lists.bulk(range(100, 101), length=50)[1])[0]
    assert len(set(records)) == 200


def test_versions_of_the_fault_table_differ_in_lists_and_in_who_has_one(valkey_uri):
    one, two = published.made("v1"), published.made("v2")
    assert set(one) != set(two)
    assert all(one[key] != two[key] for key in set(one) & set(two))
    store = store_at(valkey_uri.removesuffix("/0") + "/8")
    store.wire.client.flushdb()
    published.publish(store, "v2", two, night="2017-12-03")
    with Client(valkey_uri.removesuffix("/0") + "/8") as client:
        answers = msgspec.to_builtins(client.lookup_many(published.PIPELINE, [*two, "nobody"]))
    assert contents(answers) == published.known(["v2"])["v2"]


def test_nights_of_the_fault_tables_versions_go_forward():
    nights = [struck.NIGHTS[version] for version in struck.VERSIONS]
    assert nights == sorted(set(nights))


def test_bad_bodies_are_the_same_every_time_and_of_many_kinds():
    made = [[nonsense.request(random.Random(seed)) for seed in range(60)] for _ in range(2)]  # noqa: S311 (the same every time)
    assert made[0] == made[1]
    bodies = [body for _, body, _ in made[0]]
    assert len({path for path, *_ in made[0]}) == 3
    assert any(len(body) > 10_000 for body in bodies)
    assert any(not body.isascii() for body in bodies)


def test_a_readers_answers_may_come_from_elsewhere_than_the_store():
    class Api:
        asked = 0

        def lookup_many(self, pipeline, keys):
            self.asked += 1
            if self.asked == 2:
                raise NightfoldError("503: busy")
            until.set() if self.asked == 3 else None
            return [{"key": key, "version": "v9", "source": "model", "items": [], "degraded": False} for key in keys]

    until, out = threading.Event(), io.StringIO()
    reader.read("shop", {"v1": {"": "0"}}, [], until=until, out=out, asked_of=Api())
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [line["failed"] for line in lines if "failed" in line] == ["503: busy"]
    assert sum("which nobody has made" in line.get("wrong", "") for line in lines) == 2
    assert lines[-1]["requests"] == 3


def test_a_fault_that_ended_otherwise_is_red_in_its_row():
    row = struck.Row("kill -9", requests=1200, degraded=3, slowest=0.5, recovered=1.25, end="v2 is live")
    assert dict(zip(HEAD, cells(row), strict=True))["end"] == "v2 is live"
    row.bad.append("v1 is live, not v2")
    assert cells(row) == ["kill -9", "1,200", "0", "0", "0", "3", "0.50", "1.2", "**RED** (v1 is live, not v2)"]


def test_every_fault_that_is_asked_for_has_a_row():
    titles = " | ".join((*OF_THE_STORE, *OF_REPLICAS))
    for words in (
        "kill -9 of a publisher", "two publishers", "a zombie", "connections cut", "maxmemory", "says nothing", "server is restarted",
        "kill -9 of the server", "promotions", "rollback", "kill -9 of a replica", "rolling restart", "the store is restarted",
    ):  # fmt: skip
        assert words in titles


def test_the_time_of_a_load_is_from_the_first_batchs_beginning_to_the_last_ones_end(tmp_path):
    (tmp_path / "1.times").write_text("100.0 100.5\n100.5 101.0\n")
    (tmp_path / "2.times").write_text("100.25 102.0\n")
    assert first_to_last(tmp_path) == (2.0, 2.75)
    assert timed(lambda keys, records: (len(keys), 7), tmp_path)(["a", "b"], [b"1", b"2"]) == (2, 7)
    assert 0 <= first_to_last(tmp_path)[0] < 5


def test_requests_go_over_the_wire_whole():
    assert (
        rest.request("GET", "/a", 80, Authorization="Bearer k")
        == "GET /a HTTP/1.1\r\nHost: 127.0.0.1:80\r\nAuthorization: Bearer k\r\n\r\n"
    )
    assert rest.request("POST", "/a", 80, {"b": 1}).endswith(
        "Content-Type: application/json\r\nContent-Length: 8\r\n\r\n" + '{"b": 1}'
    )


STALL = 0.4  # seconds that the server below says nothing


async def stalling(seconds: float, rate: float) -> load_generator.Work:
    """Ask a server that answers at once, but stands still for a while at its tenth request."""
    seen = 0

    async def serve(lines: asyncio.StreamReader, out: asyncio.StreamWriter) -> None:
        nonlocal seen
        while await lines.readuntil(b"\r\n\r\n"):
            seen += 1
            if seen == 10:
                time.sleep(STALL)
            out.write(
                b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" if seen != 20 else b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"
            )

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    work = load_generator.Work("127.0.0.1", port, [b"GET / HTTP/1.1\r\n\r\n"], connections=2, seconds=seconds, rate=rate)
    await work.run()
    server.close()
    return work


def test_a_server_that_stands_still_is_late_for_all_that_were_due_meanwhile():
    work = asyncio.run(stalling(1.0, 100.0))
    late = [micros for micros in work.heard.micros if micros > STALL / 4 * 1e6]
    assert work.sent == 100
    assert len(work.heard.micros) == 99
    assert work.heard.others == {503: 1}
    assert len(late) >= 20, "30 of them were due more than a quarter of the pause before its end"


def test_in_a_closed_loop_only_the_request_in_flight_is_late():
    work = asyncio.run(stalling(1.0, 0.0))
    assert len(work.heard.micros) > 100
    assert sum(micros > STALL / 4 * 1e6 for micros in work.heard.micros) <= 4
