"""A replica of the REST API, as a process of its own."""

import subprocess
import sys
from pathlib import Path

import httpx
from helpers import ROOT, environment, free_port
from servers import wait_for


class Replica:
    """`python -m serving` on a free port."""

    def __init__(self, home: Path, key: str, **more: str) -> None:
        self.port = free_port()
        settings = {**more, "NIGHTFOLD_SERVING_PORT": str(self.port)}
        self.log = home / f"serving-{self.port}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "serving"], env=environment(home, **settings), cwd=ROOT, stdout=log, stderr=log
            )
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", headers={"Authorization": f"Bearer {key}"}, timeout=10)

    def status(self, path: str) -> int:
        try:
            return self.client.get(path).status_code
        except httpx.TransportError:
            return 0

    def __enter__(self) -> "Replica":
        wait_for(lambda: self.status("/health/ready") == 200 or self.process.poll() is not None, what="ready", log=self.log)
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(20)
