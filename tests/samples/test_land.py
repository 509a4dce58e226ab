"""The grocer lands the way a shop delivers: the same bytes each time, nothing touched that is right."""

import hashlib
import json
import time
from pathlib import Path

from nightfold.errors import BadInput
from samples.land import land, main

import pyarrow.parquet as pq
import pytest

HEADER = (
    "household_id,store_id,basket_id,product_id,quantity,sales_value,retail_disc,coupon_disc,coupon_match_disc,"
    "week,transaction_timestamp"
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """All days and households, landed once for this file."""
    root = tmp_path_factory.mktemp("whole")
    land(landing_uri=f"file://{root}", database=False)
    return root / "grocery"


def small(root: Path, **cut):
    return land(landing_uri=str(root), database=False, **{"days": 5, "households": 20, **cut})


def hashes(root: Path) -> dict[str, str]:
    return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in root.rglob("*") if p.is_file()}


def times(root: Path) -> dict[str, int]:
    return {str(p.relative_to(root)): p.stat().st_mtime_ns for p in root.rglob("*") if p.is_file()}


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def test_the_whole_year_lands_every_transaction_once_and_no_file_for_christmas(whole):
    days = sorted(path.stem for path in (whole / "transactions").iterdir())
    assert len(days) == 365
    assert (days[0], days[-1]) == ("2017-01-01", "2018-01-01")
    assert "2017-12-25" not in days
    assert sum(len(lines(path)) - 1 for path in (whole / "transactions").iterdir()) == 1_469_307


def test_a_day_holds_that_utc_day_only_and_reads_as_a_shop_would_write_it(whole):
    first = lines(whole / "transactions" / "2017-01-01.csv")
    assert first[0] == HEADER
    assert first[1] == "900,330,31198570044,1095275,1,0.50,0.00,0.00,0.00,1,2017-01-01 11:53:26"
    last = lines(whole / "transactions" / "2018-01-01.csv")
    assert len(last) - 1 == 534
    assert {line.rsplit(",", 1)[1][:10] for line in last[1:]} == {"2018-01-01"}


def test_redemptions_have_a_file_on_each_open_day_and_an_empty_one_where_there_were_none(whole):
    files = {path.stem: path for path in (whole / "redemptions").iterdir()}
    assert sorted(files) == sorted(path.stem for path in (whole / "transactions").iterdir())
    assert files["2017-01-02"].read_bytes() == b""
    assert sum(len(lines(path)) for path in files.values()) == 2_102
    first = json.loads(lines(files["2017-01-01"])[0])
    assert first == {
        "household_id": "1029",
        "coupon_upc": "51380041013",
        "campaign_id": "26",
        "redemption_date": "2017-01-01",
    }


def test_snapshots_hold_all_households_ids_are_strings_and_what_is_missing_is_null(whole):
    people = [json.loads(line) for line in lines(whole / "demographics.jsonl")]
    assert len(people) == 801
    assert people[0] == {
        "household_id": "1",
        "age": "65+",
        "income": "35-49K",
        "home_ownership": "Homeowner",
        "marital_status": "Married",
        "household_size": "2",
        "household_comp": "2 Adults No Kids",
        "kids_count": "0",
    }
    assert sum(person["home_ownership"] is None for person in people) == 233
    campaigns = pq.read_table(whole / "campaigns.parquet")
    assert (campaigns.column_names, campaigns.num_rows) == (["campaign_id", "household_id"], 6_589)


def test_a_cut_lands_the_same_bytes_anywhere(tmp_path):
    small(tmp_path / "a")
    small(tmp_path / "b")
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b")


def test_a_cut_by_days_is_the_same_as_those_days_of_the_whole(tmp_path, whole):
    land(landing_uri=str(tmp_path), days=2, database=False)
    for name in ("transactions/2017-01-02.csv", "redemptions/2017-01-01.jsonl", "demographics.jsonl", "campaigns.parquet"):
        assert (tmp_path / "grocery" / name).read_bytes() == (whole / name).read_bytes()


