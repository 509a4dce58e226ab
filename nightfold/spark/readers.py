"""Read delivered files as they are: every column a string, every malformed record kept with its text."""

import codecs
import csv
import io
import itertools
import json
import re
from collections.abc import Iterable, Iterator

from nightfold import landing, schemas
from nightfold.errors import BadInput
from nightfold.landing import LandedFile
from nightfold.pipeline.sources import FileSource
from nightfold.spark import tables

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql import types as T

_HEADER_BYTES = 1 << 16
_LITTLE = 8 << 20  # bytes of JSON lines that are looked through before Spark is asked: 0.1 s
_MAX_KEYS = 100_000  # distinct (night, key) pairs of JSON lines brought to the driver
_NAMES, _LETTERS = 10, 40  # undeclared columns that a message names, and letters of each
csv.field_size_limit(1 << 24)  # characters; 131,072 unless told, which a text may have, and a whole file swallowed is no value
_REPLACED = "�"  # what a decoder puts where bytes are not of the encoding


def _names(found: list[str]) -> str:
    """Names as they came, fit for a line: what came may be no header at all."""
    shown = [name if len(name) <= _LETTERS else f"{name[:_LETTERS]}…" for name in found[:_NAMES]]
    return ", ".join(shown) + (f" and {len(found) - _NAMES} more" if len(found) > _NAMES else "")


def check_columns(name: str, source: FileSource, found: list[str], *, where: str) -> None:
    """Raise BadInput when declared columns are missing or undeclared ones came (and the pipeline refuses them)."""
    missing = [c for c, rules in source.columns.items() if c not in found and not rules.optional]
    extra = [c for c in found if c not in source.columns] if source.extra_columns == "refuse" else []
    twice = sorted({c for c in found if found.count(c) > 1})
    if not (missing or extra or twice):
        return
    words = [f"column {', '.join(missing)} is missing"] if missing else []
    words += [f"column {_names(extra)} is not declared"] if extra else []
    words += [f"column {_names(twice)} comes twice"] if twice else []
    ways = [f"`also: [{_names(extra)}]` where it is a column's new name"] if missing and len(extra) == 1 else []
    ways += ["extra_columns: ignore lets undeclared ones pass"] if extra else []
    ways += ["optional: true where a delivery may be without it"] if missing else []
    raise BadInput(
        f"{where}: {'; '.join(words)}: ask the source, or change sources.{name}.columns" + (f" ({'; '.join(ways)})" if ways else "")
    )


def read_files(spark: SparkSession, name: str, source: FileSource, nights: dict[str, list[LandedFile]]) -> DataFrame:
    """The rows of some nights: the declared columns as strings, `_malformed`, `_reason`, `night`.

    Raises BadInput when a file's columns are not those that the pipeline declares, or a file cannot be read at all.
    """
    full = {night: [file for file in landed if file.size > 0] for night, landed in nights.items()}
    files = [file for landed in full.values() for file in landed]
    if not files:
        return _nothing(spark, source)
    night = _night(source, next(iter(nights)))
    if source.format == "jsonl":
        return _json_lines(spark, name, source, full, night)
    return {"csv": _csv, "parquet": _parquet}[source.format](spark, name, source, files, night)


def _night(source: FileSource, snapshot_night: str) -> Column:
    if not source.nightly:
        return F.lit(snapshot_night)
    path = F.url_decode(F.replace("_metadata.file_path", F.lit("+"), F.lit("%2B")))  # Spark escapes a space in it, not a plus
    return F.regexp_extract(path, landing.night_pattern(source), 1)


def _csv(spark: SparkSession, name: str, source: FileSource, files: list[LandedFile], night: Column) -> DataFrame:
    groups: dict[tuple[str, ...], list[str]] = {}
    for file in files:
        header = _csv_header(file, source)
        if not header:  # blank lines only: the same as an empty file
            continue
        check_columns(name, source, list(header), where=file.uri)
        if file.quoted:
            _check_quotes(file, source, header)
        if file.unended:
            _check_end(file, source, fields=len(header))
        groups.setdefault(header, []).append(file.uri)
    frames = [_csv_group(spark, source, header, uris, night) for header, uris in groups.items()]
    return _union(frames) if frames else _nothing(spark, source)


def _check_quotes(file: LandedFile, source: FileSource, header: tuple[str, ...]) -> None:
    """Raise BadInput when a quote is opened and never closed, and swallows lines; what is stray within one line passes.

    Spark ends such a value at the next quote, wherever that is, and takes all the lines between them for one value.
    """
    before = _lines_before_unclosed(file, source)
    if before is None:
        return
    with landing.text(file.uri, source.encoding) as lines:
        line = next(itertools.islice(lines, before, None)).rstrip("\r\n")
    values = next(csv.reader([line], delimiter=source.delimiter))
    raise BadInput(
        f"{file.uri}: a double quote is opened and never closed, at or after {values[-1][:60]!r} "
        f"in column {header[min(len(values), len(header)) - 1]} (line {before + 1}): "
        "it would swallow the lines after it; have the file delivered again"
    )


