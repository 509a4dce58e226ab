"""deploy/haproxy.cfg: HAProxy takes it, its replicas are those of Compose, and only what reads is asked a second time."""

import contextlib
import http.client
import os
import re
import shutil
import socket
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from deploy_compose import made_up, rendered
from helpers import ROOT, free_port

HAPROXY = shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin") or "haproxy"
RULES, REPLICAS = ROOT / "deploy" / "haproxy.cfg", ROOT / "deploy" / "haproxy-replicas.cfg"
SERVICES = rendered(made_up())["services"]
LIMIT = 20.0  # seconds
ASKED = 16  # requests of a kind: a third of them and more meet the replica that dies of them


def test_haproxy_takes_the_configuration_as_compose_gives_it():
    command = SERVICES["balancer"]["command"]
    files = [word for word in command if word.endswith(".cfg")]
    assert files == [f"/nightfold/{file.name}" for file in (RULES, REPLICAS)]
    assert {f"./deploy/{file.name}:/nightfold/{file.name}:ro" for file in (RULES, REPLICAS)} == set(SERVICES["balancer"]["volumes"])
    environ = {"PATH": os.environ["PATH"], **SERVICES["balancer"]["environment"]}
    check = [HAPROXY, "-c", "-f", str(RULES), "-f", str(REPLICAS)]
    done = subprocess.run(check, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    warnings = [line for line in done.stderr.splitlines() if "WARNING" in line or "ALERT" in line]
    assert [line for line in warnings if "could not resolve address 'serving-" not in line] == []


def test_the_replicas_are_the_services_of_compose():
    servers = re.findall(r"^ +server (\S+) (\S+):(\d+)$", REPLICAS.read_text(encoding="utf-8"), flags=re.MULTILINE)
    names = [name for name in SERVICES if name.startswith("serving-")]
    assert servers == [(name, name, SERVICES[name]["environment"]["NIGHTFOLD_SERVING_PORT"]) for name in names]
    assert len(servers) == 3
    assert set(names) == set(SERVICES["balancer"]["depends_on"])


def test_there_is_no_page_of_statistics_and_the_socket_only_tells():
    rules = RULES.read_text(encoding="utf-8")
    assert re.findall(r"^ *stats .*$", rules, flags=re.MULTILINE) == [
        '    stats socket "${NIGHTFOLD_BALANCER_SOCKET}" mode 600 level user'
    ]


class Replica(ThreadingHTTPServer):
    """Answers everything with 200, or is ready, and dies of every request."""

    def __init__(self, *, dies: str = "") -> None:
        replica, self.dies, self.asked = self, dies, []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if not self.path.startswith("/health"):
                    replica.asked.append((self.command, self.path, self.headers["X-Request-Id"]))
                    if replica.dies:
                        self.close_connection = True
                        return
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            do_POST = do_DELETE = do_GET

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def verify_request(self, request: socket.socket, client_address: tuple[str, int]) -> bool:
        """A reset: the door closes before the request is read, as when the replica is killed."""
        head = request.recv(65536, socket.MSG_PEEK).decode()
        if self.dies != "with a reset" or "/health" in head:
            return True
        self.asked.append((*head.split(" ")[:2], re.search(r"x-request-id: (\S+)", head, re.IGNORECASE)[1]))
        return False

    def shutdown_request(self, request: socket.socket) -> None:
        self.close_request(request)  # without the farewell that goes before it elsewhere


@pytest.fixture(scope="module")
def balanced(tmp_path_factory):
    """The balancer's port, and its two replicas, of which one dies of every request."""
    folder = tmp_path_factory.mktemp("b")
    replicas, port = [Replica(dies="silently"), Replica()], free_port()
    servers = "".join(f"    server serving-{n} 127.0.0.1:{replica.server_port}\n" for n, replica in enumerate(replicas, 1))
    (folder / "replicas.cfg").write_text(f"backend serving\n{servers}")
    environ = {
        "PATH": os.environ["PATH"],
        "NIGHTFOLD_BALANCER_BIND": f"127.0.0.1:{port}",
        "NIGHTFOLD_BALANCER_SOCKET": str(folder / "socket"),
    }
    log = folder / "log"
    with log.open("w") as output:
        command = [HAPROXY, "-db", "-f", str(RULES), "-f", str(folder / "replicas.cfg")]
        process = subprocess.Popen(command, env=environ, stdout=output, stderr=output)
    try:
        limit = time.monotonic() + LIMIT
        while ask(port, "GET", "/health/balancer") != 200:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < limit, log.read_text()
            time.sleep(0.05)
        yield port, replicas, log
    finally:
        process.terminate()
        process.wait(LIMIT)
        for replica in replicas:
            replica.shutdown()
            replica.server_close()


def test_an_id_that_is_none_is_passed_on_to_nobody(balanced):
    """HAProxy splits a header at its commas where it is not asked for the whole."""
    port, replicas, _ = balanced
    replicas[0].dies = ""
    for given in ([b'ok, e", "detail": "forged'], [b"one", b"two"], [b"x" * 65]):
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT)) as connection:
            connection.putrequest("GET", "/v1/pipelines")
            for value in given:
                connection.putheader("X-Request-Id", value)
            connection.endheaders()
            answer = connection.getresponse()
            answer.read()
        asked = [request_id for replica in replicas for _, _, request_id in replica.asked]
        assert len(asked[-1]) == 36
        assert {len(request_id) for request_id in asked} == {36}
        assert answer.headers["X-Request-Id"] in asked


def ask(port: int, method: str, path: str) -> int:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT)) as connection:
        try:
            connection.request(method, path, body='{"keys": ["anna"]}' if method == "POST" else None)
            return connection.getresponse().status
        except ConnectionRefusedError:
            return 0


@pytest.mark.parametrize("dies", ["silently", "with a reset"])
@pytest.mark.parametrize(
    ("method", "path", "again"),
    [
        ("GET", "/v1/pipelines/shop/lists/anna", True),
        ("POST", "/v1/pipelines/shop/lists", True),
        ("POST", "/v1/pipelines/shop/predictions", True),
        ("POST", "/v1/pipelines/shop/baskets", True),
        ("POST", "/v1/pipelines/shop/orders", False),
        ("DELETE", "/v1/pipelines/shop/lists/anna", False),
    ],
)
def test_what_only_reads_is_asked_of_the_next_replica_and_all_else_is_sent_once(balanced, method, path, again, dies):
    port, replicas, log = balanced
    replicas[0].dies = dies
    for replica in replicas:
        replica.asked.clear()
    answers = [ask(port, method, path) for _ in range(ASKED)]
    died, answered = (len(replica.asked) for replica in replicas)
    assert died > 3
    assert (answers.count(200), answers.count(502)) == ((ASKED, 0) if again else (ASKED - died, died))
    assert answered == (ASKED if again else ASKED - died)
    assert all(len(request_id) == 36 for replica in replicas for _, _, request_id in replica.asked), "made up where none is given"
    assert "anna" not in log.read_text(), "keys of people are in no log"
