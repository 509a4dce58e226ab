"""Faults of what comes in, of the disk, and of the clock."""

import os
import random
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.faults import jobs, shop
from benchmarks.faults.registry import fault
from benchmarks.faults.scene import Scene
from benchmarks.faults.stand import Stand

ROOM = 64 << 10  # bytes that are left on the small disk: too few for any stage
BACK = 26 * 3600  # seconds that the clock is set back: into the day before


def _bad_delivery(scene: Scene, content: bytes | None, *, stage: str, cause: str, mend: str) -> None:
    """The night's purchases come so (None: not at all); then as they should be."""
    file = shop.delivery(scene.stand.landing)

    def deliver() -> None:
        file.unlink() if content is None else file.write_bytes(content)

    scene.begin("ingest", harm=deliver)
    scene.ended("failed")
    scene.told_by_log(stage, cause=cause, mend=mend)
    scene.no_retry(stage)
    scene.live_stays()
    scene.person("deliver it again", lambda: file.write_bytes(scene.stand.delivered))
    scene.clear_failed("ingest")
    scene.ended()
    scene.finish()


@fault("csv-garbage", "corrupted CSV: binary garbage instead of the file")
def csv_garbage(scene: Scene) -> None:
    garbage = random.Random(1).randbytes(len(scene.stand.delivered))  # noqa: S311 (garbage, not a secret)
    scene.row.struck = f"{len(garbage):,} random bytes"
    _bad_delivery(scene, garbage, stage="ingest", cause=f"{shop.SECOND}.csv", mend="ask the source|have it delivered")


@fault("csv-garbage-inside", "corrupted CSV: a block of binary garbage in its middle")
def csv_garbage_inside(scene: Scene) -> None:
    whole = scene.stand.delivered
    garbage = random.Random(2).randbytes(4096)  # noqa: S311
    scene.row.struck = "a disk block of random bytes in the middle of the file"
    middle = len(whole) // 2
    content = whole[:middle] + garbage + whole[middle + len(garbage) :]
    cause = f"night {shop.SECOND}: .* rows refused, more than max_rejected"
    _bad_delivery(scene, content, stage="clean", cause=cause, mend="have the delivery mended")


@fault("csv-cut", "corrupted CSV: cut off in the middle of a line")
def csv_cut(scene: Scene) -> None:
    whole = scene.stand.delivered
    end = whole.index(b"\n", len(whole) * 2 // 3) + 20
    scene.row.struck = f"{end:,} of {len(whole):,} bytes came"
    _bad_delivery(
        scene, whole[:end], stage="ingest", cause=f"{shop.SECOND}.csv.* ends in the middle of a line", mend="have it delivered"
    )


@fault("csv-column", "a column is renamed")
def csv_column(scene: Scene) -> None:
    renamed = scene.stand.delivered.replace(b"household_id", b"customer_id", 1)
    scene.row.struck = "household_id is called customer_id"
    cause = rf"{shop.SECOND}\.csv: column household_id is missing; column customer_id is not declared"
    _bad_delivery(scene, renamed, stage="ingest", cause=cause, mend="ask the source, or change sources.transactions.columns")


@fault("day-empty", "an empty day: the file has no rows")
def day_empty(scene: Scene) -> None:
    header = scene.stand.delivered.splitlines(keepends=True)[0]
    scene.row.struck = "only the header came"
    cause = rf"{shop.SECOND}\.csv: the delivery for night {shop.SECOND} has no rows"
    _bad_delivery(scene, header, stage="ingest", cause=cause, mend="have it delivered again")


@fault("day-missing", "a missing day: no file")
def day_missing(scene: Scene) -> None:
    scene.row.struck = "nothing came"
    cause = rf"{shop.SECOND}\.csv: no delivery for night {shop.SECOND}"
    _bad_delivery(scene, None, stage="ingest", cause=cause, mend="have it landed, or declare the day")


@fault("database-down", "the shop's database is down")
def database_down(scene: Scene) -> None:
    scene.row.struck = "kill -9 of the shop's PostgreSQL before `ingest` asks it"
    scene.begin("ingest", harm=lambda: jobs.kill_part(scene.stand, "shop"))
    scene.first_failure("ingest")
    scene.make_up()
    scene.ended()
    scene.told_by_log("ingest", cause="ingest failed: .*(products|grocer)", mend="is it up|make up|is the database up")
    scene.finish()


def _no_small_disk(stand: Stand) -> str:
    return "" if stand.small_disk else "mounting a small disk for the lake needs root"


@fault("disk-full", "the lake's disk is full", why_not=_no_small_disk)
def disk_full(scene: Scene) -> None:
    ballast = scene.stand.lake_folder / "ballast"

    def fill() -> None:
        free = os.statvfs(scene.stand.lake_folder)
        with ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, free.f_bavail * free.f_frsize - ROOM)

    scene.row.struck = f"{ROOM >> 10} KiB are left before `features` writes"
    scene.begin("features", harm=fill)
    scene.first_failure("features")
    scene.person("make room", ballast.unlink)
    scene.ended()
    scene.told_by_log("features", cause=r"features failed: .*(disk|No space left)", mend="make room")
    scene.finish()


def _no_compiler(stand: Stand) -> str:
    return "" if shutil.which("cc") else "a C compiler (cc) is needed to give processes a wrong clock"


def _clock_of_jobs_is_set_back(stand: Stand) -> None:
    library, source = stand.folder / "clock.so", Path(__file__).with_name("clock.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"], check=True)
    stand.circumstances.write_text(f"export LD_PRELOAD={library} CLOCK_BACK={BACK}\n", encoding="utf-8")


@fault("clock-back", "the clock is set back by 26 hours while lists are written", why_not=_no_compiler)
def clock_back(scene: Scene) -> None:
    """The first attempt dies under the right clock; its retry has a clock of the day before, as if it were the earlier one."""
    scene.begin("publish")
    with jobs.half_published(scene.stand, scene.stand.second) as (job, where):
        _clock_of_jobs_is_set_back(scene.stand)
        scene.strike(lambda: jobs.kill(job), f"after {where} the first attempt is killed")
    scene.ended()
    scene.told_by_log("publish", cause=f"night {shop.SECOND}: .*killed by signal 9", mend="resources.driver_memory")
    published = scene.stand.store.live(shop.PIPELINE).published_at
    if published > (datetime.now(UTC) - timedelta(hours=24)).isoformat(timespec="seconds"):
        scene.row.blame("what was struck", f"published at {published}: the clock was not set back")
    scene.finish()