def _lines_before_unclosed(file: LandedFile, source: FileSource) -> int | None:
    """How many lines stand before the record of several lines in which a quote is opened and never closed; None when there is none."""
    with landing.text(file.uri, source.encoding) as lines:
        records = csv.reader(_unpadded(lines, source.delimiter), delimiter=source.delimiter, strict=True)
        while True:
            before = records.line_num
            try:
                for _ in records:
                    before = records.line_num
                return None
            except csv.Error:
                if records.line_num > before + 1:
                    return before


def _unpadded(lines: Iterable[str], delimiter: str) -> Iterator[str]:
    """Without the blanks behind a closing quote: Spark passes over them, `csv` does not."""
    padded = re.compile(f'" +(?=[{re.escape(delimiter)}\r\n])')
    return (padded.sub('"', line) if '" ' in line else line for line in lines)


def _check_end(file: LandedFile, source: FileSource, *, fields: int) -> None:
    """Raise BadInput when the last line has no end and too few fields: what came after it was lost on the way."""
    last = _last_line(file, source)
    found = len(next(csv.reader([last], delimiter=source.delimiter), []))
    if last and found < fields and last.count('"') % 2 == 0:  # an odd one ends a quoted text of several lines
        raise BadInput(
            f"{file.uri}: it ends in the middle of a line ({last[:60]!r} has {found} of {fields} fields): "
            "it was cut off on its way; have it delivered again"
        )


def _last_line(file: LandedFile, source: FileSource) -> str:
    """What follows the file's last line end; its end only, when that is longer than is read of it."""
    decoder = codecs.getincrementaldecoder(source.encoding)(errors="replace")
    decoder.decode(landing.head(file.uri, 4))  # the mark with which a file may begin says how the rest is to be read
    text = decoder.decode(landing.tail(file.uri, file.size, at_most=_HEADER_BYTES))
    return text.replace("\r", "\n").rpartition("\n")[2]


def _csv_header(file: LandedFile, source: FileSource) -> tuple[str, ...]:
    try:
        text = landing.head(file.uri, _HEADER_BYTES).decode(source.encoding, errors="replace")
    except LookupError as error:
        raise BadInput(f"{file.uri}: no such encoding {source.encoding!r}: mend the source's encoding") from error
    rows = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), delimiter=source.delimiter)
    return tuple(source.declared(name) for name in next(filter(None, rows), []))


def _csv_group(spark: SparkSession, source: FileSource, header: tuple[str, ...], uris: list[str], night: Column) -> DataFrame:
    fields = [T.StructField(column, T.StringType()) for column in (*header, "_malformed")]
    rows = (
        spark.read.schema(T.StructType(fields))
        .option("header", True)
        .option("multiLine", True)
        .option("sep", source.delimiter)
        .option("encoding", source.encoding)
        .option("quote", '"')
        .option("escape", '"')
        .option("mode", "PERMISSIVE")
        .option("columnNameOfCorruptRecord", "_malformed")
        .csv(uris)
    )
    reason = F.when(F.col("_malformed").isNotNull(), F.lit(f"malformed: not {len(header)} fields"))
    return _finished(rows, source, present=header, reason=reason, night=night)


def _json_lines(
    spark: SparkSession, name: str, source: FileSource, nights: dict[str, list[LandedFile]], night: Column
) -> DataFrame:
    files = [file for landed in nights.values() for file in landed]
    lines = spark.read.option("lineSep", "\n").text([file.uri for file in files])
    text = F.btrim(F.make_valid_utf8("value"), F.lit(" \t\r\ufeff"))
    records = F.from_json(F.concat(F.lit("["), text, F.lit("]")), "array<map<string,string>>")  # two on a line are not one
    fields = F.when(F.size(records) == 1, F.get(records, 0)).alias("fields")
    parsed = lines.select(text.alias("text"), fields, night.alias("night")).where("text != ''")
    by_night = _keys_here(nights)
    if by_night is None:
        by_night = _keys(parsed, where=files[0].uri)
    for day, found in sorted(by_night.items()):
        names = sorted({source.declared(key) for key in found})
        check_columns(name, source, names, where=f"{landing.location(source).replace('{ds}', day)} (no line has it)")
    values = {c: [F.element_at("fields", F.lit(key)) for key in (c, *rules.also)] for c, rules in source.columns.items()}
    columns = [F.coalesce(*value).alias(column) for column, value in values.items()]
    malformed = F.when(F.col("fields").isNull(), F.col("text")).alias("_malformed")
    reason = F.when(F.col("_malformed").isNotNull(), F.lit("malformed: not a JSON object"))
    return _finished(parsed.select(*columns, malformed, "night"), source, tuple(source.columns), reason, F.col("night"))


