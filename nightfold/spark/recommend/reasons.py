"""Why an item is on a list, in words that its reader understands."""

from collections.abc import Sequence

from nightfold.spark.recommend.candidates import OVERALL, POPULAR, SEGMENT, TOGETHER

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

CARRIED = ["baskets", "last_day", "goes_with", "source"]
"""What a list must carry of its items for it."""


def why(baskets: Column, last_day: Column, goes_with: Column, source: Column, *, verb: str) -> Column:
    """The reason as text.

    :param goes_with: the title of an item that he takes
    :param verb: see Recommend
    """
    times = F.when(baskets == 1, F.lit("once")).otherwise(F.concat(baskets.cast("string"), F.lit(" times")))
    last = F.concat(F.lit(", last on "), F.date_from_unix_date(last_day).cast("string"))
    return (
        F.when(baskets > 0, F.concat(F.lit(f"{verb} "), times, last))
        .when((source.bitwiseAND(TOGETHER) > 0) & goes_with.isNotNull(), F.concat(F.lit("goes with "), goes_with))
        .when(source.bitwiseAND(POPULAR) > 0, F.lit("popular now"))
        .when(source.bitwiseAND(SEGMENT) > 0, F.lit("popular among people like you"))
        .when(source.bitwiseAND(OVERALL) > 0, F.lit("popular at all times"))
        .otherwise(F.lit("suits your taste"))
    )


def places(lists: DataFrame, items: DataFrame, *, verb: str, also: Sequence[str] = ()) -> DataFrame:
    """user, place (from 0), score, id, title, why of every item of every list, and `also`.

    :param lists: of a ListMaker that carries CARRIED
    :param also: further arrays of the lists
    """
    each = F.posexplode(F.arrays_zip("items", "scores", *CARRIED, *also)).alias("place", "of")
    named = items.select(F.col("item").alias("_item"), "id", "title")
    titles = items.select(F.col("item").alias("_goes_with"), F.coalesce("title", "id").alias("_title"))
    placed = lists.select("user", each).join(named, F.col("of.items") == F.col("_item"))
    told = placed.join(titles, F.col("of.goes_with") == F.col("_goes_with"), "left")
    reason = why(F.col("of.baskets"), F.col("of.last_day"), F.col("_title"), F.col("of.source"), verb=verb)
    return told.select(
        "user", "place", F.col("of.scores").alias("score"), "id", "title", reason.alias("why"), *(f"of.{name}" for name in also)
    )
