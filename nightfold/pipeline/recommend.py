"""The task `recommend` of a pipeline file: for every user a list of items."""

from itertools import product
from typing import Annotated, Any, Literal

from nightfold.pipeline.base import Part
from nightfold.pipeline.sources import Name, Through

from pydantic import Field, model_validator


class Interactions(Part):
    """Which rows say that a user took an item, and when."""

    source: Name
    user: str
    item: str
    time: str
    basket: str | None = None
    """Rows of one basket are one occasion: a basket counts an item once, whatever the quantity (litres of fuel)."""
    weight: str | None = None
    """How often a row counts, a whole number: plays of a day, pieces that were read. Absent: once. Not together with `basket`."""
    amount: str | None = None
    """What was paid: prices become features."""
    discount: str | None = None
    """What was taken off the price; 0 or NULL: nothing."""
    rating: str | None = None
    """How he liked it, a number: only what he liked counts as taken. What he did not like is still seen."""
    liked: float = 4.0
    """Ratings from this on say that he liked it."""

    @model_validator(mode="after")
    def _counts_in_one_way(self) -> "Interactions":
        if self.weight is not None and self.basket is not None:
            raise ValueError("weight and basket: a basket counts an item once, a weight says how often: name one of them")
        return self


class Items(Part):
    """The catalogue: which items exist, and which may be listed."""

    source: Name
    id: str
    title: str | None = None
    category: str | None = None
    attributes: list[str] = []
    """Further columns whose values group items, from broad to fine: what a user takes of a group says what suits him."""
    available: dict[str, list[str]] = {}
    """Column → values. An item whose row says otherwise is not listed."""

    @property
    def grouping(self) -> list[str]:
        """The columns whose values group items: the category, then the attributes."""
        return [*([self.category] if self.category is not None else []), *self.attributes]


class Users(Part):
    """What is known of the users, as tonight's snapshot has it: what is popular among those alike is a feature of the ranker."""

    source: Name
    id: str
    attributes: list[str] = Field(min_length=1, max_length=10)
    """Columns of few values (age group, region): users of one value are alike. By the first one candidates are named, too."""


class Promotions(Part):
    """Which items are promoted on which days. Of a night, or an earlier cutoff, only what runs on that day is seen."""

    source: Name
    item: str
    first: str
    """A date or timestamp: the first day; with `through`, a column of that source."""
    last: str
    through: Through | None = None


class Filters(Part):
    """What never gets on a list."""

    exclude_seen: bool = False
    """true: only items new to the user (films); false: buying again is welcome (groceries)."""
    only_catalogue: bool = True
    """List only items that have a row in `items`."""
    never: list[str] = []
    """Ids of items never to list."""
    sold_within_days: int | None = Field(default=None, ge=1)
    """An item that nobody took for so many days before the night counts as unavailable."""


class CandidateLimits(Part):
    """How many items each source may name for one user; what none of them names cannot be listed."""

    repeats: int = Field(default=60, ge=0, le=1000)
    """What he took before, by how often: of all time, and lately (so many by each). Not used with exclude_seen."""
    als: int = Field(default=30, ge=0, le=1000)
    """By collaborative filtering."""
    together: int = Field(default=20, ge=0, le=1000)
    """What goes with what he takes."""
    popular: int = Field(default=20, ge=1, le=1000)
    """What most take now: in the last `recent_days`, and in the last week (so many by each)."""
    overall: int = Field(default=20, ge=0, le=1000)
    """What most have taken of all time."""
    segment: int = Field(default=20, ge=0, le=1000)
    """What users alike take most now: of the same value of the first of `users.attributes`."""
    recent_days: Literal[7, 28, 84, 364] = 84
    """The days that say what is popular now."""
    together_days: int = Field(default=84, ge=1)
    """The days that say what goes together."""


Factors = Annotated[int, Field(ge=1, le=512)]
Penalty = Annotated[float, Field(ge=0)]
Confidence = Annotated[float, Field(gt=0)]
Iterations = Annotated[int, Field(ge=1, le=100)]
MOST_POINTS = 64


class Als(Part):
    """Collaborative filtering: a source of candidates, and a feature of the ranker.

    Where several values are given, each combination is fitted as of every fold's cutoff, and that whose lists are best is taken.
    """

    factors: Factors | list[Factors] = 32
    """Length of a user's and an item's vector."""
    regularization: Penalty | list[Penalty] = 10.0
    alpha: Confidence | list[Confidence] = 1.0
    """Confidence of one basket."""
    iterations: Iterations | list[Iterations] = 6
    engine: Literal["auto", "implicit", "mllib"] = "auto"
    """implicit: each fit in one worker, many times faster; mllib: Spark's own, on all of them; auto: by the number of rows."""
    one_worker: int = Field(default=50_000_000, ge=0)
    """Rows (of a user, item and day) up to which `auto` takes one worker: about 40 bytes of its memory each."""

    @model_validator(mode="after")
    def _some_points(self) -> "Als":
        if not 1 <= len(self.points) <= MOST_POINTS:
            raise ValueError(f"{len(self.points)} combinations to try: give 1 to {MOST_POINTS}")
        return self

    @property
    def points(self) -> list[dict[str, Any]]:
        """Every combination to try."""
        given = {name: getattr(self, name) for name in ("factors", "regularization", "alpha", "iterations")}
        grid = {name: sorted(set(value)) if isinstance(value, list) else [value] for name, value in given.items()}
        return [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]


class Mix(Part):
    """Rules that a list keeps, whatever the scores: each place gets the best item left that breaks none."""

    repeats: float = Field(default=1.0, ge=0, le=1)
    """At most this share of a list, from its top to any place, is what the user took before (rounded up)."""
    per_category: int | None = Field(default=None, ge=1)
    """At most so many items of one category on a list."""


class Recommend(Part):
    """The task: for every user a list of items."""

    interactions: Interactions
    items: Items | None = None
    users: Users | None = None
    promotions: Promotions | None = None
    filters: Filters = Filters()
    candidates: CandidateLimits = CandidateLimits()
    als: Als = Als()
    mix: Mix = Mix()
    top_n: int = Field(default=20, ge=1, le=1000)
    """Length of every list."""
    verb: str = Field(default="bought", min_length=1, max_length=30)
    """What a user has done who took an item, as `why` says it: bought, played, read, borrowed."""

    @model_validator(mode="after")
    def _rules_have_what_they_need(self) -> "Recommend":
        if self.mix.per_category is not None and (self.items is None or self.items.category is None):
            raise ValueError("mix.per_category needs items.category: name the column of the category")
        return self

    @property
    def baselines(self) -> list[str]:
        """Rules to beat, the strongest of most shops first: what he bought most often; what most take now; ALS alone."""
        return ["popularity", "als"] if self.filters.exclude_seen else ["personal frequency", "popularity", "als"]
