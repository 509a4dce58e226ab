"""Users, items and their interactions as of a night: explicit, collision-free indexes, and one row per user, item and day."""

from nightfold import schemas
from nightfold.pipeline import Pipeline
from nightfold.spark.exact import exact_sum

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

INT32 = 2**31 - 1


def events(clean: DataFrame, pipeline: Pipeline, *, until: str) -> DataFrame:
    """user_id, item_id, day (date in the pipeline's zone), occasion, times, liked, amount, discount: what was taken up to and including
    `until`.

    An occasion is a basket, or without one the row itself; times: how often it counts, NULL where the pipeline names no weight.
    Amounts are 0 where the pipeline names no column; all is liked where nobody rates.
    """
    taken = pipeline.recommend.interactions
    day = F.col(f"`{taken.time}`").cast("date")
    row = F.monotonically_increasing_id()
    occasion = F.col(f"`{taken.basket}`") if taken.basket else row
    if taken.basket and not pipeline.sources[taken.source].columns[taken.basket].required:
        occasion = F.coalesce(occasion.cast("string"), F.concat(F.lit("row "), row.cast("string")))
    return clean.select(
        F.col(f"`{taken.user}`").alias("user_id"),
        F.col(f"`{taken.item}`").alias("item_id"),
        day.alias("day"),
        occasion.alias("occasion"),
        (F.round(_number(taken.weight)).cast("bigint") if taken.weight else F.lit(None).cast("bigint")).alias("times"),
        (F.coalesce(F.col(f"`{taken.rating}`") >= taken.liked, F.lit(False)) if taken.rating else F.lit(True)).alias("liked"),
        _number(taken.amount).alias("amount"),
        _number(taken.discount).alias("discount"),
    ).where(F.col("day") <= F.lit(until).cast("date"))


def index(ids: DataFrame, *, name: str) -> DataFrame:
    """`name` (int, from 0 without gaps) and `id`, in the order of the ids: the same ids always get the same index.

    :param ids: one column, `id`, distinct
    """
    return ids.select((F.row_number().over(Window.orderBy("id")) - 1).cast("int").alias(name), "id")


def interactions(taken: DataFrame, users: DataFrame, items: DataFrame) -> DataFrame:
    """user, item, day (days since 1970-01-01), weight (occasions on that day on which he liked it, or how often these count; 0: he has
    seen it), amount, discount."""
    times = F.greatest(F.sum(F.when(F.col("liked"), F.col("times"))), F.lit(0))
    per_day = taken.groupBy("user_id", "item_id", "day").agg(
        F.when(F.max("times").isNotNull(), times)
        .otherwise(F.count_distinct(F.when(F.col("liked"), F.col("occasion"))))
        .cast("double")
        .alias("weight"),
        exact_sum(F.col("amount")).cast("float").alias("amount"),
        exact_sum(F.col("discount")).cast("float").alias("discount"),
    )
    return (
        per_day.join(users.withColumnRenamed("id", "user_id"), "user_id")
        .join(items.withColumnRenamed("id", "item_id"), "item_id")
        .select("user", "item", F.unix_date("day").alias("day"), "weight", "amount", "discount")
    )


def visits(taken: DataFrame, users: DataFrame) -> DataFrame:
    """user, day (days since 1970-01-01), baskets: occasions of that day."""
    per_day = taken.groupBy("user_id", "day").agg(F.count_distinct("occasion").cast("int").alias("baskets"))
    named = per_day.join(users.withColumnRenamed("id", "user_id"), "user_id")
    return named.select("user", F.unix_date("day").alias("day"), "baskets")


def _number(column: str | None) -> Column:
    return F.coalesce(F.col(f"`{column}`").cast("double"), F.lit(0.0)) if column else F.lit(0.0)


def catalogue(item_ids: DataFrame, taken: DataFrame, products: DataFrame | None, pipeline: Pipeline, *, until: str) -> DataFrame:
    """schemas.ITEMS; groups: the category and further attributes.

    :param item_ids: one column, `id`: everything that was ever taken
    :param products: the catalogue's clean rows, if the pipeline names one
    """
    task = pipeline.recommend
    allowed: Column = F.lit(True)
    if products is not None and task.items is not None:
        columns = {"title": task.items.title, "category": task.items.category}
        named = [(F.col(f"`{c}`") if c else F.lit(None)).cast("string").alias(name) for name, c in columns.items()]
        offered = F.lit(True)
        for column, values in task.items.available.items():
            offered = offered & F.coalesce(F.col(f"`{column}`").cast("string").isin(*values), F.lit(False))
        # an id that is there twice gives one answer, whatever the order
        groups = F.array(*(F.col(f"`{name}`").cast("string") for name in task.items.grouping)).cast("array<string>")
        row = F.struct(offered.alias("offered"), *named, groups.alias("groups"))
        rows = products.groupBy(F.col(f"`{task.items.id}`").alias("id")).agg(F.max(row).alias("row"))
        known = item_ids.join(rows, "id", "left").select("id", "row.offered", "row.title", "row.category", "row.groups")
        allowed = F.coalesce(F.col("offered"), F.lit(not task.filters.only_catalogue))
    else:
        nothing = {name: F.lit(None).cast(schemas.ITEMS[name]) for name in ("title", "category", "groups")}
        known = item_ids.withColumns(nothing)
    if task.filters.never:
        allowed = allowed & ~F.col("id").isin(*task.filters.never)
    available = allowed
    if task.filters.sold_within_days is not None:
        first = F.date_sub(F.lit(until).cast("date"), task.filters.sold_within_days - 1)
        recent = (
            taken.where(F.col("day") >= first).select(F.col("item_id").alias("id")).distinct().withColumn("_recent", F.lit(True))
        )
        known = known.join(recent, "id", "left")
        available = available & F.col("_recent").isNotNull()
    numbered = index(item_ids, name="item")
    return known.join(numbered, "id").select(
        "item", "id", allowed.alias("allowed"), available.alias("available"), "title", "category", "groups"
    )
