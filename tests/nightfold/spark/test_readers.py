"""Delivered files as rows: nothing is typed, nothing is lost, nothing is guessed."""

from datetime import UTC, date, datetime
from decimal import Decimal

from nightfold import landing
from nightfold.errors import BadInput
from nightfold.spark import readers

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers import land, source

CSV = "format: csv\npath: sales/{ds}.csv\ncolumns: {client: {required: true}, article: {}, note: {}}\n"
JSON = "format: jsonl\npath: sales/{ds}.jsonl\ncolumns: {client: {}, article: {}}\n"
FIRST, SECOND = "2026-03-01", "2026-03-02"


@pytest.fixture
def read(utc, home):
    """Land some files, then read every night: (the columns, _malformed, _reason, night), sorted."""

    def rows(text: str, files: dict[str, bytes | str]) -> list[tuple]:
        for path, content in files.items():
            land(home, path, content)
        taken = source(text)
        frame = readers.read_files(utc, "sales", taken, landing.nightly(taken, until="2026-12-31"))
        return sorted((tuple(row) for row in frame.collect()), key=str)

    return rows


def test_csv_keeps_newlines_quotes_and_any_alphabet_whatever_the_order_of_the_header(read):
    marked = '\ufeffnote,client,article\r\n"two\r\nlines, one comma",0007,Käse\r\n"he said ""no""",08,日本\r\n,9,\r\n'
    plain = "client,article,note\n0007,Käse,a\n"
    assert read(CSV, {f"sales/{FIRST}.csv": marked, f"sales/{SECOND}.csv": plain}) == [
        ("0007", "Käse", "a", None, None, SECOND),
        ("0007", "Käse", "two\nlines, one comma", None, None, FIRST),  # Spark writes the file's own line end as \n
        ("08", "日本", 'he said "no"', None, None, FIRST),
        ("9", None, None, None, None, FIRST),
    ]


def test_csv_records_that_are_none_are_kept_with_their_text_and_the_reason(read):
    content = b"client,article,note\nc1,a1,n1\nc2,a2\nc3,a3,n3,more\nc4,caf\xe9,n4\n"
    (good, few, many, bytes_) = read(CSV, {f"sales/{FIRST}.csv": content})
    assert good == ("c1", "a1", "n1", None, None, FIRST)
    assert few[3:] == ("c2,a2", "malformed: not 3 fields", FIRST)
    assert many[3:] == ("c3,a3,n3,more", "malformed: not 3 fields", FIRST)
    assert bytes_[3:] == ("c4,caf\ufffd,n4", "malformed: not UTF-8", FIRST)


@pytest.fixture
def taken_in(utc, home):
    """The rows of one landed file that was read through: client, article and note, sorted."""

    def rows(content: str, *, encoding: str = "UTF-8") -> list[tuple]:
        taken = source(CSV + f"encoding: {encoding}\n")
        land(home, f"sales/{FIRST}.csv", content.encode(encoding))
        nights = {night: landing.hashed(files, []) for night, files in landing.nightly(taken, until=FIRST).items()}
        return [tuple(row)[:3] for row in readers.read_files(utc, "sales", taken, nights).orderBy("client").collect()]

    return rows


def test_a_quote_that_is_never_closed_stops_the_night_and_does_not_swallow_the_lines_after_it(taken_in):
    with pytest.raises(
        BadInput, match=r"2026-03-01.csv: a double quote is opened and never closed, at or after 'n1' in column note"
    ):
        taken_in('client,article,note\nc1,a1,"n1\nc2,a2,n2\nc3,a3,n3\n')
    assert taken_in('client,article,note\nc1,a1,5" pipe\nc2,a2,n2\n') == [("c1", "a1", '5" pipe'), ("c2", "a2", "n2")]


def test_two_stray_quotes_stop_the_night_as_one_does_and_do_not_swallow_the_lines_between_them(taken_in):
    lines = [f"c{i},a{i},n{i}" for i in range(1, 1001)]
    lines[99], lines[599] = 'c100,"a100,n100', 'c600,"a600,n600'
    said = r"2026-03-01.csv: a double quote is opened and never closed, at or after 'a100,n100' in column article \(line 101\): it would"
    with pytest.raises(BadInput, match=said):
        taken_in("\n".join(["client,article,note", *lines, ""]))
    with pytest.raises(BadInput, match=r"at or after 'n1' in column note \(line 2\)"):
        taken_in('client,article,note\nc1,5" pipe,"n1\nc2,a2,n2\n')


