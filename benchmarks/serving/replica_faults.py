"""What befalls replicas, and the store behind them, while somebody reads through the balancer."""

import signal
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.faults.stand import until
from benchmarks.serving import published
from benchmarks.serving.published import PIPELINE
from benchmarks.serving.server import go_on
from benchmarks.serving.stack import LIMIT, REPLICAS, Stack, serving
from benchmarks.serving.struck import NIGHTS, VERSIONS, Row, Scene
from embedded import rolling
from embedded.settings import Settings

KILLS = 5  # replicas that are killed, one after the other
FLIPS = 10  # promotions, one after the other
AWAY = 1.0  # seconds that the store is away

Act = Callable[[Scene, Stack], None]


def rows(folder: Path) -> list[Row]:
    """All of them, one after the other on the same replicas."""
    found = []
    with serving(folder / "home", published.made("v1"), night=NIGHTS["v1"]) as stack:
        for number, (title, act) in enumerate(FAULTS.items()):
            row = Row(title)
            more = {"BENCHMARK_URL": stack.url, "BENCHMARK_KEY": stack.key}
            # replicas believe a pointer for a second, each on its own: an older version after a newer one is no fault here
            scene = Scene(row, folder / f"scene{number}", stack.uri, module="benchmarks.serving.http_reader", order=[], **more)
            scene.run(lambda act=act, scene=scene: act(scene, stack))
            found.append(row)
            print(f"  {title}: {'; '.join(row.bad) or 'good'}", flush=True)
            stack.start()
            until(stack.all_up, what="replica that is ready", limit=LIMIT)
    return found


def kill_replicas(scene: Scene, stack: Stack) -> None:
    for number in range(KILLS):
        stack.process(f"serving-{number % REPLICAS + 1}").kill()
        go_on(limit=0.5)
        stack.start()
        until(stack.all_up, what="replica that is ready", limit=LIMIT)
    scene.row.end = f"{KILLS} replicas died, each was started again"


def all_but_one(scene: Scene, stack: Stack) -> None:
    for number in range(1, REPLICAS):
        stack.process(f"serving-{number}").kill()
    go_on(limit=3)
    scene.row.end = "one replica answered for all"


def frozen_replica(scene: Scene, stack: Stack) -> None:
    process = stack.process("serving-1")
    process.suspend()
    go_on(limit=4)
    process.resume()
    scene.row.end = "what it had been asked waited for it; the others answered all else"


def rolling_restart(scene: Scene, stack: Stack) -> None:
    began = time.monotonic()
    settings: Settings = stack.settings
    rolling.restart(home=settings.home, environ=settings.environ, say=lambda line: None)
    scene.row.end = f"{REPLICAS} replicas are new, after {time.monotonic() - began:.0f} s"


def promotions(scene: Scene, stack: Stack) -> None:
    for version in VERSIONS[1 : FLIPS + 1]:
        published.publish(stack.store, version, published.made(version), night=NIGHTS[version])
        go_on(limit=0.3)
    scene.expect(VERSIONS[FLIPS])
    scene.row.end = f"{VERSIONS[FLIPS]} is live"


def rollback(scene: Scene, stack: Stack) -> None:
    before, after = stack.store.rollback(PIPELINE)
    go_on(limit=1.2)
    scene.expect(after)
    scene.row.end = f"{after} instead of {before} is live"


def store_restarts(scene: Scene, stack: Stack) -> None:
    _end_store(scene, stack, signal.SIGTERM)


def store_dies(scene: Scene, stack: Stack) -> None:
    _end_store(scene, stack, signal.SIGKILL)


def store_freezes(scene: Scene, stack: Stack) -> None:
    process, live = stack.process("valkey"), stack.store.live(PIPELINE)
    process.suspend()
    go_on(limit=2)
    process.resume()
    scene.expect(live.version if live else "")
    scene.row.end = "readers had the fallback from memory"


def _end_store(scene: Scene, stack: Stack, how: signal.Signals) -> None:
    process, live = stack.process("valkey"), stack.store.live(PIPELINE)
    process.send_signal(how)
    process.wait(LIMIT)
    go_on(limit=AWAY)
    stack.start()
    scene.expect(live.version if live else "")
    scene.row.end = f"it was away for {AWAY:g} s; readers had the fallback from memory"


FAULTS: dict[str, Act] = {
    f"kill -9 of a replica, {KILLS} times": kill_replicas,
    "kill -9 of all replicas but one": all_but_one,
    "a replica says nothing for 4 s": frozen_replica,
    "rolling restart of all replicas": rolling_restart,
    f"{FLIPS} promotions, one after the other": promotions,
    "rollback": rollback,
    "the store is restarted": store_restarts,
    "kill -9 of the store": store_dies,
    "the store says nothing for 2 s": store_freezes,
}
