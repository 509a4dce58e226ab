"""What a machine can check of the design: who imports whom, what is documented, what must never be committed."""

import ast
import os
import re
import subprocess
import sys
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from helpers import ROOT

ROOMS = ("nightfold", "spark_jobs", "dags", "plugins", "serving", "embedded", "deploy", "samples", "benchmarks")
PLATFORM = ("airflow", "pyspark")
LONGEST = 400  # lines of a file; beyond, it is two files

MAY_IMPORT = {
    # room: of our own rooms, and of the two platforms
    "nightfold": {"nightfold"},
    "nightfold/spark": {"nightfold", "nightfold.spark", "pyspark"},
    "spark_jobs": {"nightfold", "nightfold.spark", "pyspark"},
    "dags": {"nightfold", "plugins", "airflow"},
    "plugins": {"nightfold", "plugins", "airflow"},
    "serving": {"nightfold", "serving"},
    "samples": {"nightfold", "samples"},
    "benchmarks": {"nightfold", "benchmarks", "samples", "embedded"},
    "benchmarks/serving/jobs": {"nightfold", "nightfold.spark", "benchmarks", "pyspark"},  # run through spark-submit
    "embedded": {"nightfold", "embedded", "samples"},
    "deploy": {"nightfold", "deploy"},
}


@cache
def committed() -> list[Path]:
    """Every file that is, or is about to be, in the repository, below its root."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    paths = [Path(name) for name in listed.stdout.split("\0") if name]
    return [path for path in paths if (ROOT / path).is_file()]


def python_files(*rooms: str) -> list[Path]:
    return [path for path in committed() if path.suffix == ".py" and path.parts[0] in rooms]


def room_of(path: Path) -> str:
    """The one with the longest name of those that it lies in."""
    inside = [room for room in MAY_IMPORT if path.is_relative_to(room)]
    return max(inside, key=len, default=path.parts[0])


def imported(path: Path) -> set[str]:
    """Dotted names of all that a file imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports relatively; name the package"
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def as_rooms(path: Path) -> set[str]:
    """Rooms and platforms that a file imports."""
    plugins = {file.stem for file in python_files("plugins")}
    found: set[str] = set()
    for name in imported(path):
        top = name.split(".")[0]
        if top == "nightfold":
            found.add("nightfold.spark" if name.startswith("nightfold.spark") else "nightfold")
        elif top in plugins:
            found.add("plugins")
        elif top in (*ROOMS, *PLATFORM):
            found.add(top)
    return found


# --- who imports whom


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_imports_only_what_the_design_allows(room):
    wrong = {
        str(path): sorted(as_rooms(path) - MAY_IMPORT[room])
        for path in python_files(room.split("/")[0])
        if room_of(path) == room and as_rooms(path) - MAY_IMPORT[room]
    }
    assert wrong == {}


def test_every_python_file_is_in_a_room_that_the_design_knows():
    assert {path.parts[0] for path in committed() if path.suffix == ".py"} <= {*ROOMS, "tests"}


def test_no_job_keeps_data_that_dies_with_an_executor():
    """A local checkpoint cuts the lineage and lies on one executor's disk: when that dies, the stage fails for good."""
    using = [path for path in python_files("spark_jobs", "nightfold") if "localCheckpoint" in (ROOT / path).read_text()]
    assert using == []


def test_jobs_never_import_jobs():
    jobs = {path.stem for path in python_files("spark_jobs")}
    for path in python_files(*ROOMS):
        tops = {name.split(".")[0] for name in imported(path)}
        assert "spark_jobs" not in tops, path
        if path.parts[0] == "spark_jobs":
            assert not tops & jobs, path


def test_the_package_is_importable_without_spark_and_airflow():
    """What the imports say, the interpreter confirms: also nothing that we import brings them in."""
    modules = [
        ".".join(path.with_suffix("").parts).removesuffix(".__init__")
        for path in python_files("nightfold")
        if room_of(path) == "nightfold"
    ]
    code = f"import importlib, sys\nfor name in {modules!r}: importlib.import_module(name)\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)
    assert {name.split(".")[0] for name in done.stdout.split()} & {"pyspark", "airflow"} == set()


def test_every_stage_that_computes_has_a_job_file_named_by_its_verb():
    from nightfold.stages import FLOW

    assert {path.stem for path in python_files("spark_jobs")} == {stage.name for stage in FLOW}


def test_no_plugin_is_named_like_a_module_that_it_would_shadow():
    taken = {*sys.stdlib_module_names, *packages_distributions(), *ROOMS}
    assert {path.stem for path in python_files("plugins", "dags")} & taken == set()


def test_dag_files_hold_no_sql_no_pyspark_and_read_nothing():
    for path in python_files("dags"):
        text = (ROOT / path).read_text()
        assert not re.search(r"\bopen\(|read_text|\bSELECT\b|requests|subprocess|environ", text), path


# --- what is documented


@cache
def documentation() -> str:
    """README, CONTRIBUTING and all of docs/."""
    paths = [path for path in committed() if path.suffix == ".md" and (len(path.parts) == 1 or path.parts[0] == "docs")]
    return "\n".join((ROOT / path).read_text(encoding="utf-8") for path in paths)