def test_quotes_that_belong_to_values_of_several_lines_pass_and_so_do_stray_ones_within_a_line(taken_in):
    content = (
        'client,article,note\nc1,"two\nlines ""q""",n1\nc2,"""two""\nlines",n2\nc3,"5"" pipe\nlong" ,n3\n'
        'c4,"Best" pick,n4\nc5,5" pipe,"two\n"\n'
    )
    assert taken_in(content) == [
        ("c1", 'two\nlines "q"', "n1"),
        ("c2", '"two"\nlines', "n2"),
        ("c3", '5" pipe\nlong', "n3"),
        ("c4", '"Best" pick', "n4"),
        ("c5", '5" pipe', "two\n"),
    ]


def test_a_file_that_ends_in_the_middle_of_a_line_stops_the_night_and_one_without_a_last_line_end_does_not(taken_in):
    with pytest.raises(
        BadInput,
        match=r"2026-03-01.csv: it ends in the middle of a line \('c2,a' has 2 of 3 fields\): it was cut off on its way; have it delivered",
    ):
        taken_in("client,article,note\nc1,a1,n1\nc2,a")
    assert taken_in("client,article,note\nc1,a1,n1\nc2,a2,n2") == [("c1", "a1", "n1"), ("c2", "a2", "n2")]
    assert taken_in('client,article,note\nc1,a1,"n\n1"') == [("c1", "a1", "n\n1")]
    assert taken_in("client,article,note\nc1,a1\nc2,a2,n2\n")[0][0] in ("c1", None), "a short line inside is a malformed record"


@pytest.mark.parametrize("encoding", ["UTF-16LE", "UTF-16", "UTF-16BE"])
def test_a_line_end_of_two_bytes_ends_a_file_and_a_line_without_one_is_cut_off_in_any_encoding(taken_in, encoding, monkeypatch):
    assert taken_in("client,article,note\nc1,a1,n1\nc2,ä2,n2\n", encoding=encoding) == [("c1", "a1", "n1"), ("c2", "ä2", "n2")]
    assert taken_in("client,article,note\nc1,a1,n1\nc2,a2,n2", encoding=encoding)[1] == ("c2", "a2", "n2")
    monkeypatch.setattr(readers, "_HEADER_BYTES", 42)  # so that the last line is found without the mark that some files begin with
    with pytest.raises(BadInput, match=r"it ends in the middle of a line \('c2,ä' has 2 of 3 fields\)"):
        taken_in("client,article,note\nc1,a1,n1\nc2,ä", encoding=encoding)


def test_csv_of_another_encoding_and_delimiter_is_read_as_the_pipeline_says(read):
    written = "client;article;note\n1;café;€ 5\n".encode("cp1252")
    assert read(CSV + "delimiter: ;\nencoding: windows-1252\n", {f"sales/{FIRST}.csv": written}) == [
        ("1", "café", "€ 5", None, None, FIRST)
    ]
    with pytest.raises(BadInput, match="no such encoding 'utf-9': mend the source's encoding"):
        read(CSV + "encoding: utf-9\n", {})


@pytest.mark.parametrize("content", ["", "\n", "\ufeff\r\n\r\n", "client,article,note\n", "client,article,note"])
def test_a_blank_csv_and_a_header_alone_have_no_rows(read, content):
    assert read(CSV, {f"sales/{FIRST}.csv": content}) == []


def test_a_renamed_column_stops_with_the_file_and_both_names(read, home):
    with pytest.raises(BadInput) as stop:
        read(CSV, {f"sales/{FIRST}.csv": "customer,article,note\n1,2,3\n"})
    assert str(stop.value) == (
        f"file://{home}/landing/sales/{FIRST}.csv: column client is missing; column customer is not declared: "
        "ask the source, or change sources.sales.columns (`also: [customer]` where it is a column's new name; "
        "extra_columns: ignore lets undeclared ones pass; optional: true where a delivery may be without it)"
    )


def test_of_a_header_that_is_none_a_message_says_no_more_than_fits():
    sales = source("{format: csv, path: 'x/{ds}.csv', columns: {client: {type: string}}}")
    found = ["client", "x" * 1000, *(f"c{n}" for n in range(30))]
    with pytest.raises(BadInput, match=r"column x{40}…, c0, c1, .*, c8 and 21 more is not declared"):
        readers.check_columns("sales", sales, found, where="x")


