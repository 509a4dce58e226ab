"""What a pipeline takes in: where each source is delivered, its columns, and its cleaning rules."""

import re
from datetime import date
from typing import Annotated, Literal

from nightfold.pipeline.base import Part

from pydantic import Field, field_validator, model_validator

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=63)]
ConnectionId = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]
_TYPE = re.compile(r"^(string|integer|double|boolean|date|timestamp|decimal\((\d{1,2}),\s*(\d{1,2})\))$")

_READ = "GyMLDdahHkKmsSVzOXxZ"  # letters of Spark's datetime patterns with which a text can be read
_HOURS = ("h", "H", "k", "K")


class Column(Part):
    """One column as the source delivers it, and what a valid value is."""

    type: str = "string"
    """string, integer, double, boolean, date, timestamp, or decimal(p,s). Ids are strings: leading zeros stay."""
    required: bool = False
    """Refuse a row in which this column is missing or blank."""
    optional: bool = False
    """The delivery may lack this column altogether; without this, a missing or renamed column stops the night."""
    also: list[str] = []
    """Other names under which it is delivered, such as a new one since the source renamed it; what was taken before stays as it is."""
    min: float | None = None
    """Refuse a smaller number."""
    max: float | None = None
    """Refuse a larger number."""
    allowed: list[str] | None = None
    """Refuse any other value."""
    format: str | None = None
    """How a date or timestamp is written (Spark's datetime pattern); ISO 8601 when absent."""

    @field_validator("type")
    @classmethod
    def _known_type(cls, value: str) -> str:
        match = _TYPE.match(value)
        if not match:
            raise ValueError("must be string, integer, double, boolean, date, timestamp or decimal(p,s)")
        if match[2] and not (1 <= int(match[2]) <= 38 and int(match[3]) <= int(match[2])):
            raise ValueError("decimal(p,s) needs 1 <= p <= 38 and s <= p")
        return value

    @field_validator("format")
    @classmethod
    def _pattern_can_be_read(cls, value: str | None) -> str | None:
        text = re.sub(r"'[^']*'", "", value or "")
        if "'" in text:
            raise ValueError("a single quote is opened and never closed: close it, or write two for one")
        letters = re.findall(r"([A-Za-z{}#])\1*", text)
        for before, letter in zip(["", *letters], letters, strict=False):
            if letter not in _READ:
                raise ValueError(
                    f"{letter!r} is no letter of a date that is read (years are yyyy, months MM, days dd, hours HH, minutes mm, "
                    "seconds ss): what stands as it is goes in single quotes"
                )
            if letter == "m" and before not in _HOURS:
                raise ValueError("'m' is the minute, and does not follow an hour: months are MM")
        if "D" in letters and {"M", "L", "d"} & {*letters}:
            raise ValueError("'D' is the day of the year, which does not go with a month: days of a month are dd")
        return value

    @model_validator(mode="after")
    def _rules_fit_the_type(self) -> "Column":
        if (self.min is not None or self.max is not None) and not self.numeric:
            raise ValueError(f"min and max are for numbers, not for {self.type}")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min} is greater than max {self.max}")
        if self.format is not None and self.type not in ("date", "timestamp"):
            raise ValueError(f"format is for date and timestamp, not for {self.type}")
        return self

    @property
    def spark_type(self) -> str:
        """The type's name in Spark SQL."""
        return {"integer": "bigint"}.get(self.type, re.sub(r"\s", "", self.type))

    @property
    def numeric(self) -> bool:
        return self.type.startswith(("integer", "double", "decimal"))


class Duplicates(Part):
    """Rows of one night that share a key are one fact, delivered more than once."""

    key: list[str] = Field(min_length=1)
    keep: Literal["first", "last"] = "last"
    """Which of them stays, by the order of `by`; a tie is broken by the other columns, never by order of arrival."""
    by: str | None = None


class Through(Part):
    """Where the days of a row stand, when they are in another source."""

    source: Name
    column: str
    """A column of both."""


class Reference(Part):
    """A column whose values should exist in another source."""

    column: str
    to: str = Field(pattern=r"^[a-z][a-z0-9_]*\.[^.]+$")
    """source.column"""
    missing: Literal["refuse", "keep"] = "keep"

    @property
    def source(self) -> str:
        return self.to.split(".", 1)[0]

    @property
    def source_column(self) -> str:
        return self.to.split(".", 1)[1]


