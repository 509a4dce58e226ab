"""fuzz: Schemathesis with all its checks against /openapi.json, and ten thousand bad bodies: no answer of 5xx, nothing undocumented."""

import http.client
import os
import random
import re
import subprocess
import tempfile
from collections import Counter
from pathlib import Path

from benchmarks.serving.nonsense import request
from benchmarks.serving.page import Part, Table, none
from benchmarks.serving.peer import SCHEMATHESIS, environment_of
from benchmarks.serving.published import made
from benchmarks.serving.stack import Stack, serving
from nightfold.errors import NightfoldError

BODIES = 10_000
EXAMPLES = 100  # of each operation and phase
SEED = 20171203
SUMMARY = re.compile(r"(\d[\d,]*) generated(?:, (\d+) found (\d+) unique failures)?")


def bad_bodies(port: int, key: str, number: int) -> Counter[int]:
    """Status → answers; 0: none, the connection was closed over it."""
    chance, found = random.Random(SEED), Counter[int]()  # noqa: S311 (the same every time)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    for _ in range(number):
        path, body, kind = request(chance)
        headers = {"Authorization": f"Bearer {key}", "Content-Type": kind}
        try:
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            answer.read()
            found[answer.status] += 1
        except (http.client.HTTPException, ConnectionError):
            connection.close()
            found[0] += 1
    return found


def by_schema(stack: Stack, folder: Path, *, examples: int) -> tuple[int, int, str]:
    """Cases, different failures, and what Schemathesis said. Raises NightfoldError when it says neither."""
    program = environment_of("schemathesis", SCHEMATHESIS) / "schemathesis"
    command = [
        str(program),
        "run",
        f"{stack.url}/openapi.json",
        "--header",
        f"Authorization: Bearer {stack.key}",
        "--checks",
        "all",
    ]
    command += ["--max-examples", str(examples), "--seed", str(SEED), "--continue-on-failure", "--no-color"]
    environment = {**os.environ, "COLUMNS": "140"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    summary = SUMMARY.search(done.stdout)
    if summary is None or done.returncode not in (0, 1):
        raise NightfoldError(f"schemathesis ended with {done.returncode}: {(done.stderr or done.stdout).strip()[-500:]}")
    failures = int(summary[3] or 0)
    return int(summary[1].replace(",", "")), max(failures, done.returncode), done.stdout


def measure(part: Part) -> None:
    """Fill in the part."""
    number, examples = max(100, int(BODIES * part.scale)), max(5, int(EXAMPLES * part.scale))
    with tempfile.TemporaryDirectory(prefix="nightfold-fuzz-") as home:
        folder = Path(home)
        with serving(folder / "home", made("v1"), night="2017-12-03") as stack:
            statuses = bad_bodies(int(stack.settings["NIGHTFOLD_SERVING_PORT"]), stack.key, number)
            cases, failures, said = by_schema(stack, folder, examples=examples)
    if failures:
        print(said, flush=True)
    ours = sum(count for status, count in statuses.items() if status >= 500)
    part.figures += [
        none("bad bodies: answers of 5xx", ours, f" of {number:,}"),
        none("bad bodies: no answer", statuses[0], f" of {number:,}"),
        none("Schemathesis, all checks: failures", failures, f" in {cases:,} cases"),
    ]
    part.tables.append(
        Table(["answer", "bad bodies"], [[str(status or "none"), f"{count:,}"] for status, count in sorted(statuses.items())])
    )
    part.notes.append(
        f"{SCHEMATHESIS}, through the balancer, with an API key that may do everything; two pipelines, each with a model. The bodies are "
        "random bytes, JSON that is cut, changed, nested 100,000 deep, with numbers beyond all sizes, wrong types, lone surrogates, and "
        "wrong content types; the same every time."
    )