def test_a_column_more_is_refused_or_ignored_and_an_optional_one_may_lack(read):
    more = {f"sales/{FIRST}.csv": "client,article,colour,note\n1,2,red,x\n3,4\n"}
    with pytest.raises(BadInput, match="column colour is not declared"):
        read(CSV, more)
    (short, whole) = sorted(read(CSV + "extra_columns: ignore\n", more), key=lambda row: row[3] is None)
    assert whole == ("1", "2", "x", None, None, FIRST)
    assert short[3:] == ("3,4", "malformed: not 4 fields", FIRST)
    less = {f"sales/{FIRST}.csv": "client,note\n1,x\n"}
    with pytest.raises(
        BadInput, match=r"column article is missing: ask the source, .* \(optional: true where a delivery may be without it\)$"
    ):
        read(CSV, less)
    assert read(CSV.replace("article: {}", "article: {optional: true}"), less) == [("1", None, "x", None, None, FIRST)]
    with pytest.raises(BadInput, match="column note comes twice"):
        read(CSV, {f"sales/{FIRST}.csv": "client,article,note,note\n1,2,3,4\n"})


def test_the_night_is_that_of_the_delivery_whatever_other_days_stand_in_the_path(utc, home):
    path = f"file://{home}/moved on 2020-01-01/{{ds}}"
    folders = source(CSV.replace("sales/{ds}.csv", path))
    for night, file in ((FIRST, "a+b.csv"), (FIRST, "2019-01-01.csv"), (SECOND, "part 0.csv")):
        land(home, f"../moved on 2020-01-01/{night}/{file}", "client,article,note\n1,2,3\n")
    land(home, f"../moved on 2020-01-01/{SECOND}/_SUCCESS", "")
    nights = landing.nightly(folders, until=SECOND)
    assert {night: len(files) for night, files in nights.items()} == {FIRST: 2, SECOND: 1}
    rows = readers.read_files(utc, "sales", folders, nights).collect()
    assert sorted(row["night"] for row in rows) == [FIRST, FIRST, SECOND]
    named = source(CSV.replace("sales/{ds}.csv", "my sales+ {ds}.csv"))
    land(home, f"my sales+ {FIRST}.csv", "client,article,note\n1,2,3\n")
    (row,) = readers.read_files(utc, "sales", named, landing.nightly(named, until=SECOND)).collect()
    assert row["night"] == FIRST


def test_json_lines_are_text_and_what_is_no_object_is_kept(read):
    lines = [
        '\ufeff{"client": "007", "article": {"kind": ["a", 1]}}',
        '{"client": 12345678901234567890, "article": true}\r',
        "",
        "   ",
        '{"client": "c3"}',
        '{"client": null, "article": "日本"}',
        '{"client": "c5", "article": ',
        '["c6"]',
        '{"client": "c7"}{"client": "c8"}',
        '{"client": 009}',
    ]
    content = "\n".join(lines).encode() + b'\n{"client": "caf\xe9", "article": "a"}\n{"client": "caf\xe9'
    found = read(JSON, {f"sales/{FIRST}.jsonl": content})
    assert [row[:2] for row in found if row[3] is None] == [
        ("007", '{"kind":["a",1]}'),
        ("12345678901234567890", "true"),
        ("c3", None),
        (None, "日本"),
    ]
    assert sorted((row[2], row[3]) for row in found if row[3] is not None) == [
        ('["c6"]', "malformed: not a JSON object"),
        ("caf\ufffd,a", "malformed: not UTF-8"),
        ('{"client": "c5", "article":', "malformed: not a JSON object"),
        ('{"client": "c7"}{"client": "c8"}', "malformed: not a JSON object"),
        ('{"client": "caf\ufffd', "malformed: not a JSON object"),
        ('{"client": 009}', "malformed: not a JSON object"),
    ]


def test_json_keys_are_checked_night_by_night(read, home):
    fine = {f"sales/{FIRST}.jsonl": '{"client": 1, "article": 2}\n{"client": 3}\n'}
    assert [row[:2] for row in read(JSON, fine)] == [("1", "2"), ("3", None)]
    with pytest.raises(BadInput, match=rf"sales/{SECOND}.jsonl \(no line has it\): column article is missing"):
        read(JSON, {**fine, f"sales/{SECOND}.jsonl": '{"client": 1}\n'})
    odd = {f"sales/{SECOND}.jsonl": '{"client": 1, "article": 2, "colour": 3}\n'}
    with pytest.raises(BadInput, match=rf"{SECOND}.jsonl.*column colour is not declared"):
        read(JSON, odd)
    assert len(read(JSON + "extra_columns: ignore\n", odd)) == 3


