"""The numbers of the profile, from one source's clean rows in five passes; only bounded results come to the driver.

A frame that was `prepared` has `night` and one column per field, under a key of ours (c0, c1, ...: names of sources may hold
anything): numbers and times as double (times in seconds since 1970-01-01, UTC), everything else as text.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from nightfold.pipeline import FileSource, TableSource
from nightfold.reports.measures import QUANTILES, Bins

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame, Row, Window
from pyspark.sql import functions as F

TOP = 20  # values shown per column; a PSI has as many classes, plus "other" and "missing"
TOP_LETTERS = 120  # of a value that is shown; a text of a megabyte is no label
CORRELATED = 16  # numeric columns in the matrix: 120 pairs, the most that can be read
ACCURACY = 1000  # of percentile_approx: a rank is off by at most 1/1000 of the rows
SKETCH = 12  # log2 of the registers of a HyperLogLog sketch: a relative standard error of 1.6%, three times cheaper than HLL++
EXACT = 100  # how often a value occurs is told exactly up to here, above in steps of 1/64 octave: at most 2,000 groups a column
MISSING, OTHER = -1, 0  # classes of a PSI that are no value and no decile
WEEK_HOUR = "week_hour"  # the key of the pseudo-column "weekday hour", 0 to 167 from Monday 00 h


@dataclass(frozen=True)
class Field:
    """One column as it is profiled."""

    name: str
    key: str
    type: str
    kind: str
    """number, time or text (booleans are text: two values to count)."""


def fields(source: FileSource | TableSource) -> list[Field]:
    """The declared columns of a source."""
    kinds = {"string": "text", "boolean": "text", "date": "time", "timestamp": "time"}
    return [Field(name, f"c{i}", c.type, kinds.get(c.type, "number")) for i, (name, c) in enumerate(source.columns.items())]


def step(field: Field) -> float | None:
    """What all values are multiples of: 1 for integers, 0.01 for decimal(10,2); None where there is no such thing."""
    if field.type == "integer":
        return 1.0
    return 10.0 ** -int(field.type.rstrip(")").split(",")[1]) if field.type.startswith("decimal") else None


def prepared(clean: DataFrame, columns: Sequence[Field], *, time: str | None = None) -> DataFrame:
    """Every field under its key; for times also whether the row's day is its night's (`<key>_on`).

    :param time: name of the column by which the weekday and the hour of a row are told
    """
    day = F.col("night").cast("date")
    made = [_value(field).alias(field.key) for field in columns]
    made += [(_raw(f).cast("date") == day).alias(f"{f.key}_on") for f in columns if f.kind == "time"]
    moment = next((f for f in columns if f.name == time), None)
    if moment is not None:
        made.append((F.weekday(_raw(moment)) * 24 + F.hour(_raw(moment).cast("timestamp"))).cast("string").alias(WEEK_HOUR))
    return clean.select("night", *made)


def by_night(frame: DataFrame, columns: Sequence[Field]) -> dict[str, dict[str, Any]]:
    """Night → rows, and in `columns` per field: filled, mean, variance (of the population), min, max, on_night;
    of a text the mean, min and max are those of its length.

    A row per night comes to the driver. No sketch is taken here: one would keep Spark from compiling all the others.
    """
    measures: list[Column] = [F.count("*").alias("rows")]
    for f in columns:
        value = F.length(f.key) if f.kind == "text" else F.col(f.key)
        measures += [function(value).alias(f"{f.key}:{name}") for name, function in _MOMENTS.items()]
        if f.kind != "text":
            measures.append(F.var_pop(value).alias(f"{f.key}:variance"))
        if f.kind == "time":
            measures.append(F.count_if(f"{f.key}_on").alias(f"{f.key}:on_night"))
    names = {f.key: f.name for f in columns}
    result = {}
    for row in frame.groupBy("night").agg(*measures).collect():
        found: dict[str, dict[str, Any]] = {f.name: {} for f in columns}
        for label, value in row.asDict().items():
            key, _, measure = label.partition(":")
            if measure:
                found[names[key]][measure] = value
        result[row["night"]] = {"rows": row["rows"], "columns": found}
    return result


def distinct_by_night(frame: DataFrame, columns: Sequence[Field], *, counted: Sequence[str]) -> dict[str, dict[str, int]]:
    """Field → night → distinct values (approximate), of the fields of these names."""
    keys = {f.key: f.name for f in columns if f.name in counted}
    if not keys:
        return {}
    rows = frame.groupBy("night").agg(*(_distinct(key) for key in keys)).collect()
    return {name: {row["night"]: row[f"{key}:distinct"] or 0 for row in rows} for key, name in keys.items()}


_MOMENTS = {"filled": F.count, "mean": F.avg, "min": F.min, "max": F.max}


def overall(frame: DataFrame, columns: Sequence[Field]) -> dict[str, dict[str, Any]]:
    """Per number or time: distinct (approximate) and quantiles. One row comes to the driver.

    Greenwald and Khanna (2001) for quantiles, HyperLogLog (Flajolet et al. 2007) for distinct values.
    """
    measured = [f for f in columns if f.kind != "text"]
    if not measured:
        return {}
    quantiles = [F.percentile_approx(f.key, list(QUANTILES.values()), ACCURACY).alias(f"{f.key}:quantiles") for f in measured]
    row = frame.agg(*(_distinct(f.key) for f in measured), *quantiles).first()
    return {
        f.name: {
            "distinct": row[f"{f.key}:distinct"] or 0,
            "quantiles": dict(zip(QUANTILES, row[f"{f.key}:quantiles"] or [], strict=False)),
        }
        for f in measured
    }


def medians(recent: DataFrame, columns: Sequence[Field], *, ds: str) -> dict[str, dict[str, Any]]:
    """Per number: `deciles_before` of the nights before `ds`, `median_tonight`. One row comes to the driver.

    :param recent: the nights of the window and tonight only
    """
    numbers = [f for f in columns if f.kind == "number"]
    if not numbers:
        return {}
    tonight, measures = F.col("night") == ds, []
    for f in numbers:
        deciles = F.percentile_approx(F.when(~tonight, F.col(f.key)), [i / 10 for i in range(1, 10)], ACCURACY)
        median = F.percentile_approx(F.when(tonight, F.col(f.key)), 0.5, ACCURACY)
        measures += [deciles.alias(f"{f.key}:deciles"), median.alias(f"{f.key}:median")]
    row = recent.agg(*measures).first()
    return {f.name: {"deciles_before": row[f"{f.key}:deciles"] or [], "median_tonight": row[f"{f.key}:median"]} for f in numbers}


def correlations(frame: DataFrame, columns: Sequence[Field]) -> dict[str, Any] | None:
    """Pearson's r of every pair of numeric columns, over rows where both are there; None with fewer than two columns."""
    numbers = [f for f in columns if f.kind == "number"]
    shown = numbers[:CORRELATED]
    if len(shown) < 2:
        return None
    pairs = list(combinations(range(len(shown)), 2))
    row = frame.agg(*(F.corr(shown[i].key, shown[j].key).alias(f"{i}:{j}") for i, j in pairs)).first()
    matrix: list[list[float | None]] = [[1.0 if i == j else None for j in range(len(shown))] for i in range(len(shown))]
    for i, j in pairs:
        matrix[i][j] = matrix[j][i] = row[f"{i}:{j}"]
    return {"columns": [f.name for f in shown], "matrix": matrix, "left_out": [f.name for f in numbers[CORRELATED:]]}


