"""The command line fails in one line that names the mend, with the promised exit code; and ends well as a process."""

import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from nightfold.store import VersionManifest, store_at
from nightfold.store.records import encode

import pytest
from asking import PROMISED, Result, ageless, failed
from helpers import environment, free_port

COMMAND = Path(sys.executable).with_name("nightfold")


# --- errors


@pytest.mark.parametrize("command", ["lookup", "versions", "rollback", "release", "report"])
def test_an_unknown_pipeline_is_named_beside_those_that_there_are(run, home, command):
    words = ("1228",) if command == "lookup" else ()
    assert failed(run(command, "stop", *words)) == (
        f"nightfold: {home}/pipelines/stop.yaml: no such pipeline file; there are: shop"
    )


@pytest.mark.parametrize("command", ["lookup", "versions", "rollback", "release"])
def test_a_store_that_is_down_is_one_line_without_the_password(run, monkeypatch, command):
    monkeypatch.setenv("AIRFLOW_CONN_KV_DEFAULT", f"redis://:s3cret@127.0.0.1:{free_port()}/0")
    line = failed(run(command, "shop", *(("1228",) if command == "lookup" else ())))
    assert line.startswith("nightfold: store redis://127.0.0.1:")
    assert "AIRFLOW_CONN_KV_DEFAULT" in line
    assert "s3cret" not in line


def test_no_connection_says_how_to_get_one(run, monkeypatch):
    monkeypatch.delenv("AIRFLOW_CONN_KV_DEFAULT")
    assert "run `make up` on a laptop; elsewhere set AIRFLOW_CONN_KV_DEFAULT" in failed(run("versions", "shop"))


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ((), "nightfold: the following arguments are required: COMMAND; see `nightfold --help`"),
        (("look",), "nightfold: argument COMMAND: invalid choice: 'look' (choose from 'validate', 'lookup',"),
        (("lookup",), "nightfold lookup: the following arguments are required: PIPELINE"),
        (("lookup", "shop"), "nightfold: lookup: give keys, or --all"),
        (("lookup", "shop", "1228", "--all"), "nightfold: lookup: give keys, or --all"),
        (("lookup", "shop", "1228", "-n", "0"), "nightfold lookup: argument -n: must be a whole number from 1 on, not '0'"),
        (("lookup", "shop", "1228", "-n", "x"), "nightfold lookup: argument -n: must be a whole number from 1 on, not 'x'"),
        (("lookup", "shop", "1228", "--nope"), "nightfold: '--nope' is not understood"),
        (("lookup", "shop", "\udcff"), "nightfold: lookup: key '\\udcff' is not UTF-8"),
        (("versions", "shop", "more"), "nightfold: 'more' is not understood"),
        (("versions",), "nightfold versions: the following arguments are required: PIPELINE"),
        (("rollback", "shop", "--to"), "nightfold rollback: argument --to: expected one argument"),
        (("release",), "nightfold release: the following arguments are required: PIPELINE"),
        (("report",), "nightfold report: the following arguments are required: PIPELINE"),
    ],
    ids=lambda value: " ".join(value).encode("ascii", "replace").decode() if isinstance(value, tuple) else "",
)
def test_wrong_use_is_2_and_one_line(run, words, complaint):
    assert failed(run(*words), code=2).startswith(complaint)


# --- as a process of its own


@pytest.fixture
def process(home, uri):
    """The installed command's environment."""
    return {**environment(home), "AIRFLOW_CONN_KV_DEFAULT": uri}


def test_the_installed_command_answers_and_exits_as_promised(process, store):
    def run(*words: str) -> Result:
        done = subprocess.run([str(COMMAND), *words], env=process, capture_output=True, text=True, timeout=60, check=False)
        return Result(done.returncode, done.stdout, done.stderr)

    assert ageless(run("lookup", "shop", "1228", "--json").facts) == PROMISED
    assert failed(run("lookup", "stop", "1228")).endswith("there are: shop")
    assert failed(run("lookup", "shop"), code=2) == "nightfold: lookup: give keys, or --all; see `nightfold --help`"
    assert run("--help").code == 0
    assert run("--version").out == f"nightfold {metadata.version('nightfold')}\n"


@pytest.mark.parametrize("lists", [2, 3000])
def test_a_reader_that_takes_only_the_first_line_meets_no_complaint(process, uri, lists):
    store = store_at(uri)
    store.write("shop", "v", "a", {f"k{i}": encode([("x" * 200, 1.0, "")]) for i in range(lists)})
    store.write_fallback("shop", "v", "a", encode([]))
    manifest = VersionManifest(
        pipeline="shop",
        version="v",
        night="2017-12-03",
        attempt="a",
        published_at="2017-12-04T02:41:07+00:00",
        keys=lists,
        checksum="",
        model="",
    )
    store.announce("shop", "v", "a")
    store.seal(manifest)
    done = subprocess.run(
        ["/bin/sh", "-c", '"$0" lookup shop --all --version v | head -1', str(COMMAND)],
        env=process,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["items"][0]["id"] == "x" * 200


def test_a_command_whose_reader_is_gone_ends_quietly_but_not_as_a_success(process, store):
    writer = subprocess.Popen(
        ["/bin/sh", "-c", 'sleep 0.2; exec "$0" lookup shop 1228', str(COMMAND)],
        env=process,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert writer.stdout is not None
    assert writer.stderr is not None
    writer.stdout.close()
    assert writer.stderr.read() == ""
    assert writer.wait(60) == 1
