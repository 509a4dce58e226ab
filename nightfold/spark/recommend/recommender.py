"""The estimator of the blend: personal history + ALS + popularity. Its parameter maps share whatever they can."""

import atexit
import secrets
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from nightfold.errors import Permanent
from nightfold.spark.exact import exact_sum
from nightfold.spark.recommend.als import AlsSettings, write_factors
from nightfold.spark.recommend.blend import BlendModel, BlendParams

from pyspark import keyword_only
from pyspark.ml import Estimator
from pyspark.ml.base import _FitMultipleIterator
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.util import DefaultParamsReadable, DefaultParamsWritable
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

MAX_INTERACTIONS = 50_000_000  # rows; ALS holds all pairs in one Python worker, about 40 bytes each: 2 GB

BASELINES: dict[str, dict[str, Any]] = {
    "popularity": {"historyWeight": 0.0, "alsWeight": 0.0, "popularityWeight": 1.0},
    "frequency": {"historyWeight": 1.0, "halfLife": 0.0, "alsWeight": 0.0, "popularityWeight": 1e-6, "popularityDays": 0},
    "als": {"historyWeight": 0.0, "alsWeight": 1.0, "popularityWeight": 0.0},
}
"""Rules to beat: the recent best sellers; what he bought most often, ties by all-time popularity; collaborative filtering alone."""


class NothingToLearn(Permanent):
    """No interactions, or more than one worker can hold."""


class BlendRecommender(Estimator, BlendParams, DefaultParamsReadable, DefaultParamsWritable):
    """Learns from interactions, one row per user, item and day: user int, item int, day int, weight double (baskets).

    The cutoff is the last day in the data; a basket `halfLife` days older counts half.
    """

    factors = Param(Params._dummy(), "factors", "ALS: length of the vectors", TypeConverters.toInt)
    regularization = Param(Params._dummy(), "regularization", "ALS: weight of the penalty", TypeConverters.toFloat)
    alpha = Param(Params._dummy(), "alpha", "ALS: confidence of one basket", TypeConverters.toFloat)
    iterations = Param(Params._dummy(), "iterations", "ALS: passes", TypeConverters.toInt)
    seed = Param(Params._dummy(), "seed", "ALS: of the first vectors", TypeConverters.toInt)
    halfLife = Param(Params._dummy(), "halfLife", "days after which a basket counts half; 0: never", TypeConverters.toFloat)
    popularityDays = Param(Params._dummy(), "popularityDays", "days that make popularity; 0: all", TypeConverters.toInt)
    usersPath = Param(Params._dummy(), "usersPath", "Parquet: user int, id string", TypeConverters.toString)
    itemsPath = Param(Params._dummy(), "itemsPath", "Parquet: item int, id string, available boolean", TypeConverters.toString)
    dayCol = Param(Params._dummy(), "dayCol", "days since 1970-01-01, int", TypeConverters.toString)
    weightCol = Param(Params._dummy(), "weightCol", "baskets of that day, double", TypeConverters.toString)

    scratch: str | None = None
    """URI of a folder that all executors reach, for the parts of models not yet saved. Not a Param: never stored.
    None: a temporary folder of this machine, which is right for `local[*]` only; it goes with the process."""

    @keyword_only
    def __init__(
        self,
        *,
        usersPath: str | None = None,
        itemsPath: str | None = None,
        factors: int | None = None,
        regularization: float | None = None,
        alpha: float | None = None,
        iterations: int | None = None,
        seed: int | None = None,
        halfLife: float | None = None,
        historyWeight: float | None = None,
        alsWeight: float | None = None,
        popularityWeight: float | None = None,
        popularityDays: int | None = None,
        k: int | None = None,
        excludeSeen: bool | None = None,
        userCol: str | None = None,
        itemCol: str | None = None,
        dayCol: str | None = None,
        weightCol: str | None = None,
    ) -> None:
        super().__init__()
        self._setDefault(factors=64, regularization=10.0, alpha=1.0, iterations=10, seed=20171203)
        self._setDefault(halfLife=90.0, popularityDays=84, dayCol="day", weightCol="weight")
        self._set(**self._input_kwargs)

    def baseline_params(self, name: str) -> dict[Param, Any]:
        """The parameter map of one of BASELINES, for `fit` or `fitMultiple`: the same code path, other weights."""
        return {self.getParam(param): value for param, value in BASELINES[name].items()}

    def fitMultiple(self, dataset: DataFrame, paramMaps: Sequence[dict[Param, Any]]) -> Iterator[tuple[int, BlendModel]]:
        """One model per map. Maps that agree on ALS share its fit, and so for the history and the popularity; thread-safe."""
        estimator = self.copy()
        parts = _Parts(estimator, dataset)
        return _FitMultipleIterator(lambda index: estimator.copy(paramMaps[index])._model(parts), len(paramMaps))

    def _fit(self, dataset: DataFrame) -> BlendModel:
        return self._model(_Parts(self, dataset))

    def _model(self, parts: "_Parts") -> BlendModel:
        value = self.getOrDefault
        places = {"users": value(self.usersPath), "items": value(self.itemsPath)}
        places["history"] = parts.history(value(self.halfLife))
        places["popularity"] = parts.popularity(value(self.popularityDays), places["items"])
        if value(self.alsWeight) != 0:
            places |= parts.factors(
                AlsSettings(
                    factors=value(self.factors),
                    regularization=value(self.regularization),
                    alpha=value(self.alpha),
                    iterations=value(self.iterations),
                    seed=value(self.seed),
                ),
                places["history"],
            )
        model = BlendModel(parts=places, cutoff=parts.cutoff())
        model._resetUid(self.uid)  # so that this estimator's parameter maps apply to it
        return self._copyValues(model)


