"""The OpenAPI document: /openapi.json. Every route says what it refuses, and as what."""

from typing import Any

from serving.access import guarded
from serving.problems import MEDIA, TITLES

from fastapi import APIRouter, FastAPI, Request
from fastapi.openapi.utils import get_openapi

router = APIRouter(route_class=guarded(None))
REFUSALS = {
    "401": "No API key, or one that nobody has",
    "413": "The body is too large",
    "429": "Too often",
    "503": "The store is gone",
}
OF_PIPELINES = {"403": "The key is not for this", "404": "No such pipeline, or nothing is published", "422": "Not understood"}
PROBLEM = {
    "type": "object",
    "examples": [
        {
            "type": "about:blank",
            "title": "Not found",
            "status": 404,
            "detail": "there is no pipeline 'grocer'",
            "request_id": "10332990-61a2-4660-a4e1-a78954483eaa",
        }
    ],
    "required": ["type", "title", "status", "detail", "request_id"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string", "enum": sorted({*TITLES.values(), "Error"})},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What is wrong, and how to mend it"},
        "request_id": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {"type": "object", "properties": {"field": {"type": "string"}, "problem": {"type": "string"}}},
        },
    },
}


@router.get("/openapi.json", include_in_schema=False)
async def openapi(request: Request) -> dict[str, Any]:
    return request.app.openapi()


def install(app: FastAPI) -> None:
    """The app's document, made once."""

    def made() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            schemas = document["components"].setdefault("schemas", {})
            for useless in ("HTTPValidationError", "ValidationError"):
                schemas.pop(useless, None)
            schemas["Problem"] = PROBLEM
            document["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
            for path, operations in document["paths"].items():
                for operation in operations.values():
                    _complete(path, operation)
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = made


def _complete(path: str, operation: dict[str, Any]) -> None:
    operation["responses"].pop("422", None)
    if path.startswith("/health"):
        operation["security"] = []
        return
    operation["security"] = [{"key": []}]
    said = {**REFUSALS, **(OF_PIPELINES if "{pipeline}" in path else {"403": OF_PIPELINES["403"]})}
    if path.endswith(("/predictions", "/baskets", "/features", "/catalogue", "/lists", "/lists/{key}")):
        said["409"] = "There is no model to ask now, or it does not know such a feature or column"
    if "requestBody" in operation:
        said["400"] = "The body cannot be read"
    for status, words in said.items():
        operation["responses"].setdefault(
            status, {"description": words, "content": {MEDIA: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
        )
