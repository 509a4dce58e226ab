"""The REST API as plain processes: some replicas of `python -m serving`, each on a port of its own, and HAProxy before them.

Only with `make up-serving`. The replicas read the store as a user that may do nothing else.
"""

import os
import sys

from embedded import http, valkey
from embedded.errors import PlatformError
from embedded.processes import Part, identity_of
from embedded.settings import HOST, PORTS, ROOT, SERVING, Settings

REPLICA = "serving-"
PORT_SETTING = "NIGHTFOLD_SERVING_REPLICA_PORT"
OWN = ("NIGHTFOLD_", "AIRFLOW_", "MLFLOW_")
NEEDED = ("NIGHTFOLD_LAKE", "NIGHTFOLD_PIPELINES", "NIGHTFOLD_SERVING_ANONYMOUS", "NIGHTFOLD_SERVING_DRAIN")
NOT_TOLD = ("NIGHTFOLD_SERVING_REPLICAS", PORT_SETTING)  # one replica more is no reason to restart the others
GRACE = 25.0  # seconds beyond the drain: a replica gives requests in progress 20


def names(settings: Settings) -> tuple[str, ...]:
    """The replicas. Raises PlatformError for what is no number of them."""
    wanted = settings["NIGHTFOLD_SERVING_REPLICAS"]
    if not wanted.isdecimal() or int(wanted) < 1:
        raise PlatformError(f"NIGHTFOLD_SERVING_REPLICAS={wanted} is not a number of replicas: set 1 or more")
    return tuple(f"{REPLICA}{number}" for number in range(1, int(wanted) + 1))


def port(settings: Settings, name: str) -> int:
    """The first replica's is PORT_SETTING, the others' follow it."""
    return settings.port(PORT_SETTING) + int(name.removeprefix(REPLICA)) - 1


def check(settings: Settings) -> None:
    """Raise PlatformError when a replica would have a port that is another server's, or is none."""
    others = {settings.port(name): name for name in PORTS if name != PORT_SETTING}
    for name in names(settings):
        number = port(settings, name)
        if number in others or number > 65535:
            whose = f"the port of {others[number]}" if number in others else "not a port"
            raise PlatformError(f"{PORT_SETTING}={settings[PORT_SETTING]} gives {name} {number}, {whose}: set another")


def part(settings: Settings, name: str) -> Part:
    """How to start a replica. It is ready as soon as it runs: whether it has anything to serve is for the balancer to see."""
    number = port(settings, name)
    told = {key: value for key, value in settings.environ.items() if key.startswith(SERVING) and key not in NOT_TOLD}
    own = {
        **told,
        "NIGHTFOLD_SERVING_HOST": HOST,
        "NIGHTFOLD_SERVING_PORT": str(number),
        "NIGHTFOLD_HOME": str(settings.home),
        **{key: settings.environ.get(key) or settings[key] for key in NEEDED},
        "AIRFLOW_CONN_KV_DEFAULT": settings.other_store or valkey.reader_uri(settings),
    }
    connections = {key: value for key, value in settings.environ.items() if key.startswith("AIRFLOW_CONN_")}
    others = {key: value for key, value in settings.environ.items() if not key.startswith(OWN)}
    drain = own["NIGHTFOLD_SERVING_DRAIN"]
    if not drain.isdecimal():
        raise PlatformError(f"NIGHTFOLD_SERVING_DRAIN={drain} is not a number of seconds")

    def why_not_ready(created: float) -> str | None:
        answer = http.status(f"http://{HOST}:{number}/health/live")
        return None if answer == 200 else f"GET /health/live: {answer}"

    return Part(
        name=name,
        argv=(sys.executable, "-m", "serving"),
        environment={**others, **connections, **own, "PYTHONPATH": _path(settings), "PYTHONUNBUFFERED": "1"},
        address=f"{HOST}:{number}",
        why_not_ready=why_not_ready,
        identity=identity_of(own, connections),
        grace=float(drain) + GRACE,
    )


def word(settings: Settings, name: str) -> str:
    """A replica's own word on whether it may be asked."""
    return http.text(f"http://{HOST}:{port(settings, name)}/health/ready")


def _path(settings: Settings) -> str:
    """The checkout first: `serving` is a room of it, not a package that is installed."""
    return os.pathsep.join(filter(None, (str(ROOT), settings.environ.get("PYTHONPATH"))))
