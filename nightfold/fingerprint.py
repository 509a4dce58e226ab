"""What a result was made from, as one short hash: the same inputs give the same fingerprint anywhere."""

import functools
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from nightfold import settings


def digest(*parts: Any) -> str:
    """SHA-256 (first 16 hex digits) of the parts as canonical JSON; dates and models must be strings or dicts by then."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def of_files(paths: Iterable[Path], *, root: Path) -> str:
    """Of the names (below `root`) and contents of files."""
    return digest([(p.relative_to(root).as_posix(), hashlib.sha256(p.read_bytes()).hexdigest()) for p in sorted(paths)])


@functools.cache
def code() -> str:
    """Of the code that computes: the package, the jobs and the lock."""
    root = settings.ROOT
    files = [*(root / "nightfold").rglob("*.py"), *(root / "spark_jobs").glob("*.py"), root / "requirements.lock"]
    return of_files([p for p in files if p.is_file()], root=root)


@functools.cache
def code_of(*names: str) -> str:
    """Of some modules only: for stages whose history must not be taken again at each change elsewhere."""
    return of_files([settings.ROOT / name for name in names], root=settings.ROOT)
