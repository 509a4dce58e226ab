"""Nights by the clock: the night is the interval's first day in the pipeline's zone; after the last night there are none."""

from datetime import UTC, datetime

import pendulum
import pytest
from airflow.sdk.exceptions import AirflowFailException
from airflow.timetables import interval
from airflow.timetables.base import DataInterval, TimeRestriction
from nightfold_operators import night_of
from nightfold_timetable import NightfoldTimetablePlugin, NightTimetable


class Run:
    """What a task sees of its run."""

    def __init__(self, run_type: str, data_interval_start: datetime | None) -> None:
        self.run_type = run_type
        self.data_interval_start = data_interval_start


def nights(timetable: NightTimetable, zone: str, *, start: str, count: int) -> list[str]:
    """The nights of the first runs, with catch-up, as a backfill takes them."""
    restriction = TimeRestriction(earliest=pendulum.parse(start, tz=zone), latest=None, catchup=True)
    found: list[str] = []
    last: DataInterval | None = None
    while len(found) < count:
        info = timetable.next_dagrun_info(last_automated_data_interval=last, restriction=restriction)
        if info is None:
            break
        last = info.data_interval
        found.append(night_of(Run("scheduled", last.start), {"ds": None}, zone))
    return found


@pytest.mark.parametrize("until", [None, "2017-12-31"])
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin"])
def test_it_comes_back_from_its_serialized_form(zone, until):
    data = NightTimetable("30 2 * * *", zone, until).serialize()
    assert data == {"expression": "30 2 * * *", "timezone": zone, "until": until}
    back = NightTimetable.deserialize(data)
    assert back.serialize() == data
    assert nights(back, zone, start="2017-12-01", count=1) == ["2017-12-01"]


def test_airflow_knows_it_by_the_plugin():
    assert NightfoldTimetablePlugin.timetables == [NightTimetable]


def test_the_night_of_a_scheduled_run_is_its_intervals_first_day():
    timetable = NightTimetable("30 2 * * *", "UTC")
    info = timetable.next_dagrun_info(
        last_automated_data_interval=None,
        restriction=TimeRestriction(earliest=pendulum.datetime(2017, 12, 3), latest=None, catchup=True),
    )
    assert info.data_interval.start == datetime(2017, 12, 3, 2, 30, tzinfo=UTC)
    assert info.run_after == datetime(2017, 12, 4, 2, 30, tzinfo=UTC), "when the day is over"
    assert night_of(Run("scheduled", info.data_interval.start), {"ds": None}, "UTC") == "2017-12-03"


def test_a_backfill_whose_form_names_a_night_is_refused_for_it_would_take_that_one_again_and_again(capsys):
    starts = datetime(2017, 12, 3, 2, 30, tzinfo=UTC)
    assert night_of(Run("backfill", starts), {"ds": "2017-12-03"}, "UTC") == "2017-12-03"
    with pytest.raises(AirflowFailException, match="run of night 2017-12-03, and its form says 2017-12-10: leave 'Night' empty"):
        night_of(Run("backfill", starts), {"ds": "2017-12-10"}, "UTC")
    assert night_of(Run("manual", starts), {"ds": "2017-12-10"}, "UTC") == "2017-12-10"


@pytest.mark.parametrize("cron", ["30 2 * * *", "0 0 * * *", "30 0 * * *", "0 3 * * *", "59 23 * * *"])
@pytest.mark.parametrize(
    ("start", "expected"),
    [
        ("2017-03-24", ["2017-03-24", "2017-03-25", "2017-03-26", "2017-03-27", "2017-03-28"]),  # 26: 02:00 to 03:00 is left out
        ("2017-10-27", ["2017-10-27", "2017-10-28", "2017-10-29", "2017-10-30", "2017-10-31"]),  # 29: 02:00 to 03:00 comes twice
    ],
)
def test_no_night_is_left_out_or_taken_twice_when_the_clocks_change(cron, start, expected):
    assert nights(NightTimetable(cron, "Europe/Berlin"), "Europe/Berlin", start=start, count=5) == expected


def test_shortly_after_midnight_the_night_is_the_day_in_the_pipelines_zone():
    start = datetime(2017, 7, 1, 22, 30, tzinfo=UTC)
    assert night_of(Run("scheduled", start), {"ds": None}, "Europe/Berlin") == "2017-07-02"
    assert night_of(Run("scheduled", start), {"ds": None}, "UTC") == "2017-07-01"
    assert night_of(Run("scheduled", start), {"ds": None}, "America/New_York") == "2017-07-01"


def test_nothing_is_scheduled_after_the_last_night():
    timetable = NightTimetable("30 2 * * *", "Europe/Berlin", "2017-12-03")
    assert nights(timetable, "Europe/Berlin", start="2017-12-01", count=10) == ["2017-12-01", "2017-12-02", "2017-12-03"]


@pytest.mark.parametrize("until", ["2017-12-31", None])
def test_without_catch_up_old_nights_are_not_taken_when_a_dag_is_switched_on(monkeypatch, until):
    monkeypatch.setattr(interval, "utcnow", lambda: pendulum.datetime(2026, 11, 23, 12))
    timetable = NightTimetable("30 2 * * *", "UTC", until)
    info = timetable.next_dagrun_info(
        last_automated_data_interval=None,
        restriction=TimeRestriction(earliest=pendulum.datetime(2017, 1, 1), latest=None, catchup=False),
    )
    if until:
        assert info is None, "the sample ended long ago"
    else:
        assert info.data_interval.start == datetime(2026, 11, 22, 2, 30, tzinfo=UTC), "only the last whole one"


@pytest.mark.parametrize("kind", ["operator_triggered", "asset_triggered", "manual"])
def test_a_run_that_no_clock_has_made_takes_the_night_that_it_is_told(kind):
    """Of one that another DAG triggers, Airflow makes an interval all the same: that of now."""
    starts = datetime(2017, 12, 5, 2, 30, tzinfo=UTC)
    assert night_of(Run(kind, starts), {"ds": "2017-12-03"}, "UTC") == "2017-12-03"
    with pytest.raises(AirflowFailException, match="must say its night"):
        night_of(Run(kind, starts), {"ds": None}, "UTC")


def test_a_manual_run_without_a_night_fails_for_good_and_says_what_to_do():
    for start in (None, datetime(2017, 12, 3, tzinfo=UTC)):
        with pytest.raises(AirflowFailException) as caught:
            night_of(Run("manual", start), {"ds": None}, "UTC")
        assert str(caught.value) == "nightfold: a manual run must say its night: trigger again with 'Night' filled in, YYYY-MM-DD"
    with pytest.raises(AirflowFailException):
        night_of(Run("scheduled", None), {"ds": None}, "UTC")


def test_a_backfill_takes_the_interval():
    assert night_of(Run("backfill", datetime(2017, 12, 3, 2, 30, tzinfo=UTC)), {"ds": None}, "UTC") == "2017-12-03"


def test_a_run_type_may_be_airflows_own_word():
    from airflow.utils.types import DagRunType

    with pytest.raises(AirflowFailException):
        night_of(Run(DagRunType.MANUAL, datetime(2017, 12, 3, tzinfo=UTC)), {"ds": None}, "UTC")
    assert night_of(Run(DagRunType.SCHEDULED, datetime(2017, 12, 3, tzinfo=UTC)), {"ds": None}, "UTC") == "2017-12-03"
