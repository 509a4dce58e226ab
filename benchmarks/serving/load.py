"""load: a million lists into the store through Spark, beside one client that does nothing but write."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.serving.page import Part, Table, at_least, median, spread, stated
from benchmarks.serving.server import Valkey
from nightfold.errors import NightfoldError
from nightfold.settings import ROOT

LISTS = 1_000_000
LENGTH = 50
ROUNDS = 3
BATCHES = [500, 2000]
SAMPLE = 20_000  # lists that are written one by one
SHARE = 0.6  # of the limit
CORES = ("client", "workers", "JVM", "store")  # of two executors, only what runs in the driver's JVM counts as JVM
JOB = ROOT / "benchmarks" / "serving" / "jobs" / "load.py"
MASTERS = {"two threads": "local[2]", "two executors": "local-cluster[2,1,1536]"}
"""local-cluster is Spark's standalone master and workers, which it starts itself: every executor is a process."""


def submit(master: str, folder: Path, *, uri: str, number: int, rounds: int) -> dict[str, Any]:
    """What the job found. Raises NightfoldError with its last word when it fails."""
    folder.mkdir()
    order = {"number": number, "length": LENGTH, "batches": BATCHES, "rounds": rounds, "sample": min(SAMPLE, number)}
    (folder / "order.json").write_text(
        json.dumps({**order, "folder": str(folder), "out": str(folder / "out.json")}), encoding="utf-8"
    )
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    environment = {
        **os.environ,
        "PYSPARK_PYTHON": sys.executable,
        "PYTHONPATH": path,
        "AIRFLOW_CONN_KV_DEFAULT": uri,
        "SPARK_LOCAL_DIRS": str(folder / "spark"),
        "SPARK_LOCAL_IP": "127.0.0.1",
    }
    command = [str(Path(sys.executable).with_name("spark-submit")), "--master", master, "--driver-memory", "2g"]
    command += ["--conf", f"spark.executorEnv.PYTHONPATH={path}", str(JOB), str(folder / "order.json")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=folder)
    if done.returncode or not (folder / "out.json").exists():
        raise NightfoldError("the job of `load` failed: " + (done.stderr.strip() or "no word of why").splitlines()[-1])
    return json.loads((folder / "out.json").read_text(encoding="utf-8"))


def measure(part: Part) -> None:
    """Fill in the part."""
    number = max(2 * max(BATCHES), int(LISTS * part.scale))
    rows, whole, cores = [], [], []
    for name, master in MASTERS.items():
        with tempfile.TemporaryDirectory(prefix="nightfold-load-") as home, Valkey(Path(home) / "valkey") as server:
            found = submit(master, Path(home) / "job", uri=server.uri, number=number, rounds=ROUNDS)
        best = min(found["mset"], key=lambda size: median(found["mset"][size]))
        ours = min(found["ours"], key=lambda size: median(found["ours"][size]))
        ratios = [mset / seconds for mset, seconds in zip(found["mset"][best], found["ours"][ours], strict=True)]
        part.figures.append(
            at_least(f"load of {number:,} lists, {name}: share of the limit", SHARE, median(ratios), spread(ratios))
        )
        for size in found["mset"]:
            rows += [
                [f"{name}: one client, MSET of {size}", *_row(found["mset"][size], number), ""],
                [f"{name}: ours, batches of {size}", *_row(found["ours"][size], number), stated(found["job"][size], "{:.1f}")],
            ]
        for way, rounds in found["cores"].items():
            used = {kind: median([one[kind] for one in rounds]) for kind in CORES}
            cores.append([f"{name}: {way}", *(f"{used[kind]:.1f}" for kind in CORES), f"{sum(used.values()):.1f}"])
        each = [1 / seconds for seconds in found["set"]]
        rows.append([f"{name}: one client, SET one by one, {min(SAMPLE, number):,} lists", "", stated(each, "{:,.0f}"), ""])
        first = str(BATCHES[0])
        parts = [found["encode"], median(found["job"][first]), median(found["inspect"])]
        whole.append([name, *(f"{seconds:.1f}" for seconds in (*parts, sum(parts))), f"{number / sum(parts):,.0f}"])
    part.tables += [
        Table(["way", "seconds, first byte to last acknowledgement", "lists a second", "seconds of the Spark job"], rows),
        Table(
            ["on", "encode, checksum s", "write s", "count, read back s", "together s", "lists a second"],
            whole,
            title=f"The work of `publish`, in batches of {first}",
        ),
        Table(["way", *CORES, "together"], cores, title="Microseconds of a core for each list: hardly other on a busy machine"),
    ]
    raw = found["record"] + found["key"]
    part.notes.append(
        f"Lists of {LENGTH} without reasons: {found['record']:.0f} bytes a record, {found['key']} bytes a key. The server takes "
        f"{found['memory']:.0f} bytes a list, {found['memory'] / raw:.2f} of them. It keeps nothing on disk, for any of the three. The "
        "client of MSET and SET has its records encoded and its keys made before the clock runs; ours reads them from the executors' "
        "disks, where `publish` keeps what it has encoded. The share of the limit is that of the better size of batches on each side."
    )


def _row(seconds: list[float], number: int) -> list[str]:
    return [stated(seconds, "{:.2f}"), f"{number / median(seconds):,.0f}"]
