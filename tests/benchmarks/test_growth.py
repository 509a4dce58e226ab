"""Ten times the rows: other households, other baskets, mostly the same products; and the table."""

import random

from benchmarks import growth
from benchmarks.growth import Cost

HEAD = ["household_id", "store_id", "basket_id", "product_id"]
LINES = [f"{n % 3},s,{n},p{n}" for n in range(100)]


def test_copies_are_other_households_with_baskets_of_their_own_and_some_other_products():
    found = [line.split(",") for line in growth.repeated(LINES, HEAD, 3, random.Random(1))]  # noqa: S311 (which products are changed)
    assert [",".join(row) for row in found[:100]] == LINES
    assert {row[0] for row in found} == {f"{n}{copy}" for n in range(3) for copy in ("", "-1", "-2")}
    assert len({row[2] for row in found}) == len(found) == 300
    same = sum(copied[3] == row.split(",")[3] for copied, row in zip(found[100:200], LINES, strict=True))
    assert 80 <= same < 100


def test_a_landing_place_is_multiplied_file_by_file(tmp_path):
    files = tmp_path / "landing" / "grocery" / "transactions"
    files.mkdir(parents=True)
    (files / "2017-01-01.csv").write_text(",".join(HEAD) + "\n7,s,1,p\n")
    (files.parent / "campaigns.parquet").write_bytes(b"as it is")
    assert growth.multiply(tmp_path / "landing", tmp_path / "more", 2) == 2
    more = tmp_path / "more" / "grocery"
    assert (more / "transactions" / "2017-01-01.csv").read_text() == ",".join(HEAD) + "\n7,s,1,p\n7-1,s,1-1,p\n"
    assert (more / "campaigns.parquet").read_bytes() == b"as it is"


def test_the_table_has_two_columns_a_night_and_the_peak_of_all():
    costs = [Cost("first", "ingest", 20.0, 1 << 30), Cost("first", "clean", 30.0, 3 << 30), Cost("next", "ingest", 5.0, 1 << 29)]
    assert [line.split() for line in growth.as_text(costs).splitlines()] == [
        ["stage", "first", "s", "first", "GiB", "next", "s", "next", "GiB"],
        ["ingest", "20.0", "1.00", "5.0", "0.50"],
        ["clean", "30.0", "3.00", "–", "–"],
        ["all", "50.0", "3.00", "5.0", "0.50"],
    ]
