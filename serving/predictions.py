"""Predictions for posted rows, by the model that made the served version."""

import asyncio

from nightfold.errors import BadInput
from nightfold.twins.predictions import Predictions
from serving.access import guarded
from serving.configuration import MOST
from serving.finding import EXAMPLE, About, Named, Text, about, answer, champion, example, of_the_model
from serving.problems import Problem

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt
from starlette.responses import Response

router = APIRouter(prefix="/v1/pipelines/{pipeline}", tags=["predictions"], route_class=guarded("predictions"))
Value = StrictInt | StrictFloat | StrictBool | Text | None


class Rows(BaseModel):
    """Features by name; what is left out, or null, is not known."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"rows": [{"visits_rows_28": 4, "visits_since_last": 2, "households_income": None}]}]},
    )

    rows: list[dict[str, Value]] = Field(min_length=1, max_length=MOST)


class Predicted(About):
    model_config = example(**EXAMPLE | {"pipeline": "redemption"}, what="probability", predictions=[0.0413])

    what: str = Field(description="probability (of class 1), or number")
    predictions: list[float | None] = Field(description="One for each row; null: beyond all numbers")


class Features(About):
    model_config = example(
        **EXAMPLE | {"pipeline": "redemption"}, numbers=["visits_rows_28"], categories={"households_income": ["50-74K", "75-99K"]}
    )

    numbers: list[str]
    categories: dict[str, list[str]] = Field(description="Name → the values that the model knows")


@router.post("/predictions", responses={200: {"model": Predicted}}, response_model=None, summary="A prediction for each row")
async def predict(request: Request, pipeline: Named, asked: Rows) -> Response:
    limit = request.app.state.configuration.batch
    if len(asked.rows) > limit:
        raise Problem(422, f"rows: {len(asked.rows):,} of them: give at most {limit:,} at once")
    current, twin = champion(request, pipeline, Predictions)
    try:
        found = await asyncio.to_thread(twin.predict, asked.rows)
    except BadInput as error:
        raise of_the_model(error) from error
    return answer(
        {
            **about(pipeline, current.manifest),
            "what": "probability" if twin.document.answer == "probability" else "number",
            "predictions": found,
        }
    )


@router.get("/features", responses={200: {"model": Features}}, response_model=None, summary="What a row may hold")
async def features(request: Request, pipeline: Named) -> Response:
    current, twin = champion(request, pipeline, Predictions)
    return answer({**about(pipeline, current.manifest), **twin.features})
