"""Start, stop and look at the platform: the parts, which wait for which, and who is left alone because it is well.

For tests: `up(home=..., names=[...], environ={...})` and `down(home=...)` work on any home and free ports.
"""

import contextlib
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from embedded import airflow_parts, balancer, mlflow_part, postgres, rolling, serving_parts, spark_parts, valkey
from embedded.errors import NotReady, PlatformError
from embedded.ports import check_free
from embedded.ports import free_ports as free_ports  # callers know it from here
from embedded.processes import (
    Part,
    Record,
    family,
    one_at_a_time,
    process_of,
    record_of,
    recorded,
    start,
    stop,
    wait_until_ready,
)
from embedded.settings import FILE, ROOT, Settings, load, save

import psutil

AIRFLOW = tuple(airflow_parts.COMMANDS)
SPARK = "spark"  # the master and the workers, as many as the settings say: none by default
PLATFORM = ("postgres", "valkey", "mlflow", SPARK, *AIRFLOW)
EVERYTHING = (*PLATFORM, "shop")
SERVING = "serving"  # the REST API: replicas, and the balancer before them
FIRST_TO_STOP = (balancer.NAME,)  # then nobody asks a replica that ends
STOPPED_IN_TURN = (  # tasks and triggers report to the api-server until they end
    ("airflow-scheduler", "airflow-dags", "airflow-triggerer"),
    ("airflow-api", "mlflow"),
    ("valkey", "shop", "postgres"),
)
STILL_STARTING = 20.0  # seconds that a living part which does not answer gets before it is started again

Say = Callable[[str], None]


@dataclass(frozen=True)
class Status:
    """One line of `status`."""

    name: str
    state: str  # running, stopped or dead
    pid: int | None
    address: str
    memory: int  # bytes that belong to its processes alone


def up(
    *,
    home: Path | None = None,
    names: Iterable[str] = PLATFORM,
    environ: Mapping[str, str] | None = None,
    say: Say = print,
    beside: Callable[[Settings], None] | None = None,
) -> Settings:
    """Start what is not running of `names`, and return when all of it is ready; what is well is left alone.

    :param home: the folder of state (default NIGHTFOLD_HOME, else `var/` of the checkout)
    :param names: of EVERYTHING, and SERVING; Airflow and MLflow need postgres
    :param environ: settings, as the environment would give them (default: the environment)
    :param say: is given one line per part
    :param beside: is called as soon as the shop's PostgreSQL is ready, while the rest still starts

    Raises PlatformError in one line; what was started by then keeps running, for the next `up` to use.
    """
    settings, names = load(home=home, environ=environ), set(names)
    with one_at_a_time(settings.home):
        spark_parts.check(settings)
        if SERVING in names:
            serving_parts.check(settings)
        parts = _parts(settings, names)
        _stop_what_is_wanted_no_more(settings, names, say)
        dead = _clear_the_dead(settings, parts)
        check_free(settings, dead)
        save(settings)  # not before: a port that cannot be had is not kept
        with ThreadPoolExecutor(max_workers=12) as pool:
            _start_all(_Starter(settings=settings, parts=parts, say=say), pool, beside)
    return settings


def down(*, home: Path | None = None, environ: Mapping[str, str] | None = None, say: Say = print) -> None:
    """Stop everything that was started at `home`, and nothing else."""
    settings = load(home=home, environ=environ)
    if not settings.home.is_dir():
        return
    with one_at_a_time(settings.home), ThreadPoolExecutor(max_workers=8) as pool:
        names = recorded(settings.home)
        turns = (FIRST_TO_STOP, *STOPPED_IN_TURN)
        others = tuple(set(names) - {name for turn in turns for name in turn})
        for turn in (FIRST_TO_STOP, others, *STOPPED_IN_TURN):
            for name, stopped in [(name, pool.submit(_timed_stop, settings.home, name)) for name in turn if name in names]:
                ran, seconds = stopped.result()
                say(f"{name:<18} {'stopped' if ran else 'was not running':<16} {seconds:5.1f} s")


