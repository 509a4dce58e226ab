"""The tasks `classify` and `regress` of a pipeline file: for every key a probability, or a number, of the days to come."""

import re
from typing import Annotated

from nightfold.pipeline.base import Part
from nightfold.pipeline.sources import ConnectionId, Name, Through

from pydantic import Field, field_validator, model_validator

Table = Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)?$")]
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")  # what a name must be of that stands in SQL as it is
_OWN = {"key", "day", "window", "cutoff", "ahead"}  # columns that stand beside the sums of a day


class Events(Part):
    """Rows that say what happened to a key, and when: summed up over the days before each cutoff."""

    source: Name
    time: str
    """A date or timestamp; with `through`, a column of that source."""
    through: Through | None = None
    sums: list[str] = []
    """Columns of numbers."""
    distinct: list[str] = []
    """Columns whose different values are counted, once a day: baskets, shops."""

    @field_validator("sums", "distinct")
    @classmethod
    def _names_can_be_of_features(cls, value: list[str]) -> list[str]:
        if wrong := [name for name in value if not _PLAIN.fullmatch(name)]:
            raise ValueError(
                f"{wrong[0]!r} cannot be part of a feature's name: call the column by letters, digits and _, "
                f"not a digit first, and say also: [{wrong[0]}]"
            )
        return value

    @property
    def counted(self) -> list[tuple[str, str]]:
        """What is summed up of each day beside its `rows` and `days`: the column, and what features call it."""
        return [*((column, column) for column in self.sums), *((column, f"{column}s") for column in self.distinct)]


class Attributes(Part):
    """What is known of a key, whenever: categories. As tonight's snapshot has them, for every window."""

    source: Name
    columns: list[str] = Field(min_length=1)


class Label(Part):
    """What is predicted of the `split.test_days` days after the night."""

    of: Name
    """Name of the events. To classify: does any occur."""
    sum: str | None = None
    """To regress: the sum of one of their columns of numbers; absent: how many of them."""


class WriteBack(Part):
    """A table of a PostgreSQL database that gets the promoted predictions; it is made when it is missing. A night is replaced whole."""

    connection: ConnectionId
    table: Table


class Predict(Part):
    """The task: for every key a probability (`classify`) or a number (`regress`)."""

    key: str
    """The column that says who it is: the same in all sources that are named here (`also` takes other names)."""
    population: Name
    """Name of the events: whoever had one up to the night gets a prediction."""
    events: dict[Name, Events] = Field(min_length=1)
    attributes: list[Attributes] = []
    label: Label
    days: list[Annotated[int, Field(ge=1)]] = Field(default=[7, 28, 84, 364], min_length=1)
    """How far back events are summed up."""
    crosses: list[tuple[str, str]] = []
    """Pairs of features whose product is one more."""
    write: WriteBack | None = None

    @model_validator(mode="after")
    def _names_are_of_events(self) -> "Predict":
        for field, name in (("population", self.population), ("label.of", self.label.of)):
            if name not in self.events:
                raise ValueError(f"{field}: no events {name!r}; there are: {', '.join(self.events)}")
        if self.label.sum is not None and self.label.sum not in self.events[self.label.of].sums:
            raise ValueError(f"label.sum: name {self.label.sum!r} under events.{self.label.of}.sums, too")
        if unknown := [name for pair in self.crosses for name in pair if name not in self.features]:
            raise ValueError(f"crosses: no feature {unknown[0]!r}; there are: {', '.join(self.features)}")
        return self

    @model_validator(mode="after")
    def _features_have_names_of_their_own(self) -> "Predict":
        for name, events in self.events.items():
            known = {"rows", "days"}  # as Spark compares names: of small letters
            for column, what in events.counted:
                mend = f"call the column otherwise, and say also: [{column}]"
                if what.lower() in _OWN:
                    raise ValueError(f"events.{name}: {column!r} is a name of Nightfold's own here: {mend}")
                if what.lower() in known:
                    raise ValueError(f"events.{name}: {column!r} makes a second {name}_{what}_{min(self.days)}: {mend}")
                known.add(what.lower())
        names = [name.lower() for name in (*self.features, *self.categories)]
        if twice := [name for i, name in enumerate(names) if name in names[:i]]:
            raise ValueError(
                f"two features are named {twice[0]}: call the events, the source or the column of one of them otherwise"
            )
        return self

    @property
    def features(self) -> list[str]:
        """Names of the numbers that a model sees, in its order."""
        names = []
        for name, events in self.events.items():
            names += [f"{name}_since_last", f"{name}_since_first", f"{name}_gap", f"{name}_overdue"]
            for days in sorted(set(self.days)):
                names += [f"{name}_{what}_{days}" for what in ("rows", "days", *(what for _, what in events.counted))]
            names += [f"{name}_trend"]
        return names

    @property
    def categories(self) -> list[str]:
        """Names of the categories that a model sees."""
        return [f"{attributes.source}_{column}" for attributes in self.attributes for column in attributes.columns]


BASELINES = {"classify": ["past events", "base rate"], "regress": ["as before", "own average", "mean"]}
"""Rules to beat, by task. classify: who had most such events ever; the share of all. regress: the same as in as many days before the
night; his average over three times as many; the average of all."""

METRICS = {"classify": ("average_precision",), "regress": ("mae", "rmse")}
"""What may choose, by task; the first is usual."""
