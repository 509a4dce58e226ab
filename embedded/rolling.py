"""Restart the replicas of the REST API one after the other, so that readers notice nothing.

A replica that is told to end says first that it is not ready, and answers on until the balancer has seen it. The next one's
turn comes when the balancer sends requests to the new one; one that does not come up again stops it all, and the others stay as they were.
None is told to end while a pipeline's file is wrong: those that run know what it said before, a new one would not serve that pipeline.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from embedded import balancer, serving_parts
from embedded.errors import PlatformError
from embedded.processes import LOOK_EVERY, one_at_a_time, process_of, record_of, start, stop, wait_until_ready
from embedded.settings import Settings, load
from nightfold import pipeline as pipelines
from nightfold.errors import BadPipeline

UP_LIMIT = 60.0  # seconds for the balancer to have a replica up: it loads every pipeline's model first
FIRST_LIMIT = 30.0  # seconds that `make up-serving` waits for the first answers
NOTHING = "nothing is published yet"  # what a replica says before the first night

Say = Callable[[str], None]


def restart(*, home: Path | None = None, environ: Mapping[str, str] | None = None, say: Say = print) -> None:
    """All replicas at `home`. Raises PlatformError when the balancer does not run, a pipeline's file is wrong, or one does not come up."""
    settings = load(home=home, environ=environ)
    if process_of(record_of(settings.home, balancer.NAME)) is None:
        raise PlatformError("no balancer runs: make up-serving")
    with one_at_a_time(settings.home):
        serving_parts.check(settings)
        one_by_one(settings, serving_parts.names(settings), say=say)


def one_by_one(settings: Settings, names: Iterable[str], *, say: Say) -> None:
    """Those that do not serve come first: the others may be all there is."""
    before = balancer.states(settings)
    anybody = "UP" in before.values()
    if anybody:
        _check_pipelines(settings)
    for name in sorted(names, key=lambda name: before.get(name) == "UP"):
        part, began = serving_parts.part(settings, name), time.monotonic()
        stop(settings.home, name)
        wait_until_ready(settings.home, part, start(settings.home, part))
        if anybody:  # else there is nothing to serve, and none will be up
            balancer.wait_until_up(settings, name, limit=UP_LIMIT)
        say(f"{name:<18} restarted {time.monotonic() - began:4.1f} s  {part.address}")


def _check_pipelines(settings: Settings) -> None:
    only = settings.environ.get("NIGHTFOLD_SERVING_PIPELINES", "").replace(" ", "")
    for path in sorted(Path(settings["NIGHTFOLD_PIPELINES"]).glob("*.yaml")):
        if not only or path.stem in only.split(","):
            try:
                pipelines.load(path)
            except BadPipeline as error:
                raise PlatformError(
                    f"{error}: no replica is restarted, and all serve on: mend the file, or move it away"
                ) from error


def say_who_serves(settings: Settings, *, say: Say) -> None:
    """Wait a while for all replicas to be asked; then how many are, and why not all."""
    names, end = serving_parts.names(settings), time.monotonic() + FIRST_LIMIT
    while True:
        states = balancer.states(settings)
        waiting = [name for name in names if states.get(name) != "UP"]
        word = serving_parts.word(settings, waiting[0]) if waiting else ""
        if not waiting or NOTHING in word or time.monotonic() > end:
            break
        time.sleep(LOOK_EVERY)
    why = f"; {waiting[0]} says: {word}" if waiting else ""
    say(f"{balancer.NAME:<18} {len(names) - len(waiting)} of {len(names)} replicas are ready{why}")
