"""What a person looks at to know why the lists are as good as they are: candidates, calibration, importance, some lists."""

from datetime import timedelta
from functools import reduce
from typing import Any

from nightfold import schemas
from nightfold.spark.recommend import reasons
from nightfold.spark.recommend.candidates import SOURCES
from nightfold.spark.recommend.list_maker import chance
from nightfold.spark.windows import EPOCH

from pyspark.ml import PipelineModel
from pyspark.ml.classification import LogisticRegressionModel
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

NAMED = (("items", schemas.ITEMS), ("users", schemas.USERS))
USERS = 3  # shown on the page, chosen by a hash of their index, first among those with a past
CARRIED = [*reasons.CARRIED, "known"]  # what lists to show carry of their items
SHOWN = 10  # items of a user's history
BINS = 20
FEATURES = 20  # shown
CATEGORIES = 20  # shown, those with most places


def recall_of_candidates(scored: DataFrame) -> dict[str, dict[str, float]]:
    """source → share of what the users took that it names, share that it alone names, and its candidates per user; and `all`.

    :param scored: user, source, label, relevant of every candidate of a window
    """
    bits = {"all": F.lit(True), **{name: F.col("source").bitwiseAND(bit) > 0 for name, bit in SOURCES.items()}}
    alone = {name: F.col("source") == bit for name, bit in SOURCES.items()}
    count = lambda condition: F.count_if(condition)  # noqa: E731
    sums: list[Column] = []
    for name, named in bits.items():
        sums += [count(named).alias(f"{name}_n"), count(named & F.col("label")).alias(f"{name}_hits")]
        sums.append(count(alone.get(name, F.lit(False)) & F.col("label")).alias(f"{name}_alone"))
    row = scored.agg(*sums, F.count_distinct("user").alias("users")).first()
    relevant = scored.groupBy("user").agg(F.max("relevant").alias("relevant")).agg(F.sum("relevant")).first()[0]
    return {
        name: {
            "recall": round(row[f"{name}_hits"] / relevant, 6),
            "alone": round(row[f"{name}_alone"] / relevant, 6),
            "per_user": round(row[f"{name}_n"] / row["users"], 1),
        }
        for name in bits
        if row[f"{name}_n"]
    }


def calibration(scored: DataFrame, *, negatives: float) -> list[dict[str, float]]:
    """For each bin of the predicted probability: how many candidates, their mean prediction, and the share that came true.

    :param scored: every candidate of users who took anything; of the others this share of them, each of which stands for as many
    """
    predicted = chance(F.col("probability"), negatives)
    weight = F.when(F.col("relevant") > 0, 1.0).otherwise(1.0 / negatives)
    bin_of = F.least(F.floor(F.col("p") * BINS), F.lit(BINS - 1))
    rows = scored.where("known").select(predicted.alias("p"), F.col("label").cast("double").alias("label"), weight.alias("weight"))
    of = lambda name: F.sum(F.col(name) * F.col("weight")) / F.sum("weight")  # noqa: E731
    sums = (F.sum("weight").alias("candidates"), of("p").alias("predicted"), of("label").alias("observed"))
    found = rows.withColumn("bin", bin_of).groupBy("bin").agg(*sums).orderBy("bin").collect()
    return [
        {"candidates": round(row["candidates"]), **{name: round(row[name], 6) for name in ("predicted", "observed")}}
        for row in found
    ]


def importance(recipe: PipelineModel, names: list[str]) -> list[dict[str, Any]]:
    """The features that matter most: share of the trees' gain, or of the absolute coefficients of scaled features."""
    weights = dict[str, float]()
    for stage in recipe.stages:
        if isinstance(stage, LogisticRegressionModel):
            weights = {name: abs(float(weight)) for name, weight in zip(names, stage.coefficients, strict=True)}
        elif hasattr(stage, "get_feature_importances"):
            gains = stage.get_feature_importances(importance_type="total_gain")
            weights = {name: gains.get(f"f{i}", 0.0) for i, name in enumerate(names)}
    total = sum(weights.values()) or 1.0
    largest = sorted(weights.items(), key=lambda item: (-item[1], item[0]))[:FEATURES]
    return [{"feature": name, "share": round(weight / total, 6)} for name, weight in largest]


def by_category(judged: dict[str, DataFrame], items: DataFrame) -> list[dict[str, Any]]:
    """category, how many of the recipe's places it has, and of each system the share of its places there that came true."""
    numbered = (frame.select(F.lit(i).alias("system"), "items", "hits") for i, frame in enumerate(judged.values()))
    listed = reduce(DataFrame.union, numbered).select("system", F.explode(F.arrays_zip("items", "hits")).alias("of"))
    categories = items.where(F.col("category").isNotNull()).select("item", "category")
    named = listed.join(categories, F.col("of.items") == F.col("item")).groupBy("category")
    theirs = [F.col("system") == i for i in range(len(judged))]
    sums = [F.avg(F.when(mine, F.col("of.hits").cast("double"))).alias(f"hits_{i}") for i, mine in enumerate(theirs)]
    rows = named.agg(F.count_if(theirs[0]).alias("places"), *sums).orderBy(F.desc("places"), "category").limit(CATEGORIES).collect()
    return [
        {"segment": row["category"], "places": row["places"]}
        | {name: round(row[f"hits_{i}"], 6) for i, name in enumerate(judged) if row[f"hits_{i}"] is not None}
        for row in rows
        if row["places"]
    ]


def some_lists(judged: DataFrame, learned: DataFrame, items: DataFrame, users: DataFrame, *, verb: str) -> list[dict[str, Any]]:
    """A few users' histories beside their lists; at most USERS x (SHOWN + k) rows come to the driver.

    :param judged: lists that carry CARRIED
    :param learned: the interactions that they were made from
    :param verb: see Recommend
    """
    in_turn = judged.orderBy(F.desc_nulls_last(F.get("known", F.lit(0))), F.xxhash64("user")).select("user")
    chosen = [row["user"] for row in in_turn.limit(USERS).collect()]
    ids = {row["user"]: row["id"] for row in users.where(F.col("user").isin(chosen)).collect()}
    taken = learned.where(F.col("user").isin(chosen)).groupBy("user", "item")
    times = taken.agg(F.sum("weight").cast("int").alias("times"), F.max("day").alias("last"))
    placed = times.withColumn("place", F.row_number().over(Window.partitionBy("user").orderBy(F.desc("times"), "item")))
    pasts = placed.where(F.col("place") <= SHOWN).join(items.select("item", "id", "title"), "item").orderBy("place").collect()
    mine = judged.where(F.col("user").isin(chosen))
    listed = reasons.places(mine, items, verb=verb, also=("hits",)).orderBy("place").collect()
    return [
        {
            "user": ids[user],
            "history": [
                {"id": row["id"], "title": row["title"], "times": row["times"], "last": str(EPOCH + timedelta(days=row["last"]))}
                for row in pasts
                if row["user"] == user
            ],
            "list": [
                {"id": row["id"], "title": row["title"], "why": row["why"], "hit": row["hits"]}
                for row in listed
                if row["user"] == user
            ],
        }
        for user in chosen
    ]
