"""The client on a real cluster: three nodes, keys spread over all of them."""

import asyncio
import subprocess
import sys
import time

from nightfold.client import Answer, AsyncClient, Client
from nightfold.store import store_at
from nightfold.store.records import encode

import pytest
from helpers import ROOT
from publishing import serve
from servers import Cluster, frozen


def test_on_a_cluster_a_reader_of_few_rights_reads_from_all_nodes(tmp_path):
    with Cluster(tmp_path) as cluster:
        store = store_at(cluster.uri)
        people = [f"p{n}" for n in range(60)]
        serve(store, "v1", {person: encode([(person, 1.0, "")]) for person in people})
        assert min(node.dbsize() for node in cluster.nodes) > 10, "keys are spread over all"
        with Client(cluster.uri_of("reader")) as client:
            assert [answer.items[0].id for answer in client.lookup_many("shop", people)] == people

        async def read():
            async with AsyncClient(cluster.uri_of("reader")) as client:
                return await client.lookup_many("shop", [*people, "nobody"])

        found = asyncio.run(read())
        assert [answer.source for answer in found] == ["model"] * 60 + ["fallback"]
        store.wire.close()


def test_a_client_of_a_cluster_that_has_read_before_a_fork_reads_after_it(tmp_path):
    """As of a server that loads its application, warms it up, and forks its workers."""
    with Cluster(tmp_path) as cluster:
        store = store_at(cluster.uri)
        serve(store, "v1", {"anna": encode([("bread", 1.0, "")])})
        store.wire.close()
        code = (
            "import os, sys\n"
            "from nightfold.client import Client\n"
            "client = Client(sys.argv[1])\n"
            "assert client.lookup('shop', 'anna').source == 'model'\n"
            "if (child := os.fork()) == 0:\n"
            "    os._exit(0 if client.lookup('shop', 'anna').source == 'model' else 3)\n"
            "status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])\n"
            "assert client.lookup('shop', 'anna').source == 'model'\n"
            "sys.exit(status)\n"
        )
        done = subprocess.run([sys.executable, "-c", code, cluster.uri_of("reader")], cwd=ROOT, timeout=60, check=False)
        assert done.returncode == 0


@pytest.mark.parametrize("kind", ["threads", "event loop"])
def test_a_frozen_node_of_a_cluster_costs_at_most_the_time_outs(tmp_path, kind):
    with Cluster(tmp_path) as cluster:
        store = store_at(cluster.uri)
        people = [f"p{n}" for n in range(60)]
        serve(store, "v1", {person: encode([(person, 1.0, "")]) for person in people})
        store.wire.close()
        took = []

        def timed(answers: list[Answer], began: float) -> None:
            took.append(time.monotonic() - began)
            assert all(answer.items for answer in answers)

        async def ask() -> None:
            async with AsyncClient(cluster.uri_of("reader"), timeout=0.2, retries=1) as client:
                await client.lookup_many("shop", people)
                with frozen(cluster.processes[0]):
                    for _ in range(3):
                        client._memory.gone_until, began = 0.0, time.monotonic()
                        timed(await client.lookup_many("shop", people), began)

        if kind == "event loop":
            asyncio.run(ask())
        else:
            with Client(cluster.uri_of("reader"), timeout=0.2, retries=1) as client:
                client.lookup_many("shop", people)
                with frozen(cluster.processes[0]):
                    for _ in range(3):
                        client._memory.gone_until, began = 0.0, time.monotonic()
                        timed(client.lookup_many("shop", people), began)
        assert max(took) < 3.0, took  # 0.4 and a wait between two tries; it was 7
