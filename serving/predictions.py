"""Predictions for posted rows, by the model that made the served version."""

import asyncio
from typing import Annotated, Any

from nightfold.errors import BadInput
from nightfold.twins.predictions import Predictions
from serving.access import guarded
from serving.configuration import MOST
from serving.finding import EXAMPLE, About, Named, about, answer, champion, example, few, of_the_model, utf8
from serving.problems import Problem

from fastapi import APIRouter, Request
from pydantic import AfterValidator, BaseModel, ConfigDict, FailFast, Field, WithJsonSchema
from starlette.responses import Response

router = APIRouter(prefix="/v1/pipelines/{pipeline}", tags=["predictions"], route_class=guarded("predictions"))
WIDEST = 10_000  # features of one row


def _value(given: object) -> object:
    if isinstance(given, str):
        return utf8(given)
    if given is None or isinstance(given, bool | int | float):
        return given
    raise ValueError("is no number, text, true, false or null")


Value = Annotated[Any, AfterValidator(_value), WithJsonSchema({"type": ["number", "string", "boolean", "null"]})]
"""By one function: of a union, each wrong value would be an error for every member."""


class Rows(BaseModel):
    """Features by name; what is left out, or null, is not known."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"rows": [{"visits_rows_28": 4, "visits_since_last": 2, "households_income": None}]}]},
    )

    rows: Annotated[list[Annotated[dict[str, Value], few(WIDEST)]], FailFast()] = Field(min_length=1, max_length=MOST)


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
