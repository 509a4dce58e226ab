"""The job that `python -m benchmarks.serving --only load` runs: lists into the store as `publish` does, beside one plain client.

Makes   the lists, in the executors, as Parquet in a folder of its own
Writes  AIRFLOW_CONN_KV_DEFAULT, emptied before each try: through nightfold.spark.loading, and with MSET and SET from this process
Prints  nothing; the figures go to a JSON file
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.faults.stand import until
from benchmarks.serving import lists
from benchmarks.serving.server import LIMIT, go_on
from nightfold import schemas, settings
from nightfold.spark import loading, tables
from nightfold.spark.session import local, quiet
from nightfold.store import store_at
from nightfold.store.encoding import encode_all

import psutil
import pyarrow as pa
import redis
from pyspark.sql import DataFrame, SparkSession

PIPELINE, VERSION = "load", "20171203-0123456789ab"
RAW = 100_000  # different records of the plain client, which has them all encoded beforehand
AT_ONCE = 2000  # lists that are made at once
PAUSE = 0.5  # seconds after a round, for what it left to be done


def made(spark: SparkSession, number: int, folder: Path, *, length: int) -> DataFrame:
    """The lists as `score` leaves them; two partitions for each core, as a night's are."""

    def make(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            ids = batch["id"]
            keys, values = lists.bulk(range(ids[0].as_py(), ids[-1].as_py() + 1), length=length)
            yield pa.RecordBatch.from_arrays([keys, values], names=["key", "items"])

    spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", AT_ONCE)
    frame = spark.range(0, number, 1, 4).mapInArrow(make, tables.struct(schemas.SCORES))
    tables.write(frame, schemas.SCORES, f"file://{folder}/lists")
    spark.conf.unset("spark.sql.execution.arrow.maxRecordsPerBatch")
    return tables.read(spark, schemas.SCORES, [f"file://{folder}/lists"], what="lists")


def timed(work: loading.Work, folder: Path) -> loading.Work:
    """The same, which leaves when its first batch began and its last one was acknowledged, by process."""

    def inner(keys: list[str], records: list[bytes]) -> tuple[int, int]:
        began = time.time()
        found = work(keys, records)
        with (folder / f"{os.getpid()}.times").open("a") as out:
            out.write(f"{began} {time.time()}\n")
        return found

    return inner


def first_to_last(folder: Path) -> tuple[float, float]:
    """Seconds from the first byte to the last acknowledgement, and those of all batches together."""
    times = [tuple(map(float, line.split())) for file in folder.glob("*.times") for line in file.read_text().splitlines()]
    for file in folder.glob("*.times"):
        file.unlink()
    return max(end for _, end in times) - min(began for began, _ in times), sum(end - began for began, end in times)


class Plain:
    """One client that does nothing but write: its records are encoded and its keys are made before the clock runs."""

    def __init__(self, uri: str, number: int, *, length: int) -> None:
        self.client, self.number = redis.Redis.from_url(uri, protocol=3), number
        _, values = lists.bulk(range(min(RAW, number)), length=length)
        self.records = encode_all(values)

    def mset(self, size: int) -> float:
        """Seconds of MSET alone."""
        seconds = 0.0
        for first in range(0, self.number, size):
            numbers = range(first, min(first + size, self.number))
            batch = {f"nightfold:{PIPELINE}:{VERSION}:a:u:user{n:08}": self.records[n % len(self.records)] for n in numbers}
            began = time.perf_counter()
            self.client.mset(batch)
            seconds += time.perf_counter() - began
        return seconds

    def one_by_one(self, number: int) -> float:
        """Seconds of so many SETs, as who has not read the manual writes."""
        began = time.perf_counter()
        for n in range(number):
            self.client.set(f"nightfold:{PIPELINE}:{VERSION}:a:u:user{n:08}", self.records[n % len(self.records)])
        return time.perf_counter() - began


class Cores:
    """Seconds of a core that each kind of process has used: this one, the JVM that started it, its Python workers, the store."""

    def __init__(self, server: redis.Redis) -> None:
        self.server, self.me = server, psutil.Process()
        self.jvm = self.me.parent() or self.me
        self.before = self._now()

    def _now(self) -> dict[str, float]:
        def used(process: psutil.Process) -> float:
            try:
                return sum(process.cpu_times()[:2])
            except psutil.NoSuchProcess:  # a worker that is needed no more
                return 0.0

        store = self.server.info("cpu")
        others = [one for one in self.jvm.children(recursive=True) if one.pid != self.me.pid]
        return {
            "client": used(self.me),
            "workers": sum(map(used, others)),
            "JVM": used(self.jvm),
            "store": store["used_cpu_user"] + store["used_cpu_sys"],
        }

    def since(self, lists: int) -> dict[str, float]:
        """Microseconds for each list."""
        return {name: (now - self.before[name]) / lists * 1e6 for name, now in self._now().items()}


def clocked(work: Callable[[], Any]) -> float:
    """Its seconds."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def race(spark: SparkSession, order: dict[str, Any]) -> dict[str, Any]:
    """:param order: number and length of the lists, batches, rounds, folder"""
    number, length, folder = order["number"], order["length"], Path(order["folder"])
    uri = settings.connection_uri("kv_default")
    server = redis.Redis.from_url(uri)
    found: dict[str, Any] = {"made": 0.0, "ours": {}, "batches": {}, "job": {}, "mset": {}, "inspect": [], "set": [], "cores": {}}
    began = time.perf_counter()
    frame = made(spark, number, folder, length=length)
    found["made"] = time.perf_counter() - began
    plain = Plain(uri, number, length=length)
    place = loading.Place(uri, PIPELINE, VERSION, "20171204T023000-0123456789")
    began = time.perf_counter()
    with loading.encoded(frame) as records:
        keys, _ = loading.summed(records)
        found["encode"] = time.perf_counter() - began
        for turn in range(order["rounds"]):
            for size in order["batches"] if turn % 2 == 0 else reversed(order["batches"]):
                empty(server)
                cores = Cores(server)
                found["mset"].setdefault(str(size), []).append(plain.mset(size))
                found["cores"].setdefault(f"MSET {size}", []).append(cores.since(keys))
                empty(server)
                before = int(server.info("memory")["used_memory"])
                work, cores = timed(loading.write(place), folder), Cores(server)
                found["job"].setdefault(str(size), []).append(
                    clocked(lambda size=size, work=work: loading.in_batches(records, work, batch=size))
                )
                found["cores"].setdefault(f"ours {size}", []).append(cores.since(keys))
                seconds, busy = first_to_last(folder)
                found["ours"].setdefault(str(size), []).append(seconds)
                found["batches"].setdefault(str(size), []).append(busy)
                found["memory"] = (int(server.info("memory")["used_memory"]) - before) / keys
                if size == order["batches"][0]:
                    began = time.perf_counter()
                    there = loading.in_batches(records, loading.inspect(place), batch=size)
                    found["inspect"].append(time.perf_counter() - began)
                    if there != (keys, 0):
                        raise RuntimeError(f"{keys} lists were written; there, and different: {there}")
            empty(server)
            found["set"].append(plain.one_by_one(order["sample"]) / order["sample"])
    prefix = len(f"nightfold:{PIPELINE}:{VERSION}:{place.attempt}:u:user00000000")
    found["record"] = sum(map(len, plain.records)) / len(plain.records)
    found["key"] = prefix
    return found


def empty(server: redis.Redis) -> None:
    """Nothing in it, and nothing left to do."""
    server.flushall(asynchronous=False)
    freed = lambda: int(server.info("memory")["lazyfree_pending_objects"]) == 0  # noqa: E731 (it is answered before that)
    until(freed, what="free memory", limit=LIMIT, every=PAUSE)
    go_on(limit=PAUSE)


def main(path: str) -> int:
    order = json.loads(Path(path).read_text(encoding="utf-8"))
    spark = local(quiet(SparkSession.builder.appName("load race"))).getOrCreate()
    found = race(spark, order)
    Path(order["out"]).write_text(json.dumps(found), encoding="utf-8")
    store_at(settings.connection_uri("kv_default")).wire.close()
    spark.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