def make_targets() -> list[str]:
    [phony] = re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    return [target for target in phony.split() if target not in ("venv", "servers")]  # steps, not commands


def test_every_make_target_is_in_make_help():
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True).stdout
    described = re.findall(r"^make (\S+)\s+\S", shown, flags=re.MULTILINE)
    assert sorted(described) == sorted(make_targets())


def test_every_make_target_is_documented():
    missing = [target for target in make_targets() if not re.search(rf"\bmake {target}\b", documentation())]
    assert missing == [], "say in README.md, CONTRIBUTING.md or docs/ what these do"


def test_every_command_of_nightfold_is_documented():
    shown = subprocess.run([sys.executable, "-m", "nightfold.cli", "--help"], capture_output=True, text=True, check=True).stdout
    commands = re.findall(r"^    (\w+)  +\S", shown, flags=re.MULTILINE)
    assert {"lookup", "keys", "split"} <= set(commands)
    missing = [command for command in commands if not re.search(rf"\bnightfold {command}\b", documentation())]
    assert missing == [], "say in README.md or docs/ what these do"


def settings_in_code() -> list[str]:
    sources = [
        path
        for path in committed()
        if path.parts[0] in (*ROOMS, "Makefile", "scripts", ".ci") and path.suffix in (".py", ".sh", "")
    ]
    names = {
        name for path in sources for name in re.findall(r"\bNIGHTFOLD_[A-Z_]*[A-Z]\b", (ROOT / path).read_text(encoding="utf-8"))
    }
    return sorted(names)


def test_every_setting_is_documented():
    missing = [name for name in settings_in_code() if not re.search(rf"\b{name}\b", documentation())]
    assert missing == [], "say in README.md, CONTRIBUTING.md or docs/ what these set"


def test_every_error_says_what_it_means():
    from nightfold import errors

    named = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Exception)]
    assert [error.__name__ for error in named if not error.__doc__] == []
    assert errors.Permanent.EXIT == 65, "EX_DATAERR: the operator does not retry it"
    assert {error.__name__ for error in named if issubclass(error, errors.Permanent)} >= {
        "BadPipeline",
        "BadInput",
        "TooManyRejects",
    }
    assert not issubclass(errors.StoreError, errors.Permanent), "a store that is down is worth another try"


@pytest.mark.parametrize("path", python_files(*ROOMS), ids=str)
def test_every_module_says_what_it_is_for(path):
    assert ast.get_docstring(ast.parse((ROOT / path).read_text(encoding="utf-8"))), "begin with a docstring of one line"


# --- what must never be committed

PACKAGE_FILES = ".".join(("files", "python" + "hosted", "org"))  # in parts: no file of ours spells it out
TEXT = {".py", ".md", ".yaml", ".yml", ".toml", ".txt", ".in", ".lock", ".sh", ".json", ".cfg", ".html", ".css", ""}


def test_no_path_of_a_machine_and_no_registry_is_committed():
    """A lock with addresses, or a path of somebody's home, works on one machine only."""
    here = re.escape(str(ROOT))
    hosts = [urlsplit(value).hostname for name, value in os.environ.items() if re.search("INDEX|REGISTRY|GOPROXY", name)]
    registries = "".join(f"|{re.escape(host)}" for host in hosts if host)
    forbidden = re.compile(
        rf"/home/[a-z]\w*/|/Users/\w+/|(?<![\w.]){here}(?![\w-])|--(extra-)?index-url|{re.escape(PACKAGE_FILES)}{registries}"
    )
    wrong = {
        f"{path}: {found.group()}"
        for path in committed()
        if path.suffix in TEXT and path != Path("tests/test_architecture.py")
        for found in [forbidden.search((ROOT / path).read_text(encoding="utf-8"))]
        if found
    }
    assert wrong == set()


def test_the_lock_holds_versions_only():
    lines = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if line and not line.lstrip().startswith("#")]
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._\[\],-]+==[^\s;]+( ?;.*)?", line)] == []


def test_files_are_short():
    code = [path for path in committed() if path.suffix in (".py", ".sh") or path.name == "Makefile"]
    long = {str(path): lines for path in code if (lines := len((ROOT / path).read_text(encoding="utf-8").splitlines())) > LONGEST}
    assert long == {}


def test_nothing_sleeps_without_a_limit_in_sight():
    """A sleep is the wait between two looks at a condition, and the looking has a limit within the same function."""
    limit = re.compile(r"monotonic|deadline|limit|timeout|give_up|until", re.IGNORECASE)
    for path in python_files(*ROOMS, "tests"):
        text = (ROOT / path).read_text(encoding="utf-8")
        functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        for function in functions:
            sleeps = [n for n in ast.walk(function) if isinstance(n, ast.Call) and ast.unparse(n.func) in ("time.sleep", "sleep")]
            if sleeps:
                assert limit.search(ast.get_source_segment(text, function) or ""), f"{path}: {function.name} sleeps without a limit"
