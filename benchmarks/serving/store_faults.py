"""What befalls the store and its publishers, while the store's client reads."""

import random
import signal
from collections.abc import Callable
from pathlib import Path

from benchmarks.faults.stand import until
from benchmarks.serving import published
from benchmarks.serving.published import PIPELINE
from benchmarks.serving.server import Valkey, go_on
from benchmarks.serving.struck import LIMIT, NIGHTS, VERSIONS, Row, Scene, has_written
from nightfold.errors import PromotionHeld

KILLS = 12  # publishers that are killed, one after the other
FLIPS = 15  # promotions, one after the other
CUTS = 30  # times that all connections are cut
SHORT, LONG = 0.1, 2.0  # seconds without a word from the server: less, and more than a reader waits
ROOM = 200_000  # bytes that a server may take before it is full: a third of a version
EVERY = 0.01  # seconds between two looks

Act = Callable[[Scene, Valkey], None]
FAULTS: dict[str, Act] = {}


def fault(title: str) -> Callable[[Act], Act]:
    """Declare a row."""

    def declare(act: Act) -> Act:
        FAULTS[title] = act
        return act

    return declare


def rows(folder: Path) -> list[Row]:
    """All of them, each on a server of its own."""
    found = []
    for number, (title, act) in enumerate(FAULTS.items()):
        row = Row(title)
        with Valkey(folder / f"valkey{number}", lasting=True) as server:
            scene = Scene(row, folder / f"scene{number}", server.uri, order=[] if "roll" in title else None)
            published.publish(scene.store, "v1", published.made("v1"), night=NIGHTS["v1"])
            scene.run(lambda act=act, scene=scene, server=server: act(scene, server))
            scene.store.wire.close()
        found.append(row)
        print(f"  {title}: {'; '.join(row.bad) or 'good'}", flush=True)
    return found


@fault(f"kill -9 of a publisher at {KILLS} random points")
def kill_publishers(scene: Scene, server: Valkey) -> None:
    chance, sealed = random.Random(7), 0  # noqa: S311 (when to strike)
    for version in VERSIONS[1 : KILLS + 1]:
        victim = scene.publisher(version)
        wanted = chance.randrange(len(published.made(version)))
        until(has_written(scene.store, victim, wanted), what="list", limit=LIMIT, every=EVERY)
        victim.kill()
        sealed += scene.store.find(PIPELINE, version) is not None
    last = VERSIONS[KILLS + 1]
    code, words = scene.publisher(last).end()
    scene.row.bad += [words] if code else []
    scene.expect(last)
    scene.row.end = f"{sealed} had been sealed; the next one is live, all that the dead had written is collected"


@fault("two publishers of one version at once")
def two_of_one(scene: Scene, server: Valkey) -> None:
    both = [scene.publisher("v2", attempt=f"20180101T00000{number}") for number in range(2)]
    scene.row.bad += [words for one in both for code, words in [one.end()] if code]
    scene.expect("v2")
    scene.row.end = "one attempt is kept and live, the other's lists are gone"


@fault("two publishers of two nights at once")
def two_nights(scene: Scene, server: Valkey) -> None:
    newer, older = scene.publisher("v3"), scene.publisher("v2")
    codes = [one.end() for one in (older, newer)]
    scene.row.bad += [
        words for code, words in codes if code and "was promoted before" not in words and "later attempt" not in words
    ]
    scene.expect("v3")
    scene.row.end = f"the newer night is live; the older one {'was refused' if codes[0][0] else 'was live before it'}"


@fault("a zombie: a publisher stopped in the middle wakes after another attempt at its version went live")
def zombie(scene: Scene, server: Valkey) -> None:
    first = scene.publisher("v2", attempt="20180101T000001")
    until(has_written(scene.store, first, 50), what="list", limit=LIMIT, every=EVERY)
    first.process.send_signal(signal.SIGSTOP)
    code, words = scene.publisher("v2", attempt="20180101T000002").end()
    scene.row.bad += [words] if code else []
    first.process.send_signal(signal.SIGCONT)
    code, words = first.end()
    scene.expect("v2")
    live = scene.store.live(PIPELINE)
    scene.row.bad += ["the zombie's attempt is live"] if live is None or live.attempt != "20180101T000002" else []
    scene.row.end = f"the second attempt stays live, the zombie's lists are gone; it ended with {code}"


