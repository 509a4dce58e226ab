"""The fitted blend: personal history + ALS + popularity, as Parquet beside Spark's metadata.

The parts, each a folder:
    history        user int, taken array<struct<item int, weight double (decayed baskets), times int, last_day int>> by item
    popularity     item int, baskets double: in the recent window, of every known item that may be listed
    user_factors, item_factors   id int, factors array<float>; absent when alsWeight was 0
    users          user int, id string           } the index that it was trained with
    items          item int, id string, available boolean, ...  }
"""

from typing import Any

from nightfold.spark.recommend import topn

from pyspark.ml import Model
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.util import DefaultParamsReader, DefaultParamsWriter, MLReadable, MLReader, MLWritable, MLWriter
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

PARTS = ("history", "popularity", "users", "items", "user_factors", "item_factors")


class BlendParams(Params):
    """What both the estimator and its model know. Weights are on the scale of one basket bought on the last day."""

    historyWeight = Param(Params._dummy(), "historyWeight", "weight of a decayed basket", TypeConverters.toFloat)
    alsWeight = Param(Params._dummy(), "alsWeight", "weight of the ALS score, about 0..1", TypeConverters.toFloat)
    popularityWeight = Param(Params._dummy(), "popularityWeight", "weight of the most popular item", TypeConverters.toFloat)
    k = Param(Params._dummy(), "k", "length of the lists that transform() makes", TypeConverters.toInt)
    excludeSeen = Param(Params._dummy(), "excludeSeen", "list only what the user never had", TypeConverters.toBoolean)
    userCol = Param(Params._dummy(), "userCol", "user index, int", TypeConverters.toString)
    itemCol = Param(Params._dummy(), "itemCol", "item index, int", TypeConverters.toString)

    def __init__(self) -> None:
        super().__init__()
        self._setDefault(historyWeight=1.0, alsWeight=1.0, popularityWeight=0.1, k=10, excludeSeen=False)
        self._setDefault(userCol="user", itemCol="item")


