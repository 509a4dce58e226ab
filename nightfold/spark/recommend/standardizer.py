"""Features for a linear model: on a logarithmic scale, for counts and days are skewed; standardized; the mean where nothing is known."""

from collections.abc import Iterator

from nightfold.spark.arrays import lists

import numpy as np
import pyarrow as pa
from pyspark import keyword_only
from pyspark.ml import Estimator, Model
from pyspark.ml.functions import array_to_vector
from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.util import DefaultParamsReadable, DefaultParamsWritable
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

SUMS = "sums array<struct<known:double,total:double,squares:double>>"


class _Columns(Params):
    inputCol = Param(Params._dummy(), "inputCol", "array<float>, NaN where nothing is known", TypeConverters.toString)
    outputCol = Param(Params._dummy(), "outputCol", "vector of the same length", TypeConverters.toString)


class Standardizer(_Columns, Estimator, DefaultParamsReadable, DefaultParamsWritable):
    """Learns each feature's mean and deviation of sign(x) log(1 + |x|); one that is nowhere known, or always the same, becomes 0.

    Spark's own Imputer and StandardScaler would take a column per feature, and a pass each.
    """

    @keyword_only
    def __init__(self, *, inputCol: str | None = None, outputCol: str | None = None) -> None:
        super().__init__()
        self._set(**self._input_kwargs)

    def _fit(self, dataset: DataFrame) -> "StandardizerModel":
        parts = dataset.select(self.getOrDefault(self.inputCol)).mapInArrow(_sums, SUMS)
        placed = parts.select(F.posexplode("sums").alias("place", "of")).groupBy("place")
        names = ("known", "total", "squares")
        rows = placed.agg(*(F.sum(f"of.{name}").alias(name) for name in names)).orderBy("place").collect()  # one row per feature
        known, total, squares = (np.array([row[name] for row in rows]) for name in names)
        mean = total / np.maximum(known, 1)
        deviation = np.sqrt(np.maximum(squares / np.maximum(known, 1) - mean**2, 0.0))
        scale = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=deviation > 1e-9)
        return self._copyValues(StandardizerModel(means=mean.tolist(), scales=scale.tolist()))


def _logarithmic(features: pa.Array) -> np.ndarray:
    """(N, F) float64 of N lists of F numbers."""
    values = features.flatten().to_numpy(zero_copy_only=False).reshape(len(features), -1).astype(np.float64)
    return np.sign(values) * np.log1p(np.abs(values))


def _sums(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        if batch.num_rows:
            scaled = _logarithmic(batch.column(0))
            known = ~np.isnan(scaled)
            scaled[~known] = 0.0
            sums = {"known": known.sum(axis=0), "total": scaled.sum(axis=0), "squares": (scaled**2).sum(axis=0)}
            entries = pa.StructArray.from_arrays(
                [pa.array(column.astype(np.float64)) for column in sums.values()], names=list(sums)
            )
            one = pa.ListArray.from_arrays(pa.array([0, len(entries)], pa.int32()), entries)
            yield pa.RecordBatch.from_arrays([one], names=["sums"])


class StandardizerModel(_Columns, Model, DefaultParamsReadable, DefaultParamsWritable):
    """See Standardizer."""

    means = Param(Params._dummy(), "means", "of each feature, on the logarithmic scale", TypeConverters.toListFloat)
    scales = Param(Params._dummy(), "scales", "what to multiply with", TypeConverters.toListFloat)

    @keyword_only
    def __init__(self, *, means: list[float] | None = None, scales: list[float] | None = None) -> None:
        super().__init__()
        self._set(**self._input_kwargs)

    def _transform(self, dataset: DataFrame) -> DataFrame:
        mean, scale = (np.array(self.getOrDefault(param)) for param in (self.means, self.scales))

        @F.arrow_udf("array<double>")
        def standardized(features: pa.Array) -> pa.Array:
            if not len(features):
                return pa.array([], pa.list_(pa.float64()))
            found = np.nan_to_num((_logarithmic(features) - mean) * scale)
            return lists(found)

        made = array_to_vector(standardized(self.getOrDefault(self.inputCol)))
        return dataset.withColumn(self.getOrDefault(self.outputCol), made)