def clean(*, home: Path | None = None, environ: Mapping[str, str] | None = None, say: Say = print) -> None:
    """Stop everything and remove the folder of state.

    Raises PlatformError when something cannot be stopped, or the folder is not one of ours.
    """
    settings = load(home=home, environ=environ)
    folder = settings.home
    if not folder.exists():
        say(f"{folder} is not there")
        return
    ours = folder == ROOT / "var" or (folder / FILE).is_file()
    if not ours or folder in (ROOT, *ROOT.parents, Path.home(), *Path.home().parents):
        raise PlatformError(f"{folder} is not only this platform's state: remove by hand what you do not want")
    down(home=home, environ=environ, say=say)
    with one_at_a_time(folder):
        if left := recorded(folder):
            raise PlatformError(f"{', '.join(left)} still run in {folder}: make down first")
        shutil.rmtree(folder)
    say(f"{folder} is removed")


def status(*, home: Path | None = None, environ: Mapping[str, str] | None = None) -> list[Status]:
    """How each part is; memory is what its whole family holds for itself (shared pages counted once, where known)."""
    settings = load(home=home, environ=environ)
    lines = []
    single = [name for name in EVERYTHING if name != SPARK]
    many = {*recorded(settings.home), *spark_parts.names(settings)} - set(single)
    for name in (*single, *sorted(many)):
        record = record_of(settings.home, name)
        process = process_of(record)
        state = "running" if process else "dead" if record else "stopped"
        memory = sum(_memory(member) for member in family(record)) if process and record else 0
        lines.append(Status(name, state, process.pid if process else None, record.address if record else "", memory))
    return lines


@dataclass(frozen=True)
class _Starter:
    settings: Settings
    parts: dict[str, Part]
    say: Say

    def run(self, name: str, *, prepare: Callable[[], None], fill: Callable[[], None] | None = None) -> None:
        """Bring one part up: prepare, start, wait, fill."""
        if name not in self.parts:
            return
        part, home, began = self.parts[name], self.settings.home, time.monotonic()
        record = record_of(home, name)
        if process_of(record) is not None and self._answers(part, record):
            self.say(f"{name:<18} running  {'':>7}  {part.address}".rstrip())
            return
        if record is not None:
            stop(home, name)
        prepare()
        wait_until_ready(home, part, start(home, part))
        if fill:
            fill()
        self.say(f"{name:<18} ready    {time.monotonic() - began:5.1f} s  {part.address}".rstrip())

    def _answers(self, part: Part, record: Record) -> bool:
        try:
            wait_until_ready(self.settings.home, part, record, limit=STILL_STARTING)
        except NotReady:
            return False
        return True


def _start_all(starter: _Starter, pool: ThreadPoolExecutor, beside: Callable[[Settings], None] | None) -> None:
    settings, say = starter.settings, starter.say

    def shop() -> None:
        server = postgres.SHOP
        prepare, fill = (lambda: postgres.prepare(settings, server, say=say)), (lambda: postgres.fill(settings, server))
        starter.run("shop", prepare=prepare, fill=fill)
        if beside:
            beside(settings)

    def database() -> None:
        server = postgres.PLATFORM
        prepare, fill = (lambda: postgres.prepare(settings, server, say=say)), (lambda: postgres.fill(settings, server))
        starter.run("postgres", prepare=prepare, fill=fill)

    def airflow() -> None:
        if not any(name in starter.parts for name in AIRFLOW):
            return
        airflow_parts.prepare(settings, say=say)
        # The api-server tells how the others are: those that live are asked, one by one, once it is there again.
        living = [name for name in AIRFLOW if process_of(record_of(settings.home, name))]
        _first_error([pool.submit(starter.run, name, prepare=lambda: None) for name in AIRFLOW if name not in living])
        for name in living:
            starter.run(name, prepare=lambda: None)
        if "airflow-api" in starter.parts:
            airflow_parts.fill(settings)

    def cluster() -> None:
        workers = [name for name in starter.parts if name.startswith(spark_parts.WORKER)]
        starter.run(spark_parts.MASTER, prepare=lambda: spark_parts.prepare(settings, spark_parts.MASTER))
        _first_error([pool.submit(starter.run, name, prepare=partial(spark_parts.prepare, settings, name)) for name in workers])

    store = pool.submit(starter.run, "valkey", prepare=lambda: valkey.prepare(settings))

    def serving() -> None:
        replicas = [name for name in starter.parts if name.startswith(serving_parts.REPLICA)]
        if not replicas:
            return
        store.result()
        _first_error([pool.submit(starter.run, name, prepare=lambda: None) for name in replicas])
        starter.run(balancer.NAME, prepare=lambda: balancer.prepare(settings))
        rolling.say_who_serves(settings, say=say)
        old = [name for name in replicas if record_of(settings.home, name).identity != starter.parts[name].identity]
        rolling.one_by_one(settings, old, say=say)

    first = [store, pool.submit(shop), pool.submit(cluster), pool.submit(serving)]
    started = pool.submit(database)
    wait([started])
    if started.exception() is None:
        first.append(pool.submit(starter.run, "mlflow", prepare=lambda: mlflow_part.prepare(settings)))
        first.append(pool.submit(airflow))
    _first_error([started, *first])


