"""The app: its routes, and what runs beside them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from nightfold.errors import printable
from serving import baskets, documents, health, lists, observing, predictions, problems, versions
from serving.access import Access
from serving.configuration import Configuration
from serving.observing import Metrics, Observed
from serving.served import Served

from fastapi import FastAPI

DESCRIPTION = """\
The lists, predictions and freshness of Nightfold's pipelines. Every answer is of one version, and says which, and how old it is.

Give an API key: `Authorization: Bearer KEY`. Errors are `application/problem+json`, and carry the id of the request, which is
in the header `X-Request-Id` of every answer; send one of your own to find it again in the log.
"""


def create(configuration: Configuration, *, log: bool = True) -> FastAPI:
    """The app of one replica; what it serves is in `app.state.served`."""

    def say(words: str) -> None:
        observing.say(message=printable(" ".join(words.split())))

    served = Served(only=configuration.pipelines, say=say)

    @contextlib.asynccontextmanager
    async def running(app: FastAPI) -> AsyncIterator[None]:
        watching = asyncio.create_task(served.watch())
        yield
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
        await served.close()

    app = FastAPI(
        title="Nightfold",
        version="1",
        description=DESCRIPTION,
        lifespan=running,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    app.state.configuration, app.state.served, app.state.metrics = configuration, served, Metrics(served)
    app.state.access = Access(configuration, say=say)
    problems.install(app)
    for room in (lists, predictions, baskets, versions, health, documents):
        app.include_router(room.router)
    app.include_router(health.watched)
    documents.install(app)
    app.add_middleware(Observed, metrics=app.state.metrics, body=configuration.body, log=log)
    return app