class _Parts:
    """The parts learned from one data set, each made once however many threads ask, and written to the scratch."""

    def __init__(self, estimator: BlendRecommender, dataset: DataFrame) -> None:
        columns = {"user": "int", "item": "int", "day": "int", "weight": "double"}
        named = [estimator.getOrDefault(estimator.getParam(f"{column}Col")) for column in columns]
        self._data = dataset.select(*(F.col(c).cast(kind).alias(to) for c, (to, kind) in zip(named, columns.items(), strict=True)))
        self._scratch = estimator.scratch or _temporary()
        self._made: dict[object, Any] = {}
        self._locks: dict[object, threading.Lock] = {}
        self._lock = threading.Lock()

    def _once(self, key: object, make: Callable[[], Any]) -> Any:
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            if key not in self._made:
                self._made[key] = make()
            return self._made[key]

    def _place(self, name: str) -> str:
        return f"{self._scratch}/{name}-{secrets.token_hex(8)}"

    def cutoff(self) -> int:
        """The last day. Raises NothingToLearn."""
        return self._once("cutoff", self._checked_cutoff)

    def _checked_cutoff(self) -> int:
        found = self._data.agg(F.max("day").alias("last"), F.count("*").alias("rows")).first()
        if found is None or found["last"] is None:
            raise NothingToLearn("no interactions to learn from: choose a later night, or shorter windows in the split")
        if found["rows"] > MAX_INTERACTIONS:
            raise NothingToLearn(
                f"{found['rows']:,} interactions are more than one worker's {MAX_INTERACTIONS:,}: give fewer days of history"
            )
        return found["last"]

    def factors(self, settings: AlsSettings, history: str) -> dict[str, str]:
        """Folders of user_factors and item_factors, learned from how often everybody bought what: any half-life's history."""
        pairs = self._data.sparkSession.read.parquet(history)
        return self._once(settings, lambda: write_factors(pairs, self._place("als"), settings))

    def history(self, half_life: float) -> str:
        """Folder of what each user bought: decayed baskets, times, last day."""
        return self._once(("history", half_life), lambda: self._write_history(half_life))

    def _write_history(self, half_life: float) -> str:
        age = F.lit(self.cutoff()) - F.col("day")
        decay = F.pow(F.lit(0.5), age / half_life) if half_life > 0 else F.lit(1.0)
        pairs = (
            self._data.repartition("user")  # both groupings below are then local
            .groupBy("user", "item")
            .agg(
                exact_sum(F.col("weight") * decay).alias("weight"),
                F.ceil(exact_sum(F.col("weight"))).cast("int").alias("times"),
                F.max("day").alias("last_day"),
            )
        )
        taken = F.sort_array(F.collect_list(F.struct("item", "weight", "times", "last_day")))
        place = self._place("history")
        pairs.groupBy("user").agg(taken.alias("taken")).write.parquet(place)
        return place

    def popularity(self, days: int, items_path: str) -> str:
        """Folder of the baskets of the last `days`, for each item of the data that may be listed."""
        return self._once(("popularity", days, items_path), lambda: self._write_popularity(days, items_path))

    def _write_popularity(self, days: int, items_path: str) -> str:
        recent = F.col("day") > self.cutoff() - days if days > 0 else F.lit(True)
        baskets = exact_sum(F.when(recent, F.col("weight")).otherwise(0.0))
        listed = self._data.sparkSession.read.parquet(items_path).where("available").select("item")
        place = self._place("popularity")
        counted = self._data.groupBy("item").agg(baskets.alias("baskets"))
        counted.join(listed, "item", "left_semi").write.parquet(place)
        return place


def _temporary() -> str:
    folder = tempfile.mkdtemp(prefix="nightfold-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return f"file://{folder}"
