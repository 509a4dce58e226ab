"""A Spark standalone cluster as plain processes: one master, some workers, all on loopback and with a secret.

Only with NIGHTFOLD_SPARK_WORKERS above 0, as `make up-cluster` sets it. Drivers are in client mode: standalone takes no Python
application in cluster mode. An executor is a child of its worker, and shares the venv and the checkout with the driver.
"""

import os
import shutil
import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from embedded import java
from embedded.errors import PlatformError
from embedded.processes import Part, identity_of
from embedded.settings import FILE, HOST, ON_THIS_MACHINE, SPARK, Settings
from nightfold import standalone
from nightfold.private import write_private

PORT_SETTING = "NIGHTFOLD_SPARK_MASTER_PORT"
PAGE_PORT_SETTING = "NIGHTFOLD_SPARK_PAGE_PORT"
MASTER = "spark-master"
WORKER = "spark-worker-"
DAEMON_MEMORY = "256m"  # of the master's and each worker's own JVM; executors have theirs


def names(settings: Settings) -> tuple[str, ...]:
    """The cluster's parts; none without workers."""
    workers = worker_count(settings)
    return (MASTER, *(f"{WORKER}{number}" for number in range(1, workers + 1))) if workers else ()


def worker_count(settings: Settings) -> int:
    """How many workers; 0: no cluster. Raises PlatformError for what is no number."""
    wanted = settings["NIGHTFOLD_SPARK_WORKERS"]
    if not wanted.isdecimal():
        raise PlatformError(f"NIGHTFOLD_SPARK_WORKERS={wanted} is not a number of workers: set 0 (no cluster) or more")
    return int(wanted)


def check(settings: Settings) -> None:
    """Raise PlatformError when there is to be a cluster here that no job would use."""
    if worker_count(settings) and not ON_THIS_MACHINE.match(settings[SPARK]):
        raise PlatformError(
            f"Spark runs elsewhere already: {SPARK} is in the environment or in {settings.home / FILE}: "
            "take it out there, or set NIGHTFOLD_SPARK_WORKERS=0"
        )


def part(settings: Settings, name: str) -> Part:
    """How to start the master, or one worker."""
    port, page = settings[PORT_SETTING], settings[PAGE_PORT_SETTING]
    spark = Path(find_spec("pyspark").submodule_search_locations[0])
    properties = ("--properties-file", str(_folder(settings, name) / "daemon.properties"))
    if name == MASTER:
        words = ("org.apache.spark.deploy.master.Master", "--host", HOST, "--port", port, "--webui-port", page, *properties)
    else:
        size = ("--cores", settings["NIGHTFOLD_SPARK_WORKER_CORES"], "--memory", settings["NIGHTFOLD_SPARK_WORKER_MEMORY"])
        work = ("--work-dir", str(_folder(settings, name) / "work"))
        words = ("org.apache.spark.deploy.worker.Worker", "--host", HOST, "--webui-port", "0", *size, *work, *properties)
        words = (*words, f"spark://{HOST}:{port}")
    argv = (str(spark / "bin" / "spark-class"), *words)
    found = java.find(settings.environ)
    environment = {
        "PATH": f"{Path(sys.prefix) / 'bin'}{os.pathsep}{os.defpath}",
        "LC_ALL": "C.UTF-8",
        "SPARK_HOME": str(spark),
        "SPARK_CONF_DIR": str(_folder(settings, name) / "conf"),  # empty: nobody else's spark-env.sh
        "SPARK_LOCAL_IP": HOST,
        "SPARK_LOCAL_DIRS": str(_folder(settings, name) / "scratch"),
        "SPARK_DAEMON_MEMORY": DAEMON_MEMORY,
        "PYSPARK_PYTHON": str(Path(sys.prefix) / "bin" / "python"),
        **({"JAVA_HOME": str(found)} if found else {}),
    }

    def why_not_ready(created: float) -> str | None:
        try:
            living = standalone.workers(f"http://{HOST}:{page}", settings["NIGHTFOLD_SPARK_SECRET"])
        except OSError as error:
            return f"the master's page: {error}"
        known = name == MASTER or any(worker.name.startswith(f"{name}-") for worker in living)
        return None if known else f"the master does not know {name}"

    return Part(
        name=name,
        argv=argv,
        environment=environment,
        address=f"{HOST}:{port}" if name == MASTER else "",
        why_not_ready=why_not_ready,
        identity=identity_of(version("pyspark"), argv, _properties(settings, name)),
        limit=90.0,
    )


def prepare(settings: Settings, name: str) -> None:
    """Write what it is told (0600), and remove what a killed one has left."""
    folder = _folder(settings, name)
    shutil.rmtree(folder / "scratch", ignore_errors=True)
    for part_of in ("conf", "scratch"):
        (folder / part_of).mkdir(parents=True, exist_ok=True)
    write_private(folder / "daemon.properties", _properties(settings, name))


def _properties(settings: Settings, name: str) -> str:
    return standalone.daemon_properties(name, settings["NIGHTFOLD_SPARK_SECRET"])


def _folder(settings: Settings, name: str) -> Path:
    return settings.home / "spark" / name
