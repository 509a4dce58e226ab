"""Ports: who has which, whether it is free, and free ones for tests."""

import contextlib
import secrets
import socket
from collections.abc import Iterable

from embedded import airflow_parts, balancer, mlflow_part, postgres, serving_parts, spark_parts, valkey
from embedded.errors import PlatformError, PortTaken
from embedded.settings import HOST, PORTS, Settings

PORTS_OF = {
    "postgres": (postgres.PLATFORM.port_setting,),
    "shop": (postgres.SHOP.port_setting,),
    "valkey": (valkey.PORT_SETTING,),
    "mlflow": (mlflow_part.PORT_SETTING,),
    "airflow-api": (airflow_parts.PORT_SETTING,),
    spark_parts.MASTER: (spark_parts.PORT_SETTING, "NIGHTFOLD_SPARK_PAGE_PORT"),
    balancer.NAME: (balancer.PORT_SETTING,),
}
ROW = 4  # replicas that tests start at most
TRIES = 100


def check_free(settings: Settings, names: Iterable[str]) -> None:
    """Raise PortTaken, which names the setting, when somebody else listens where one of these parts would."""
    for name in names:
        if name.startswith(serving_parts.REPLICA):
            wanted = [(serving_parts.port(settings, name), serving_parts.PORT_SETTING)]
        else:
            wanted = [(settings.port(setting), setting) for setting in PORTS_OF.get(name, ())]
        for port, setting in wanted:
            if not _is_free(port):
                raise PortTaken(f"port {port} is taken by another program: set {setting}=<free port>")


def free_ports() -> dict[str, str]:
    """A free port for every server, as settings: for tests beside a running platform."""
    with contextlib.ExitStack() as stack:
        found = {name: _listen(stack, 0) for name in PORTS if name != serving_parts.PORT_SETTING}
        return {name: str(port) for name, port in {**found, serving_parts.PORT_SETTING: _row()}.items()}


def _row() -> int:
    """The first of some free ports that follow each other; none that the system gives to whoever connects somewhere (32768 and up)."""
    for _ in range(TRIES):
        first = 20_000 + secrets.randbelow(12_000)
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for port in range(first, first + ROW):
                _listen(stack, port)
            return first
    raise PlatformError(f"no {ROW} free ports follow each other")


def _listen(stack: contextlib.ExitStack, port: int) -> int:
    listener = stack.enter_context(socket.socket())
    listener.bind((HOST, port))
    return int(listener.getsockname()[1])


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port in TIME_WAIT is free to listen on
        try:
            listener.bind((HOST, port))
        except OSError:
            return False
    return True
