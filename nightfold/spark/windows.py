"""The windows of a night: each ends the past of its examples with a cutoff, and takes their labels from the days after.

    window 0      cutoff `ds`: what is scored tonight; it has no labels
    window 1      the test window: judged once, by the recipe learned from the windows before it
    windows 2...  validation windows (split.folds of them), and before them windows to learn from

A model learns from at most training.windows windows: the latest that end before what it is judged on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from nightfold.errors import Permanent
from nightfold.pipeline import Pipeline

EPOCH = date(1970, 1, 1)
TONIGHT, TEST, LAST_VALIDATION = 0, 1, 2
"""Numbers of windows."""


class HistoryTooShort(Permanent):
    """The days up to the night do not hold the windows that the split asks for."""


@dataclass(frozen=True)
class Window:
    """Days since 1970-01-01. Examples know the days up to `cutoff`; their labels are in the `days` days after it."""

    number: int
    cutoff: int
    days: int

    @property
    def eve(self) -> str:
        """The cutoff's date."""
        return str(EPOCH + timedelta(days=self.cutoff))

    @property
    def first(self) -> str:
        """First day of the labels."""
        return str(EPOCH + timedelta(days=self.cutoff + 1))

    @property
    def last(self) -> str:
        """Last day of the labels."""
        return str(EPOCH + timedelta(days=self.cutoff + self.days))


def of_facts(kept: Sequence[Mapping[str, int]]) -> list[Window]:
    """Windows as the manifest of `features` keeps them."""
    return [Window(**window) for window in kept]


def plan(pipeline: Pipeline, ds: str, first_day: int) -> list[Window]:
    """All windows of night `ds` that the days from `first_day` hold, by number. The oldest has as many days before it as it is long.

    Raises HistoryTooShort when a fold has nothing to learn from
    """
    split = pipeline.split
    night = (date.fromisoformat(ds) - EPOCH).days
    wanted = 1 + split.folds + pipeline.training.windows
    fewest = split.folds + 2  # the oldest validation window has one before it to learn from
    found = [Window(TONIGHT, night, split.test_days)]
    for number in range(TEST, wanted + 1):
        cutoff = night - split.test_days - (number - 1) * split.validation_days
        days = split.test_days if number == TEST else split.validation_days
        if cutoff - split.validation_days + 1 < first_day:
            break
        found.append(Window(number, cutoff, days))
    if len(found) <= fewest:
        needed = split.test_days + (split.folds + 2) * split.validation_days
        raise HistoryTooShort(
            f"night {ds}: {night - first_day + 1} days of history, but {needed} are needed (test {split.test_days} + (folds "
            f"{split.folds} + 2) x validation {split.validation_days}): lower split.folds (to 2 at least), split.validation_days or "
            "split.test_days, or take a later night; a nightly table is read from schedule.start on"
        )
    return found
