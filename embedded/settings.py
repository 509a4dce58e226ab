"""Ports, paths and passwords of the embedded servers, kept in `<home>/platform.env` (0600) from one start to the next.

A value is taken from the environment, else from the file, else from the default (ports, folders) or made up
(passwords); connections of the user's own (AIRFLOW_CONN_<ID>) and what replicas are told from the first two. What was
once chosen therefore stays chosen until it is said otherwise; only the folders are worked out anew when the checkout or
the home has moved. `nightfold.settings.setting()` reads the same file.
"""

import base64
import os
import re
import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from embedded.errors import PlatformError
from nightfold.private import write_private

ROOT = Path(__file__).resolve().parent.parent  # the checkout
FILE = "platform.env"
HOST = "127.0.0.1"  # everything listens on loopback only

PORTS = {
    "NIGHTFOLD_AIRFLOW_PORT": 8080,
    "NIGHTFOLD_POSTGRES_PORT": 5442,
    "NIGHTFOLD_SHOP_PORT": 5443,
    "NIGHTFOLD_VALKEY_PORT": 6390,
    "NIGHTFOLD_MLFLOW_PORT": 5005,
    "NIGHTFOLD_SPARK_MASTER_PORT": 7077,
    "NIGHTFOLD_SPARK_PAGE_PORT": 7078,
    "NIGHTFOLD_SERVING_PORT": 8090,  # the balancer's
    "NIGHTFOLD_SERVING_REPLICA_PORT": 8091,  # the first replica's; the others' follow
}
PASSWORDS = (
    "NIGHTFOLD_AIRFLOW_PASSWORD",
    "MLFLOW_TRACKING_PASSWORD",
    "NIGHTFOLD_POSTGRES_ADMIN_PASSWORD",
    "NIGHTFOLD_POSTGRES_PASSWORD",
    "NIGHTFOLD_SHOP_ADMIN_PASSWORD",
    "NIGHTFOLD_SHOP_PASSWORD",
    "NIGHTFOLD_VALKEY_PASSWORD",
    "NIGHTFOLD_VALKEY_READER_PASSWORD",
    "NIGHTFOLD_SPARK_SECRET",
)
SIGNING_KEYS = ("NIGHTFOLD_AIRFLOW_JWT_SECRET", "NIGHTFOLD_AIRFLOW_API_SECRET", "NIGHTFOLD_MLFLOW_SECRET")
PASSWORD_BYTES = 18  # 144 bits in 24 characters
KEY_BYTES = 48  # 64 characters: what HS512, which signs Airflow's tokens, asks for
FERNET_KEY = "NIGHTFOLD_AIRFLOW_FERNET_KEY"
CHOICES = {
    "NIGHTFOLD_SPARK_SLOTS": "1",  # Spark jobs at once: the pool `spark` in Airflow
    "NIGHTFOLD_AIRFLOW_USER": "admin",
    "MLFLOW_TRACKING_USERNAME": "nightfold",
    "NIGHTFOLD_SPARK_WORKERS": "0",  # of the embedded Spark cluster; 0: none, Spark runs as local[*]
    "NIGHTFOLD_SPARK_WORKER_CORES": "1",
    "NIGHTFOLD_SPARK_WORKER_MEMORY": "2g",  # for executors
    "NIGHTFOLD_SERVING_REPLICAS": "3",
    "NIGHTFOLD_SERVING_ANONYMOUS": "no",
    "NIGHTFOLD_SERVING_DRAIN": "2",  # seconds; the balancer takes 0.5 to 1.2 to see that a replica is not ready any more
    "AIRFLOW_CONN_SPARK_DEFAULT": "",  # follows NIGHTFOLD_SPARK_WORKERS unless somebody chose another
}
SPARK = "AIRFLOW_CONN_SPARK_DEFAULT"
STORE = "AIRFLOW_CONN_KV_DEFAULT"
SERVING = "NIGHTFOLD_SERVING_"
OF_THE_USER = re.compile(r"AIRFLOW_CONN_[A-Z0-9_]+|NIGHTFOLD_SERVING_(RATE|BATCH|BODY|PIPELINES|KEYS)")
"""Settings without a default here."""
ON_THIS_MACHINE = re.compile(r'\{"conn_type":"spark","host":"(local\[\*\]|spark://127\.0\.0\.1","port":\d+)')


@dataclass(frozen=True)
class Settings:
    """One platform: its folder of state, and every value that `platform.env` holds."""

    home: Path
    values: Mapping[str, str]
    environ: Mapping[str, str]  # of whoever called; what a server's environment starts from

    def __getitem__(self, name: str) -> str:
        return self.values[name]

    def port(self, name: str) -> int:
        """The port of a server by its setting, e.g. NIGHTFOLD_VALKEY_PORT."""
        return int(self.values[name])

    @property
    def other_store(self) -> str | None:
        """The store that somebody chose in place of the embedded one."""
        return self.values[STORE] if self.values[STORE] != _addresses(self.values)[STORE] else None

    def job_environment(self) -> dict[str, str]:
        """What every task and job finds in its environment: addresses and credentials, the venv's Python first.

        The servers' own secrets (administrators, signing keys) are not in it, nor what only the REST API's replicas are told, nor
        another Spark than the one that is installed with this Python.
        """
        given = {name: value for name, value in self.environ.items() if not name.startswith(SERVING) and name != "SPARK_HOME"}
        kept_back = {*PASSWORDS, *SIGNING_KEYS, FERNET_KEY} - {"MLFLOW_TRACKING_PASSWORD", "NIGHTFOLD_SPARK_SECRET"}
        own = {name: value for name, value in self.values.items() if name not in kept_back and not name.startswith(SERVING)}
        bin_dir = Path(sys.prefix) / "bin"
        return {
            **given,
            **own,
            **{name: value for name, value in given.items() if name in own},
            "NIGHTFOLD_HOME": str(self.home),
            "PYSPARK_PYTHON": str(bin_dir / "python"),
            "PYSPARK_DRIVER_PYTHON": str(bin_dir / "python"),
            "PATH": f"{bin_dir}{os.pathsep}{self.environ.get('PATH', os.defpath)}",
        }