class BlendModel(Model, BlendParams, MLReadable["BlendModel"], MLWritable):
    """Lists for users. Holds the places of its parts, never their content."""

    def __init__(self, *, parts: dict[str, str], cutoff: int) -> None:
        """:param cutoff: the last day that it learned from, in days since 1970-01-01."""
        super().__init__()
        self.parts = parts
        self.cutoff = cutoff

    def part(self, name: str) -> DataFrame:
        """One of PARTS."""
        return SparkSession.active().read.parquet(self.parts[name])

    def recommend(self, users: DataFrame, n: int, exclude_seen: bool | None = None) -> DataFrame:
        """`user int, items array<struct<item int, score double, times int, last_day int>>`, best first, one row per user.

        At most n items: fewer when the catalogue has no more for him. `times` is how often he bought it (0: never) and
        `last_day` when (NULL: never). A user without history gets the fallback list.

        :param users: column `user`
        :param exclude_seen: None: as the Param says
        """
        asked = users.select(F.col("user").cast("int")).repartition(_cores(), "user").distinct()
        return self._lists(self._with_past(asked), n, exclude_seen)

    def _with_past(self, asked: DataFrame) -> DataFrame:
        """What top_n reads of each user. Few users stay in the partitions they come in; many are joined by a shuffle."""
        asked = asked.join(self.part("history"), "user", "left")
        if "user_factors" in self.parts:
            return asked.join(self.part("user_factors").withColumnRenamed("id", "user"), "user", "left")
        return asked.withColumn("factors", F.lit(None).cast("array<float>"))

    def _lists(self, asked: DataFrame, n: int, exclude_seen: bool | None = None) -> DataFrame:
        if n < 1:
            raise ValueError(f"n is {n}: ask for one item at least")
        blend = topn.Blend(
            history_weight=self.getOrDefault(self.historyWeight),
            als_weight=self.getOrDefault(self.alsWeight) if "item_factors" in self.parts else 0.0,
            popularity_weight=self.getOrDefault(self.popularityWeight),
            n=n,
            exclude_seen=self.getOrDefault(self.excludeSeen) if exclude_seen is None else exclude_seen,
            popularity=_uri(self.parts["popularity"]),
            item_factors=_uri(self.parts["item_factors"]) if "item_factors" in self.parts else None,
        )

        def lists(batches: Any) -> Any:
            return topn.top_n(batches, blend)

        kept = [f", {name} array<int>" for name in asked.columns if name in topn.KEPT]
        return asked.mapInArrow(lists, topn.SCHEMA + "".join(kept))

    def fallback(self, n: int) -> DataFrame:
        """`item int, score double` (1 = the most popular), best first: for somebody whom the model does not know."""
        popularity = self.part("popularity")
        most = popularity.agg(F.max("baskets").alias("most"))
        score = F.when(F.col("most") > 0, F.col("baskets") / F.col("most")).otherwise(0.0)
        return popularity.crossJoin(most).select("item", score.alias("score")).orderBy(F.desc("score"), "item").limit(n)

    def _transform(self, dataset: DataFrame) -> DataFrame:
        """`user int, items array<int>` (the best k of the whole catalogue), `relevant array<int>`, one row per user.

        :param dataset: interactions of later days. Relevant is what the user took of the items that may be listed;
            with excludeSeen, less what he had before. A boolean column `known` sets apart days that the model has learned from:
            what was taken then is `relevant_known array<int>`, so that one pass over the users judges both
        """
        user, item = F.col(self.getOrDefault(self.userCol)), F.col(self.getOrDefault(self.itemCol))
        apart = [F.col("known")] if "known" in dataset.columns else []
        taken = dataset.select(user.cast("int").alias("user"), item.cast("int").alias("item"), *apart).repartition(_cores(), "user")
        may_be_listed = F.broadcast(self.part("items").where("available").select("item", F.col("item").alias("_listed")))
        later = F.when(~F.col("known"), F.col("_listed")) if apart else F.col("_listed")
        wanted = {"relevant": later, **({"relevant_known": F.when(F.col("known"), F.col("_listed"))} if apart else {})}
        asked = self._with_past(
            taken.join(may_be_listed, "item", "left")
            .groupBy("user")
            .agg(*(F.sort_array(F.collect_set(column)).alias(name) for name, column in wanted.items()))
        )
        if self.getOrDefault(self.excludeSeen):
            had = F.coalesce(F.col("taken.item"), F.array().cast("array<int>"))
            asked = asked.withColumn("relevant", F.array_except("relevant", had))
        listed = self._lists(asked, self.getOrDefault(self.k))
        return listed.select("user", F.col("items.item").alias("items"), *wanted)

    def write(self) -> MLWriter:
        """Metadata and all parts, copied: the saved model needs nothing else."""
        return _Writer(self)

    @classmethod
    def read(cls) -> "MLReader[BlendModel]":
        """Reads what `write` wrote."""
        return _Reader()


class _Writer(MLWriter):
    def __init__(self, instance: BlendModel) -> None:
        super().__init__()
        self.instance = instance

    def saveImpl(self, path: str) -> None:
        """Called by `save`, which sees to overwriting."""
        extra = {"parts": sorted(self.instance.parts), "cutoff": self.instance.cutoff}
        DefaultParamsWriter.saveMetadata(self.instance, path, self.sparkSession, extraMetadata=extra)
        for name in self.instance.parts:
            self.instance.part(name).write.parquet(f"{path}/{name}")


class _Reader(MLReader[BlendModel]):
    def load(self, path: str) -> BlendModel:
        """The model with its parts where they lie."""
        metadata = DefaultParamsReader.loadMetadata(path, self.sparkSession)
        parts = {name: f"{path}/{name}" for name in metadata["parts"]}
        model = BlendModel(parts=parts, cutoff=metadata["cutoff"])
        model._resetUid(metadata["uid"])
        DefaultParamsReader.getAndSetParams(model, metadata)
        return model


def _cores() -> int:
    return SparkSession.active().sparkContext.defaultParallelism


def _uri(path: str) -> str:
    """A folder's URI for pyarrow, from what Spark takes: without a scheme it is on the local disk."""
    if "://" in path:
        return path
    return "file://" + path.removeprefix("file:")
