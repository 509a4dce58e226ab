"""HAProxy before the replicas of the REST API: one address, which only ready ones answer; its statistics on a socket of our own.

Its rules are those of docker-compose.yml, deploy/haproxy.cfg; here the replicas are added.
"""

import contextlib
import csv
import os
import shutil
import signal
import socket
import time
from pathlib import Path

from embedded import serving_parts
from embedded.errors import NotReady, PlatformError
from embedded.processes import LOOK_EVERY, Part, identity_of
from embedded.settings import HOST, ROOT, Settings
from nightfold.private import write_private

NAME = "balancer"
PORT_SETTING = "NIGHTFOLD_SERVING_PORT"
RULES = ROOT / "deploy" / "haproxy.cfg"
LONGEST = 90  # characters of the socket's path: the system takes 107, and HAProxy makes it under a longer name first
ANSWER_LIMIT = 5.0  # seconds for HAProxy to tell its statistics


def check(settings: Settings) -> str:
    """The path of HAProxy. Raises PlatformError when it is missing, or its socket would have too long a name."""
    if len(str(_socket(settings))) > LONGEST:
        raise PlatformError(f"{_socket(settings)} is too long for a socket: set NIGHTFOLD_HOME to a folder with a shorter path")
    path = os.pathsep.join((settings.environ.get("PATH", os.defpath), "/usr/sbin"))
    if (found := shutil.which("haproxy", path=path)) is None:
        raise PlatformError("HAProxy is missing: make servers (Debian: apt-get install haproxy)")
    return found


def part(settings: Settings) -> Part:
    """How to start it; ready when it answers, whether or not a replica is."""
    replicas = settings.home / NAME / "replicas.cfg"
    argv = (check(settings), "-db", "-f", str(RULES), "-f", str(replicas))
    port = settings.port(PORT_SETTING)
    environment = {
        "PATH": os.defpath,
        "LC_ALL": "C",
        "NIGHTFOLD_BALANCER_BIND": f"{HOST}:{port}",
        "NIGHTFOLD_BALANCER_SOCKET": str(_socket(settings)),
    }

    def why_not_ready(created: float) -> str | None:
        try:
            states(settings)
        except PlatformError as error:
            return str(error)
        return None

    return Part(
        name=NAME,
        argv=argv,
        environment=environment,
        address=f"{HOST}:{port}",
        why_not_ready=why_not_ready,
        identity=identity_of(argv, environment, RULES.read_text(encoding="utf-8"), _replicas(settings)),
        limit=20.0,
        stop_signal=signal.SIGUSR1,  # requests end first
        grace=10.0,
    )


def prepare(settings: Settings) -> None:
    """Write where the replicas are (0600)."""
    write_private(settings.home / NAME / "replicas.cfg", _replicas(settings))


def states(settings: Settings) -> dict[str, str]:
    """Each replica as the balancer sees it: UP, DOWN, or on its way (`UP 1/2`). Raises PlatformError when it does not answer."""
    try:
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as client:
            client.settimeout(ANSWER_LIMIT)
            client.connect(str(_socket(settings)))
            client.sendall(b"show stat\n")
            text = b"".join(iter(lambda: client.recv(65536), b"")).decode()
    except OSError as error:
        raise PlatformError(f"the balancer does not answer ({error.strerror or type(error).__name__}): make up-serving") from None
    lines = csv.DictReader(text.removeprefix("# ").splitlines())
    return {line["svname"]: line["status"] for line in lines if line["svname"].startswith(serving_parts.REPLICA)}


def wait_until_up(settings: Settings, name: str, *, limit: float) -> None:
    """Until it sends requests to this replica. Raises NotReady."""
    end = time.monotonic() + limit
    while (state := states(settings).get(name, "unknown")) != "UP":
        if time.monotonic() > end:
            raise NotReady(f"{name} is {state} for the balancer after {limit:.0f} s; it says: {serving_parts.word(settings, name)}")
        time.sleep(LOOK_EVERY)


def _socket(settings: Settings) -> Path:
    return settings.home / "run" / f"{NAME}.sock"


def _replicas(settings: Settings) -> str:
    servers = (f"    server {name} {HOST}:{serving_parts.port(settings, name)}\n" for name in serving_parts.names(settings))
    return "".join(("backend serving\n", *servers))