def load(*, home: Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """The settings of the platform at `home` (default NIGHTFOLD_HOME, else `var/` of the checkout); writes nothing.

    Raises PlatformError when a port is not a number between 1 and 65535, or two servers are given the same.
    """
    environ = dict(os.environ if environ is None else environ)
    home = Path(home or environ.get("NIGHTFOLD_HOME") or ROOT / "var").resolve()
    kept = _read(home / FILE)
    same_place = kept.get("NIGHTFOLD_HOME") == str(home) and kept.get("NIGHTFOLD_ROOT") == str(ROOT)
    values = {"NIGHTFOLD_HOME": str(home), "NIGHTFOLD_ROOT": str(ROOT)}

    for name, port in PORTS.items():
        values[name] = _port(name, environ.get(name) or kept.get(name) or str(port))
    if len({values[name] for name in PORTS}) < len(PORTS):
        raise PlatformError("two servers have one port: " + ", ".join(f"{name}={values[name]}" for name in PORTS))
    for names, length in ((PASSWORDS, PASSWORD_BYTES), (SIGNING_KEYS, KEY_BYTES)):
        for name in names:
            values[name] = environ.get(name) or kept.get(name) or secrets.token_urlsafe(length)
    values[FERNET_KEY] = environ.get(FERNET_KEY) or kept.get(FERNET_KEY) or base64.urlsafe_b64encode(os.urandom(32)).decode()
    folders = {
        "NIGHTFOLD_LAKE": f"file://{home / 'lake'}",
        "NIGHTFOLD_LANDING": f"file://{home / 'landing'}",
        "NIGHTFOLD_PIPELINES": str(ROOT / "pipelines"),
    }
    for name, default in {**folders, **CHOICES}.items():
        kept_value = kept.get(name) if same_place or name in CHOICES else None
        values[name] = environ.get(name) or kept_value or default
    values[SPARK] = _spark(values)

    before = _addresses(kept)
    for name, ours in _addresses(values).items():
        chosen = kept.get(name) if kept.get(name) != before[name] else None  # somebody's own
        values[name] = _one_line(environ.get(name) or chosen or ours)
    values["NIGHTFOLD_AIRFLOW_URL"] = f"http://{HOST}:{values['NIGHTFOLD_AIRFLOW_PORT']}"
    said = {name: value for name, value in {**kept, **environ}.items() if OF_THE_USER.fullmatch(name) and value}
    own = {name: _one_line(value) for name, value in said.items()}
    return Settings(home=home, values=own | values, environ=environ)


def save(settings: Settings) -> None:
    """Write `<home>/platform.env`, 0600 and atomically; an unchanged file is left alone."""
    path = settings.home / FILE
    settings.home.mkdir(parents=True, exist_ok=True)
    if _read(path) == dict(settings.values) and path.stat().st_mode & 0o777 == 0o600:
        return
    head = "# Written by `make up`: addresses and generated passwords of this platform. Keep it with its folder.\n"
    write_private(path, head + "".join(f"{name}={value}\n" for name, value in settings.values.items()))


def _read(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def _one_line(value: str) -> str:
    """A connection as JSON may have lines."""
    return " ".join(value.splitlines())


def _addresses(values: Mapping[str, str]) -> dict[str, str]:
    """Of the embedded servers, where nobody has chosen others."""
    of = {name: values.get(name, "") for name in (*PORTS, *PASSWORDS)}
    return {
        STORE: f"redis://:{of['NIGHTFOLD_VALKEY_PASSWORD']}@{HOST}:{of['NIGHTFOLD_VALKEY_PORT']}/0",
        "AIRFLOW_CONN_GROCER_DB": f"postgresql://shop:{of['NIGHTFOLD_SHOP_PASSWORD']}@{HOST}:{of['NIGHTFOLD_SHOP_PORT']}/grocer",
        "MLFLOW_TRACKING_URI": f"http://{HOST}:{of['NIGHTFOLD_MLFLOW_PORT']}",
    }


def _spark(values: Mapping[str, str]) -> str:
    """Where Spark runs: what somebody chose, else the embedded cluster where there is one, else in the driver's own process."""
    if values[SPARK] and not ON_THIS_MACHINE.match(values[SPARK]):
        return values[SPARK]
    if values["NIGHTFOLD_SPARK_WORKERS"] == "0":
        return '{"conn_type":"spark","host":"local[*]"}'
    return f'{{"conn_type":"spark","host":"spark://{HOST}","port":{values["NIGHTFOLD_SPARK_MASTER_PORT"]}}}'


def _port(name: str, value: str) -> str:
    if not value.isdecimal() or not 0 < int(value) < 65536:
        raise PlatformError(f"{name}={value} is not a port: set a number from 1 to 65535")
    return str(int(value))
