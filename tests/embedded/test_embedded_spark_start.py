"""Spark's JVM starts from the class-data archive that set-up made; without it a job only starts slower."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from helpers import ROOT

MADE = ROOT / ".venv" / "spark"
HELP = ["--pipeline", "none", "--ds", "2017-12-03"]
REFUSED = "nightfold: promote failed: "  # there is no such pipeline: the job runs, and says so


def submit(options: str) -> subprocess.CompletedProcess:
    """A job through spark-submit, with these options of the JVM."""
    return subprocess.run(
        [ROOT / ".venv" / "bin" / "spark-submit", ROOT / "spark_jobs" / "promote.py", *HELP],
        env={**os.environ, "SPARK_SUBMIT_OPTS": options},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,  # spark-submit mixes them anyway
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="module")
def options() -> str:
    return (MADE / "options").read_text(encoding="utf-8").strip()


def test_sparks_classes_come_from_the_archive(options, tmp_path):
    assert (MADE / "classes.jsa").stat().st_size > 50_000_000
    log = tmp_path / "classes.log"
    done = submit(f"{options} -Xlog:class+load:file={log}")
    assert REFUSED in done.stdout
    loaded = [
        line for line in log.read_text(encoding="utf-8").splitlines() if " org.apache.spark." in line and "$$Lambda" not in line
    ]
    shared = [line for line in loaded if "source: shared objects file" in line]
    assert len(shared) > 50
    assert len(shared) > 0.9 * len(loaded)


def test_a_missing_archive_costs_time_only_and_nobody_hears_of_it(options, tmp_path):
    done = submit(options.replace("classes.jsa", "no-such.jsa"))
    assert done.returncode == 65
    assert REFUSED in done.stdout
    assert [line for line in done.stdout.splitlines() if "jsa" in line or "archive" in line.lower()] == []


def test_a_second_set_up_leaves_the_archive_alone():
    before = (MADE / "classes.jsa").stat().st_mtime_ns
    done = subprocess.run([ROOT / "scripts" / "spark.sh"], capture_output=True, text=True, timeout=600, check=True)
    assert (done.stdout, done.stderr) == ("", "")
    assert (MADE / "classes.jsa").stat().st_mtime_ns == before


SPARK_SUBMIT = """\
#!/bin/sh
echo made >> made
[ -e full ] && exit 1
for option in $SPARK_SUBMIT_OPTS; do case $option in -XX:ArchiveClassesAtExit=*) echo classes >"${option#*=}" ;; esac; done
"""


@pytest.fixture
def checkout(tmp_path):
    """A checkout with a Java and a spark-submit of its own, which writes down that it was called."""
    for folder in (".venv/bin", "java-17", "java-21", "scripts", "nightfold/spark"):
        (tmp_path / folder).mkdir(parents=True)
    shutil.copy(ROOT / "scripts/spark.sh", tmp_path / "scripts")
    for file in (".venv/fingerprint", "nightfold/spark/warm_up.py"):
        (tmp_path / file).write_text("1")
    (tmp_path / ".venv/java-home").write_text(f"{tmp_path}/java-17")
    (tmp_path / ".venv/bin/spark-submit").write_text(SPARK_SUBMIT)
    (tmp_path / ".venv/bin/spark-submit").chmod(0o755)
    return tmp_path


def times_made(checkout: Path) -> int:
    """After one more set-up."""
    subprocess.run([checkout / "scripts/spark.sh"], capture_output=True, text=True, check=True)
    return len((checkout / "made").read_text().splitlines())


def test_the_archive_is_made_anew_when_what_it_was_made_from_has_changed_or_it_is_gone(checkout):
    assert [times_made(checkout), times_made(checkout)] == [1, 1]
    (checkout / "java-17/release").write_text("17.0.99")
    assert [times_made(checkout), times_made(checkout)] == [2, 2], "another release of Java at the same place"
    (checkout / ".venv/java-home").write_text(f"{checkout}/java-21")
    assert [times_made(checkout), times_made(checkout)] == [3, 3], "another Java, which says nothing of itself"
    (checkout / ".venv/fingerprint").write_text("2")
    assert [times_made(checkout), times_made(checkout)] == [4, 4], "another Spark"
    (checkout / ".venv/spark/classes.jsa").unlink()
    assert [times_made(checkout), times_made(checkout)] == [5, 5], "it was deleted"
    assert "-XX:SharedArchiveFile=" in (checkout / ".venv/spark/options").read_text()


def test_an_archive_that_could_not_be_made_is_said_and_tried_again_the_next_time(checkout):
    (checkout / "full").touch()
    done = subprocess.run([checkout / "scripts/spark.sh"], capture_output=True, text=True, check=True)
    assert "no class-data archive could be made (.venv/spark/log)" in done.stderr
    assert "-XX:SharedArchiveFile=" not in (checkout / ".venv/spark/options").read_text(), "jobs run without it"
    (checkout / "full").unlink()
    assert [times_made(checkout), times_made(checkout)] == [2, 2]


def test_the_noise_before_a_jobs_own_words_is_gone(options):
    said = submit(options).stdout.splitlines()
    assert [line for line in said if "INFO" in line or "Utils:" in line] == []
    assert Path(MADE / "made-from").is_file()
