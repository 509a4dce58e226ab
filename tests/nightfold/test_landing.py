"""Which files belong to which night, and whether they have changed."""

import os

from nightfold import landing

import pytest
from helpers import land, source

FIRST, SECOND = "2026-01-01", "2026-01-02"


def csv(path: str, delivery: str = "nightly"):
    return source(f"format: csv\npath: '{path}'\ndelivery: {delivery}\ncolumns: {{id: {{}}}}\n")


@pytest.fixture
def nights(home):
    """{night: names of the files below the landing place} of a path."""

    def found(path: str, until: str = "2026-12-31") -> dict[str, list[str]]:
        prefix = f"file://{home}/landing/"
        return {n: [f.uri.removeprefix(prefix) for f in files] for n, files in landing.nightly(csv(path), until=until).items()}

    return found


def test_a_file_per_night_is_found_by_its_name_and_nothing_else_is(home, nights):
    for name in (
        f"sales-{FIRST}.csv",
        f"sales-{SECOND}.csv",
        "sales-2026-01-0.csv",
        f"sales-{FIRST}.csv.tmp",
        f"old-sales-{FIRST}.csv",
    ):
        land(home, f"shop/{name}", "id\n1\n")
    assert nights("shop/sales-{ds}.csv") == {FIRST: [f"shop/sales-{FIRST}.csv"], SECOND: [f"shop/sales-{SECOND}.csv"]}
    assert list(nights("shop/sales-{ds}.csv", until=FIRST)) == [FIRST]
    assert nights("nowhere/{ds}.csv") == {}


def test_a_folder_per_night_gives_its_files_but_no_markers_and_no_folder_without_files(home, nights):
    for name in ("b.csv", "a.csv", "_SUCCESS", ".b.csv.crc", "deeper/c.csv"):
        land(home, f"shop/{FIRST}/{name}", "id\n1\n")
    land(home, f"shop/{SECOND}/_SUCCESS", "")
    assert nights("shop/{ds}") == {FIRST: [f"shop/{FIRST}/a.csv", f"shop/{FIRST}/b.csv"]}
    assert nights("shop/{ds}/b.csv") == {FIRST: [f"shop/{FIRST}/b.csv"]}


def test_a_snapshot_is_a_file_or_a_folder_or_not_there(home):
    assert landing.snapshot(csv("shop/goods.csv", "snapshot")) == []
    land(home, "shop/goods.csv", "id\n1\n")
    (file,) = landing.snapshot(csv("shop/goods.csv", "snapshot"))
    assert (file.uri, file.size) == (f"file://{home}/landing/shop/goods.csv", 5)
    land(home, "shop/all/part.csv", "id\n1\n")
    assert [f.uri for f in landing.snapshot(csv("shop/all", "snapshot"))] == [f"file://{home}/landing/shop/all/part.csv"]


def test_a_path_with_a_scheme_is_not_below_the_landing_place(home):
    land(home, f"../elsewhere/{FIRST}.csv", "id\n")
    assert list(landing.nightly(csv(f"file://{home}/elsewhere/{{ds}}.csv"), until=SECOND)) == [FIRST]


def test_a_hash_is_of_the_content_and_is_taken_again_only_when_size_or_time_differ(home, monkeypatch):
    path = land(home, "shop/goods.csv", "id\n1\n")
    (first,) = landing.hashed(landing.snapshot(csv("shop/goods.csv", "snapshot")), [])
    assert first.sha256 == "7cde7fb64fd82bd152710cf238e017b9ab46c0592483edc067ba4f6c75fac108"
    with monkeypatch.context() as unread:
        unread.setattr(landing, "_read_through", lambda file: pytest.fail("was read again"))
        assert landing.hashed(landing.snapshot(csv("shop/goods.csv", "snapshot")), [first.as_fact()]) == [first]
    os.utime(path, ns=(1, 1))
    (touched,) = landing.hashed(landing.snapshot(csv("shop/goods.csv", "snapshot")), [first.as_fact()])
    assert (touched.sha256, touched.modified) == (first.sha256, 1)
    land(home, "shop/goods.csv", "id\n2\n")
    (changed,) = landing.hashed(landing.snapshot(csv("shop/goods.csv", "snapshot")), [first.as_fact()])
    assert changed.sha256 != first.sha256
    assert landing.head(changed.uri, 3) == b"id\n"


def test_whether_a_file_holds_quotes_is_read_with_its_hash_and_earlier_facts_that_do_not_say_are_looked_at_again(home):
    land(home, "shop/goods.csv", 'id\n"1"\n')
    land(home, "shop/plain.csv", "id\n1\n")
    found = [landing.hashed(landing.snapshot(csv(f"shop/{name}.csv", "snapshot")), [])[0] for name in ("goods", "plain")]
    assert [file.quoted for file in found] == [True, False]
    earlier = {**{k: v for k, v in found[1].as_fact().items() if k != "quoted"}, "odd_quotes": False}
    (known,) = landing.hashed(landing.snapshot(csv("shop/plain.csv", "snapshot")), [earlier])
    assert (known.sha256, known.quoted) == (found[1].sha256, True)
