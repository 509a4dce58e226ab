"""What the runbook quotes is what the programs say, and the commands that it names are there."""

import ast
import functools
import re
from pathlib import Path

from nightfold.cli import main as nightfold

import pytest
from helpers import ROOT

TASKS = {"make setup", "ingest", "clean", "train", "publish", "promote", "lookup", "rollback"}
"""Also in quotes in the first column: who says it."""
AIRFLOWS_OWN = {"Another backfill is running for Dag", "Dag not found during start up"}
ANYTHING = re.compile(r"\.\.\.|; |\b(?:[A-Zxy]|9)\b")
"""What stands for a value in a quote, or ends a part of a message."""


def rows() -> list[list[str]]:
    lines = (ROOT / "docs/runbook.md").read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    return [row for row in cells if row[0] != "symptom"]


def quotes() -> list[str]:
    found = [quote for row in rows() for quote in re.findall("`([^`]+)`", row[0])]
    return [q for q in found if q not in TASKS | AIRFLOWS_OWN and not q.startswith("nightfold")]


@functools.cache
def said() -> list[str]:
    """Every text in the programs, with a zero byte where a value is put in."""
    own = (ROOT / "deploy/haproxy.cfg", *(ROOT / "scripts").glob("*.sh"))  # the balancer's own answers, and what set-up says
    texts = [file.read_text(encoding="utf-8") for file in own]
    for folder in ("nightfold", "spark_jobs", "plugins", "embedded", "serving"):
        for file in sorted(Path(ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.JoinedStr):
                    texts.append("".join(v.value if isinstance(v, ast.Constant) else "\0" for v in node.values))
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    texts.append(node.value)
    return texts


def test_there_is_something_to_check():
    assert len(rows()) > 30
    assert len(quotes()) > 30


@pytest.mark.parametrize("quote", sorted(set(quotes())))
def test_a_symptom_is_in_the_programs_own_words(quote):
    pieces = [piece.strip(" ,") for piece in ANYTHING.split(quote)]
    unsaid = [piece for piece in pieces if not any(piece in text for text in said())]
    assert unsaid == [], f"no program says {quote!r}"


@pytest.mark.parametrize("command", sorted(set(re.findall("`nightfold ([a-z]+)", (ROOT / "docs/runbook.md").read_text()))))
def test_a_command_of_the_runbook_is_there(command, capsys):
    with pytest.raises(SystemExit) as end:
        nightfold([command, "--help"])
    assert end.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: nightfold {command}")
