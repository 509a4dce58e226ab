"""Arithmetic of the profile, against values worked out by hand."""

import math

from nightfold.reports import drift
from nightfold.reports.measures import bins_for, finite, lorenz, per_value, pooled, psi
from nightfold.reports.words import moment, number, percent

import pytest

QUANTILES = {"p01": 1.0, "p05": 1.0, "p25": 1.0, "p50": 1.0, "p75": 1.0, "p95": 3.0, "p99": 10.0}


def test_groups_pool_to_the_mean_and_sd_of_all_their_values():
    # 1, 3 (mean 2, variance 1) and 5, 7, 9 (mean 7, variance 8/3): all five have mean 5 and squares 40
    count, mean, sd = pooled([(2, 2.0, 1.0), (3, 7.0, 8 / 3), (0, math.nan, math.nan)])
    assert (count, mean) == (5, 5.0)
    assert sd == pytest.approx(math.sqrt(40 / 4))


def test_nothing_pools_to_nothing_and_one_value_has_no_sd():
    assert pooled([]) == (0, None, None)
    assert pooled([(1, 4.0, 0.0)]) == (1, 4.0, None)


def test_the_psi_is_that_of_the_textbook():
    # shares 0.5/0.5 then 0.75/0.25: 0.25 ln 1.5 + (-0.25) ln 0.5 = 0.1014 + 0.1733
    assert psi({1: 50, 2: 50}, {1: 75, 2: 25}) == pytest.approx(0.2746530722)
    assert psi({1: 50, 2: 50}, {1: 7, 2: 7}) == 0
    assert psi({}, {1: 3}) is None


def test_a_class_that_vanishes_gives_a_large_psi_and_no_infinity():
    value = psi({1: 90, 2: 10}, {1: 100})
    assert value == pytest.approx(0.1 * math.log(1 / 0.9) + (1e-4 - 0.1) * math.log(1e-4 / 0.1))


def test_the_long_tail_is_told_by_gini_and_by_the_share_of_the_top():
    equal = lorenz([{"values": 4, "rows": 8}])
    assert equal["gini"] == pytest.approx(0)
    # one value has 90 rows and nine have 10 together: the first tenth takes 90%
    uneven = lorenz([{"values": 1, "rows": 90}, {"values": 9, "rows": 10}])
    assert uneven["top_10_percent"] == pytest.approx(0.9)
    assert uneven["gini"] == pytest.approx(0.8)


def test_rows_per_value_are_quantiles_over_the_values():
    found = per_value([{"times": 10, "values": 1, "rows": 10}, {"times": 1, "values": 3, "rows": 3}])
    assert (found["mean"], found["max"], found["p50"], found["p99"]) == (3.25, 10, 1, 10)


def test_skewed_numbers_get_a_logarithmic_scale_with_zeros_apart():
    bins = bins_for(low=0.0, high=89638.0, quantiles=QUANTILES, step=1.0)
    assert bins.log
    assert bins.edges[:4] == [0.0, 1.0, 2.0, 3.0], "no empty bin between two whole numbers"
    assert bins.edges[-1] == 89638


def test_a_few_whole_numbers_get_a_bin_each_and_a_constant_one_bin():
    assert bins_for(low=1.0, high=3.0, quantiles=QUANTILES, step=1.0).edges == [0.5, 1.5, 2.5, 3.5]
    assert bins_for(low=7.0, high=7.0, quantiles=QUANTILES, step=None).edges == [6.5, 7.5]


def test_json_gets_no_nan_and_no_infinity():
    assert finite({"a": math.nan, "b": [math.inf, 1.5, None], 3: "x"}) == {"a": None, "b": [None, 1.5, None], "3": "x"}


def test_a_figure_is_held_against_its_spread_from_night_to_night():
    found = drift.against(16.0, [8.0, 10.0, 12.0])
    assert found == {"tonight": 16.0, "before": 10.0, "sd": 2.0, "z": 3.0}
    assert drift.against(16.0, [10.0, 10.0])["z"] is None, "nights that are all alike have no spread"


def test_volume_is_compared_with_the_28_days_before_and_the_same_weekday_only():
    # 2017-12-03 is a Sunday; 2017-11-04 lies before the window
    rows = {"2017-11-04": 999, "2017-11-26": 40, "2017-11-19": 60, "2017-12-02": 20, "2017-12-03": 100, "2017-12-04": 7}
    found = drift.volume("2017-12-03", rows)
    assert (found["tonight"], found["before"], found["nights"]) == (100, 40, 3)
    assert (found["same_weekday"], found["ratio"], found["weekday"]) == ([60, 40], 2.0, "Sunday")


def test_a_share_is_not_alarming_when_chance_explains_it():
    nights = [f"2017-11-{day:02}" for day in range(20, 31)]
    whole = {**dict.fromkeys(nights, 100), "2017-12-01": 100}
    one = drift.share("2017-12-01", {"2017-12-01": 1}, whole)
    many = drift.share("2017-12-01", {"2017-12-01": 40}, whole)
    assert (one["tonight"], one["before"]) == (0.01, 0.0)
    assert one["z"] < 4 < many["z"]


def test_the_psi_of_each_night_before_is_the_yardstick():
    usual = {f"2017-11-{day:02}": {1: 50, 2: 50} for day in range(20, 30)}
    found = drift.stability("2017-11-30", {**usual, "2017-11-30": {1: 75, 2: 25}}, {1: "a", 2: "b"})
    assert found["psi"] == pytest.approx(0.2746530722)
    assert (found["usual"], found["highest"]) == (0, 0)
    assert found["classes"] == [
        {"class": "a", "before": 0.5, "tonight": 0.75},
        {"class": "b", "before": 0.5, "tonight": 0.25},
    ]


def test_numbers_are_written_as_people_read_them():
    assert [number(v) for v in (89638, 3.14159, 0.00012345, None, 1234.5)] == ["89,638", "3.142", "0.0001234", "–", "1,234"]
    assert [percent(v) for v in (0, 0.00005, 0.0033, 0.125, 0.99999, 1, None)] == [
        "0%",
        "<0.01%",
        "0.33%",
        "12.5%",
        ">99.99%",
        "100%",
        "–",
    ]


def test_times_are_told_in_the_pipelines_zone_and_days_as_they_are():
    assert moment(1512259200.0, kind="date", timezone="America/New_York") == "2017-12-03"
    assert moment(1512259200.0, kind="timestamp", timezone="America/New_York") == "2017-12-02 19:00"
