"""The twin of a model of classify or regress: rows of features in, a probability or a number each out, as Spark's own model says.

It does what nightfold/spark/predict/predictor.py has fitted, in the same order and with the same formulas: medians, sign(x) ln(1 + |x|),
crosses, standard scores, a column for each value of a category and one for all others, the model, and its calibrated answer.
Doubles as in Spark; XGBoost's features and margins are 32-bit, as in XGBoost's own Spark estimators.
"""

from collections.abc import Callable, Mapping, Sequence
from types import NoneType
from typing import Annotated, Any, Literal

from nightfold.errors import BadInput
from nightfold.twins import folder
from nightfold.twins.folder import near, quoted

import numpy as np
from pydantic import Field, model_validator

BOOSTER = "booster.ubj"  # in XGBoost's own format
Row = Mapping[str, float | str | None]


class Number(folder.Part):
    """A feature that is a number: what stands for it where it is not known, and its logarithm's standard score: (x - mean) * scale."""

    name: str
    median: float
    mean: float
    scale: float


class Cross(folder.Part):
    """The product of two numbers' logarithms, and its standard score."""

    of: tuple[str, str]
    mean: float
    scale: float


class Category(folder.Part):
    """A feature that is a text; a value that is not among these counts as not known."""

    name: str
    values: list[str]


class Linear(folder.Part):
    """A sum with weights."""

    family: Literal["linear"] = "linear"
    coefficients: list[float]
    intercept: float


class Boosted(folder.Part):
    """Trees, in the file BOOSTER."""

    family: Literal["xgboost"] = "xgboost"


class Document(folder.Document):
    """The vector that the model sees: numbers, then crosses, then the categories' columns."""

    kind: Literal["predictions"] = "predictions"
    numbers: list[Number]
    unused: list[str]
    """Numbers that nobody had on its night: they may be given, and say nothing."""
    crosses: list[Cross]
    categories: list[Category]
    model: Annotated[Linear | Boosted, Field(discriminator="family")]
    calibration: Linear | None
    """Of both margins, the negative one first; None: probabilities are the model's own."""
    answer: Literal["probability", "logarithm", "number"]
    """logarithm: the model says it of the number that is meant."""

    @property
    def needs(self) -> set[str]:
        return {BOOSTER} if isinstance(self.model, Boosted) else set()

    @property
    def width(self) -> int:
        """Columns of the vector."""
        return len(self.numbers) + len(self.crosses) + sum(len(category.values) + 1 for category in self.categories)

    @model_validator(mode="after")
    def _everything_fits(self) -> "Document":
        if isinstance(self.model, Linear) and len(self.model.coefficients) != self.width:
            raise ValueError(f"model: {len(self.model.coefficients)} coefficients for {self.width} columns")
        if self.calibration is not None and (len(self.calibration.coefficients), self.answer) != (2, "probability"):
            raise ValueError("calibration: is of two margins, and of probabilities")
        names = {number.name for number in self.numbers}
        if missing := [name for cross in self.crosses for name in cross.of if name not in names]:
            raise ValueError(f"crosses: no number {missing[0]!r}")
        return self


