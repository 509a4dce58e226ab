"""The cleaning rules: one bad value never fails a job, no row is lost, no order of arrival matters."""

from datetime import UTC, date, datetime
from decimal import Decimal

from nightfold.spark import cleaning, tables

import pytest
from helpers import source

NIGHT = "2026-03-01"


@pytest.fixture
def judge(utc):
    """The judged rows of a source with the columns given: (typed values, reason), in the order of the rows."""

    def rows(columns: str, values: list[tuple], rules: str = "") -> list[tuple]:
        taken = source(f"format: csv\npath: x/{{ds}}.csv\ncolumns: {columns}\n{rules}")
        frame = cleaning.judged(raw(utc, taken, values), taken)
        return [(tuple(row["typed"]), row["reason"]) for row in frame.collect()]

    return rows


def raw(spark, taken, values, night: str = NIGHT):
    names = list(taken.columns)
    delivered = [(*row, None, None, night) if len(row) == len(names) else (*row, night) for row in values]
    ddl = ", ".join(f"`{name}` string" for name in (*names, "_malformed", "_reason", "night"))
    return spark.createDataFrame(delivered, ddl).coalesce(1)


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (
            "integer",
            {"7": 7, " -7 ": -7, "+7": 7, "007": 7, "9007199254740993": 9007199254740993},
            ["1.5", "1e3", "x", "9" * 30, "0x1"],
        ),
        ("double", {"1.5": 1.5, " 1e3 ": 1000.0, "-0.1": -0.1}, ["1,5", "x", "NaN", "Infinity"]),
        ("decimal(6,2)", {"1.50": Decimal("1.50"), "-9999.99": Decimal("-9999.99")}, ["1,50", "99999.00", "NaN"]),
        ("boolean", {"true": True, "F": False, "1": True, "no": False}, ["maybe", "2"]),
        (
            "date",
            {"2026-03-01": date(2026, 3, 1), "2026-03-01T10:00:00": date(2026, 3, 1)},
            ["2026-02-30", "01.03.2026", "2026", "2026-03-01 x"],
        ),
        (
            "timestamp",
            {
                "2026-03-01 10:00:00": "2026-03-01 10:00:00",
                "2026-03-01T10:00:00.5+01:00": "2026-03-01 09:00:00.500000",
                "2026-03-01": "2026-03-01 00:00:00",
            },
            ["12:30", "2026", "today", "2026-03-01 25:00:00", "2026-03-01 x"],
        ),
        (
            "{type: timestamp, format: dd.MM.yyyy HH:mm}",
            {"01.03.2026 10:00": "2026-03-01 10:00:00"},
            ["2026-03-01 10:00", "1.3.2026 10:00", "31.02.2026 10:00"],
        ),
        ("{type: date, format: yyyyMMdd}", {"20260301": date(2026, 3, 1)}, ["2026-03-01", "20260230"]),
    ],
    ids=lambda value: str(value)[:12] if isinstance(value, str) else "",
)
def test_a_value_is_typed_or_its_row_refused(judge, kind, good, bad):
    rules = kind if kind.startswith("{") else f"{{type: '{kind}'}}"
    found = judge(f"{{v: {rules}}}", [(text,) for text in [*good, *bad, "", "  ", None]])
    texts = [(str(v[0].replace(tzinfo=None)) if isinstance(v[0], datetime) else v[0], reason) for v, reason in found]
    assert texts[: len(good)] == [(value, None) for value in good.values()]
    assert all(reason in (f"v: not {source_type(kind)}", "v: not a number") for _, reason in texts[len(good) : -3])
    assert texts[-3:] == [(None, None)] * 3, "blank is NULL, and no fault"


def source_type(kind: str) -> str:
    return kind.split()[1].rstrip(",") if kind.startswith("{") else kind


def test_the_first_rule_that_a_row_breaks_is_its_reason(judge):
    columns = (
        "{id: {required: true}, n: {type: integer, min: 0, max: 10}, kind: {allowed: [a, b]}, share: {type: double, min: 0.5}}"
    )
    rows = [
        ("0007", "10", "a", "0.5"),
        ("", "1", "a", "1"),
        (" ", "x", "a", "1"),
        ("1", "-1", "c", "1"),
        ("1", "11", "a", "1"),
        ("1", "1", "c", "1"),
        ("1", "1", "", "0.49"),
        ("1", None, None, None),
        ("1", "1", "a", "1", "the text", "malformed: not 4 fields"),
    ]
    assert [reason for _, reason in judge(columns, rows)] == [
        None,
        "id: missing",
        "id: missing",
        "n: below 0",
        "n: above 10",
        "kind: not one of a, b",
        "share: below 0.5",
        None,
        "malformed: not 4 fields",
    ]


def test_a_time_is_of_the_pipelines_zone(utc):
    taken = source("format: csv\npath: x/{ds}.csv\ncolumns: {t: {type: timestamp}}\n")
    utc.conf.set("spark.sql.session.timeZone", "Europe/Berlin")
    frame = cleaning.judged(raw(utc, taken, [("2026-03-01 00:30:00",), ("2026-02-28T23:30:00Z",)]), taken)
    found = frame.selectExpr("unix_seconds(typed.t)", "cast(cast(typed.t as date) as string)").collect()
    moment = int(datetime(2026, 2, 28, 23, 30, tzinfo=UTC).timestamp())
    assert [tuple(row) for row in found] == [(moment, "2026-03-01"), (moment, "2026-03-01")]