@fault("a zombie of an older night wakes after a newer one went live")
def old_zombie(scene: Scene, server: Valkey) -> None:
    first = scene.publisher("v2")
    until(has_written(scene.store, first, 50), what="list", limit=LIMIT, every=EVERY)
    first.process.send_signal(signal.SIGSTOP)
    code, words = scene.publisher("v3").end()
    scene.row.bad += [words] if code else []
    first.process.send_signal(signal.SIGCONT)
    code, words = first.end()
    scene.row.bad += [] if code == 1 else [f"the zombie ended with {code}: {words}"]
    scene.expect("v3")
    scene.row.end = "refused, the newer night stays live"


@fault(f"connections cut, {CUTS} times, while it is read and written")
def cut(scene: Scene, server: Valkey) -> None:
    writer = scene.publisher("v2")
    for _ in range(CUTS):
        server.client.execute_command("CLIENT", "KILL", "TYPE", "NORMAL", "SKIPME", "YES")
        go_on(limit=0.05)
    code, words = writer.end()
    scene.row.bad += [words] if code else []
    scene.expect("v2")
    scene.row.end = "the publisher went on and ended well"


@fault("maxmemory reached in the middle of a version")
def full(scene: Scene, server: Valkey) -> None:
    server.client.config_set("maxmemory", server.used() + ROOM)
    code, words = scene.publisher("v2").end()
    scene.row.bad += [] if code == 1 and "is there room" in words else [f"the publisher ended with {code}: {words}"]
    scene.expect("v1")
    server.client.config_set("maxmemory", 0)
    code, words = scene.publisher("v2").end()
    scene.row.bad += [words] if code else []
    scene.expect("v2")
    scene.row.end = "the publisher was told, live stayed; with room again the next attempt went live"


@fault(f"a server that says nothing for {SHORT:g} s, ten times")
def slow(scene: Scene, server: Valkey) -> None:
    for _ in range(10):
        with server.frozen():
            go_on(limit=SHORT)
        go_on(limit=0.2)
    scene.expect("v1")
    scene.row.end = "readers waited"


@fault(f"a server that says nothing for {LONG:g} s")
def frozen(scene: Scene, server: Valkey) -> None:
    with server.frozen():
        go_on(limit=LONG)
    scene.expect("v1")
    scene.row.end = "readers had the fallback from memory"


@fault("the server is restarted while a version is written")
def restart(scene: Scene, server: Valkey) -> None:
    _end_server(scene, server, signal.SIGTERM)


@fault("kill -9 of the server while a version is written, and its start")
def kill_server(scene: Scene, server: Valkey) -> None:
    _end_server(scene, server, signal.SIGKILL)


def _end_server(scene: Scene, server: Valkey, how: signal.Signals) -> None:
    writer = scene.publisher("v2")
    until(has_written(scene.store, writer, 50), what="list", limit=LIMIT, every=EVERY)
    scene.strikes_now()
    server.stop(how)
    go_on(limit=0.5)
    server.start()
    code, _ = writer.end()
    again, said = scene.publisher("v3").end()
    scene.row.bad += [said] if again else []
    scene.expect("v3")
    scene.row.end = f"the publisher {'went on' if code == 0 else 'was told'}; the next one is live"


@fault(f"{FLIPS} promotions, one after the other")
def promotions(scene: Scene, server: Valkey) -> None:
    for version in VERSIONS[1 : FLIPS + 1]:
        published.publish(scene.store, version, published.made(version), night=NIGHTS[version])
        go_on(limit=0.1)
    scene.expect(VERSIONS[FLIPS])
    scene.row.end = "all versions but the last three are deleted while they are read"


@fault("rollback, a promotion that is held, release, promotion")
def rollback(scene: Scene, server: Valkey) -> None:
    for version in ("v2", "v3"):
        published.publish(scene.store, version, published.made(version), night=NIGHTS[version])
        go_on(limit=1.2)
    scene.store.rollback(PIPELINE)
    scene.expect("v2")
    go_on(limit=1.2)
    try:
        published.publish(scene.store, "v4", published.made("v4"), night=NIGHTS["v4"])
        scene.row.bad.append("a held promotion went through")
    except PromotionHeld:
        pass
    scene.store.release(PIPELINE)
    scene.store.promote(PIPELINE, "v4", scene.store.begin(PIPELINE), 3)
    scene.expect("v4")
    scene.row.end = "v2 was live at once, v4 after the release"
