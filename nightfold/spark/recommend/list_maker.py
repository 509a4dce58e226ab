"""From scored candidates to lists: each user's best first, by the pipeline's rules. The last stage of every model."""

import math
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
from pyspark import keyword_only
from pyspark.ml import Transformer
from pyspark.ml.functions import vector_to_array
from pyspark.ml.linalg import VectorUDT
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.util import DefaultParamsReadable, DefaultParamsWritable
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

BY = ("window", "user")


class ListParams(Params):
    """What a ranker hands on to the lists that its models make."""

    k = Param(Params._dummy(), "k", "length of the lists", TypeConverters.toInt)
    repeats = Param(Params._dummy(), "repeats", "share of a list that the user may have taken before", TypeConverters.toFloat)
    perCategory = Param(Params._dummy(), "perCategory", "items of one category on a list; 0: any number", TypeConverters.toInt)
    negatives = Param(
        Params._dummy(), "negatives", "share of the negatives that the model has learned from", TypeConverters.toFloat
    )

    def _default_lists(self) -> None:
        self._setDefault(k=10, repeats=1.0, perCategory=0, negatives=1.0)

    def _of_lists(self) -> dict[str, Any]:
        return {param.name: self.getOrDefault(param) for param in (self.k, self.repeats, self.perCategory, self.negatives)}


class ListMaker(ListParams, Transformer, DefaultParamsReadable, DefaultParamsWritable):
    """One row per window and user: `items array<int>` best first, `scores array<double>`, `hits array<boolean>` (which came true),
    `relevant int`, and an array of each column of `carried`.

    Takes the examples with a score: a number, or a vector of class probabilities (see `chance`). Ties go to the lower
    item. A user without a past (`known` is false) gets what is popular, whatever the score says.

    The rules (see pipeline.recommend.Mix) are kept from the top of the list on: each place gets the best candidate left that breaks none.
    """

    scoreCol = Param(Params._dummy(), "scoreCol", "a number, or a vector of probabilities", TypeConverters.toString)
    carried = Param(
        Params._dummy(), "carried", "columns of the items to keep, as arrays of the same name", TypeConverters.toListString
    )

    @keyword_only
    def __init__(
        self,
        *,
        scoreCol: str | None = None,
        k: int | None = None,
        repeats: float | None = None,
        perCategory: int | None = None,
        carried: list[str] | None = None,
        negatives: float | None = None,
    ) -> None:
        super().__init__()
        self._setDefault(scoreCol="probability", carried=[])
        self._default_lists()
        self._set(**self._input_kwargs)

    def _transform(self, dataset: DataFrame) -> DataFrame:
        k, repeats, per_category = (self.getOrDefault(p) for p in (self.k, self.repeats, self.perCategory))
        score = F.when(F.col("known"), self._score(dataset)).otherwise(-F.col("popularity_place").cast("double"))
        rules = repeats < 1.0 or per_category > 0
        ruled = [F.col("last_day").isNotNull().alias("repeat")] if rules else []  # whichever source has named it
        if per_category:
            ruled.append(F.col("category"))
        carried = self.getOrDefault(self.carried)
        with_it = F.struct(*carried).alias("carried") if carried else F.lit(0).alias("carried")
        entry = F.struct((-score).alias("order"), "item", F.col("label").alias("hit"), with_it, *ruled)
        ranked = F.sort_array(F.collect_list(entry))
        lists = dataset.groupBy(*BY).agg(ranked.alias("ranked"), F.max("relevant").alias("relevant"))
        if rules:
            lists = _ruled(lists, k, repeats, per_category)
        best = F.slice("ranked", 1, k)
        return lists.select(
            *BY,
            best["item"].alias("items"),
            F.transform(best["order"], lambda order: -order).alias("scores"),
            best["hit"].alias("hits"),
            *(best["carried"][name].alias(name) for name in carried),
            "relevant",
        )

    def _score(self, dataset: DataFrame) -> Column:
        name = self.getOrDefault(self.scoreCol)
        if isinstance(dataset.schema[name].dataType, VectorUDT):
            return chance(F.col(name), self.getOrDefault(self.negatives))
        return F.col(name).cast("double")


def chance(probability: Column, negatives: float) -> Column:
    """What a model that has learned from a share of the negatives says of all of them; the order stays.

    Method: Elkan, "The foundations of cost-sensitive learning" (2001).

    :param probability: vector of class probabilities, whose last one counts
    """
    said = F.element_at(vector_to_array(probability), -1)
    return said * negatives / (1.0 - said + said * negatives)


def _ruled(lists: DataFrame, k: int, repeats: float, per_category: int) -> DataFrame:
    """The same rows, `ranked` with those only that the rules let on the list."""

    def chosen(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            at = batch.schema.get_field_index("ranked")
            kept = [_chosen(ranked, k, repeats, per_category) for ranked in batch.column(at).to_pylist()]
            yield batch.set_column(at, batch.schema.field(at), pa.array(kept, batch.schema.field(at).type))

    return lists.mapInArrow(chosen, lists.schema)


def _chosen(ranked: list[dict], k: int, repeats: float, per_category: int) -> list[dict]:
    found: list[dict] = []
    again, of_category = 0, dict[int, int]()
    left = list(ranked)

    def allowed(entry: dict) -> bool:
        full = per_category and entry["category"] >= 0 and of_category.get(entry["category"], 0) == per_category
        return not full and not (entry["repeat"] and again + 1 > math.ceil(repeats * (len(found) + 1)))

    while len(found) < k:
        place = next((i for i, entry in enumerate(left) if allowed(entry)), None)
        if place is None:
            break
        found.append(left.pop(place))
        again += found[-1]["repeat"]
        if per_category:
            of_category[found[-1]["category"]] = of_category.get(found[-1]["category"], 0) + 1
    return found
