"""When nights are taken by the clock: cron data intervals, up to a last night."""

from datetime import date
from typing import Any

from airflow.plugins_manager import AirflowPlugin
from airflow.timetables.base import DagRunInfo, DataInterval, TimeRestriction
from airflow.timetables.interval import CronDataIntervalTimetable


class NightTimetable(CronDataIntervalTimetable):
    """One run per cron interval; the night is the day on which the interval starts.

    A DAG's `end_date` would do for scheduled runs, but a manual run of a later date then succeeds without any task.

    :param until: the last night taken by the clock, YYYY-MM-DD, or None; runs by hand are not bound by it, backfills are
    """

    def __init__(self, cron: str, timezone: str, until: str | None = None) -> None:
        super().__init__(cron, timezone)
        self._until = until

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> "NightTimetable":
        return cls(data["expression"], data["timezone"], data["until"])

    def serialize(self) -> dict[str, Any]:
        return {**super().serialize(), "until": self._until}

    def next_dagrun_info(
        self, *, last_automated_data_interval: DataInterval | None, restriction: TimeRestriction
    ) -> DagRunInfo | None:
        info = super().next_dagrun_info(last_automated_data_interval=last_automated_data_interval, restriction=restriction)
        if info is None or self._until is None or info.data_interval is None:
            return info
        night = info.data_interval.start.in_timezone(self._timezone).date()
        return None if night > date.fromisoformat(self._until) else info


class NightfoldTimetablePlugin(AirflowPlugin):
    """Lets the scheduler read the timetable back from a serialized DAG."""

    name = "nightfold_timetable"
    timetables = [NightTimetable]
