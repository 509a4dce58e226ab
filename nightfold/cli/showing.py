"""What all commands share: the store of a pipeline, and how an answer and a complaint look."""

import argparse
import json
import sys
from typing import Any

from nightfold import pipeline as pipelines
from nightfold.store import Store, open_store


def store_of(pipeline: str) -> Store:
    return open_store(pipelines.named(pipeline).publish.connection)


def show(arguments: argparse.Namespace, facts: dict[str, Any], text: str) -> None:
    print(json.dumps(facts, ensure_ascii=False) if arguments.json else text)


def complain(words: str) -> None:
    """In one line."""
    print(f"nightfold: {' '.join(words.split())}", file=sys.stderr)
