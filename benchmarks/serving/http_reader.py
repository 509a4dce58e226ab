"""The fault table's reader, of the REST API: `python -m benchmarks.serving.http_reader KNOWN`.

Reads   BENCHMARK_URL, BENCHMARK_KEY. One connection is kept; one that the server has closed is opened again, once, as clients do.
"""

import http.client
import json
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from benchmarks.faults.reader import read
from benchmarks.serving.published import PIPELINE
from nightfold.errors import NightfoldError

TIMEOUT = 15.0  # seconds


class Api:
    """:param url: of the balancer"""

    def __init__(self, url: str, key: str) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=TIMEOUT)
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def lookup_many(self, pipeline: str, keys: Sequence[str]) -> list[dict[str, Any]]:
        """As the client; one key is asked for by GET. Raises NightfoldError for anything but 200."""
        place = f"/v1/pipelines/{pipeline}/lists"
        if len(keys) == 1:
            return [self._ask("GET", f"{place}/{quote(keys[0], safe='')}", None)]
        return self._ask("POST", place, json.dumps({"keys": list(keys)}))["lists"]

    def _ask(self, method: str, path: str, body: str | None) -> Any:
        for left in (1, 0):
            fresh = self._connection.sock is None
            try:
                self._connection.request(method, path, body, self._headers)
                answer = self._connection.getresponse()
                text = answer.read()
            except (http.client.RemoteDisconnected, ConnectionError) as error:
                self._connection.close()
                if fresh or not left:
                    raise NightfoldError(f"{type(error).__name__}: {error}") from None
                continue  # it was kept open, and the server had closed it
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()
                raise NightfoldError(f"{type(error).__name__}: {error}") from None
            if answer.status != 200:
                raise NightfoldError(f"{answer.status}: {text[:200].decode(errors='replace')}")
            return json.loads(text)
        raise NightfoldError("not reached")


def main(argv: list[str]) -> int:
    facts = json.loads(Path(argv[0]).read_text(encoding="utf-8"))
    until = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: until.set())
    api = Api(os.environ["BENCHMARK_URL"], os.environ["BENCHMARK_KEY"])
    read(PIPELINE, facts["known"], facts["order"], until=until, out=sys.stdout, asked_of=api)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