def _keys(parsed: DataFrame, *, where: str) -> dict[str, set[str]]:
    """Night → the fields that its records have."""
    keys = parsed.where("fields is not null").select("night", F.explode(F.map_keys("fields")).alias("key")).distinct()
    seen = keys.limit(_MAX_KEYS + 1).collect()
    if len(seen) > _MAX_KEYS:
        raise BadInput(f"{where}: more than {_MAX_KEYS} different fields: are keys used as values?")
    by_night: dict[str, set[str]] = {}
    for row in seen:
        by_night.setdefault(row["night"], set()).add(row["key"])
    return by_night


def _keys_here(nights: dict[str, list[LandedFile]]) -> dict[str, set[str]] | None:
    """The same of little data with no Spark job; None when it is not little, or a line is none that every reader takes for an object."""
    if sum(file.size for files in nights.values() for file in files) > _LITTLE:
        return None
    by_night: dict[str, set[str]] = {}
    try:
        for night, files in nights.items():
            for file in files:
                for line in landing.head(file.uri, file.size).decode().split("\n"):
                    if text := line.strip(" \t\r\ufeff"):
                        by_night.setdefault(night, set()).update(json.loads(text).keys())
    except (ValueError, AttributeError, RecursionError):  # not UTF-8, not JSON, or no object: Spark's reader decides what it is
        return None
    return by_night


def _parquet(spark: SparkSession, name: str, source: FileSource, files: list[LandedFile], night: Column) -> DataFrame:
    groups: dict[pa.Schema, list[str]] = {}
    for file in files:
        fs, path = landing.filesystem(file.uri)
        try:
            schema = pq.read_schema(path, filesystem=fs).remove_metadata()
        except pa.ArrowInvalid as error:
            raise BadInput(
                f"{file.uri}: is not a Parquet file ({' '.join(str(error).split())}): have it delivered again"
            ) from error
        check_columns(name, source, [source.declared(found) for found in schema.names], where=file.uri)
        groups.setdefault(schema, []).append(file.uri)
    frames = []
    for schema, uris in groups.items():
        rows = spark.read.parquet(*uris)
        delivered = {source.declared(found): found for found in schema.names}
        present = tuple(column for column in source.columns if column in delivered)
        texts = [_parquet_text(rows, schema, delivered[column]).alias(column) for column in present]
        plain = rows.select(*texts, F.lit(None).cast("string").alias("_malformed"), night.alias("night"))
        frames.append(_finished(plain, source, present, F.lit(None).cast("string"), F.col("night")))
    return _union(frames)


def _parquet_text(rows: DataFrame, schema: pa.Schema, name: str) -> Column:
    """As `as_text`; nanoseconds, which pandas writes and Spark reads as a plain number, are cut to microseconds."""
    kind = schema.field(name).type
    if not (pa.types.is_timestamp(kind) and kind.unit == "ns"):
        return as_text(rows.schema[name])
    seconds = f"cast(`{name}` div 1000 AS decimal(20, 0)) / 1000000"
    wall_clock = F.expr(f"(timestamp_ntz'1970-01-01 00:00:00' + make_dt_interval(0, 0, 0, {seconds}))").cast("string")
    return F.concat(wall_clock, F.lit("Z")) if kind.tz else wall_clock


def as_text(field: T.StructField) -> Column:
    """A typed column as text from which the same value can be read again."""
    column = F.col(f"`{field.name}`")
    if isinstance(field.dataType, T.TimestampType):
        return F.date_format(column, "yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXX")
    if isinstance(field.dataType, T.StructType | T.ArrayType | T.MapType):
        return F.to_json(column)
    return column.cast("string")


def _finished(rows: DataFrame, source: FileSource, present: tuple[str, ...], reason: Column, night: Column) -> DataFrame:
    """The declared columns in order, absent optional ones as NULL; a row that does not decode is malformed too."""
    columns = [F.col(f"`{c}`") if c in present else F.lit(None).cast("string") for c in source.columns]
    undecodable = F.concat_ws("\u0001", *columns).contains(_REPLACED)
    text = F.coalesce(F.col("_malformed"), F.when(undecodable, F.concat_ws(source.delimiter, *columns)))
    why = F.coalesce(reason, F.when(undecodable, F.lit(f"malformed: not {source.encoding}")))
    named = [column.alias(name) for column, name in zip(columns, source.columns, strict=True)]
    return rows.select(*named, text.alias("_malformed"), why.alias("_reason"), night.alias("night"))


def _nothing(spark: SparkSession, source: FileSource) -> DataFrame:
    return spark.createDataFrame([], tables.struct(schemas.raw(source)))


def _union(frames: list[DataFrame]) -> DataFrame:
    result = frames[0]
    for frame in frames[1:]:
        result = result.unionByName(frame)
    return result
