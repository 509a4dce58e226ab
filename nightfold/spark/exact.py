"""Sums that do not depend on the order of the rows, so that the same data gives the same bytes on any cluster."""

from pyspark.sql import Column
from pyspark.sql import functions as F

SCALE = 2.0**32  # fixed point: steps of 2e-10; a sum of up to 2e9 fits a bigint, and beyond that ANSI mode raises


def exact_sum(values: Column) -> Column:
    """Aggregate: the sum in fixed point. Adding floats in another order gives other last digits; adding integers does not."""
    return F.sum(F.round(values * SCALE).cast("bigint")) / SCALE
