"""Errors as RFC 9457 has them (application/problem+json): what is wrong and how to mend it; nothing of what is inside."""

from nightfold.errors import NightfoldError, StoreError, UnknownVersion

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

MEDIA = "application/problem+json"
TITLES = {
    400: "Bad request",
    401: "Who are you?",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    409: "Not possible now",
    413: "Too large",
    415: "Unsupported media type",
    422: "Not understood",
    429: "Too many requests",
    500: "Internal error",
    503: "Not available",
}


class Problem(Exception):
    """What a handler raises."""

    def __init__(self, status: int, detail: str, *, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, headers


def response(
    status: int, detail: str, *, request_id: str, headers: dict[str, str] | None = None, errors: list[dict[str, str]] | None = None
) -> Response:
    """The document of one problem."""
    content = {
        "type": "about:blank",
        "title": TITLES.get(status, "Error"),
        "status": status,
        "detail": detail,
        "request_id": request_id,
    }
    if errors:
        content["errors"] = errors
    return Response(msgspec.json.encode(content), status, headers, MEDIA)


def install(app: FastAPI) -> None:
    """Every refusal of the app is such a document; what nobody expected, observing.py answers."""

    def said(status: int, detail: str, request: Request, **more) -> Response:
        return response(status, detail, request_id=request.state.request_id, **more)

    @app.exception_handler(Problem)
    async def _problem(request: Request, error: Problem) -> Response:
        return said(error.status, error.detail, request, headers=error.headers)

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> Response:
        return said(error.status_code, str(error.detail), request, headers=dict(error.headers or {}))

    @app.exception_handler(RequestValidationError)
    async def _not_understood(request: Request, error: RequestValidationError) -> Response:
        errors = [{"field": ".".join(str(part) for part in one["loc"]), "problem": one["msg"]} for one in error.errors()]
        first = errors[0] if errors else {"field": "body", "problem": "is missing"}
        return said(422, f"{first['field']}: {first['problem']}", request, errors=errors[:20])

    @app.exception_handler(NightfoldError)
    async def _refused(request: Request, error: NightfoldError) -> Response:
        if isinstance(error, UnknownVersion):
            return said(404, "nothing is published yet", request)
        request.state.error = str(error)
        what = "the store cannot be reached, or has lost lists" if isinstance(error, StoreError) else "this cannot be served now"
        return said(503, f"{what}: ask again in a moment", request, headers={"Retry-After": "1"})