def test_typed_parquet_becomes_text_from_which_the_same_value_can_be_read(utc, home):
    moment = datetime(2026, 3, 1, 23, 30, 0, 5, tzinfo=UTC)
    values = {
        "id": pa.array([7], pa.int32()),
        "code": pa.array(["007"]),
        "moment": pa.array([moment], pa.timestamp("us", tz="UTC")),
        "local": pa.array([datetime(2026, 3, 1, 23, 30)], pa.timestamp("us")),  # noqa: DTZ001 (a wall clock's)
        "price": pa.array([Decimal("1.50")], pa.decimal128(10, 2)),
        "share": pa.array([0.1], pa.float64()),
        "day": pa.array([date(2026, 3, 1)]),
        "open": pa.array([True]),
        "tags": pa.array([["a", "b"]]),
        "none": pa.array([None], pa.string()),
    }
    target = land(home, f"sales/{FIRST}.parquet", b"")
    pq.write_table(pa.table(values), target)
    taken = source(f"format: parquet\npath: sales/{{ds}}.parquet\ncolumns: {{{', '.join(f'{c}: {{}}' for c in values)}}}\n")
    utc.conf.set("spark.sql.session.timeZone", "Europe/Berlin")
    (row,) = readers.read_files(utc, "sales", taken, landing.nightly(taken, until=FIRST)).collect()
    assert tuple(row) == (
        "7",
        "007",
        "2026-03-02T00:30:00.000005+01:00",
        "2026-03-01 23:30:00",
        "1.50",
        "0.1",
        "2026-03-01",
        "true",
        '["a","b"]',
        None,
        None,
        None,
        FIRST,
    )


def test_parquet_in_nanoseconds_as_pandas_writes_it_keeps_its_times(utc, home):
    utc.conf.set("spark.sql.legacy.parquet.nanosAsLong", "true")  # as every job's session has it
    moment = 1_772_361_000_123_456_789  # 2026-03-01 10:30:00.123456789
    local, zoned = pa.array([moment], pa.timestamp("ns")), pa.array([moment], pa.timestamp("ns", "UTC"))
    pq.write_table(pa.table({"local": local, "zoned": zoned}), land(home, f"sales/{FIRST}.parquet", b""))
    taken = source("format: parquet\npath: sales/{ds}.parquet\ncolumns: {local: {}, zoned: {}}\n")
    [row] = readers.read_files(utc, "sales", taken, landing.nightly(taken, until=FIRST)).collect()
    assert (row["local"], row["zoned"]) == ("2026-03-01 10:30:00.123456", "2026-03-01 10:30:00.123456Z")


def test_parquet_of_two_shapes_is_read_by_name_and_what_is_none_is_refused(utc, home):
    taken = source("format: parquet\npath: sales/{ds}\ncolumns: {a: {}, b: {optional: true}}\n")
    for name, table in (("x", {"a": pa.array([1])}), ("y", {"b": pa.array(["01"]), "a": pa.array(["2"])})):
        pq.write_table(pa.table(table), land(home, f"sales/{FIRST}/{name}.parquet", b""))
    rows = readers.read_files(utc, "sales", taken, landing.nightly(taken, until=FIRST)).select("a", "b").collect()
    assert sorted(tuple(row) for row in rows) == [("1", None), ("2", "01")]
    land(home, f"sales/{SECOND}/z.parquet", "client,article\n")
    with pytest.raises(BadInput, match=r"z.parquet: is not a Parquet file .*: have it delivered again"):
        readers.read_files(utc, "sales", taken, landing.nightly(taken, until=SECOND))


RENAMED = "columns: {client: {required: true, also: [customer, Kunde]}, article: {}}\n"


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_a_column_is_read_under_any_of_its_names(read, home, kind):
    nights = {FIRST: "client", SECOND: "customer", "2026-03-03": "Kunde"}
    for night, name in nights.items():
        target = land(
            home,
            f"sales/{night}.{kind}",
            f"article,{name}\na1,007\n" if kind == "csv" else f'{{"{name}": "007", "article": "a1"}}\n',
        )
        if kind == "parquet":
            pq.write_table(pa.table({"article": ["a1"], name: ["007"]}), target)
    found = read(f"format: {kind}\npath: sales/{{ds}}.{kind}\n{RENAMED}", {})
    assert found == [("007", "a1", None, None, night) for night in nights]


def test_a_column_that_comes_under_two_of_its_names_is_refused(read):
    with pytest.raises(BadInput, match="column client comes twice"):
        read(f"format: csv\npath: sales/{{ds}}.csv\n{RENAMED}", {f"sales/{FIRST}.csv": "client,customer,article\n1,2,a\n"})
