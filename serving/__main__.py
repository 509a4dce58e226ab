"""One replica: `python -m serving`. SIGTERM: it says that it is not ready, answers on for a while, and ends; again: it ends at once."""

import asyncio
import gc
import sys
from types import FrameType

from nightfold.errors import NightfoldError
from serving.app import create
from serving.configuration import from_environment
from serving.together import Together

import uvicorn

GRACE = 20  # seconds that requests in progress get to end
COLLECT_AFTER = 50_000  # more objects made than freed: answers hold no cycles, so that looking for them seldom finds any


class Replica(uvicorn.Server):
    """Tells the balancer before it closes its door."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        served, drain = self.config.app.state.served, self.config.app.state.configuration.drain
        if served.draining or not drain or not self.started:
            self.should_exit = True
            return
        served.draining = True
        self.loop.call_soon_threadsafe(self.loop.call_later, drain, setattr, self, "should_exit", True)

    async def serve(self, sockets: list | None = None) -> None:
        self.loop = asyncio.get_running_loop()
        await super().serve(sockets)


def main() -> int:
    try:
        configuration = from_environment()
    except NightfoldError as error:
        print(f"serving: {error}", file=sys.stderr)  # noqa: T201
        return 2
    config = uvicorn.Config(
        create(configuration),
        host=configuration.host,
        port=configuration.port,
        access_log=False,
        log_level="warning",
        server_header=False,
        proxy_headers=False,  # nobody asks where a request came from
        date_header=False,
        timeout_graceful_shutdown=GRACE,
        timeout_keep_alive=75,  # longer than the balancer's: it closes, so that no request meets a closing door
        loop="uvloop",
        http=Together,
    )
    gc.freeze()  # what is imported stays
    gc.set_threshold(COLLECT_AFTER)
    Replica(config).run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
