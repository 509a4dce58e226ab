"""A pipeline as a typed model: what one YAML file in `pipelines/` may say."""

from datetime import date, timedelta
from graphlib import CycleError, TopologicalSorter
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from nightfold.pipeline.base import Part
from nightfold.pipeline.families import Families, GradientBoosting, Linear
from nightfold.pipeline.gate import Gate
from nightfold.pipeline.predict import BASELINES, METRICS, Predict, WriteBack
from nightfold.pipeline.recommend import Recommend
from nightfold.pipeline.sources import Column, ConnectionId, Name, Source, TableSource, Through

from croniter import croniter
from pydantic import Field, field_validator, model_validator

RANKING = ("ndcg", "recall", "map")
Memory = Annotated[str, Field(pattern=r"^[1-9][0-9]*[mg]$")]


class Split(Part):
    """Training, validation and test sets by time, in days before the night; nothing is split at random."""

    test_days: int = Field(default=28, ge=1)
    """The last days: never used for choosing, judged once by `evaluate`."""
    validation_days: int = Field(default=28, ge=1)
    """Length of each validation window before them."""
    folds: int = Field(default=3, ge=2, le=12)
    """Rolling-origin folds: each trains on the days before its validation window only."""


class Training(Part):
    """How the model is chosen."""

    metric: Literal["ndcg", "recall", "map", "average_precision", "mae", "rmse"] | None = None
    """What chooses. recommend: ndcg (absent), recall or map; classify: average_precision; regress: mae (absent) or rmse."""
    k: int = Field(default=10, ge=1, le=100)
    """The metric is taken over the first k of a list drawn from the whole catalogue."""
    families: Families = Families(xgboost=GradientBoosting(max_depth=[4, 6]), linear=Linear())
    """What is tried; at least 4 points in sum."""
    windows: int = Field(default=3, ge=1, le=60)
    """A model learns from so many windows, as far as the history goes: the latest before what it is judged on."""
    negatives: float = Field(default=0.1, gt=0, le=1)
    """Share of the candidates that did not come true that a model learns from. It is judged on all, always."""
    parallelism: int = Field(default=2, ge=1, le=64)
    """Models fitted at once."""
    seed: int = Field(default=20171203, ge=0, lt=2**32)

    @model_validator(mode="after")
    def _a_grid_worth_the_name(self) -> "Training":
        if len(self.families.points) < 4:
            raise ValueError(f"the families have {len(self.families.points)} points; give at least 4")
        return self


class Publish(Part):
    """Where the lists go."""

    connection: ConnectionId = "kv_default"
    keep: int = Field(default=3, ge=2, le=50)
    """How many promoted versions stay, for rollback; and as many that were staged and never promoted."""
    batch: int = Field(default=500, ge=1, le=10000)
    """Keys written by one command."""


class Retention(Part):
    """What the maintenance DAG removes. What live or a rollback needs stays, whatever is said here."""

    attempts_days: int = Field(default=2, ge=1)
    """Attempts that never counted, or that a later one has replaced: removed when they began so many days ago."""
    nights_days: int | None = Field(default=None, ge=1)
    """Features, models, evaluations, scores, reports and MLflow runs of nights older than so many days go; absent: kept."""
    raw_days: int | None = Field(default=None, ge=1)
    """Raw and rejected rows of nights older than so many days go; their clean rows stay. Absent: as long as clean rows."""
    clean_days: int | None = Field(default=None, ge=1)
    """A night learns from so many days, itself included, and rows of older ones go. Needs nights_days. Absent: all days, all kept."""

    @model_validator(mode="after")
    def _rows_outlive_what_names_them(self) -> "Retention":
        if self.clean_days is not None and self.nights_days is None:
            raise ValueError("clean_days needs nights_days: a night that is kept keeps the rows that it was made from")
        if self.clean_days is not None and (self.raw_days or 0) > self.clean_days:
            raise ValueError(f"raw_days {self.raw_days} is more than clean_days {self.clean_days}: raw rows go with the clean ones")
        return self


EVERY = ["*"]
"""A field of a cron expression, as croniter expands it, that leaves nothing out."""


