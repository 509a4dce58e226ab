"""Start a server as a process of its own, remember exactly which one it is, and stop exactly that one.

A record `<home>/run/<name>.json` holds the process id, the moment the process was created and a random mark that
is in its environment. Whoever has the id but neither that moment nor that mark is a stranger and is never signalled. The family of a
part (its children, their session, whoever carries the mark) is stopped with it, also when the part itself has died.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import secrets
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from embedded.errors import NotReady, PlatformError
from nightfold.private import write_private

import psutil

MARK = "NIGHTFOLD_PART"  # in the environment of every process that we start, and so of its children
SAME_MOMENT = 2.0  # seconds: psutil derives creation times from the boot time, which clock steps move
LOOK_EVERY = 0.2  # seconds between two looks at a condition
LOCK_LIMIT = 240.0  # seconds to wait for another `up` or `down`; a cold start takes about 40
ORPHANS_GRACE = 3.0  # seconds: what a killed server leaves may have nobody left to wait for
KILL_LIMIT = 10.0  # seconds for the kernel to take a SIGKILLed process away


@dataclass(frozen=True)
class Part:
    """One server: how it is started, when it is ready, how it is stopped."""

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    address: str  # for people: host:port, or ""
    why_not_ready: Callable[[float], str | None]  # given when it was created; None when it is ready
    identity: str  # changes when it must be restarted to follow its settings
    limit: float = 60.0  # seconds until it must be ready
    stop_signal: signal.Signals = signal.SIGTERM
    grace: float = 15.0  # seconds from the stop signal to SIGKILL
    uid: int | None = None  # another system user to run as
    gid: int | None = None


@dataclass(frozen=True)
class Record:
    """What was started."""

    name: str
    pid: int
    created: float
    mark: str
    identity: str
    address: str
    stop_signal: int
    grace: float


def identity_of(*parts: object) -> str:
    """A short hash of what a server was started with."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]


@contextlib.contextmanager
def one_at_a_time(home: Path) -> Iterator[None]:
    """Hold the platform's lock: two `up` (or an `up` and a `down`) never run at once."""
    (home / "run").mkdir(parents=True, exist_ok=True)
    with (home / "run" / "lock").open("w") as file:
        end = time.monotonic() + LOCK_LIMIT
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise PlatformError(f"another up or down of {home} has run for {LOCK_LIMIT:.0f} s: end it first") from None
                time.sleep(LOOK_EVERY)
        yield


def record_of(home: Path, name: str) -> Record | None:
    """The record of a part, None when it was never started (or was stopped)."""
    path = home / "run" / f"{name}.json"
    if not path.is_file():
        return None
    return Record(**json.loads(path.read_text(encoding="utf-8")))


def recorded(home: Path) -> list[str]:
    """Names of all parts that have a record."""
    return sorted(path.stem for path in (home / "run").glob("*.json"))


def process_of(record: Record | None) -> psutil.Process | None:
    """The very process that was started, while it lives; never one that merely has its id."""
    if record is None:
        return None
    try:
        process = psutil.Process(record.pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        same = abs(process.create_time() - record.created) < SAME_MOMENT or _marked(process, record)
        return process if same else None
    except psutil.NoSuchProcess:
        return None


def _marked(process: psutil.Process, record: Record) -> bool:
    """Whether it carries the mark: after a clock was set, nothing else tells."""
    with contextlib.suppress(psutil.AccessDenied, ProcessLookupError, PermissionError):
        return process.environ().get(MARK) == record.mark
    return False


def family(record: Record) -> list[psutil.Process]:
    """Everybody that descends from the part and lives: children, its session, and carriers of its mark.

    A session's id is no process's id but its leader's for as long as the session has members, so while somebody else
    has the leader's id the session cannot be ours.
    """
    leader = process_of(record)
    found = {leader.pid: leader} if leader else {}
    if leader:
        with contextlib.suppress(psutil.NoSuchProcess):
            found.update({child.pid: child for child in leader.children(recursive=True)})
    ours = leader is not None or not psutil.pid_exists(record.pid) or _is_zombie(record.pid)
    for process in psutil.process_iter():
        if process.pid in found or process.pid == os.getpid():
            continue
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied, ProcessLookupError, PermissionError):
            in_session = ours and os.getsid(process.pid) == record.pid
            if in_session or _marked(process, record):
                found[process.pid] = process
    return [process for process in found.values() if not _is_zombie(process.pid)]


def start(home: Path, part: Part) -> Record:
    """Start the part in a session of its own, its output appended to `<home>/log/<name>.log`."""
    mark = secrets.token_hex(8)
    log = log_of(home, part.name)
    log.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as output:
        popen = subprocess.Popen(
            part.argv,
            env={**part.environment, MARK: mark},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            start_new_session=True,
            user=part.uid,
            group=part.gid,
            extra_groups=[] if part.uid is not None else None,
            umask=0o077,
        )
    _children[popen.pid] = popen
    record = Record(
        name=part.name,
        pid=popen.pid,
        created=psutil.Process(popen.pid).create_time(),
        mark=mark,
        identity=part.identity,
        address=part.address,
        stop_signal=int(part.stop_signal),
        grace=part.grace,
    )
    write_private(home / "run" / f"{part.name}.json", json.dumps(asdict(record)))
    return record


def wait_until_ready(home: Path, part: Part, record: Record, *, limit: float | None = None) -> None:
    """Look at the part until it is ready.

    Raises NotReady, with the log's last lines, when it ends or its time is up.
    """
    end = time.monotonic() + (limit or part.limit)
    while True:
        if process_of(record) is None:
            raise NotReady(f"{part.name} ended at its start; {_last_words(home, part.name)}")
        why = part.why_not_ready(record.created)
        if why is None:
            return
        if time.monotonic() > end:
            raise NotReady(f"{part.name} is not ready after {limit or part.limit:.0f} s ({why}); {_last_words(home, part.name)}")
        time.sleep(LOOK_EVERY)


def stop(home: Path, name: str) -> bool:
    """Stop what the record names and its family: its stop signal, a limited wait, then SIGKILL. True if anything ran."""
    record = record_of(home, name)
    if record is None:
        return False
    members = family(record)
    if members:
        leader = process_of(record)
        for process in [leader] if leader else members:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.Signals(record.stop_signal))
        _wait_gone(record, members, record.grace if leader else ORPHANS_GRACE)
        for process in (rest := family(record)):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        _wait_gone(record, rest, KILL_LIMIT)
        if left := family(record):
            raise PlatformError(f"{name} cannot be stopped: end process {left[0].pid} by hand")
    _reap(record.pid)
    (home / "run" / f"{name}.json").unlink(missing_ok=True)
    return bool(members)


def log_of(home: Path, name: str) -> Path:
    """Where a part's output goes."""
    return home / "log" / f"{name}.log"


_children: dict[int, subprocess.Popen] = {}  # so that they are reaped where the starter lives on (tests)


def _reap(pid: int) -> None:
    if pid in _children:
        _children.pop(pid).poll()


def _wait_gone(record: Record, members: list[psutil.Process], limit: float) -> None:
    end = time.monotonic() + limit
    while time.monotonic() < end:
        if record.pid in _children:
            _children[record.pid].poll()
        members = [process for process in members if process.is_running() and not _is_zombie(process.pid)]
        if not members:
            return
        time.sleep(LOOK_EVERY / 4)


def _is_zombie(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _last_words(home: Path, name: str) -> str:
    log = log_of(home, name)
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-5:] if log.is_file() else []
    return f"log {log} ends with:\n" + "\n".join(f"  {line[:240]}" for line in lines)