def counted_values(frame: DataFrame, columns: Sequence[Field], *, ds: str, since: str) -> DataFrame:
    """key, value, rows, before (`since` to the night before), tonight: one row per distinct text of each text field."""
    keys = [f.key for f in columns if f.kind == "text"] + [k for k in (WEEK_HOUR,) if k in frame.columns]
    each = [F.struct(F.lit(key).alias("key"), F.col(key).alias("value")) for key in keys]
    long = frame.select("night", F.explode(F.array(*each)).alias("cell")).where("cell.value is not null")
    before = (F.col("night") >= since) & (F.col("night") < ds)
    return long.groupBy("cell.key", "cell.value").agg(
        F.count("*").alias("rows"), F.count_if(before).alias("before"), F.count_if(F.col("night") == ds).alias("tonight")
    )


def top(values: DataFrame, *, by: str) -> dict[str, list[Row]]:
    """Key → its most frequent values (at most TOP), best first; ties by value."""
    place = F.row_number().over(Window.partitionBy("key").orderBy(F.desc(by), "value"))
    first = values.where((F.col("key") != WEEK_HOUR) & (F.col(by) > 0)).withColumn("place", place).where(F.col("place") <= TOP)
    result: dict[str, list[Row]] = {}
    for row in first.orderBy("key", "place").withColumn("label", F.substring("value", 1, TOP_LETTERS)).collect():
        result.setdefault(row["key"], []).append(row)
    return result


def tails(values: DataFrame) -> dict[str, list[dict[str, Any]]]:
    """Key → how many values occur how often, most frequent first: times (the least of the group), values, rows, new.

    `new` counts tonight's rows whose value no earlier night has.
    """
    octave = F.floor(F.log2("rows") * 64)
    often = F.when(F.col("rows") <= EXACT, F.col("rows")).otherwise(EXACT + octave)
    new = F.sum(F.when(F.col("rows") == F.col("tonight"), F.col("tonight")).otherwise(0))
    grouped = values.where(F.col("key") != WEEK_HOUR).groupBy("key", often.alias("often"))
    counted = grouped.agg(F.min("rows").alias("times"), F.count("*").alias("values"), F.sum("rows").alias("rows"), new.alias("new"))
    result: dict[str, list[dict[str, Any]]] = {}
    for row in counted.orderBy("key", F.desc("times")).collect():
        result.setdefault(row["key"], []).append({name: row[name] for name in ("times", "values", "rows", "new")})
    return result


