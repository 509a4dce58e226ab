"""What all of the backend does alike: run a script on a pipeline's control keys, and say in one line what failed."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from nightfold.errors import StoreError
from nightfold.settings import without_password
from nightfold.store.valkey import names, scripts
from nightfold.store.valkey.wire import FAILURES, Wire

TIMEOUT = 30.0  # seconds; a batch of 500 records takes about 2 ms
RETRIES = 3


class Server:
    """:param uri: redis[s]://[user:password@]host[:port][/db][?cluster=yes]; the constructor does not connect.

    :param timeout: seconds for one try
    :param retries: further tries
    """

    def __init__(self, uri: str, *, timeout: float = TIMEOUT, retries: int = RETRIES) -> None:
        self.address = without_password(uri)
        self.wire = Wire(uri, timeout=timeout, retries=retries)

    def _run(self, script: scripts.Script, pipeline: str, *arguments: str | int) -> Any:
        keys = [names.control(pipeline, name) for name in script.keys]
        with self._errors():
            return self.wire.client.eval(script.text, len(keys), *keys, *arguments)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except FAILURES as error:
            raise unreachable(self.address, error) from error


def unreachable(address: str, error: Exception) -> StoreError:
    """What is said of a server that does not do what it was asked; in one line, without its password."""
    words = " ".join(str(error).split())
    return StoreError(f"store {address}: {words}: is it up, and is there room? (AIRFLOW_CONN_KV_DEFAULT)")
