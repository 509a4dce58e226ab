"""score of classify and regress: model, or what the gate serves instead -> every key's prediction.

Reads   features, model, evaluation (the gate's verdict)
Writes  scores/lists          key, one item: what is predicted, the probability or number, why
        scores/fallback       one row, for whom the version does not know: the mean
Raises  NightRefused          when the gate refuses the night, or what it made
"""

from typing import Any

from nightfold import schemas
from nightfold.champion import by, champion, tonight
from nightfold.spark import list_checks, tables
from nightfold.spark.job import Job, Outcome
from nightfold.spark.predict import systems
from nightfold.spark.predict.features import written
from nightfold.spark.windows import TEST, TONIGHT

from pyspark.ml.tuning import CrossValidatorModel
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

DECIMALS = 6  # of a score


def why(name: str) -> Column:
    """In words, from an example.

    :param name: of the events that are predicted
    """
    last = F.col(f"{name}_since_last").cast("int")
    ago = (
        F.when(last == 0, F.lit("today"))
        .when(last == 1, F.lit("yesterday"))
        .otherwise(F.concat(last.cast("string"), F.lit(" days ago")))
    )
    known = F.concat(F.col("past").cast("int").cast("string"), F.lit(f" {name} so far, the last "), ago)
    return F.when(F.col("past") > 0, known).otherwise(F.lit(f"no {name} so far"))


def predicted(spark: SparkSession, job: Job, recipe: dict[str, Any]) -> DataFrame:
    """Tonight's examples with `predicted`, as the gate has decided who predicts."""
    examples = written(spark, job, [TONIGHT])
    if recipe["kind"] == "model":
        return CrossValidatorModel.load(job.lake.spark_path(f"{recipe['data']}/model")).bestModel.transform(examples)
    oldest = len(job.lake.get("features", job.ds).facts["windows"]) - 1
    learned = written(spark, job, range(TEST, min(oldest, TEST + job.pipeline.training.windows - 1) + 1))
    if job.pipeline.task == "classify" and recipe["name"] in systems.PAST:
        return systems.rates(learned, recipe["name"]).transform(examples)
    return examples.withColumn("predicted", systems.said(recipe["name"], systems.mean_label(learned)).cast("double"))


def main(spark: SparkSession, job: Job) -> Outcome:
    recipe, task = tonight(job.lake, job.ds), job.pipeline.predict
    name = task.label.sum or task.label.of
    made = predicted(spark, job, recipe)
    entry = F.struct(F.lit(name).alias("id"), F.round("predicted", DECIMALS).alias("score"), why(task.label.of).alias("why"))
    tables.write(made.select("key", F.array(entry).alias("items")), schemas.SCORES, f"{job.uri}/lists")
    lists = tables.read(spark, schemas.SCORES, [f"{job.uri}/lists"], what="scores/lists")
    score = F.element_at("items", 1)["score"]
    row = lists.agg(
        F.count("*").alias("keys"), F.min(score).alias("low"), F.avg(score).alias("mean"), F.max(score).alias("high")
    ).first()
    mean = spark.createDataFrame([("", [(name, round(row["mean"], DECIMALS), "the mean of all")])], tables.struct(schemas.SCORES))
    tables.write(mean, schemas.SCORES, f"{job.uri}/fallback")
    checked = list_checks.check(spark, job, lists, recipe, champion(job.lake, job.store, job.ds), by=list_checks.SCORES)
    return Outcome(
        summary=f"{row['keys']:,} predictions of {name}, {row['low']:.4g} to {row['high']:.4g}, mean {row['mean']:.4g}{by(recipe, job.ds)}",
        rows=row["keys"],
        facts={"recipe": recipe, **checked},
    )
