"""The recipe: imputation, encoding, scaling and crosses, one family of models, and calibrated answers, as one Spark ML pipeline."""

from typing import Any

from nightfold.errors import Permanent
from nightfold.pipeline import Pipeline as NightPipeline
from nightfold.spark.families import FamilyEstimator

from pyspark import keyword_only
from pyspark.ml import Pipeline, PipelineModel, Transformer
from pyspark.ml.classification import LogisticRegression
from pyspark.ml.feature import Imputer, Interaction, OneHotEncoder, SQLTransformer, StandardScaler, StringIndexer, VectorAssembler
from pyspark.ml.functions import vector_to_array
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.regression import LinearRegression
from pyspark.ml.util import DefaultParamsReadable, DefaultParamsWritable
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

INPUTS = "inputs"  # the vector that a model sees
SEEN = ("key", "window", "label", INPUTS)  # what is left of an example, then
PARTS = 3  # of the keys: each is predicted by a model of the others, to calibrate on
CROSS = "*"  # between two names of features in the text of a parameter


class NothingToTell(Permanent):
    """All examples have the same label."""


class Answer(Transformer, DefaultParamsReadable, DefaultParamsWritable):
    """Column `predicted`: the probability of class 1, or the number that was learned on a logarithmic scale."""

    kind = Param(Params._dummy(), "kind", "probability, logarithm or number", TypeConverters.toString)
    inputCol = Param(Params._dummy(), "inputCol", "a vector of probabilities, or a number", TypeConverters.toString)

    @keyword_only
    def __init__(self, *, kind: str | None = None, inputCol: str | None = None) -> None:
        super().__init__()
        self._set(**self._input_kwargs)

    def _transform(self, dataset: DataFrame) -> DataFrame:
        kind, column = self.getOrDefault(self.kind), F.col(self.getOrDefault(self.inputCol))
        answers = {"probability": lambda: vector_to_array(column)[1], "logarithm": lambda: _plain(column), "number": lambda: column}
        return dataset.withColumn("predicted", answers[kind]().cast("double"))


def _logarithm(values: Column) -> Column:
    return F.signum(values) * F.log1p(F.abs(values))


def _plain(values: Column) -> Column:
    return F.signum(values) * F.expm1(F.abs(values))


