"""The peak of memory of the whole platform while a command runs: `python -m benchmarks.memory -- make run`.

Counts  the command and all that descends from it, and the platform's servers (`<home>/run/*.json`) with their descendants;
        read anew at every look, as servers start and end meanwhile
Prints  the highest sum, when it was, and who had it. A process counts with its PSS (memory shared by several is divided
        among them), where the kernel does not tell with its RSS (which counts it several times)
"""

import argparse
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from benchmarks.tables import aligned
from embedded import processes
from nightfold import settings

LOOK_EVERY = 0.5  # seconds
GIB = 1 << 30
PROC = Path("/proc")


@dataclass(frozen=True)
class Peak:
    """The moment at which most memory was held."""

    bytes: int
    seconds: float
    """Since the command's start."""
    by_name: dict[str, tuple[int, int]]
    """Program → (processes, bytes), the greatest first."""


@dataclass(frozen=True)
class Measured:
    """A command that has ended."""

    peak: Peak
    exit_code: int
    seconds: float
    looks: int


def parents() -> dict[int, int]:
    """Process → its parent, of all that live."""
    found = {}
    for path in PROC.glob("[0-9]*/stat"):
        try:
            after_name = path.read_text(errors="replace").rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):  # it ended between the two
            continue
        found[int(path.parent.name)] = int(after_name[1])
    return found


def descendants(roots: Iterable[int], parent_of: dict[int, int]) -> set[int]:
    """The roots that live, and all that descend from them."""
    children: dict[int, list[int]] = {}
    for child, parent in parent_of.items():
        children.setdefault(parent, []).append(child)
    found: set[int] = set()
    waiting = [root for root in roots if root in parent_of]
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found.add(pid)
            waiting += children.get(pid, [])
    return found


def held(pid: int) -> int:
    """Bytes that a process holds (PSS, else RSS); 0 when it has ended."""
    for name, field in (("smaps_rollup", "Pss:"), ("status", "VmRSS:")):
        try:
            text = (PROC / str(pid) / name).read_text(errors="replace")
        except PermissionError:  # another user's: only its RSS is public
            continue
        except (FileNotFoundError, ProcessLookupError):
            if not (PROC / str(pid)).exists():
                return 0
            continue  # a kernel without smaps_rollup
        kib = [line.split()[1] for line in text.splitlines() if line.startswith(field)]
        if kib:
            return int(kib[0]) * 1024
    return 0  # a zombie holds nothing


def servers(home: Path) -> list[int]:
    """The platform's servers that run now."""
    running = (processes.process_of(processes.record_of(home, name)) for name in processes.recorded(home))
    return [process.pid for process in running if process is not None]


def look(roots: Iterable[int], *, seconds: float) -> Peak:
    """What the roots and their descendants hold now."""
    counts: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for pid in descendants(roots, parents()):
        name, size = _name(pid), held(pid)
        counts[name] += 1
        sizes[name] += size
    return Peak(bytes=sizes.total(), seconds=seconds, by_name={name: (counts[name], size) for name, size in sizes.most_common()})


def measure(command: list[str], *, home: Path, every: float = LOOK_EVERY, stdout: IO[str] | None = None) -> Measured:
    """Run the command to its end, its output going where ours goes (or to `stdout`), and look every so often."""
    start = time.monotonic()
    peak, looks = Peak(bytes=0, seconds=0.0, by_name={}), 0
    with subprocess.Popen(command, stdout=stdout) as process:
        while True:
            now = look([process.pid, *servers(home)], seconds=time.monotonic() - start)
            peak, looks = max(peak, now, key=lambda moment: moment.bytes), looks + 1
            try:
                exit_code = process.wait(timeout=every)
                break
            except subprocess.TimeoutExpired:
                continue
    return Measured(peak=peak, exit_code=exit_code, seconds=time.monotonic() - start, looks=looks)


def as_text(measured: Measured) -> str:
    peak = measured.peak
    rows = [(name, str(count), f"{size / GIB:.2f}") for name, (count, size) in peak.by_name.items()]
    return "\n".join(
        (
            f"peak memory {peak.bytes / GIB:.2f} GiB, {peak.seconds:.0f} s after the start; the command took {measured.seconds:.0f} s "
            f"and ended with {measured.exit_code} ({measured.looks} looks)",
            aligned([("at the peak", "processes", "GiB"), *rows]),
        )
    )


def _name(pid: int) -> str:
    try:
        return (PROC / str(pid) / "comm").read_text(errors="replace").strip()
    except (FileNotFoundError, ProcessLookupError):
        return "ended"


def main(argv: list[str] | None = None) -> int:
    """Returns the command's own exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description="Peak memory while a command runs.")
    parser.add_argument("command", nargs="+", metavar="-- COMMAND", help="what to run")
    measured = measure(parser.parse_args(argv).command, home=settings.home())
    print(as_text(measured))
    return measured.exit_code if measured.exit_code >= 0 else 128 - measured.exit_code


if __name__ == "__main__":
    sys.exit(main())
