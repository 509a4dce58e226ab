"""Spark's JVM starts from the class-data archive that set-up made; without it a job only starts slower."""

import os
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


def test_the_noise_before_a_jobs_own_words_is_gone(options):
    said = submit(options).stdout.splitlines()
    assert [line for line in said if "INFO" in line or "Utils:" in line] == []
    assert Path(MADE / "made-from").is_file()