class Predictions:
    """A twin in memory; may be asked by several threads at once."""

    def __init__(self, document: Document, files: Mapping[str, bytes]) -> None:
        self.document = document
        self._numbers = [number.name for number in document.numbers]
        self._known = {*self._numbers, *document.unused, *(category.name for category in document.categories)}
        self._codes = {
            category.name: {value: code for code, value in enumerate(category.values)} for category in document.categories
        }
        self._medians = np.array([number.median for number in document.numbers])
        self._crossed = [tuple(self._numbers.index(name) for name in cross.of) for cross in document.crosses]
        scaled = (*document.numbers, *document.crosses)
        self._means, self._scales = (np.array([getattr(each, name) for each in scaled]) for name in ("mean", "scale"))
        self._model = _margins(document, files)

    @classmethod
    def load(cls, uri: str) -> "Predictions":
        """Read a twin's folder on the lake. Raises BadInput in one line when it is none, or of another format."""
        return cls(*folder.read(uri, Document))

    @property
    def features(self) -> dict[str, Any]:
        """What a row may hold: {"numbers": [name], "categories": {name: [known values]}}."""
        return {
            "numbers": [*self._numbers, *self.document.unused],
            "categories": {category.name: category.values for category in self.document.categories},
        }

    def predict(self, rows: Sequence[Row]) -> list[float]:
        """One answer per row: the probability of class 1, or the number; a feature that is null, or left out, is not known.

        As in Spark, a number far beyond all that was learned from may give infinity. Raises BadInput, which names row and field.
        """
        self._check(rows)
        margins = self._model(self._inputs(rows)) if rows else np.zeros(0)
        return [float(value) for value in self._answers(margins)]

    def _check(self, rows: Sequence[Row]) -> None:
        for place, row in enumerate(rows):
            if not isinstance(row, Mapping):
                raise BadInput(f"row {place}: is {quoted(row)}: give an object, each feature by its name")
            if not row.keys() <= self._known:
                name = next(name for name in row if name not in self._known)
                raise BadInput(f"row {place}, {quoted(name)}: no such feature: {near(name, sorted(self._known))}")

    def _inputs(self, rows: Sequence[Row]) -> np.ndarray:
        """(N, columns) what the model sees."""
        for name in self.document.unused:
            _as_numbers(rows, name)
        known = np.empty((len(rows), len(self._numbers)))
        for column, name in enumerate(self._numbers):
            known[:, column] = _as_numbers(rows, name)
        known = np.where(np.isnan(known), self._medians, known)
        logs = np.sign(known) * np.log(1 + np.abs(known))  # not log1p: Spark's model has learned from ln(1 + |x|)
        crosses = [logs[:, one] * logs[:, other] for one, other in self._crossed]
        scaled = (np.column_stack([logs, *crosses]) - self._means) * self._scales
        ones = [_one_hot(_as_codes(rows, name, codes), len(codes) + 1) for name, codes in self._codes.items()]
        return np.hstack([scaled, *ones])

    def _answers(self, margins: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):  # exp of what is far off: a probability of 0 or 1, or infinity
            if self.document.answer == "number":
                return margins
            if self.document.answer == "logarithm":
                margins = margins.astype(np.float64)
                return np.sign(margins) * np.expm1(np.abs(margins))
            if (calibration := self.document.calibration) is not None:
                both = np.column_stack([-margins, margins]).astype(np.float64)
                margins = both @ np.array(calibration.coefficients) + calibration.intercept
            return 1 / (1 + np.exp(-margins))


def _margins(document: Document, files: Mapping[str, bytes]) -> Callable[[np.ndarray], np.ndarray]:
    """From what the model sees (N, columns) to what it says of class 1, before it is a probability, or of the number: (N,)."""
    if isinstance(document.model, Linear):
        coefficients, intercept = np.array(document.model.coefficients), document.model.intercept
        return lambda inputs: inputs @ coefficients + intercept
    import xgboost  # here: a linear twin does without it

    try:
        booster = xgboost.Booster(model_file=bytearray(files[BOOSTER]))
    except xgboost.core.XGBoostError as error:
        raise BadInput(f"{BOOSTER}: XGBoost {xgboost.__version__} cannot read it ({quoted(str(error))}): {folder.MEND}") from error
    if booster.num_features() != document.width:
        raise BadInput(f"{BOOSTER}: has {booster.num_features()} features, the document {document.width}: {folder.MEND}")
    booster.set_param({"nthread": 1})  # a service has threads of its own; the answers are the same
    return lambda inputs: booster.inplace_predict(inputs.astype(np.float32), predict_type="margin")


def _as_numbers(rows: Sequence[Row], name: str) -> np.ndarray:
    """(N,) of one feature, NaN where it is not known."""
    values = [row.get(name) for row in rows]
    if all(issubclass(kind, int | float | NoneType) and kind is not bool for kind in set(map(type, values))):
        try:
            found = np.array(values, dtype=np.float64)
        except OverflowError:  # a whole number beyond all doubles
            found = np.array([])
        if np.isfinite(found).sum() == len(values) - values.count(None):
            return found
    place = next(place for place, value in enumerate(values) if value is not None and not _is_number(value))
    raise BadInput(
        f"row {place}, {name}: {quoted(values[place])} is no number: give a finite one without quotes, or null where it is not known"
    )


def _is_number(value: object) -> bool:
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and bool(np.isfinite(float(value)))
    except OverflowError:
        return False


def _as_codes(rows: Sequence[Row], name: str, codes: Mapping[str, int]) -> np.ndarray:
    """(N,) the place of each row's value of a category; that of all others comes last."""
    values = [row.get(name) for row in rows]
    if not set(map(type, values)) <= {str, type(None)}:
        place = next(place for place, value in enumerate(values) if not isinstance(value, str | None))
        said = quoted(values[place])
        raise BadInput(f"row {place}, {name}: {said} is no text: put it in quotes, or give null where it is not known")
    return np.array([codes.get(value, len(codes)) for value in values])  # type: ignore[arg-type] (None is no value)


def _one_hot(codes: np.ndarray, width: int) -> np.ndarray:
    found = np.zeros((len(codes), width))
    found[np.arange(len(codes)), codes] = 1.0
    return found
