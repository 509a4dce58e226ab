"""A publisher is killed with -9 while readers read: they see whole lists of one version, and nothing is left behind."""

import subprocess
import sys
import threading

from nightfold.client import Client, Item
from nightfold.store.records import encode
from nightfold.store.valkey import scripts
from nightfold.whole import is_whole

import pytest
from publishing import FALLBACK, lists, serve, stage

PEOPLE = [f"p{number}" for number in range(2000)]
OLD, NEW = (encode([(item, 1.0, "")] * 50) for item in ("old", "new"))
PUBLISHER = """
import sys
from nightfold.store import store_at
from nightfold.store.records import encode
uri, attempt = sys.argv[1:]
store, record = store_at(uri), encode([("new", 1.0, "")] * 50)
store.announce("shop", "v2", attempt)
for number in range(1000):
    store.write("shop", "v2", attempt, {f"p{number}": record})
print("half", flush=True)
sys.stdin.read()
"""


class Readers:
    """Three threads that ask for batches of lists all the time, and keep what was wrong."""

    def __init__(self, uri: str) -> None:
        self.client = Client(uri, pointer_seconds=0.01)
        self.asked, self.wrong, self.done = 0, [], threading.Event()
        self.threads = [threading.Thread(target=self.read, args=(number,)) for number in range(3)]

    def __enter__(self) -> "Readers":
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.done.set()
        for thread in self.threads:
            thread.join(30)

    def read(self, number: int) -> None:
        while not self.done.is_set():
            number = (number + 97) % (len(PEOPLE) - 50)
            answers = self.client.lookup_many("shop", PEOPLE[number : number + 50])
            self.asked += len(answers)
            item = {"v1": "old", "v2": "new"}[answers[0].version]
            whole = [Item(item, 1.0, "")] * 50
            self.wrong += [
                a for a in answers if (a.version, a.source, a.degraded) != (answers[0].version, "model", False) or a.items != whole
            ]


def test_readers_see_whole_lists_while_a_publisher_is_killed_and_another_one_ends_its_work(store, uri, names):
    serve(store, "v1", dict.fromkeys(PEOPLE, OLD), night="2017-12-01")
    with Readers(uri) as readers:
        killed = subprocess.Popen(
            [sys.executable, "-c", PUBLISHER, uri, "000001-dead"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert killed.stdout.readline() == "half\n"
        killed.kill()
        killed.wait(30)
        assert store.live("shop").version == "v1"
        assert store.find("shop", "v2") is None, "what is half there is no version"
        before = readers.asked
        stage(store, "v2", dict.fromkeys(PEOPLE, NEW), night="2017-12-02", attempt="000002-beef")
        assert store.promote("shop", "v2", store.begin("shop"), 3) is True
        read = threading.Event()
        while readers.asked < before + 5000 and not readers.wrong:
            assert not read.wait(0.01)
    assert readers.wrong == []
    assert len([name for name in names() if ":000001-dead:" in name]) == 1000
    assert store.collect("shop", older_than=3600) == 0, "it may be at work still"
    assert store.collect("shop", older_than=0) == 1000
    assert {name.split(":")[3] for name in names() if ":u:" in name} == {"20171204T023000-0", "000002-beef"}


def test_what_is_collected_is_never_live_kept_staged_or_in_progress(store, names):
    for night in ("01", "02"):
        serve(store, f"v{night}", lists(anna="bread"), night=f"2017-12-{night}")
    stage(store, "staged", lists(anna="soap"), night="2017-12-03")
    store.announce("shop", "v9", "000009-aa")
    store.write("shop", "v9", "000009-aa", lists(anna="eggs"))
    store.write_fallback("shop", "v9", "000009-aa", FALLBACK)
    store.write("shop", "v8", "000008-aa", lists(anna="eggs"))
    store.write("shop2", "v8", "000008-aa", lists(anna="eggs"))
    before = names()
    assert store.collect("shop", older_than=3600) == 1
    assert set(before) - set(names()) == {"nightfold:shop:v8:000008-aa:u:anna"}
    assert store.collect("shop", older_than=0) == 2
    assert [name for name in names() if ":v9:" in name] == []
    assert len([name for name in names() if ":u:" in name]) == 4, "two promoted, one staged, and the other pipeline's"


def test_who_dies_right_after_its_seal_leaves_a_version_that_is_whole_for_readers(store, uri, names, monkeypatch):
    serve(store, "v1", {"anna": OLD}, night="2017-12-01")
    run = store._run

    def dies(script, *arguments):
        found = run(script, *arguments)
        if script is scripts.SEAL:
            raise KeyboardInterrupt
        return found

    monkeypatch.setattr(store, "_run", dies)
    with pytest.raises(KeyboardInterrupt):
        stage(store, "v2", {"anna": NEW}, night="2017-12-02")
    monkeypatch.undo()
    assert is_whole(store, store.find("shop", "v2").manifest)
    assert len([name for name in names() if ":v2:" in name and name.endswith(":whole")]) == 1, "without it a plain reader waits"
    store.promote("shop", "v2", store.begin("shop"), 3)
    with Client(uri) as client:
        found = client.lookup_many("shop", ["anna", "nobody"])
    assert [(one.version, one.source, one.degraded) for one in found] == [("v2", "model", False), ("v2", "fallback", False)]