class Schedule(Part):
    """When the night is taken."""

    cron: str | None = None
    """Once a day, in the pipeline's time zone. Absent: only by hand, for Airflow fills back only what has a clock."""
    start: date
    """The first night."""
    until: date | None = None
    """The last night that is taken by the clock; later ones only by hand."""

    @field_validator("cron")
    @classmethod
    def _cron_is_valid(cls, value: str | None) -> str | None:
        if value is not None and not (croniter.is_valid(value) and len(value.split()) == 5):
            raise ValueError("is not a cron expression of five fields, such as '30 2 * * *'")
        if value is not None:
            minute, hour, *days = croniter.expand(value)[0]
            # oftener, a night would be a day that is not over; more seldom, the day on which Airflow's interval starts is long past
            if EVERY in (minute, hour) or (len(minute), len(hour)) != (1, 1) or days != [EVERY] * 3:
                raise ValueError("is not once a day, as a night is: give one minute and one hour, such as '30 2 * * *'")
        return value

    @model_validator(mode="after")
    def _it_ends_after_it_starts(self) -> "Schedule":
        if self.until is not None and self.until < self.start:
            raise ValueError(f"until {self.until} is before start {self.start}")
        return self


FIELDS_OF_SPARK = {
    "spark.driver.memory": "driver_memory",
    "spark.executor.memory": "executor_memory",
    "spark.executor.cores": "executor_cores",
    "spark.executor.instances": "num_executors",
    "spark.sql.shuffle.partitions": "shuffle_partitions",
}
"""Settings that have a field of their own: said twice, one of the two would count without a word, and not the same one for all."""


class Resources(Part):
    """What each Spark job gets, and how its task is retried."""

    driver_memory: Memory = "2g"
    executor_memory: Memory | None = None
    executor_cores: int | None = Field(default=None, ge=1)
    num_executors: int | None = Field(default=None, ge=1)
    shuffle_partitions: int = Field(default=8, ge=1)
    conf: dict[str, str] = {}
    """Further Spark settings. No secrets: they are logged."""
    retries: int = Field(default=2, ge=0, le=10)
    retry_minutes: float = Field(default=2, gt=0)
    """Wait before the first retry; doubled each time."""
    timeout_minutes: float = Field(default=60, gt=0)
    """Time limit of one try of one stage."""

    @field_validator("conf")
    @classmethod
    def _nothing_is_said_twice(cls, value: dict[str, str]) -> dict[str, str]:
        for setting, field in FIELDS_OF_SPARK.items():
            if setting in value:
                raise ValueError(f"{setting} has a field of its own: say resources.{field}")
        return value


