"""Sums in fixed point: of any size that a shop has, and the same to the last bit in any order."""

from nightfold.spark.exact import exact_sum

import pytest
from pyspark.sql import functions as F


@pytest.fixture
def total(utc):
    """The sum of some numbers, each of a partition of its own."""

    def of(values: list[float | None]) -> float | None:
        rows = utc.createDataFrame([(value,) for value in values], "value double").repartition(max(1, len(values)))
        return rows.agg(exact_sum(F.col("value")).alias("total")).first()["total"]

    return of


def test_a_sum_or_a_value_beyond_two_thousand_million_is_no_overflow(total):
    assert total([1.25, 3e9]) == 3000000001.25
    assert total([2e9, 2e9, -0.5]) == 3999999999.5
    assert total([-4e12, -0.25]) == -4000000000000.25


def test_a_sum_is_the_same_in_any_order_and_rounded_once_to_steps_of_two_to_the_minus_32(total):
    assert total([0.1, 0.2, 0.3]) == total([0.3, 0.2, 0.1]) == 2576980378 / 2**32
    assert total([1e9, 0.1, -1e9]) == 429496730 / 2**32
    assert total([-0.1, -0.1]) == -858993460 / 2**32
    assert total([2**-33, -(2**-33), -(2**-33)]) == -1 / 2**32, "a half is rounded away from 0"


def test_what_is_null_is_not_counted_and_nothing_is_null(total):
    assert total([None, 1.5]) == 1.5
    assert total([None]) is None
