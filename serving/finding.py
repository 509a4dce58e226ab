"""What a path names: the pipeline, and the model that is served of it."""

import time
from typing import Annotated, Any, TypeVar

from nightfold.errors import BadInput
from nightfold.store import VersionManifest
from serving.problems import Problem
from serving.served import Champion, Line, Twin

import msgspec
from fastapi import Path, Request
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, FailFast, Field
from starlette.responses import Response

T = TypeVar("T", bound=Twin)


def utf8(text: str) -> str:
    """The text; raises ValueError when half a character is in it."""
    if text.encode("utf-8", "replace").decode() != text:
        raise ValueError("is not UTF-8")
    return text


Text = Annotated[str, AfterValidator(utf8)]
"""Of a key or an item: as it is, whatever it looks like."""


def few(most: int) -> BeforeValidator:
    """Refuses a larger object before its values are looked at: each wrong one would be an error of its own, kept until the last."""

    def counted(given: object) -> object:
        if isinstance(given, dict) and len(given) > most:
            raise ValueError(f"has {len(given):,} names: give at most {most:,}")
        return given

    return BeforeValidator(counted)


Only = Annotated[
    dict[str, Annotated[list[str], FailFast()]],
    Field(max_length=10, description="Column of the catalogue → values; an item must have one of them"),
    few(10),
]
NAME = r"^[a-z][a-z0-9_]*$"
Named = Annotated[str, Path(pattern=NAME, max_length=64, examples=["grocery"])]


def _whole(number: object) -> object:
    return int(number) if isinstance(number, float) and number.is_integer() else number


Length = Annotated[int, Field(strict=True, ge=1, le=1000, description="At most so many items"), BeforeValidator(_whole)]
"""Of a list, in a body: 10, or 10.0, which is the same number in JSON; no text."""


def line(request: Request, pipeline: str) -> Line:
    """Raises Problem when there is no such pipeline."""
    served = request.app.state.served
    found = served.pipelines.get(pipeline)
    if found is None and not served.looked:
        raise Problem(503, "this replica has just started: ask again in a moment", headers={"Retry-After": "1"})
    if found is None:
        raise Problem(404, f"there is no pipeline {pipeline!r}")
    return found


def champion(request: Request, pipeline: str, kind: type[T]) -> tuple[Champion, T]:
    """The model that is served now. Raises Problem when there is none, or one of another kind."""
    found = line(request, pipeline)
    if not found.looked:
        raise Problem(503, f"{pipeline}: its model is not loaded yet: ask again in a moment", headers={"Retry-After": "1"})
    if found.champion is None:
        raise Problem(404, "nothing is published yet")
    if not isinstance(found.champion.twin, kind):
        other = (
            "it has a model of another kind"
            if found.champion.twin is not None
            else "a baseline is served, or its model has no twin"
        )
        raise Problem(409, f"{pipeline}: there is no model to ask: {other}")
    return found.champion, found.champion.twin


EXAMPLE = {
    "pipeline": "grocery",
    "version": "20171203-476355b4e00b",
    "night": "2017-12-03",
    "published_at": "2017-12-04T02:41:07+00:00",
    "age_seconds": 3605.2,
}


def example(**more: Any) -> ConfigDict:
    """Of an answer: its facts, as the OpenAPI document shows them."""
    return ConfigDict(json_schema_extra={"examples": [more]})


class About(BaseModel):
    """Which version an answer is of, and how old it is."""

    pipeline: str
    version: str
    night: str
    published_at: str
    age_seconds: float = Field(description="Since it was published")


def about(pipeline: str, manifest: VersionManifest) -> dict[str, Any]:
    """As About."""
    age = max(0.0, time.time() - manifest.published)
    facts = {"version": manifest.version, "night": manifest.night, "published_at": manifest.published_at}
    return {"pipeline": pipeline, **facts, "age_seconds": round(age, 1)}


def of_the_model(error: BadInput) -> Problem:
    """What the model that is served now does not take: another one might."""
    return Problem(409, str(error))


def answer(content: Any) -> Response:
    """As JSON."""
    return Response(msgspec.json.encode(content), media_type="application/json")
