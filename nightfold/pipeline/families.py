"""The families of models that a training may try, and the values to try: the grid is all of them together."""

from itertools import product
from typing import Annotated, Any

from nightfold.pipeline.base import Part

from pydantic import Field, model_validator

Whole = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(gt=0, le=1)]


class GradientBoosting(Part):
    """Gradient-boosted trees (XGBoost's Spark estimators); names as XGBoost has them."""

    n_estimators: list[Whole] = Field(default=[100], min_length=1)
    """Trees."""
    max_depth: list[Whole] = Field(default=[6], min_length=1)
    learning_rate: list[Share] = Field(default=[0.1], min_length=1)
    min_child_weight: list[Annotated[float, Field(ge=0)]] = Field(default=[20.0], min_length=1)
    subsample: list[Share] = Field(default=[0.8], min_length=1)
    """Share of the rows that each tree sees."""
    colsample_bytree: list[Share] = Field(default=[0.6], min_length=1)
    """Share of the features that each tree sees."""


class Linear(Part):
    """Logistic regression, or linear regression for numbers; names as Spark ML has them."""

    reg_param: list[Annotated[float, Field(ge=0)]] = Field(default=[0.001, 0.1], min_length=1)
    elastic_net_param: list[Annotated[float, Field(ge=0, le=1)]] = Field(default=[0.0], min_length=1)
    """0: ridge; 1: lasso."""


class Families(Part):
    """At least one; a family that is not named is not tried."""

    xgboost: GradientBoosting | None = None
    linear: Linear | None = None

    @model_validator(mode="after")
    def _at_least_one(self) -> "Families":
        if not self.points:
            raise ValueError("name at least one of xgboost and linear")
        return self

    @property
    def points(self) -> list[dict[str, Any]]:
        """Every combination to try: `family`, and its parameters by name."""
        found = []
        for name in type(self).model_fields:
            if (family := getattr(self, name)) is not None:
                grid = {key: sorted(set(values)) for key, values in family.model_dump().items()}
                found += [{"family": name, **dict(zip(grid, values, strict=True))} for values in product(*grid.values())]
        return found
