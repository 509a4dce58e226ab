"""Find Java 17 or newer, which Spark runs on; `python -m embedded.java` prints its home, installing it where it may.

Looked for in JAVA_HOME, then on PATH, then among /usr/lib/jvm (17 first). No wheel carries a Java that Spark accepts.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

OLDEST = 17
PACKAGE = "openjdk-17-jre-headless"
FOLDERS = ("/usr/lib/jvm", "/Library/Java/JavaVirtualMachines")


def find(environ: Mapping[str, str]) -> Path | None:
    """The home of a Java that is new enough, None when there is none."""
    for program in _programs(environ):
        home, version = _asked(program)
        if home and version >= OLDEST:
            return home
    return None


def _programs(environ: Mapping[str, str]) -> Iterator[Path]:
    if environ.get("JAVA_HOME"):
        yield Path(environ["JAVA_HOME"]) / "bin" / "java"
    if on_path := shutil.which("java", path=environ.get("PATH", os.defpath)):
        yield Path(on_path)
    for folder in map(Path, FOLDERS):
        installed = [*folder.glob("*/bin/java"), *folder.glob("*/Contents/Home/bin/java")]
        yield from sorted(installed, key=lambda program: ("17" not in str(program), str(program)))


def _asked(program: Path) -> tuple[Path | None, int]:
    """(home, major version) as the program itself says; (None, 0) when it does not run."""
    try:
        done = subprocess.run(
            [str(program), "-XshowSettings:properties", "-version"], capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None, 0
    home = re.search(r"^\s*java\.home = (.+)$", done.stderr, re.MULTILINE)
    version = re.search(r"^\s*java\.specification\.version = (\d+)", done.stderr, re.MULTILINE)
    return (Path(home[1]), int(version[1])) if home and version else (None, 0)


def _install() -> None:
    print(f"nightfold: no Java {OLDEST} or newer found: installing {PACKAGE} (INSTALL_JAVA=0 refuses)", file=sys.stderr)
    environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", PACKAGE]):
        subprocess.run(["apt-get", *arguments], env=environ, stdout=sys.stderr, check=True)


def main() -> int:
    """Print the home of Java; 1, and one line of what to do, when there is none."""
    home = find(os.environ)
    wanted = os.environ.get("INSTALL_JAVA", "1") != "0"
    if home is None and wanted and shutil.which("apt-get") and os.geteuid() == 0:
        try:
            _install()
        except subprocess.CalledProcessError as error:
            print(f"nightfold: apt-get failed with {error.returncode}: install {PACKAGE} by hand", file=sys.stderr)
            return 1
        home = find(os.environ)
    if home is None:
        advice = f"install it (Debian, Ubuntu: sudo apt-get install {PACKAGE}) or set JAVA_HOME"
        print(f"nightfold: Spark needs Java {OLDEST} or newer: {advice}", file=sys.stderr)
        return 1
    print(home)
    return 0


if __name__ == "__main__":
    sys.exit(main())
