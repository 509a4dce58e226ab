"""A list for a posted basket, by the collaborative filtering of the served version: for somebody whom the night has not seen."""

import asyncio
from typing import Annotated

from nightfold.errors import BadInput
from nightfold.twins.baskets import HEAVIEST, Baskets
from serving.access import guarded
from serving.configuration import MOST
from serving.finding import (
    EXAMPLE,
    About,
    Length,
    Named,
    Only,
    Text,
    about,
    answer,
    champion,
    example,
    few,
    line,
    of_the_model,
)

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

router = APIRouter(prefix="/v1/pipelines/{pipeline}", tags=["baskets"], route_class=guarded("baskets"))
Weight = Annotated[float, Field(gt=0, le=HEAVIEST, strict=True)]


class Basket(BaseModel):
    """Items and how often each was taken, and what is wanted of the list."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"basket": {"1029743": 2, "995242": 1}, "n": 10, "only": {"department": ["GROCERY"]}}]},
    )

    basket: Annotated[dict[Text, Weight], Field(max_length=MOST), few(MOST)]
    n: Length = 20
    without: list[Text] = Field(default=[], max_length=MOST, description="Items to leave out")
    only: Only = {}


class Suggested(About):
    model_config = example(**EXAMPLE, source="basket", unknown=[], items=[{"id": "1082185", "score": 0.114587}])

    class Suggestion(BaseModel):
        id: str
        score: float

    source: str = Field(description="basket, or popularity: nothing of the basket is known")
    unknown: list[str] = Field(description="Items of the basket that are not known")
    items: list[Suggestion]


class Catalogue(About):
    model_config = example(**EXAMPLE, columns={"department": ["GROCERY", "PRODUCE"]})

    columns: dict[str, list[str]] = Field(description="By what lists can be narrowed down: column → its values")


@router.post("/baskets", responses={200: {"model": Suggested}}, response_model=None, summary="What goes with a basket")
async def suggest(request: Request, pipeline: Named, asked: Basket) -> Response:
    current, twin = champion(request, pipeline, Baskets)
    recommend = line(request, pipeline).file.recommend
    try:
        found = await asyncio.to_thread(
            twin.recommend,
            asked.basket,
            asked.n,
            exclude_seen=bool(recommend and recommend.filters.exclude_seen),
            without=frozenset(asked.without),
            only=asked.only,
        )
    except BadInput as error:
        raise of_the_model(error) from error
    return answer(
        {
            **about(pipeline, current.manifest),
            "source": found.source,
            "unknown": found.unknown,
            "items": [{"id": item, "score": score} for item, score in found.items],
        }
    )


@router.get("/catalogue", responses={200: {"model": Catalogue}}, response_model=None, summary="By what lists can be narrowed down")
async def catalogue(request: Request, pipeline: Named) -> Response:
    current, twin = champion(request, pipeline, Baskets)
    return answer({**about(pipeline, current.manifest), "columns": twin.columns})