class Pipeline(Part):
    """One pipeline: one YAML file, one DAG."""

    pipeline: Name
    """Its name: the file's name without .yaml."""
    description: str
    owner: str = "nightfold"
    timezone: str = "UTC"
    """A day is a day in this time zone."""
    task: Literal["recommend", "classify", "regress"]
    sources: dict[Name, Source] = Field(min_length=1)
    recommend: Recommend | None = None
    """Of the task `recommend`."""
    predict: Predict | None = None
    """Of the tasks `classify` and `regress`."""
    split: Split = Split()
    training: Training = Training()
    gate: Gate = Gate()
    publish: Publish = Publish()
    retention: Retention = Retention()
    schedule: Schedule
    resources: Resources = Resources()

    @field_validator("timezone")
    @classmethod
    def _zone_exists(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:  # OSError: a part of the world, such as Europe
            raise ValueError("is not a time zone, such as Europe/Berlin or UTC") from error
        return value

    @model_validator(mode="after")
    def _history_is_long_enough(self) -> "Pipeline":
        days, needed = self.retention.clean_days, self.split.test_days + (self.split.folds + 2) * self.split.validation_days
        if days is not None and days < needed:
            raise ValueError(f"retention.clean_days: {days} are too few: the split needs {needed} days of history")
        return self

    @model_validator(mode="after")
    def _the_task_is_described(self) -> "Pipeline":
        wanted, other = ("recommend", "predict") if self.task == "recommend" else ("predict", "recommend")
        if getattr(self, wanted) is None:
            raise ValueError(f"{wanted}: missing: it describes the task {self.task}")
        if getattr(self, other) is not None:
            raise ValueError(f"{other}: does not belong to the task {self.task}: take it out")
        fitting = RANKING if self.task == "recommend" else METRICS[self.task]
        if self.training.metric not in (None, *fitting):
            raise ValueError(f"training.metric: {self.training.metric} is not for {self.task}; there are: {', '.join(fitting)}")
        if self.predict is not None and self.split.validation_days != self.split.test_days:
            raise ValueError(f"split.validation_days: must be as long as test_days ({self.split.test_days}): what is predicted")
        if unknown := [name for name in self.gate.beat or {} if name not in self.baselines]:
            raise ValueError(f"gate.beat: {unknown[0]!r} is no baseline; there are: {', '.join(self.baselines)}")
        return self

    @model_validator(mode="after")
    def _names_lead_somewhere(self) -> "Pipeline":
        for name, source in self.sources.items():
            for reference in source.references:
                self._column(f"sources.{name}.references", reference.source, reference.source_column)
                if reference.source == name and reference.missing == "refuse":
                    raise ValueError(
                        f"sources.{name}.references: {reference.to!r} is of the source itself, whose rows are not clean yet: "
                        "say missing: keep"
                    )
        self.sources_in_order()
        if self.recommend is not None:
            self._check_recommend(self.recommend)
        if self.predict is not None:
            self._check_predict(self.predict)
        return self

    def _check_recommend(self, task: Recommend) -> None:
        taken = task.interactions
        for field in ("user", "item", "time", "basket", "weight", "amount", "discount", "rating"):
            column_name = getattr(taken, field)
            if column_name is None:
                continue
            self._column(f"recommend.interactions.{field}", taken.source, column_name)
            if field == "time":
                self._when("recommend.interactions.time", taken.source, column_name)
            if field in ("user", "item"):
                self._id(f"recommend.interactions.{field}", taken.source, column_name)
            if field in ("weight", "amount", "discount", "rating"):
                self._number(f"recommend.interactions.{field}", taken.source, column_name)
        if not self.sources[taken.source].nightly:
            raise ValueError(f"recommend.interactions.source: {taken.source!r} must be delivered nightly")
        if (items := task.items) is not None:
            if self._column("recommend.items.id", items.source, items.id).type != "string":
                raise ValueError(f"recommend.items.id: declare {items.source}.{items.id} as {{type: string}}: ids are opaque")
            for field, column_name in (("title", items.title), ("category", items.category)):
                if column_name is not None:
                    self._column(f"recommend.items.{field}", items.source, column_name)
            for column_name in items.attributes:
                self._column("recommend.items.attributes", items.source, column_name)
            for column_name in items.available:
                self._column("recommend.items.available", items.source, column_name)
        if (users := task.users) is not None:
            self._id("recommend.users.id", users.source, users.id)
            self._snapshot("recommend.users.source", users.source)
            for column_name in users.attributes:
                self._column("recommend.users.attributes", users.source, column_name)
        if (promotions := task.promotions) is not None:
            self._column("recommend.promotions.item", promotions.source, promotions.item)
            timed = self._timed("recommend.promotions", promotions.source, promotions.through)
            for field in ("first", "last"):
                self._time(f"recommend.promotions.{field}", timed, getattr(promotions, field))

    def _check_predict(self, task: Predict) -> None:
        for name, events in task.events.items():
            field = f"predict.events.{name}"
            self._id(f"{field}: predict.key", events.source, task.key)
            self._when(f"{field}.time", self._timed(field, events.source, events.through), events.time)
            for column_name in events.sums:
                self._number(f"{field}.sums", events.source, column_name)
            for column_name in events.distinct:
                self._column(f"{field}.distinct", events.source, column_name)
        for attributes in task.attributes:
            self._id("predict.attributes: predict.key", attributes.source, task.key)
            self._snapshot("predict.attributes.source", attributes.source)
            for column_name in attributes.columns:
                self._column("predict.attributes.columns", attributes.source, column_name)

    def _id(self, field: str, source: str, column_name: str) -> None:
        column = self._column(field, source, column_name)
        if column.type != "string" or not column.required:
            raise ValueError(f"{field}: declare {source}.{column_name} as {{type: string, required: true}}: ids are opaque")

    def _number(self, field: str, source: str, column_name: str) -> None:
        column = self._column(field, source, column_name)
        if not column.numeric:
            raise ValueError(f"{field}: {column_name!r} must be a number, not {column.type}")

    def _snapshot(self, field: str, source: str) -> None:
        if self.sources[source].nightly:
            raise ValueError(f"{field}: {source!r} must be a snapshot; facts of days are events")

    def _timed(self, field: str, source: str, through: Through | None) -> str:
        """The source in which the days of a source's rows stand."""
        if through is None:
            return source
        for one in (source, through.source):
            self._column(f"{field}.through.column", one, through.column)
        return through.source

    def _when(self, field: str, source: str, column_name: str) -> None:
        self._time(field, source, column_name)
        column = self.sources[source].columns[column_name]
        if not column.required:
            raise ValueError(
                f"{field}: declare {source}.{column_name} as {{type: {column.type}, required: true}}: a row of no day counts nowhere"
            )

    def _time(self, field: str, source: str, column_name: str) -> None:
        kind = self._column(field, source, column_name).type
        if kind not in ("date", "timestamp"):
            raise ValueError(f"{field}: {column_name!r} must be a date or timestamp, not {kind}")

    def _column(self, field: str, source: str, column: str) -> Column:
        if source not in self.sources:
            raise ValueError(f"{field}: no source {source!r}; there are: {', '.join(self.sources)}")
        if column not in self.sources[source].columns:
            raise ValueError(
                f"{field}: source {source!r} has no column {column!r}; it has: {', '.join(self.sources[source].columns)}"
            )
        return self.sources[source].columns[column]

    def history(self, ds: str) -> str:
        """The oldest night that night `ds` may learn from."""
        days = self.retention.clean_days
        limit = date.fromisoformat(ds) - timedelta(days=days - 1) if days is not None else date.min
        return str(limit)

    def sources_in_order(self) -> list[str]:
        """Names of the sources, each after those that it refers to."""
        wanted = {name: {r.source for r in source.references if r.source != name} for name, source in self.sources.items()}
        try:
            return list(TopologicalSorter(wanted).static_order())
        except CycleError as error:
            raise ValueError(f"sources: references go round in a circle: {' → '.join(error.args[1])}") from error

    @property
    def connections(self) -> list[str]:
        """Ids of the Airflow Connections that its jobs need, sorted."""
        tables = {s.connection for s in self.sources.values() if isinstance(s, TableSource)}
        written = {self.write.connection} if self.write is not None else set()
        return sorted(tables | written | {self.publish.connection})

    @property
    def write(self) -> WriteBack | None:
        """Where its predictions go, too."""
        return self.predict.write if self.predict is not None else None

    @property
    def metric(self) -> str:
        """What chooses."""
        return self.training.metric or (RANKING if self.task == "recommend" else METRICS[self.task])[0]

    @property
    def asked(self) -> dict[str, Any]:
        """What a model of it answers: one that has learned to answer something else is no help."""
        if self.recommend is not None:
            taken = self.recommend.interactions
            return {"new": self.recommend.filters.exclude_seen, "rating": taken.rating, "liked": taken.liked}
        return {"task": self.task, "label": self._predict.label.model_dump(), "days": self.split.test_days}

    @property
    def measured(self) -> dict[str, Any]:
        """What a figure of its metric is of: figures of something else cannot be held against it."""
        lists = {"k": self.training.k, "filters": self.recommend.filters.model_dump()} if self.recommend is not None else {}
        return {"asked": self.asked, "metric": self.metric, "days": self.split.test_days, **lists}

    @property
    def baselines(self) -> list[str]:
        """Rules to beat, the strongest of most shops first."""
        return self.recommend.baselines if self.recommend is not None else BASELINES[self.task]

    @property
    def person(self) -> str:
        """The column that says whom a row is about."""
        return self.recommend.interactions.user if self.recommend is not None else self._predict.key

    def person_of(self, source: str) -> str:
        """The same of a source's rows; it may have no such column."""
        users = self.recommend.users if self.recommend is not None else None
        return users.id if users is not None and users.source == source else self.person

    def roles(self, source: str) -> dict[str, str]:
        """What columns of a source mean: `user`, `item`, `basket`, `time`; nothing of one that tells of no events."""
        if self.recommend is not None:
            taken = self.recommend.interactions
            named = {role: getattr(taken, role) for role in ("user", "item", "basket", "time")} if taken.source == source else {}
            return {role: column for role, column in named.items() if column is not None}
        events = self._predict.events[self._predict.population]
        return {"user": self._predict.key, "time": events.time} if events.source == source and events.through is None else {}

    @property
    def _predict(self) -> Predict:
        assert self.predict is not None  # noqa: S101 (checked when it was read)
        return self.predict