class _Source(Part):
    delivery: Literal["nightly", "snapshot"] = "nightly"
    """nightly: each night's facts, delivered once. snapshot: a mutable table, copied whole each night."""
    columns: dict[str, Column] = Field(min_length=1)
    extra_columns: Literal["refuse", "ignore"] = "refuse"
    """What to do with a column that is delivered but not declared here."""
    empty: Literal["refuse", "accept"] = "refuse"
    """What to do with a delivery of no rows."""
    closed: list[date] = []
    """Days with nothing to deliver (closed shop): no delivery is expected."""
    changed: Literal["take", "keep", "refuse"] = "take"
    """Of a night that was taken and whose delivery has changed since: take it again, keep what was taken and say so, or stop the night."""
    gone: Literal["keep", "refuse"] = "keep"
    """Of a night that was taken and whose delivery is no longer there: keep what was taken and say so, or stop the night."""
    duplicates: Duplicates | None = None
    references: list[Reference] = []
    max_rejected: float = Field(default=0.02, ge=0, le=1)
    """Share of a night's rows that may be refused before the night stops."""

    @model_validator(mode="after")
    def _rules_name_columns(self) -> "_Source":
        named = [*(self.duplicates.key if self.duplicates else []), *(r.column for r in self.references)]
        if self.duplicates and self.duplicates.by:
            named.append(self.duplicates.by)
        for name in named:
            if name not in self.columns:
                raise ValueError(f"a rule names column {name!r}, which is not among columns: {', '.join(self.columns)}")
        for name in self.columns:
            if name.startswith("_") or name == "night":
                raise ValueError(f"column {name!r}: names starting with '_' and the name 'night' are Nightfold's own")
        names = [*self.columns, *(other for column in self.columns.values() for other in column.also)]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"also: {', '.join(twice)} names more than one column")
        return self

    @property
    def nightly(self) -> bool:
        return self.delivery == "nightly"

    def declared(self, delivered: str) -> str:
        """The column that is delivered under this name; the name itself when none is."""
        return next((name for name, column in self.columns.items() if delivered in column.also), delivered)


class FileSource(_Source):
    """Files in the landing place."""

    format: Literal["csv", "jsonl", "parquet"]
    path: str
    """Below NIGHTFOLD_LANDING, or a full URI. A nightly path holds {ds}, the night as YYYY-MM-DD."""
    delimiter: str = Field(default=",", min_length=1, max_length=1)
    """Of CSV: what stands between two values."""
    encoding: str = "UTF-8"
    """Of CSV: the character set, such as ISO-8859-1."""

    @model_validator(mode="after")
    def _path_says_the_night(self) -> "FileSource":
        if self.nightly and self.path.count("{ds}") != 1:
            raise ValueError("a nightly path must hold {ds} exactly once, as in sales/{ds}.csv")
        if not self.nightly and "{ds}" in self.path:
            raise ValueError("a snapshot is one file or folder: its path has no {ds}")
        if self.format != "csv" and (self.delimiter != "," or self.encoding != "UTF-8"):
            raise ValueError(f"delimiter and encoding are for csv, not for {self.format}")
        return self


class TableSource(_Source):
    """A table of a database: PostgreSQL or SQLite by ADBC, any other by a jdbc: URI."""

    format: Literal["table"]
    connection: ConnectionId
    """The Airflow Connection that holds the address and the password."""
    table: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?$")
    night_column: str | None = None
    """For nightly delivery: the date or timestamp column that says which night a row belongs to."""
    look_back: int = Field(default=0, ge=0, le=366)
    """For nightly delivery: how many nights before tonight are read again, and held against what was taken of them."""
    partition_by: str | None = None
    """An integer column to split the reading by; absent: one partition."""
    partitions: int = Field(default=1, ge=1, le=256)

    @model_validator(mode="after")
    def _partitions_and_nights(self) -> "TableSource":
        if self.nightly != (self.night_column is not None):
            raise ValueError("a nightly table needs night_column, and only a nightly one")
        if self.look_back and not self.nightly:
            raise ValueError("look_back is for nightly tables: a snapshot is copied whole each night")
        if self.partitions > 1 and not self.partition_by:
            raise ValueError("partitions > 1 needs partition_by, an integer column")
        for name in filter(None, (self.night_column, self.partition_by)):
            if name not in self.columns:
                raise ValueError(f"{name!r} is not among columns: {', '.join(self.columns)}")
        return self


Source = Annotated[FileSource | TableSource, Field(discriminator="format")]
