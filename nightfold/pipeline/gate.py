"""The gate of a pipeline file: what tonight's model must show before its lists are published."""

from nightfold.pipeline.base import Part

from pydantic import Field


class Gate(Part):
    """Tonight's model, the challenger, is promoted when it passes. One that a baseline beats, or that is worse than the champion (the
    recipe that is served), is held: the champion scores tonight's data, on the first night the best baseline. Where the champion is no
    better, or the data are not to be trusted, the night is refused: nothing is published, live stays."""

    certainty: float = Field(default=0.95, ge=0.5, le=0.999)
    """Of the paired intervals by which systems are compared."""
    beat: dict[str, float] | None = None
    """Baseline → by how much of the metric it must be beaten: the interval's lower end is above this. Absent: every baseline, by 0."""
    champion: float = -0.01
    """By how much of the metric, on average, the champion must be beaten; below 0: how much worse a challenger may be at most. In the
    metric's own unit: of an error, what is predicted."""
    too_good: float = Field(default=0.95, gt=0, le=1)
    """A metric above this share of what a perfect ordering of the candidates reaches is a leak, not learning; so is an error of which
    this share of the worst baseline's is gone."""
    jump: float = Field(default=0.5, gt=0)
    """The metric may be so much above that of the champion on its own night, as a share of it; more is a leak."""
    users: float = Field(default=0.8, ge=0, le=1)
    """Share of the champion's night's users that tonight must know, and of its active users that must be active now."""
    last_day: float = Field(default=0.55, ge=0, le=1)
    """Share of the usual users (the median of the same weekday in the four weeks before) that the last day must have."""
    same_day: float = Field(default=0.9, gt=0, le=1)
    """When so much of the last day was taken by the same users on the day before it, it was delivered twice."""
    same_list: float = Field(default=0.5, gt=0, le=1)
    """Share of the users who may get one and the same list."""
    unchanged_nights: int = Field(default=3, ge=1)
    """So many nights in a row without a single list that differs stop the next."""
    churn: float | None = Field(default=None, gt=0, le=1)
    """Share of the lists' items that may differ from the champion's lists; absent: any."""
