"""What all tests share: one Spark session, and real servers, each started when the first test asks for it."""

import os
import sys
from pathlib import Path

import pytest

os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # else the executors take the system's
os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
FIRST_COMPILER = "-XX:TieredStopAtLevel=1 -XX:ReservedCodeCacheSize=240m"
"""Small jobs are over before the JVM's second compiler has paid: test_ingest took 0.6 of the time without it. The
cache of compiled code is as large as with both: the 48 MiB that it would have are full after half of the tests."""
os.environ["SPARK_SUBMIT_OPTS"] = f"{os.environ.get('SPARK_SUBMIT_OPTS', '')} {FIRST_COMPILER}".strip()
STATE = ("NIGHTFOLD_HOME", "NIGHTFOLD_LAKE", "NIGHTFOLD_LANDING", "NIGHTFOLD_PIPELINES")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest begins first: workers take file after file."""
    items.sort(key=lambda item: "e2e" not in item.path.parts)


@pytest.fixture(scope="session")
def spark():
    """One session for all tests of a worker; `open_session` of a job finds it and sets the pipeline's time zone on it.

    It interprets queries and plans each once: of so few rows, compiling one, or planning it anew by what was seen (a job of its own
    for each step of it), takes longer than to run it. The nights of e2e do all of that.
    """
    import nightfold.spark  # noqa: F401 (before pyspark: its docstring says why)

    sys.ps1 = (
        ""  # else PySpark's Connect, which MLflow looks at, takes a worker of xdist's for its own doctests, and ends it with 0
    )

    from nightfold.spark.session import local, names_known, quiet

    from pyspark.sql import SparkSession

    session = (
        local(quiet(SparkSession.builder.appName("nightfold tests").master("local[2]")))
        .config("spark.log.level", "ERROR")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.shuffle.partitions", 2)
        .config("spark.sql.adaptive.enabled", "false")
        .config("spark.sql.codegen.wholeStage", "false")
        .config("spark.sql.codegen.factoryMode", "NO_CODEGEN")
        .config("spark.sql.sources.partitionColumnTypeInference.enabled", "false")
        .config("spark.sql.legacy.javaCharsets", "true")  # a CSV of windows-1252 is read too
        .getOrCreate()
    )
    yield names_known(session)
    session.stop()


@pytest.fixture
def utc(spark):
    """The session in UTC, whatever an earlier test's pipeline said."""
    spark.conf.set("spark.sql.session.timeZone", "UTC")
    return spark


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of state of its own: lake, landing and pipelines below it, and no embedded platform."""
    monkeypatch.setenv("NIGHTFOLD_HOME", str(tmp_path))
    for name in STATE[1:]:
        folder = tmp_path / name.removeprefix("NIGHTFOLD_").lower()
        folder.mkdir()
        monkeypatch.setenv(name, f"file://{folder}" if name != "NIGHTFOLD_PIPELINES" else str(folder))
    return tmp_path


@pytest.fixture(scope="session")
def valkey_server(tmp_path_factory: pytest.TempPathFactory):
    """A real Valkey with a password, on a free port of the loopback."""
    from helpers import Valkey

    with Valkey(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture(scope="session")
def valkey_uri(valkey_server) -> str:
    """Its address; tests that share it take pipelines of names of their own, or flush it."""
    return valkey_server.uri
