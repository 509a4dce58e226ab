"""The published lists: of one key, or of many."""

import contextlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Annotated, Any

from nightfold.client import Answer, Item
from serving.configuration import MOST
from serving.finding import EXAMPLE, NAME, Length, Only, Text, answer, example, line
from serving.problems import Problem

import msgspec
from fastapi import APIRouter, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

router = APIRouter(prefix="/v1/pipelines/{pipeline}", tags=["lists"])
JSON = "application/json"
Endpoint = Callable[[Request], Awaitable[Response]]
OPTION = r"^[^:]+:[\s\S]+$"


OF_ONE = EXAMPLE | {
    "key": "1228",
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

    model_config = example(**OF_ONE)

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
    model_config = example(lists=[OF_ONE])

    lists: list[ListShown]


class Asked(BaseModel):
    """Many keys, and what is wanted of each list."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"keys": ["1228", "901"], "n": 10}]})

    keys: list[Text] = Field(min_length=1, max_length=MOST)
    n: Length | None = None
    without: list[Text] = Field(default=[], max_length=MOST, description="Items to leave out")
    only: Only = {}


class Options(BaseModel):
    """What is wanted of one list, in the query."""

    model_config = ConfigDict(extra="forbid")

    n: Annotated[int | None, Field(ge=1, le=1000)] = None
    without: list[Text] = Field(default=[], max_length=MOST)
    only: list[Annotated[str, Field(pattern=OPTION)]] = Field(default=[], max_length=100)


NOTHING = Options()


class Lean(APIRoute):
    """A route whose endpoint takes its request as it is, once its key has been looked at.

    To have parameters and a body sorted out, with what that needs to be cleaned up after, costs as much as the list itself.
    """

    def __init__(self, path: str, endpoint: Endpoint, **more: Any) -> None:
        super().__init__(path, endpoint, **more)

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            request = Request(scope, receive, send)
            request.app.state.access.may(request, "lists", request.path_params["pipeline"])
            answered = await endpoint(request)
            await answered(scope, receive, send)

        self.app = app


async def one(request: Request) -> Response:
    pipeline, key = request.path_params["pipeline"], request.path_params["key"]
    options = _options(request) if request.url.query else NOTHING
    wanted: dict[str, list[str]] = {}
    for column, value in (option.split(":", 1) for option in options.only):
        wanted.setdefault(column, []).append(value)
    [found] = await _read(request, pipeline, [key], n=options.n, without=options.without, only=wanted)
    return answer(found)


def _options(request: Request) -> Options:
    query = request.query_params
    given: dict[str, Any] = {name: query.getlist(name) if name in ("without", "only") else query[name] for name in query}
    with _said_of("query"):
        return Options.model_validate(given)


@contextlib.contextmanager
def _said_of(place: str) -> Iterator[None]:
    try:
        yield
    except ValidationError as error:
        raise RequestValidationError([{**wrong, "loc": (place, *wrong["loc"])} for wrong in error.errors()]) from error


async def many(request: Request) -> Response:
    pipeline = request.path_params["pipeline"]
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != JSON:
        raise Problem(422, f"body: send it as JSON, and say so: `Content-Type: {JSON}`")
    try:
        body = await request.body()
    except ClientDisconnect as error:
        raise Problem(400, "the body did not come to its end") from error
    with _said_of("body"):
        asked = Asked.model_validate_json(body)
    limit = request.app.state.configuration.batch
    if len(asked.keys) > limit:
        raise Problem(422, f"keys: {len(asked.keys):,} of them: ask for at most {limit:,} at once")
    return answer({"lists": await _read(request, pipeline, asked.keys, n=asked.n, without=asked.without, only=asked.only)})


def _described(name: str, where: str, schema: dict[str, Any], words: str) -> dict[str, Any]:
    return {"name": name, "in": where, "required": where == "path", "schema": schema, "description": words}


class Whole(Convertor[str]):
    """The rest of a path as it is. Starlette's own ends at a line break, and a key may hold one."""

    regex = r"[\s\S]*"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("whole", Whole())
PIPELINE = _described("pipeline", "path", {"type": "string", "pattern": NAME, "maxLength": 64, "example": "grocery"}, "Its name")
OPTIONS = {"type": "string", "pattern": OPTION}
router.add_api_route(
    "/lists/{key:whole}",
    one,
    methods=["GET"],
    route_class_override=Lean,
    responses={200: {"model": ListShown}},
    response_model=None,
    summary="One key's list",
    openapi_extra={
        "parameters": [
            PIPELINE,
            _described("key", "path", {"type": "string", "example": "1228"}, "Whose list; as it is, percent-encoded"),
            _described("n", "query", {"type": "integer", "minimum": 1, "maximum": 1000}, "At most so many items"),
            _described(
                "without",
                "query",
                {"type": "array", "items": {"type": "string"}, "maxItems": 1000},
                "An item to leave out; may be repeated",
            ),
            _described(
                "only",
                "query",
                {"type": "array", "items": OPTIONS, "maxItems": 100},
                "COLUMN:VALUE of the catalogue, as department:GROCERY; of one column any of its values",
            ),
        ]
    },
)


router.add_api_route(
    "/lists",
    many,
    methods=["POST"],
    route_class_override=Lean,
    responses={200: {"model": ListsShown}},
    response_model=None,
    summary="The lists of many keys, in their order",
    openapi_extra={
        "parameters": [PIPELINE],
        "requestBody": {"required": True, "content": {JSON: {"schema": Asked.model_json_schema()}}},
    },
)


async def _read(
    request: Request, pipeline: str, keys: list[str], *, n: int | None, without: list[str], only: dict[str, list[str]]
) -> list[Answer]:
    found = line(request, pipeline)
    filtered = bool(without or only)
    answers = await found.client.lookup_many(pipeline, keys, n=None if filtered else n)
    request.app.state.metrics.read(pipeline, answers)
    if not filtered:
        return answers
    out = frozenset(without)
    kept = _chooser(request, pipeline, only) if only else lambda item: True
    return [
        msgspec.structs.replace(one_, items=[item for item in one_.items if item.id not in out and kept(item)][:n])
        for one_ in answers
    ]


def _chooser(request: Request, pipeline: str, only: dict[str, list[str]]):
    """Whether an item has one of the wanted values of every column, by the newest catalogue; one that is not in it has none."""
    twin = line(request, pipeline).catalogue
    if twin is None:
        raise Problem(409, f"only: {pipeline} has no catalogue to look at now")
    if unknown := [column for column in only if column not in twin.columns]:
        raise Problem(409, f"only: no column {unknown[0]!r}; there are: {', '.join(twin.columns) or 'none'}")
    wanted = {column: frozenset(values) for column, values in only.items()}
    known: dict[str, bool] = {}  # many lists hold the same items

    def kept(item: Item) -> bool:
        if item.id not in known:
            of = twin.of(item.id)
            known[item.id] = of is not None and all(of[column] in values for column, values in wanted.items())
        return known[item.id]

    return kept
