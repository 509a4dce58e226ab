"""What is served, how old it is, and what is kept beside it."""

from nightfold.settings import connection_uri
from nightfold.store import Version, store_at
from serving.access import guarded
from serving.finding import EXAMPLE, Named, answer, example, line
from serving.problems import Problem

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

TIMEOUT = 1.0  # seconds for the store's answer, once: who asks waits meanwhile
router = APIRouter(prefix="/v1/pipelines", tags=["versions"], route_class=guarded("versions"))


OF_ONE = EXAMPLE | {"task": "recommend", "lists": 2464, "model": True}
KEPT = {name: EXAMPLE[name] for name in ("version", "night", "published_at")}


class Fresh(BaseModel):
    model_config = example(**OF_ONE)

    pipeline: str
    task: str
    version: str | None = Field(description="null: nothing is published yet")
    night: str | None
    published_at: str | None
    age_seconds: float | None
    lists: int | None
    model: bool = Field(description="Whether rows or baskets can be posted")


class Pipelines(BaseModel):
    model_config = example(pipelines=[OF_ONE])

    pipelines: list[Fresh]


class Versions(BaseModel):
    model_config = example(pipeline="grocery", versions=[{**KEPT, "state": "live", "lists": 2464, "checksum": "ba80e232eb3fade8"}])

    class Kept(BaseModel):
        version: str
        state: str = Field(description="verified, live, retired or bad")
        night: str
        published_at: str
        lists: int
        checksum: str

    pipeline: str
    versions: list[Kept]


def fresh(request: Request, pipeline: str) -> dict:
    """What is known of one, without asking anybody."""
    found = line(request, pipeline)
    manifest = found.live
    return {
        "pipeline": pipeline,
        "task": found.file.task,
        "version": manifest.version if manifest else None,
        "night": manifest.night if manifest else None,
        "published_at": manifest.published_at if manifest else None,
        "age_seconds": round(found.age, 1) if found.age is not None else None,
        "lists": manifest.keys if manifest else None,
        "model": found.has_model,
    }


@router.get(
    "",
    responses={200: {"model": Pipelines}},
    response_model=None,
    summary="All pipelines",
)
async def all_of_them(request: Request) -> Response:
    key, names = request.state.key, sorted(request.app.state.served.pipelines)
    may = [name for name in names if key is None or key.allows(name, "versions")]
    return answer({"pipelines": [fresh(request, name) for name in may]})


@router.get(
    "/{pipeline}",
    responses={200: {"model": Fresh}},
    response_model=None,
    summary="How fresh one is",
)
async def one(request: Request, pipeline: Named) -> Response:
    return answer(fresh(request, pipeline))


@router.get(
    "/{pipeline}/versions",
    responses={200: {"model": Versions}},
    response_model=None,
    summary="What is kept, the newest night first",
)
async def kept(request: Request, pipeline: Named) -> Response:
    store = store_at(connection_uri(line(request, pipeline).file.publish.connection), timeout=TIMEOUT, retries=0)
    found: list[Version] = await request.app.state.served.aside(store.versions, pipeline)
    if not found:
        raise Problem(404, "nothing is published yet")
    shown = [
        {
            "version": version.manifest.version,
            "state": version.state,
            "night": version.manifest.night,
            "published_at": version.manifest.published_at,
            "lists": version.manifest.keys,
            "checksum": version.manifest.checksum,
        }
        for version in found
    ]
    return answer({"pipeline": pipeline, "versions": shown})
