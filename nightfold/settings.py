"""Where things are, from the environment; on a laptop from the file that `make up` writes.

Every process calls `setting()`; none reads a path or an address from anywhere else. A variable of the
environment wins over `<home>/platform.env`, which holds the embedded servers' addresses and generated
passwords (mode 0600) and is absent on a cluster.
"""

import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from nightfold.errors import BadPipeline

ROOT = Path(__file__).resolve().parent.parent  # the checkout (or the image's copy of it)


def home() -> Path:
    """The one folder of state: `NIGHTFOLD_HOME`, else `var/` of the checkout."""
    return Path(os.environ.get("NIGHTFOLD_HOME") or ROOT / "var").resolve()


def _platform_env(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def setting(name: str, default: str | None = None) -> str | None:
    """The environment's value of `name`, else the embedded platform's, else `default`."""
    return os.environ.get(name) or _platform_env(home() / "platform.env").get(name) or default


def lake_uri() -> str:
    """The lake's root as a URI that Spark and pyarrow both read: file, s3a, hdfs, gs."""
    uri = setting("NIGHTFOLD_LAKE") or f"file://{home() / 'lake'}"
    return (uri if "://" in uri else f"file://{Path(uri).resolve()}").rstrip("/")


def landing_uri() -> str:
    """Where the outside world drops files; a source's relative path is below it."""
    uri = setting("NIGHTFOLD_LANDING") or f"file://{home() / 'landing'}"
    return (uri if "://" in uri else f"file://{Path(uri).resolve()}").rstrip("/")


def pipelines_dir() -> Path:
    """The folder of the pipeline files."""
    return Path(setting("NIGHTFOLD_PIPELINES") or ROOT / "pipelines")


def connection_uri(conn_id: str) -> str:
    """An Airflow Connection as a URI, from `AIRFLOW_CONN_<ID>` (a URI, or Airflow's JSON).

    Jobs get it through their environment, so that no secret is ever an argument.

    Raises BadPipeline when the connection is not defined, is neither, or lacks what its kind needs.
    """
    name = f"AIRFLOW_CONN_{conn_id.upper()}"
    value = setting(name)
    if not value:
        raise BadPipeline(
            f"connection {conn_id!r} is not defined: run `make up` on a laptop; elsewhere set {name} (tasks also see Airflow's own)"
        )
    if not value.lstrip().startswith("{"):
        return value
    where = f"connection {conn_id!r}: {name}"
    try:
        return _uri(json.loads(value), where=where)
    except json.JSONDecodeError as error:
        raise BadPipeline(f"{where} is neither a URI nor JSON ({error}): mend it") from error


def _uri(fields: dict[str, Any], *, where: str) -> str:
    """Of Airflow's fields; raises BadPipeline, without what they hold."""
    for name in ("conn_type", "host", "login", "password", "schema"):
        if not isinstance(fields.get(name) or "", str):
            raise BadPipeline(f"{where}: {name} must be a string: put it in quotes")
    kind = fields.get("conn_type")
    needed = ("conn_type", "host") if kind in ("jdbc", "sqlite") else ("conn_type",)
    if missing := [name for name in needed if not fields.get(name)]:
        raise BadPipeline(f"{where}: {missing[0]} is missing")
    if kind == "jdbc":  # Airflow keeps the driver's address in `host`
        parameters = {"user": fields.get("login"), "password": fields.get("password")}
        given = urlencode({name: value for name, value in parameters.items() if value})
        return str(fields["host"]) + ("&" if "?" in fields["host"] else "?") + given
    if kind == "sqlite":  # and a file's path
        return f"sqlite:///{quote(fields['host'])}"
    login, password = (quote(fields.get(name) or "", safe="") for name in ("login", "password"))
    credentials = f"{login}:{password}@" if login or password else ""
    port = f":{fields['port']}" if fields.get("port") else ""
    extra = _extra(fields, where=where)
    query = f"?{urlencode(extra)}" if extra else ""
    return f"{kind}://{credentials}{fields.get('host') or ''}{port}/{fields.get('schema') or ''}{query}"


def _extra(fields: dict[str, Any], *, where: str) -> dict[str, Any]:
    extra = fields.get("extra") or {}
    try:
        extra = json.loads(extra) or {} if isinstance(extra, str) else extra
    except json.JSONDecodeError:
        extra = None
    if not isinstance(extra, dict):
        raise BadPipeline(f"{where}: extra must be a JSON object")
    return extra


def without_password(uri: str) -> str:
    """The same URI, fit for a log or an error: user and password gone."""
    parts = urlsplit(uri)
    host = parts.hostname or ""
    kept = urlencode([(k, v) for k, v in parse_qsl(parts.query) if "password" not in k.lower()])
    return f"{parts.scheme}://{host}{f':{parts.port}' if parts.port else ''}{unquote(parts.path)}" + (f"?{kept}" if kept else "")
