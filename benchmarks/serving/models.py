"""Two small models without Spark, so that all of the REST API has something to answer with."""

import math

from nightfold.twins import baskets, folder, predictions

import pyarrow as pa
import pyarrow.parquet as pq

IDS = ["bread", "butter", "cheese", "milk"]
CLUB = "club"
CLUB_FILE = f"""\
pipeline: {CLUB}
description: What a member will pay.
task: regress
sources:
  visits:
    format: csv
    path: "{{ds}}.csv"
    columns: {{member: {{required: true}}, day: {{type: date, required: true}}, paid: {{type: double}}}}
predict:
  key: member
  population: visits
  events: {{visits: {{source: visits, time: day, sums: [paid]}}}}
  label: {{of: visits, sum: paid}}
schedule: {{start: 2017-01-01}}
"""


def write_baskets(lake: str, name: str) -> str:
    """A model of baskets; returns its folder below the lake."""
    content = pa.BufferOutputStream()
    of = pa.StructArray.from_arrays([pa.array(["bakery", "dairy", "dairy", "dairy"])], ["shelf"])
    factors = pa.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [1.0, 0.0]], pa.list_(pa.float32()))
    numbers = {"popularity": [4.0, 3.0, 2.0, 1.0], "place": [0, 1, 2, 3]}
    pq.write_table(pa.table({"id": IDS, "available": [True] * 4, **numbers, "factors": factors, "of": of}), content)
    document = baskets.Document(factors=2, alpha=1.0, regularization=1.0, columns=["shelf"])
    folder.write(f"{lake}/{name}", document, {baskets.ITEMS: content.getvalue().to_pybytes()})
    return name


def write_predictions(lake: str, name: str) -> str:
    """A model of predictions: of a number and a category."""
    document = predictions.Document(
        numbers=[predictions.Number(name="visits", median=math.e - 1, mean=0.0, scale=1.0)],
        unused=[],
        crosses=[],
        categories=[predictions.Category(name="town", values=["lower", "upper"])],
        model=predictions.Linear(coefficients=[1.0, 0.0, 10.0, 0.0], intercept=100.0),
        calibration=None,
        answer="number",
    )
    folder.write(f"{lake}/{name}", document, {})
    return name
