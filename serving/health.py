"""For who watches: does it live, may it be asked, and its metrics."""

from serving.access import guarded

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, ConfigDict
from starlette.responses import JSONResponse, Response

router = APIRouter(tags=["health"])
watched = APIRouter(tags=["health"], route_class=guarded("metrics", of_all=True))


class Ready(BaseModel):
    model_config = ConfigDict(json_schema_extra={"examples": [{"ready": True, "why": None}]})

    ready: bool
    why: str | None


@router.get("/health/live", summary="It runs")
async def live() -> dict[str, bool]:
    return {"live": True}


@router.get(
    "/health/ready",
    responses={200: {"model": Ready}, 503: {"model": Ready}},
    response_model=None,
    summary="A whole version and its model are there, for all that is published",
)
async def ready(request: Request) -> Response:
    why = request.app.state.served.why_not_ready
    return JSONResponse({"ready": why is None, "why": why}, 200 if why is None else 503)


@watched.get(
    "/metrics",
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    response_model=None,
    summary="For Prometheus",
)
async def metrics(request: Request) -> Response:
    return Response(generate_latest(request.app.state.metrics.registry), headers={"content-type": CONTENT_TYPE_LATEST})
