"""Small twins on a lake: of a shop's baskets, and of a club's predictions."""

import math
from pathlib import Path

from nightfold.twins import baskets, folder, predictions

import pyarrow as pa
import pyarrow.parquet as pq

IDS = ["bread", "butter", "cheese", "milk"]
FACTORS = [[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [1.0, 0.0]]
SHELVES = ["bakery", "dairy", "dairy", "dairy"]


def shop_twin(lake: Path, name: str) -> str:
    """Of baskets; its folder below the lake."""
    content = pa.BufferOutputStream()
    of = pa.StructArray.from_arrays([pa.array(SHELVES)], ["shelf"])
    factors = pa.array(FACTORS, pa.list_(pa.float32()))
    columns = {
        "id": IDS,
        "available": [True] * 4,
        "popularity": [4.0, 3.0, 2.0, 1.0],
        "place": [0, 1, 2, 3],
        "factors": factors,
        "of": of,
    }
    pq.write_table(pa.table(columns), content)
    document = baskets.Document(factors=2, alpha=1.0, regularization=1.0, columns=["shelf"])
    folder.write(f"file://{lake}/{name}", document, {baskets.ITEMS: content.getvalue().to_pybytes()})
    return name


def club_twin(lake: Path, name: str, *, intercept: float) -> str:
    """Of predictions, which are the intercept plus the standard score of ln(1 + visits), and 10 in the upper town."""
    document = predictions.Document(
        numbers=[predictions.Number(name="visits", median=math.e - 1, mean=0.0, scale=1.0)],
        unused=[],
        crosses=[],
        categories=[predictions.Category(name="town", values=["lower", "upper"])],
        model=predictions.Linear(coefficients=[1.0, 0.0, 10.0, 0.0], intercept=intercept),
        calibration=None,
        answer="number",
    )
    folder.write(f"file://{lake}/{name}", document, {})
    return name
