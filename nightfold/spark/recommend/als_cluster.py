"""The same factors by Spark's own ALS, for data that no single worker can hold: slower, and spread over the cluster.

The data term is that of als.py: confidence alpha x baskets, 1 for what was never taken (MLlib adds 1 to what it is given). MLlib
multiplies the penalty by how many items a user has, or users an item (Zhou et al., "Large-scale Parallel Collaborative Filtering for the
Netflix Prize", 2008): the regularization is divided by the users' mean, and lists differ where users differ much in that.
"""

from collections.abc import Sequence
from functools import reduce

from nightfold.spark.windows import Window

from pyspark.ml.recommendation import ALS, ALSModel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

LEAST = 1e-6  # more than nothing: else MLlib takes it for not taken


def model(taken: DataFrame, *, factors: int, regularization: float, alpha: float, iterations: int, seed: int) -> ALSModel:
    """MLlib's own model of one window.

    :param taken: user, item, weight, all of it known at the cutoff
    """
    pairs = taken.groupBy("user", "item").agg(F.greatest(alpha * F.sum("weight") - 1, F.lit(LEAST)).cast("float").alias("rating"))
    sizes = pairs.agg(F.count("*").alias("pairs"), F.count_distinct("user").alias("users")).first()
    return ALS(
        rank=factors,
        maxIter=iterations,
        regParam=regularization * sizes["users"] / max(sizes["pairs"], 1),
        alpha=1.0,
        implicitPrefs=True,
        userCol="user",
        itemCol="item",
        ratingCol="rating",
        seed=seed,
    ).fit(pairs)


def fitted(taken: DataFrame, **settings: float) -> DataFrame:
    """kind, id, factors of one window."""
    found = model(taken, **settings)
    of = {"user": found.userFactors, "item": found.itemFactors}
    return reduce(
        DataFrame.unionAll,
        (vectors.select(F.lit(kind).alias("kind"), "id", F.col("features").alias("factors")) for kind, vectors in of.items()),
    )


def factors(spark: SparkSession, interactions: str, windows: Sequence[Window], **settings: float) -> DataFrame:
    """als.SCHEMA: every user's and every item's vector as of each window's cutoff, one window after the other."""
    rows = spark.read.parquet(interactions).where("weight > 0")
    made = [
        fitted(rows.where(F.col("day") <= window.cutoff), **settings).select(
            F.lit(window.number).alias("window"), "kind", "id", "factors"
        )
        for window in windows
    ]
    return reduce(DataFrame.unionAll, made)