def _first_error(futures: list[Future]) -> None:
    wait(futures)
    for future in futures:
        future.result()


def _parts(settings: Settings, names: set[str]) -> dict[str, Part]:
    known = (*EVERYTHING, SERVING)
    if unknown := names - set(known):
        raise PlatformError(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    makers: dict[str, Callable[[], Part]] = {
        "postgres": lambda: postgres.part(settings, postgres.PLATFORM),
        "shop": lambda: postgres.part(settings, postgres.SHOP),
        "valkey": lambda: valkey.part(settings),
        "mlflow": lambda: mlflow_part.part(settings),
    }
    parts = {name: maker() for name, maker in makers.items() if name in names}
    if names & set(AIRFLOW):
        parts.update({part.name: part for part in airflow_parts.parts(settings) if part.name in names})
    if SPARK in names:
        parts.update({name: spark_parts.part(settings, name) for name in spark_parts.names(settings)})
    if SERVING in names:
        parts.update({name: serving_parts.part(settings, name) for name in serving_parts.names(settings)})
        parts[balancer.NAME] = balancer.part(settings)
    return parts


def _stop_what_is_wanted_no_more(settings: Settings, names: set[str], say: Say) -> None:
    """Spark's master and workers, when there is to be no cluster, or a smaller one; replicas beyond those that there are to be."""
    wanted = {*spark_parts.names(settings), *(serving_parts.names(settings) if SERVING in names else ())}
    counted = (f"{SPARK}-", *([serving_parts.REPLICA] if SERVING in names else []))
    for name in recorded(settings.home):
        if name.startswith(counted) and name not in wanted:
            ran, seconds = _timed_stop(settings.home, name)
            say(f"{name:<18} {'stopped' if ran else 'was not running':<16} {seconds:5.1f} s")


def _clear_the_dead(settings: Settings, parts: dict[str, Part]) -> list[str]:
    """Names that must be started: remains of those that died, and those whose settings have changed, are stopped.

    A replica that lives is not: its turn comes when the others serve (`rolling`).
    Airflow's go with their database: a scheduler that has lost it looks well until its tasks have ended, and ends then.
    """
    dead = []
    for name, part in parts.items():
        record = record_of(settings.home, name)
        in_turn = name.startswith(serving_parts.REPLICA) and record is not None and record.address == part.address
        if process_of(record) is None or (record.identity != part.identity and not in_turn):
            dead.append(name)
    if "postgres" in dead:
        dead += [name for name in parts if name in AIRFLOW and name not in dead]
    with ThreadPoolExecutor(max_workers=8) as pool:
        _first_error([pool.submit(stop, settings.home, name) for name in dead])
    return dead


@contextlib.contextmanager
def running(*, home: Path, names: Iterable[str] = PLATFORM, environ: Mapping[str, str], say: Say = print) -> Iterator[Settings]:
    """`up`, and `down` at the end whatever happens: the shape that a pytest fixture wants."""
    try:
        yield up(home=home, names=names, environ=environ, say=say)
    finally:
        down(home=home, environ=environ, say=say)


def _timed_stop(home: Path, name: str) -> tuple[bool, float]:
    began = time.monotonic()
    return stop(home, name), time.monotonic() - began


def _memory(process: psutil.Process) -> int:
    try:
        full = process.memory_full_info()
        return getattr(full, "pss", 0) or full.uss
    except psutil.Error:  # it has just ended, or belongs to somebody else
        return 0
