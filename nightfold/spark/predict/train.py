"""train of classify and regress: examples -> the model that scores tonight, chosen on earlier windows only.

Reads   features
Writes  model        see choosing.py: examples in, `predicted` out
"""

from nightfold.pipeline import Pipeline
from nightfold.spark.choosing import choose, fold
from nightfold.spark.job import Job, Outcome
from nightfold.spark.predict import twin
from nightfold.spark.predict.features import written
from nightfold.spark.predict.metrics import AveragePrecisionEvaluator
from nightfold.spark.predict.predictor import predictor
from nightfold.spark.windows import TEST

from pyspark.ml.evaluation import Evaluator, RegressionEvaluator
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F


def evaluator(pipeline: Pipeline) -> Evaluator:
    """The metric that chooses."""
    if pipeline.task == "classify":
        return AveragePrecisionEvaluator()
    return RegressionEvaluator(predictionCol="predicted", labelCol="label", metricName=pipeline.metric)


def folded(spark: SparkSession, job: Job) -> DataFrame:
    """The examples with columns `fold` and `learn`: of the negatives none is left out."""
    oldest = len(job.lake.get("features", job.ds).facts["windows"]) - 1
    made = written(spark, job, range(TEST, oldest + 1))
    return made.withColumn("fold", fold(job.pipeline.split.folds)).withColumn("learn", F.lit(True))


def main(spark: SparkSession, job: Job) -> Outcome:
    estimator, task = predictor(job.pipeline), job.pipeline.predict
    dataset = folded(spark, job).persist()
    try:
        return choose(
            job,
            dataset,
            estimator,
            evaluator(job.pipeline),
            metric=job.pipeline.metric,
            features=[*task.features, *task.categories],
            twin=lambda model, uri: twin.write(model, uri, numbers=task.features),
            at_last={estimator.calibrate: job.pipeline.task == "classify"},
        )
    finally:
        dataset.unpersist()
