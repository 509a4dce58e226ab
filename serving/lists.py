"""The published lists: of one key, or of many."""

from typing import Annotated

from nightfold.client import Answer, Item
from nightfold.twins.baskets import Baskets
from serving.access import allowed
from serving.finding import Named, Text, answer, line
from serving.problems import Problem

import msgspec
from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

router = APIRouter(prefix="/v1/pipelines/{pipeline}", tags=["lists"], dependencies=[Depends(allowed("lists"))])
Length = Annotated[int | None, Field(ge=1, le=1000, description="At most so many items", examples=[10])]
OPTION = r"^[^:]+:[\s\S]+$"


EXAMPLE = {
    "pipeline": "grocery",
    "key": "1228",
    "version": "20171203-476355b4e00b",
    "night": "2017-12-03",
    "published_at": "2017-12-04T02:41:07+00:00",
    "age_seconds": 3605.2,
    "source": "model",
    "bucket": None,
    "degraded": False,
    "items": [{"id": "6534178", "score": 0.8773, "why": "bought 59 times, last on 2017-11-25"}],
}


class ItemShown(BaseModel):
    """One line of a list."""

    id: str
    score: float
    why: str = Field(description="For the person who reads it")


class ListShown(BaseModel):
    """One key's list."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    pipeline: str
    key: str
    version: str
    night: str
    published_at: str
    age_seconds: float = Field(description="Since it was published")
    source: str = Field(description="model, or fallback: the version has no list for this key")
    bucket: str | None = Field(description="While two versions are served: A for the live one, B for the other")
    degraded: bool = Field(description="The store could not be reached: the fallback that was kept in memory")
    items: list[ItemShown]


class ListsShown(BaseModel):
    lists: list[ListShown]


class Asked(BaseModel):
    """Many keys, and what is wanted of each list."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"keys": ["1228", "901"], "n": 10}]})

    keys: list[Text] = Field(min_length=1, max_length=1000)
    n: Length = None
    without: list[Text] = Field(default=[], max_length=1000, description="Items to leave out")
    only: dict[str, list[str]] = Field(
        default={}, max_length=10, description="Column of the catalogue → values; an item must have one of them"
    )


@router.get("/lists/{key:path}", responses={200: {"model": ListShown}}, response_model=None, summary="One key's list")
async def one(
    request: Request,
    pipeline: Named,
    key: Text,
    n: Annotated[Length, Query()] = None,
    without: Annotated[list[Text], Query(max_length=1000, description="An item to leave out; may be repeated")] = [],  # noqa: B006
    only: Annotated[
        list[Annotated[str, Field(pattern=OPTION)]],
        Query(
            max_length=100,
            description="COLUMN:VALUE of the catalogue; of one column any of its values",
            examples=[["department:GROCERY"]],
        ),
    ] = [],  # noqa: B006
) -> Response:
    wanted: dict[str, list[str]] = {}
    for column, value in (option.split(":", 1) for option in only):
        wanted.setdefault(column, []).append(value)
    [found] = await _read(request, pipeline, [key], n=n, without=without, only=wanted)
    return answer(found)


@router.post(
    "/lists", responses={200: {"model": ListsShown}}, response_model=None, summary="The lists of many keys, in their order"
)
async def many(request: Request, pipeline: Named, asked: Asked) -> Response:
    limit = request.app.state.configuration.batch
    if len(asked.keys) > limit:
        raise Problem(422, f"keys: {len(asked.keys):,} of them: ask for at most {limit:,} at once")
    return answer({"lists": await _read(request, pipeline, asked.keys, n=asked.n, without=asked.without, only=asked.only)})


async def _read(
    request: Request, pipeline: str, keys: list[str], *, n: int | None, without: list[str], only: dict[str, list[str]]
) -> list[Answer]:
    found = line(request, pipeline)
    filtered = bool(without or only)
    answers = await found.client.lookup_many(pipeline, keys, n=None if filtered else n)
    counter = request.app.state.metrics.lists
    for one_ in answers:
        counter.labels(pipeline, "degraded" if one_.degraded else one_.source, one_.bucket or "").inc()
    if not filtered:
        return answers
    out = frozenset(without)
    kept = _chooser(request, pipeline, only) if only else lambda item: True
    return [
        msgspec.structs.replace(one_, items=[item for item in one_.items if item.id not in out and kept(item)][:n])
        for one_ in answers
    ]


def _chooser(request: Request, pipeline: str, only: dict[str, list[str]]):
    """Whether an item has one of the wanted values of every column; one that the model does not know has none."""
    current = line(request, pipeline).champion
    twin = current.twin if current is not None else None
    if not isinstance(twin, Baskets):
        raise Problem(409, f"only: {pipeline} has no catalogue to look at now")
    if unknown := [column for column in only if column not in twin.columns]:
        raise Problem(409, f"only: no column {unknown[0]!r}; there are: {', '.join(twin.columns) or 'none'}")
    wanted = {column: frozenset(values) for column, values in only.items()}

    def kept(item: Item) -> bool:
        of = twin.of(item.id)
        return of is not None and all(of[column] in values for column, values in wanted.items())

    return kept