def week_hours(values: DataFrame) -> list[list[int]]:
    """Rows by weekday (Monday first) and hour: 7 × 24."""
    result = [[0] * 24 for _ in range(7)]
    for row in values.where(F.col("key") == WEEK_HOUR).collect():  # at most 168
        result[int(row["value"]) // 24][int(row["value"]) % 24] = row["rows"]
    return result


def histograms(frame: DataFrame, columns: Sequence[Field], bins: Mapping[str, Bins]) -> dict[str, list[int]]:
    """Field → rows per bin; what lies below the first or above the last edge is counted in the outermost bins."""
    shown = {f.key: f.name for f in columns if f.name in bins}
    if not shown:
        return {}
    inner = {key: np.array(bins[name].inner) for key, name in shown.items()}

    def count(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        found = {key: np.zeros(len(edges) + 1, dtype=np.int64) for key, edges in inner.items()}
        for batch in batches:
            for key, edges in inner.items():
                values = batch.column(key).drop_null().to_numpy(zero_copy_only=False)
                found[key] += np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)
        cells = [(key, i, int(rows)) for key, counts in found.items() for i, rows in enumerate(counts) if rows]
        yield pa.RecordBatch.from_arrays([pa.array(c) for c in zip(*cells, strict=True)] if cells else [[], [], []], schema=cell)

    cell = pa.schema({"key": pa.string(), "bin": pa.int64(), "rows": pa.int64()})
    parts = frame.select(*shown).mapInArrow(count, "key string, bin bigint, rows bigint")
    result = {name: [0] * (len(inner[key]) + 1) for key, name in shown.items()}
    for row in parts.groupBy("key", "bin").agg(F.sum("rows").alias("rows")).collect():
        result[shown[row["key"]]][row["bin"]] = row["rows"]
    return result


def classes(
    frame: DataFrame, columns: Sequence[Field], *, values: Mapping[str, Sequence[str]], edges: Mapping[str, Sequence[float]]
) -> dict[str, dict[str, dict[int, int]]]:
    """Field → night → class → rows, for the PSI: a text's place among `values` (1, 2, ...), a number's among `edges` (0, 1, ...).

    OTHER (a text that is not among the values) and MISSING are classes too. Give it the recent nights only.
    """
    each = []
    for f in columns:
        if f.name in values:
            place = F.array_position(F.array(*(F.lit(v) for v in values[f.name])), F.col(f.key)).cast("int")
        elif f.name in edges:
            place = _class_of(f.key, edges[f.name])
        else:
            continue
        each.append(F.struct(F.lit(f.key).alias("key"), F.coalesce(place, F.lit(MISSING)).alias("class")))
    if not each:
        return {}
    cells = frame.select("night", F.explode(F.array(*each)).alias("cell"))
    names = {f.key: f.name for f in columns}
    result: dict[str, dict[str, dict[int, int]]] = {}
    for row in cells.groupBy("night", "cell.key", "cell.class").count().collect():
        result.setdefault(names[row["key"]], {}).setdefault(row["night"], {})[row["class"]] = row["count"]
    return result


def examples(rejected: DataFrame, *, limit: int, letters: int) -> list[dict[str, str | None]]:
    """A few rejected rows as delivered, each value cut to `letters`; in the order of their reasons, so that it is the same twice."""
    cut = [F.substring(F.col(f"`{c}`"), 1, letters).alias(c) for c in rejected.columns if c != "night"]
    rows = rejected.select(*cut).orderBy("_reason", *(f"`{c}`" for c in rejected.columns if c not in ("night", "_reason")))
    return [row.asDict() for row in rows.limit(limit).collect()]


def _raw(field: Field) -> Column:
    return F.col(f"`{field.name}`")


def _value(field: Field) -> Column:
    value = _raw(field)
    if field.type == "date":
        return F.unix_date(value).cast("double") * 86400
    if field.type == "timestamp":
        return F.unix_micros(value) / 1e6
    if field.kind == "text":
        return value.cast("string")
    return value.cast("double")


def _distinct(key: str) -> Column:
    hashed = F.when(F.col(key).isNotNull(), F.xxhash64(key))  # the hash of a NULL is not NULL
    return F.hll_sketch_estimate(F.hll_sketch_agg(hashed, SKETCH)).alias(f"{key}:distinct")


def _class_of(key: str, edges: Sequence[float]) -> Column:
    """How many edges a number reaches: 0 below the first; NULL for none."""
    reached = F.when(F.col(key).isNotNull(), F.lit(0))
    for edge in edges:
        reached = reached + (F.col(key) >= F.lit(float(edge))).cast("int")
    return reached
