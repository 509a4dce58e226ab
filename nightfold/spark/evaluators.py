"""Ranking metrics over lists drawn from the whole catalogue: NDCG, recall, MAP and precision at k, binary relevance."""

from nightfold.errors import Permanent
from nightfold.spark.exact import exact_sum

from pyspark import keyword_only
from pyspark.ml.evaluation import Evaluator
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.util import DefaultParamsReadable, DefaultParamsWritable
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

METRICS = ("ndcg", "recall", "map", "precision")


class NothingToJudge(Permanent):
    """Nobody in the window took an item that may be listed; or what was to be predicted happened to nobody, or to everybody."""


class RankingEvaluator(Evaluator, DefaultParamsReadable, DefaultParamsWritable):
    """The mean over users of a metric at k.

    Takes one row per user: `hits array<boolean>`, which of his list's items he took, best first; `relevant int`, how many items
    he took in sum, listed or not. Users with nothing relevant are left out; a list shorter than k, or empty, counts for what it
    holds. With r relevant items, and a hit at rank i (from 1):

    - ndcg       sum of 1/log2(i+1) over the hits, over the same sum for ranks 1..min(k, r) (Järvelin, Kekäläinen, 2002)
    - recall     hits / r
    - map        sum over the hits of (hits up to i) / i, over min(k, r)
    - precision  hits / k
    """

    metricName = Param(Params._dummy(), "metricName", f"one of {', '.join(METRICS)}", TypeConverters.toString)
    k = Param(Params._dummy(), "k", "how much of each list counts", TypeConverters.toInt)
    hitsCol = Param(Params._dummy(), "hitsCol", "array<boolean>, best first", TypeConverters.toString)
    relevantCol = Param(Params._dummy(), "relevantCol", "int", TypeConverters.toString)

    @keyword_only
    def __init__(
        self, *, metricName: str | None = None, k: int | None = None, hitsCol: str | None = None, relevantCol: str | None = None
    ) -> None:
        super().__init__()
        self._setDefault(metricName="ndcg", k=10, hitsCol="hits", relevantCol="relevant")
        self._set(**self._input_kwargs)

    def isLargerBetter(self) -> bool:
        """Of all four."""
        return True

    def _evaluate(self, dataset: DataFrame) -> float:
        return self.measure(dataset, metrics=(self.getOrDefault(self.metricName),))[self.getOrDefault(self.metricName)]

    def measure(self, dataset: DataFrame, *, metrics: tuple[str, ...] = METRICS) -> dict[str, float]:
        """Several metrics in one pass, and `users`: how many were judged. Raises NothingToJudge when nobody was."""
        judged = self.per_user(dataset, metrics=metrics)
        row = judged.agg(F.count("*").alias("users"), *(exact_sum(F.col(m)).alias(m) for m in metrics)).first()
        if row is None or not row["users"]:
            raise NothingToJudge("no user took an item that may be listed in these days: choose longer windows in the split")
        return {**{metric: row[metric] / row["users"] for metric in metrics}, "users": row["users"]}

    def means(self, dataset: DataFrame, *, by: tuple[str, ...]) -> DataFrame:
        """The columns of `by`, and the metric's mean of each group, as `mean`."""
        name = self.getOrDefault(self.metricName)
        mean = exact_sum(F.col(name)) / F.count("*")
        return self.per_user(dataset, metrics=(name,), by=by).groupBy(*by).agg(mean.alias("mean"))

    def per_user(self, dataset: DataFrame, *, metrics: tuple[str, ...] = METRICS, by: tuple[str, ...] = ("user",)) -> DataFrame:
        """The columns of `by` that are there, and one per metric: for paired comparisons of two recipes."""
        k, relevant = self.getOrDefault(self.k), F.col(self.getOrDefault(self.relevantCol))
        hit = F.transform(F.slice(self.getOrDefault(self.hitsCol), 1, k), lambda hit: F.when(hit, 1.0).otherwise(0.0))
        named = [metric for metric in metrics if metric in METRICS]
        if len(named) != len(metrics):
            raise ValueError(f"metrics {', '.join(metrics)}: choose among {', '.join(METRICS)}")
        who = [F.col(name) for name in by if name in dataset.columns]
        prepared = dataset.where(relevant > 0).select(*who, hit.alias("_hit"), relevant.alias("_relevant"))
        return prepared.select(*who, *(_metric(metric, k).alias(metric) for metric in named))


def _metric(name: str, k: int) -> Column:
    hit, relevant = F.col("_hit"), F.col("_relevant")
    reachable = F.least(F.lit(k), relevant)
    if name == "ndcg":
        ideal = F.transform(F.sequence(F.lit(1), reachable), lambda rank: 1.0 / F.log2(rank + 1.0))
        return _total(F.transform(hit, lambda got, place: got / F.log2(place + 2.0))) / _total(ideal)
    if name == "recall":
        return _total(hit) / relevant
    if name == "precision":
        return _total(hit) / F.lit(float(k))
    so_far = F.transform(hit, lambda got, place: got * _total(F.slice(hit, F.lit(1), place + 1)) / (place + 1.0))
    return _total(so_far) / reachable


def _total(values: Column) -> Column:
    return F.aggregate(values, F.lit(0.0), lambda total, value: total + value)