KEYED = (
    "format: csv\npath: x/{{ds}}.csv\ncolumns: {{id: {{}}, at: {{type: integer}}, note: {{}}}}\n"
    "duplicates: {{key: [id], keep: {keep}{by}}}\n"
)
SENT = [
    ("1", "5", "a"),
    ("1", "7", "b"),
    ("1", "7", "c"),
    ("1", "3", "z"),
    ("2", "x", "bad"),
    ("2", "1", "only"),
    (None, "1", "n"),
    (None, "1", "n"),
]


@pytest.mark.parametrize(
    ("keep", "by", "kept"),
    [
        ("last", ", by: at", ("1", 7, "c")),
        ("first", ", by: at", ("1", 3, "z")),
        ("last", "", ("1", 7, "c")),
        ("first", "", ("1", 3, "z")),
    ],
)
def test_duplicates_keep_the_same_row_in_whatever_order_they_arrive(utc, keep, by, kept):
    taken = source(KEYED.format(keep=keep, by=by))
    for rows, partitions in ((SENT, 1), (SENT[3:] + SENT[:3], 3)):
        frame = cleaning.one_per_key(cleaning.lean(cleaning.judged(raw(utc, taken, rows).repartition(partitions), taken)), taken)
        found = [(row["reason"] or "good", tuple(row["typed"]), row["raw"] and tuple(row["raw"])) for row in frame.collect()]
        assert ("at: not integer", ("2", None, "bad"), ("2", "x", "bad", None)) in found, "a bad row pushes no good one out"
        assert sum(reason == "duplicate" for reason, _, _ in found) == 3
        good = sorted((values for reason, values, _ in found if reason == "good"), key=str)
        assert good == sorted([(None, 1, "n"), (None, 1, "n"), kept, ("2", 1, "only")], key=str)


def test_good_and_refused_rows_go_to_their_own_datasets(utc):
    taken = source(KEYED.format(keep="last", by=", by: at"))
    frame = cleaning.one_per_key(cleaning.lean(cleaning.judged(raw(utc, taken, SENT), taken)), taken)
    assert [tuple(row) for row in cleaning.refused(frame).collect()] == [("2", "x", "bad", None, "at: not integer", NIGHT)]
    assert sorted(map(str, (tuple(row) for row in cleaning.good(frame).collect()))) == sorted(
        map(str, [(None, 1, "n", NIGHT), (None, 1, "n", NIGHT), ("1", 7, "c", NIGHT), ("2", 1, "only", NIGHT)])
    )


def test_rows_of_two_nights_are_no_duplicates(utc):
    taken = source(KEYED.format(keep="last", by=""))
    both = raw(utc, taken, [("1", "1", "a")]).unionByName(raw(utc, taken, [("1", "1", "a")], "2026-03-02"))
    assert cleaning.good(cleaning.one_per_key(cleaning.judged(both, taken), taken)).count() == 2


def test_a_reference_to_nowhere_is_refused_and_none_at_all_is_not(utc):
    taken = source("format: csv\npath: x/{ds}.csv\ncolumns: {id: {required: true}, article: {}}\n")
    frame = cleaning.judged(raw(utc, taken, [("1", "007"), ("2", "7"), ("3", None), (None, "9")]), taken)
    known = utc.createDataFrame([("007",), ("008",)], "value string")
    found = cleaning.referring(frame, "article", known, to="goods.id").orderBy("raw.id").collect()
    assert [row["reason"] for row in found] == ["id: missing", None, "article: not in goods.id", None]


def test_what_is_written_is_checked_and_every_difference_named(utc, tmp_path):
    frame = utc.createDataFrame([("1", 2)], "id string, n int")
    with pytest.raises(tables.SchemaMismatch, match="missing day date; unexpected n int; id is string, not bigint"):
        tables.write(frame, {"id": "bigint", "day": "date"}, f"file://{tmp_path}/x")
    frame.write.parquet(f"file://{tmp_path}/y")
    with pytest.raises(tables.SchemaMismatch, match="raw/sales: n is int, not string"):
        tables.read(utc, {"id": "string", "n": "string"}, [f"file://{tmp_path}/y"], what="raw/sales")
    assert tables.read(utc, {"id": "string"}, [], what="nothing").columns == ["id"]


def test_nights_lie_together_although_columns_have_come_and_gone_since(utc, tmp_path):
    frames = {"2026-01-01": "1 as n, 'x' as old", "2026-01-02": "'a' as id, 2 as n"}
    for attempt, (night, columns) in enumerate(frames.items()):
        utc.sql(f"select {columns}").write.parquet(f"file://{tmp_path}/{attempt}/part={night}")
    places = [f"file://{tmp_path}/{attempt}/part={night}" for attempt, night in enumerate(frames)]
    read = lambda schema, needed: tables.nights(utc, schema, places, what="clean/sales", needed=needed, mend="mend it")  # noqa: E731
    found = read({"id": "string", "n": "int"}, ["n"])
    assert sorted(map(tuple, found.collect()), key=lambda row: row[1]) == [(None, 1), ("a", 2)]
    with pytest.raises(tables.SchemaMismatch, match=r"^clean/sales: night 2026-01-01 lacks id, which is required: .*, or mend it$"):
        read({"id": "string", "n": "int"}, ["id", "n"])
    with pytest.raises(
        tables.SchemaMismatch,
        match=r"^clean/sales: n is int in night 2026-01-01, not bigint: declare it as before, or mend it$",
    ):
        read({"id": "string", "n": "bigint"}, [])
    assert tables.nights(utc, {"id": "string"}, [], what="nothing", mend="").columns == ["id"]
