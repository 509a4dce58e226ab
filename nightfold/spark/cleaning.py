"""The cleaning rules as DataFrame functions: type, judge, and tell duplicates, without losing a row.

A judged frame has `raw` (struct, as delivered; NULL in a good row once it is `lean`), `typed` (struct), `night`,
`reason` (NULL when the row is good).
"""

from nightfold.pipeline.sources import Column as Rules
from nightfold.pipeline.sources import FileSource, TableSource

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

DUPLICATE = "duplicate"
_TYPED = "_typed_"  # before a column's name: its typed value


def judged(raw: DataFrame, source: FileSource | TableSource) -> DataFrame:
    """Type every column; say the first rule that a row breaks."""
    # Typed values are plain columns first: Spark would compute a struct's fields again at each mention.
    typed = {_TYPED + c: typed_value(F.col(f"`{c}`"), rules) for c, rules in source.columns.items()}
    reason = F.coalesce("_reason", *(_broken(c, rules) for c, rules in source.columns.items()))
    told = raw.withColumns(typed).withColumn("reason", reason)
    return told.select(
        F.struct(*(F.col(f"`{c}`") for c in (*source.columns, "_malformed"))).alias("raw"),
        F.struct(*(F.col(f"`{_TYPED}{c}`").alias(c) for c in source.columns)).alias("typed"),
        "night",
        "reason",
    )


def typed_value(text: Column, rules: Rules) -> Column:
    """The value of a text; what does not parse becomes NULL (an ANSI cast would fail the job). Blank is NULL."""
    if rules.type == "string":
        return F.when(F.trim(text) != "", text)
    trimmed = F.when(F.trim(text) != "", F.trim(text))
    if rules.type == "timestamp":
        return F.try_to_timestamp(trimmed, F.lit(rules.format)) if rules.format else _iso(trimmed).try_cast("timestamp")
    if rules.type == "date":
        return F.try_to_date(trimmed, rules.format) if rules.format else _iso(trimmed).try_cast("date")
    if rules.type == "integer":  # '1.5' is no integer, though Spark would cut it to 1
        return F.when(trimmed.rlike(r"^[+-]?\d+$"), trimmed).try_cast("bigint")
    return trimmed.try_cast(rules.spark_type)


def _iso(text: Column) -> Column:
    """Spark takes '12:30' for a time of the day of the run, and '2017' for its first day; a whole date is asked for here."""
    return F.when(text.rlike(r"^\d{4}-\d{2}-\d{2}($|[ T]\d)"), text)


def _broken(name: str, rules: Rules) -> Column:
    text, value = F.col(f"`{name}`"), F.col(f"`{_TYPED}{name}`")
    blank = text.isNull() | (F.trim(text) == "")
    found = F.when(~blank & value.isNull(), F.lit(f"{name}: not {rules.type}"))
    if rules.required:
        found = F.when(blank, F.lit(f"{name}: missing")).otherwise(found)
    checks = []
    if rules.type == "double":
        checks.append((F.isnan(value) | (F.abs(value) == float("inf")), "not a number"))
    if rules.min is not None:
        checks.append((value < rules.min, f"below {rules.min:g}"))
    if rules.max is not None:
        checks.append((value > rules.max, f"above {rules.max:g}"))
    if rules.allowed is not None:
        checks.append((~blank & ~text.isin(*rules.allowed), f"not one of {', '.join(rules.allowed)}"))
    return F.coalesce(found, *(F.when(wrong, F.lit(f"{name}: {words}")) for wrong, words in checks))


def referring(frame: DataFrame, column: str, known: DataFrame, *, to: str) -> DataFrame:
    """Look a column up in another source's values.

    Rows whose value is not there get the reason `column: not in to`.

    :param known: one column, `value`, distinct
    """
    value = F.col(f"typed.`{column}`")
    joined = frame.join(known.withColumn("known", F.lit(True)), value.cast("string") == F.col("value").cast("string"), "left")
    missing = value.isNotNull() & F.col("known").isNull() & F.col("reason").isNull()
    reason = F.when(missing, F.lit(f"{column}: not in {to}")).otherwise(F.col("reason"))
    return joined.select("raw", "typed", "night", reason.alias("reason"))


def lean(frame: DataFrame) -> DataFrame:
    """The same without `raw` where the row is good: half the bytes to shuffle."""
    return frame.select(F.when(F.col("reason").isNotNull(), F.col("raw")).alias("raw"), "typed", "night", "reason")


def one_per_key(frame: DataFrame, source: FileSource | TableSource) -> DataFrame:
    """Mark all good rows of a night that share a key as duplicates, save the one that the rule keeps."""
    rule = source.duplicates
    if rule is None:
        return frame
    key = [F.col(f"typed.`{c}`") for c in rule.key]
    order = [F.col(f"typed.`{rule.by}`")] if rule.by else []
    order += [F.col(f"typed.`{c}`") for c in source.columns]  # a tie must not be broken by order of arrival
    ordered = [c.asc_nulls_first() if rule.keep == "first" else c.desc_nulls_last() for c in order]
    good, whole = F.col("reason").isNull(), F.lit(True)
    for column in key:
        whole = whole & column.isNotNull()
    sorted_first = F.xxhash64("night", good, *key)  # a number sorts faster than texts that begin alike
    place = F.row_number().over(Window.partitionBy(sorted_first, "night", good, *key).orderBy(*ordered))
    reason = F.when(good & whole & (F.col("place") > 1), F.lit(DUPLICATE)).otherwise(F.col("reason"))
    return frame.withColumn("place", place).select("raw", "typed", "night", reason.alias("reason"))


def good(frame: DataFrame) -> DataFrame:
    """The clean rows, typed."""
    return frame.where("reason is null").select("typed.*", "night")


def refused(frame: DataFrame) -> DataFrame:
    """The rejected rows as delivered, and why; duplicates are counted, not kept twice (raw has them)."""
    return frame.where(F.col("reason").isNotNull() & (F.col("reason") != DUPLICATE)).select(
        "raw.*", F.col("reason").alias("_reason"), "night"
    )