def test_a_larger_cut_of_households_holds_the_smaller_one(tmp_path):
    def households(count: int) -> set[str]:
        root = tmp_path / str(count)
        small(root, households=count, days=60)
        return {line.split(",")[0] for path in (root / "grocery/transactions").iterdir() for line in lines(path)[1:]}

    twenty, forty = households(20), households(40)
    assert 15 <= len(twenty) <= 20, "a few may not come in 60 days"
    assert twenty < forty


def test_a_day_without_any_of_the_kept_households_lands_only_a_header(tmp_path):
    small(tmp_path, households=1)
    contents = [lines(path) for path in (tmp_path / "grocery/transactions").iterdir()]
    assert len(contents) == 5
    assert [HEADER] in contents


def test_until_and_days_together_mean_the_earlier_end(tmp_path):
    assert small(tmp_path, days=5, until="2017-01-03").last_day == "2017-01-03"
    assert small(tmp_path, days=2, until="2017-01-03").last_day == "2017-01-02"
    assert small(tmp_path, days=360).last_day == "2017-12-26"
    assert small(tmp_path, days=359).last_day == "2017-12-24", "closed on the 25th"


def test_the_second_call_does_nothing_in_less_than_a_second(tmp_path):
    small(tmp_path)
    before = times(tmp_path)
    start = time.monotonic()
    landed = small(tmp_path)
    assert time.monotonic() - start < 1
    assert (landed.written, landed.removed, landed.unchanged) == (0, 0, 12)
    assert times(tmp_path) == before


def test_only_what_is_missing_or_damaged_is_written_again(tmp_path):
    small(tmp_path)
    before, right = times(tmp_path), hashes(tmp_path)
    (tmp_path / "grocery/transactions/2017-01-03.csv").unlink()
    (tmp_path / "grocery/demographics.jsonl").write_text("half a li")
    assert small(tmp_path).written == 2
    assert hashes(tmp_path) == right
    untouched = "grocery/transactions/2017-01-04.csv"
    assert times(tmp_path)[untouched] == before[untouched]


def test_a_smaller_cut_removes_the_days_that_it_landed_and_leaves_the_files_of_others(tmp_path):
    small(tmp_path)
    stranger = tmp_path / "grocery/transactions/2016-12-31.csv"
    stranger.write_text(HEADER + "\n")
    landed = small(tmp_path, days=3)
    assert (landed.written, landed.removed) == (0, 4)
    assert sorted(path.stem for path in stranger.parent.iterdir()) == ["2016-12-31", "2017-01-01", "2017-01-02", "2017-01-03"]


def test_after_a_crash_in_the_middle_the_next_cut_still_knows_which_files_are_ours(tmp_path, monkeypatch):
    import samples.land as module

    write, calls = module.write, []

    def dies_at_the_fifth(path, content):
        calls.append(path)
        if len(calls) == 5:
            raise OSError("disk full")
        return write(path, content)

    monkeypatch.setattr(module, "write", dies_at_the_fifth)
    with pytest.raises(OSError, match="disk full"):
        small(tmp_path)
    monkeypatch.undo()
    small(tmp_path, days=1)
    assert [path.name for path in (tmp_path / "grocery/transactions").iterdir()] == ["2017-01-01.csv"]


def test_no_temporary_file_stays(tmp_path):
    small(tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.name.endswith(".tmp")] == []


@pytest.mark.parametrize(
    ("cut", "words"),
    [
        ({"days": 0}, "days is 0: give 1 or more"),
        ({"households": -1}, "households is -1: give 1 or more"),
        ({"until": "yesterday"}, "until is 'yesterday': give a day as YYYY-MM-DD"),
        ({"until": "2016-12-31"}, "before the first day: give 2017-01-01 or later"),
    ],
)
def test_a_wrong_cut_is_refused_with_the_mend(tmp_path, cut, words):
    with pytest.raises(BadInput, match=words):
        small(tmp_path, **cut)
    assert list(tmp_path.iterdir()) == []


def test_a_landing_that_is_not_on_this_disk_is_refused(capsys):
    assert main(["--landing", "s3://bucket/landing", "--no-database"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