class Predictor(FamilyEstimator, DefaultParamsReadable, DefaultParamsWritable):
    """Learns `label` from named columns. Gives a PipelineModel: examples in, `predicted` out.

    Numbers: the median where nothing is known, then sign(x) log(1 + |x|), for sums and days are skewed, then standardized; crosses
    are products of two of them. Categories: one column per value, one more for values that are new, or not known. All rows go to ONE
    worker, put in order, so that the same rows give the same model.

    classify: positives weigh as much as negatives do in sum; `calibrate` then puts the probabilities right (Platt, "Probabilistic
    outputs for support vector machines", 1999) on predictions of keys that the model had not seen; the order stays.
    regress: `loss` absolute learns the median, on the logarithm; squared the mean.
    """

    task = Param(Params._dummy(), "task", "classify or regress", TypeConverters.toString)
    loss = Param(Params._dummy(), "loss", "regress: absolute or squared", TypeConverters.toString)
    numbers = Param(Params._dummy(), "numbers", "columns", TypeConverters.toListString)
    categories = Param(Params._dummy(), "categories", "columns", TypeConverters.toListString)
    crosses = Param(Params._dummy(), "crosses", f"pairs of columns, with a {CROSS} between", TypeConverters.toListString)
    calibrate = Param(Params._dummy(), "calibrate", "put probabilities right: 1 + 3 fits", TypeConverters.toBoolean)

    @keyword_only
    def __init__(
        self,
        *,
        task: str | None = None,
        loss: str | None = None,
        numbers: list[str] | None = None,
        categories: list[str] | None = None,
        crosses: list[str] | None = None,
        calibrate: bool | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        self._default_family()
        self._setDefault(loss="absolute", categories=[], crosses=[], calibrate=False)
        self._set(**self._input_kwargs)

    def prepared(self, learned: DataFrame, later: DataFrame) -> tuple[DataFrame, DataFrame]:
        """The vectors that a model sees, prepared once; a model that is fitted on them takes vectors, not examples."""
        preparation = Pipeline(stages=self._preparation(learned)).fit(learned)
        first, second = (preparation.transform(rows).select(*SEEN).repartition(1).persist() for rows in (learned, later))
        return first, second

    def _fit(self, dataset: DataFrame) -> PipelineModel:
        if INPUTS in dataset.columns:
            return PipelineModel(self._learned(dataset))
        preparation = Pipeline(stages=self._preparation(dataset)).fit(dataset)
        ready = preparation.transform(dataset).select(*SEEN).repartition(1).persist()
        try:
            return PipelineModel([preparation, *self._learned(ready)])
        finally:
            ready.unpersist()

    def _learned(self, ready: DataFrame) -> list[Any]:
        """From vectors to the last stages of a model."""
        value = self.getOrDefault
        rows = self._with_target(ready).repartition(1).sortWithinPartitions("window", "key")
        model = self._model().fit(rows)
        if value(self.task) == "regress":
            answer = Answer(kind="logarithm" if value(self.loss) == "absolute" else "number", inputCol="prediction")
            return [model, answer]
        if not value(self.calibrate):
            return [model, Answer(kind="probability", inputCol="probability")]
        return [model, self._calibration(rows), Answer(kind="probability", inputCol="calibrated")]

    def _with_target(self, dataset: DataFrame) -> DataFrame:
        if self.getOrDefault(self.task) == "regress":
            absolute = self.getOrDefault(self.loss) == "absolute"
            return dataset.withColumn("target", _logarithm(F.col("label")) if absolute else F.col("label")).withColumn(
                "weight", F.lit(1.0)
            )
        row = dataset.agg(F.count("*").alias("all"), F.sum("label").alias("positive")).first()
        positive = row["positive"] or 0.0
        if not 0 < positive < row["all"]:
            raise NothingToTell(
                f"all {row['all']:,} examples to learn from have the label {1 if positive else 0}: there is nothing to tell apart: "
                "choose longer windows in the split, or another label"
            )
        weight = F.when(F.col("label") > 0, (row["all"] - positive) / positive).otherwise(1.0)
        return dataset.withColumn("target", F.col("label")).withColumn("weight", weight)

    def _preparation(self, rows: DataFrame) -> list[Any]:
        numbers, categories = self._known(rows), self.getOrDefault(self.categories)
        scaled = [f"{name}_log" for name in numbers]
        stages: list[Any] = [
            Imputer(strategy="median", inputCols=numbers, outputCols=[f"{name}_known" for name in numbers]),
            SQLTransformer(statement=logarithms(numbers)),
        ]
        for pair in self.getOrDefault(self.crosses):
            if all(name in numbers for name in pair.split(CROSS)):
                crossed = f"cross_{pair.replace(CROSS, '_')}"
                stages.append(Interaction(inputCols=[f"{name}_log" for name in pair.split(CROSS)], outputCol=crossed))
                scaled.append(crossed)
        stages += [
            VectorAssembler(inputCols=scaled, outputCol="numbers"),
            StandardScaler(inputCol="numbers", outputCol="scaled", withMean=True, withStd=True),
        ]
        if categories:
            indexed = [f"{name}_index" for name in categories]
            stages += [
                StringIndexer(inputCols=categories, outputCols=indexed, handleInvalid="keep", stringOrderType="alphabetAsc"),
                OneHotEncoder(inputCols=indexed, outputCols=[f"{name}_one" for name in categories], dropLast=False),
            ]
        return [*stages, VectorAssembler(inputCols=["scaled", *(f"{name}_one" for name in categories)], outputCol=INPUTS)]

    def _known(self, rows: DataFrame) -> list[str]:
        """The numbers that are known of anybody: there is no median of the others."""
        names = self.getOrDefault(self.numbers)
        row = rows.agg(*(F.count(name).alias(name) for name in names)).first()
        return [name for name in names if row[name]]

    def _model(self) -> Any:
        from xgboost.spark import SparkXGBClassifier, SparkXGBRegressor  # here: it takes a second

        value = self.getOrDefault
        boosted = value(self.family) == "xgboost"
        if value(self.task) == "classify":
            if boosted:
                return SparkXGBClassifier(features_col=INPUTS, label_col="target", weight_col="weight", **self._of_trees())
            return LogisticRegression(featuresCol=INPUTS, labelCol="target", weightCol="weight", **self._of_linear())
        if boosted:
            objective = "reg:absoluteerror" if value(self.loss) == "absolute" else "reg:squarederror"
            return SparkXGBRegressor(features_col=INPUTS, label_col="target", objective=objective, **self._of_trees())
        return LinearRegression(featuresCol=INPUTS, labelCol="target", **self._of_linear())

    def _calibration(self, rows: DataFrame) -> Any:
        """Learned on what models of the other keys say of each key; their margins in, probabilities out."""
        part = F.pmod(F.xxhash64("key"), F.lit(PARTS))
        said = None
        for number in range(PARTS):
            others, own = rows.where(part != number), rows.where(part == number)
            found = self._model().fit(others).transform(own).select("rawPrediction", "target")
            said = found if said is None else said.unionByName(found)
        calibration = LogisticRegression(
            featuresCol="rawPrediction",
            labelCol="target",
            probabilityCol="calibrated",
            rawPredictionCol="calibrated_margin",
            predictionCol="calibrated_class",
        )
        return calibration.fit(said)


def logarithms(numbers: list[str]) -> str:
    """The statement that adds each number's."""
    logs = ", ".join(f"signum({name}_known) * ln(1 + abs({name}_known)) AS {name}_log" for name in numbers)
    return f"SELECT *, {logs} FROM __THIS__"  # noqa: S608 (names of the pipeline file, checked)


def predictor(pipeline: NightPipeline) -> Predictor:
    """As the pipeline file says."""
    task = pipeline.predict
    return Predictor(
        task=pipeline.task,
        loss="squared" if pipeline.metric == "rmse" else "absolute",
        numbers=task.features,
        categories=task.categories,
        crosses=[CROSS.join(pair) for pair in task.crosses],
        seed=pipeline.training.seed,
    )
