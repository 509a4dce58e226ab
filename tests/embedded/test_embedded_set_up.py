"""Set-up: the Makefile tells what it does, Java is found where it is, private names of MLflow are still its names."""

import re
import subprocess
from importlib.util import find_spec
from pathlib import Path

from embedded import java

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROMISED = {"help", "setup", "run", "up", "down", "test", "lint", "bench", "shell", "clean", "lock"}


def made(*words: str) -> str:
    """What make prints."""
    done = subprocess.run(["make", "--no-print-directory", *words], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout


def test_every_make_target_is_in_the_help():
    lines = dict(re.findall(r"^make ([\w-]+) +(.+)$", made("help"), re.MULTILINE))
    phony = re.findall(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[0].split()
    public = set(phony) - {"venv", "servers"}  # these two are steps, not commands
    assert set(lines) == public
    assert public >= PROMISED
    assert all(len(line) > 8 for line in lines.values())


def test_help_is_what_make_does_by_itself():
    assert made() == made("help")


def fake_java(folder: Path, version: str) -> Path:
    """A program that answers as Java does."""
    program = folder / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\necho '    java.home = {folder}\n    java.specification.version = {version}' >&2\n")
    program.chmod(0o755)
    return folder


def test_java_home_is_taken_before_the_path(tmp_path, monkeypatch):
    monkeypatch.setattr(java, "FOLDERS", ())
    mine, other = fake_java(tmp_path / "mine", "17"), fake_java(tmp_path / "other", "21")
    assert java.find({"JAVA_HOME": str(mine), "PATH": f"{other}/bin"}) == mine
    assert java.find({"PATH": f"{other}/bin"}) == other


@pytest.mark.parametrize("version", ["11", "1.8"])
def test_a_java_that_is_too_old_is_passed_over_for_one_in_the_usual_folder(tmp_path, monkeypatch, version):
    monkeypatch.setattr(java, "FOLDERS", (str(tmp_path / "jvm"),))
    old = fake_java(tmp_path / "old", version)
    fake_java(tmp_path / "jvm" / "java-21", "21")
    seventeen = fake_java(tmp_path / "jvm" / "java-17", "17")
    assert java.find({"JAVA_HOME": str(old), "PATH": f"{old}/bin"}) == seventeen


def test_no_java_is_none(tmp_path, monkeypatch):
    monkeypatch.setattr(java, "FOLDERS", ())
    assert java.find({"PATH": str(tmp_path)}) is None


def test_refusing_the_installation_says_in_one_line_what_to_install(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(java, "FOLDERS", ())
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("INSTALL_JAVA", "0")
    assert java.main() == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "openjdk-17-jre-headless" in error


def test_mlflow_still_calls_its_private_settings_as_we_do():
    folder = Path(find_spec("mlflow").origin).parent
    constants = (folder / "server" / "constants.py").read_text() + (folder / "environment_variables.py").read_text()
    server = (folder / "server" / "__init__.py").read_text() + (folder / "server" / "auth" / "__init__.py").read_text()
    ours = set(re.findall(r'"(_MLFLOW\w+)"', (ROOT / "embedded" / "mlflow_part.py").read_text()))
    assert len(ours) == 5
    assert [name for name in ours if f'"{name}"' not in constants] == []
    assert '_MLFLOW_SGI_NAME.get() == "uvicorn"' in server
    assert "def create_app(" in server
