"""score: model, or what the gate serves instead -> the list of every user, after the pipeline's filters and rules, and the fallback list.

Reads   features, model, evaluation (the gate's verdict)
Writes  scores/lists          key, items (id, score, why), best first
        scores/fallback       one row, for whom the version does not know
Raises  NightRefused          when the gate refuses the night, or what it made
"""

from collections.abc import Callable
from typing import Any

from nightfold import schemas
from nightfold.champion import by, champion, tonight
from nightfold.pipeline.recommend import Mix
from nightfold.spark import list_checks, tables
from nightfold.spark.job import Job, Outcome
from nightfold.spark.recommend import examples, item_statistics, reasons
from nightfold.spark.recommend.parts import part
from nightfold.spark.recommend.ranker import baseline
from nightfold.spark.windows import TONIGHT

from pyspark.ml import PipelineModel
from pyspark.ml.tuning import CrossValidatorModel
from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as F

DECIMALS = 6  # of a score


def lists(
    model: PipelineModel, tonight: DataFrame, users: DataFrame, items: DataFrame, *, n: int, mix: Mix, verb: str
) -> DataFrame:
    """key, items: one row per user of the index; nobody is left out, if only with an empty list.

    :param tonight: examples of window TONIGHT
    :param mix: tonight's rules, whenever the model was trained
    :param verb: see Recommend
    """
    *rank, to_lists = model.stages
    rules = {to_lists.repeats: mix.repeats, to_lists.perCategory: mix.per_category or 0}
    to_lists = to_lists.copy({to_lists.k: n, to_lists.carried: reasons.CARRIED, **rules})
    made = to_lists.transform(PipelineModel(rank).transform(tonight))
    entry = F.struct("place", "id", F.round("score", DECIMALS).alias("score"), "why")
    told = reasons.places(made, items, verb=verb)
    grouped = told.groupBy("user").agg(_in_order(entry).alias("items"))
    nothing = F.array().cast(schemas.SCORES["items"])
    keys = users.select("user", F.col("id").alias("key"))
    return keys.join(grouped, "user", "left").select("key", F.coalesce("items", nothing).alias("items"))


def fallback(statistics: DataFrame, items: DataFrame, *, n: int, recent: int, per_category: int | None) -> DataFrame:
    """The same shape, one row, no key: what most take now; score 1 for the most popular.

    :param statistics: see item_statistics, of window TONIGHT
    :param per_category: at most so many of one; items of none are free
    """
    counted = (
        items.where("available")
        .join(statistics, "item")
        .select("item", "id", "category", F.col(f"baskets_{recent}").alias("now"), "baskets")
    )
    order = (F.desc("now"), F.desc("baskets"), "item")
    allowed = counted
    if per_category is not None:
        place = F.row_number().over(Window.partitionBy("category").orderBy(*order))
        allowed = counted.withColumn("place", place).where(F.col("category").isNull() | (F.col("place") <= per_category))
    best = allowed.orderBy(*order).limit(n)
    most = counted.agg(F.greatest(F.max("now"), F.lit(1)).alias("most"))
    score = F.round(F.col("now") / F.col("most"), DECIMALS).alias("score")
    ordered = ((-F.col("now")).alias("order"), (-F.col("baskets")).alias("then"), "item")
    entry = F.struct(*ordered, "id", score, F.lit("popular now").alias("why"))
    return best.crossJoin(F.broadcast(most)).agg(_in_order(entry).alias("items")).select(F.lit("").alias("key"), "items")


def _in_order(ranked: Column) -> Column:
    """The ranked structs of a group as (id, score, why), sorted by what stands before these three."""
    entry: Callable[[Column], Column] = lambda r: F.struct(*(r[name].alias(name) for name in ("id", "score", "why")))  # noqa: E731
    return F.transform(F.array_sort(F.collect_list(ranked)), entry)


def model_of(job: Job, recipe: dict[str, Any]) -> PipelineModel:
    """The model that makes tonight's lists, as the gate has decided; a baseline keeps the rules of tonight's model."""
    data = recipe["data"] if recipe["kind"] == "model" else job.lake.get("model", job.ds).data
    model = CrossValidatorModel.load(job.lake.spark_path(f"{data}/model")).bestModel
    return model if recipe["kind"] == "model" else baseline(recipe["name"], model.stages[-1])


def main(spark: SparkSession, job: Job) -> Outcome:
    recipe, task = tonight(job.lake, job.ds), job.pipeline.recommend
    model = model_of(job, recipe)
    users, items = part(spark, job, "users", schemas.USERS), part(spark, job, "items", schemas.ITEMS)
    made = lists(model, examples.tonight(spark, job), users, items, n=task.top_n, mix=task.mix, verb=task.verb)
    tables.write(made, schemas.SCORES, f"{job.uri}/lists")
    statistics = part(spark, job, f"statistics/window={TONIGHT}", item_statistics.SCHEMA)
    popular = fallback(statistics, items, n=task.top_n, recent=task.candidates.recent_days, per_category=task.mix.per_category)
    tables.write(popular, schemas.SCORES, f"{job.uri}/fallback")
    written = tables.read(spark, schemas.SCORES, [f"{job.uri}/lists"], what="scores/lists")
    size = F.size("items")
    counted = written.agg(F.count("*").alias("lists"), F.min(size).alias("shortest"), F.max(size).alias("longest")).first()
    checked = list_checks.check(spark, job, written, recipe, champion(job.lake, job.store, job.ds))
    distinct = written.select(F.explode("items.id")).distinct().count()
    return Outcome(
        summary=f"{counted['lists']:,} lists of {counted['shortest']} to {counted['longest']} items, {distinct:,} different items"
        + by(recipe, job.ds),
        rows=counted["lists"],
        facts={"items": distinct, "recipe": recipe, **checked},
    )
