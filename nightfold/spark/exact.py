"""Sums that do not depend on the order of the rows, so that the same data gives the same bytes on any cluster."""

from pyspark.sql import Column
from pyspark.sql import functions as F

BITS = 32  # of a fraction: fixed point in steps of 2e-10
SCALE = 2.0**BITS


def exact_sum(values: Column) -> Column:
    """Aggregate: the sum in fixed point. Adding floats in another order gives other last digits; adding integers does not.

    Whole numbers and fractions are summed apart, so that both fit a bigint: up to 9e18, and 2e9 rows. Put together, they are rounded once.
    """
    number = values.cast("double")
    whole = number.cast("bigint")  # towards 0, and what is left is exact
    wholes, fractions = F.sum(whole), F.sum(F.round((number - whole) * SCALE).cast("bigint"))
    return (wholes + F.shiftright(fractions, BITS)) + fractions.bitwiseAND(F.lit(2**BITS - 1)) / SCALE
