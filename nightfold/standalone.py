"""A Spark standalone cluster that asks everybody for a secret: what its daemons are told, and what its master answers.

The secret is in a file of the daemons' own (0600) or in the environment, never in an argument: `ps` shows arguments to everybody.
Spark has no switch for the daemons' web pages, so these are behind a token that only the secret's owners can sign.
"""

import base64
import hashlib
import hmac
import json
import urllib.request
from dataclasses import dataclass

LIMIT = 5.0  # seconds for one answer of the master

SECURE = {
    "spark.authenticate": "true",
    "spark.network.crypto.enabled": "true",  # closures hold the addresses of the store and of databases
    "spark.network.crypto.authEngineVersion": "2",
}
"""What master, workers, drivers and executors must agree on, besides the secret."""


@dataclass(frozen=True)
class Worker:
    """A living worker, as the master knows it."""

    name: str
    """Of its own kind, as its properties say; then when and where it began."""
    host: str
    cores: int
    memory: int
    """MiB."""


def driver_settings(secret: str) -> dict[str, str]:
    """Settings of a driver, to be set by the driver itself."""
    return {**SECURE, "spark.authenticate.secret": secret}


def daemon_properties(name: str, secret: str) -> str:
    """The properties file of a master or a worker by its name; it holds the secret."""
    page = "org.apache.spark.ui.JWSFilter"
    told = {
        **driver_settings(secret),
        "spark.master.rest.enabled": "false",  # it would take drivers from anybody
        "spark.ui.filters": page,
        f"spark.{page}.param.secretKey": _base64(_page_key(secret)),
        "spark.ui.killEnabled": "false",
        "spark.worker.idPattern": f"{name}-%s-%s-%d",  # date, host, port
        "spark.worker.cleanup.enabled": "true",  # folders of ended applications, after a week
    }
    return "".join(f"{name} {value}\n" for name, value in told.items())


def workers(page: str, secret: str) -> list[Worker]:
    """The living workers of the master whose web page is at `page` (http://host:port).

    Raises OSError when it does not answer, refuses the token, or is still starting: its pages come up one by one, and the first
    answers for all.
    """
    state = _asked(f"{page}/json/", secret)
    return [Worker(w["id"], w["host"], w["cores"], w["memory"]) for w in state["workers"] if w["state"] == "ALIVE"]


def _asked(url: str, secret: str) -> dict:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {_token(secret)}"})  # noqa: S310 (http, ours)
    with urllib.request.urlopen(request, timeout=LIMIT) as answer:  # noqa: S310
        content = answer.read()
    try:
        return json.loads(content)
    except ValueError as error:
        raise OSError(f"{url} answered with another page than its state: it is still starting") from error


def _page_key(secret: str) -> bytes:
    """Another key than the secret itself, so that a token tells nothing about it."""
    return hmac.digest(secret.encode(), b"spark web pages", hashlib.sha256)


def _token(secret: str) -> str:
    """A JSON web token of no claims, signed with HS256 (RFC 7515)."""
    head, claims = (_base64(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, {"sub": "nightfold"}))
    signature = hmac.digest(_page_key(secret), f"{head}.{claims}".encode(), hashlib.sha256)
    return f"{head}.{claims}.{_base64(signature)}"


def _base64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
