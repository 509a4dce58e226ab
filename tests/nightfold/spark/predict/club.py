"""A club whose members come and pay, and now and then leave a tip: as a pipeline of the tasks classify and regress."""

from datetime import date, timedelta
from typing import Any

from nightfold.pipeline import Pipeline

import numpy as np
import yaml
from helpers import merged

FIRST, NIGHT = "2026-01-01", "2026-02-04"
MEMBERS = 120

CLUB = """
pipeline: club
description: A club.
timezone: UTC
task: regress
sources:
  visits:
    format: csv
    path: club/visits/{ds}.csv
    columns:
      member: {type: string, required: true}
      day: {type: date, required: true}
      paid: {type: "decimal(10,2)"}
      table: {type: string}
  tips:
    format: csv
    path: club/tips/{ds}.csv
    empty: accept
    columns:
      member: {type: string, required: true}
      day: {type: date, required: true}
  letters:
    format: csv
    path: club/letters.csv
    delivery: snapshot
    columns:
      member: {type: string, required: true}
      letter: {type: string, required: true}
  sent:
    format: csv
    path: club/sent.csv
    delivery: snapshot
    columns:
      letter: {type: string, required: true}
      sent_on: {type: date, required: true}
  members:
    format: csv
    path: club/members.csv
    delivery: snapshot
    columns:
      member: {type: string, required: true}
      town: {type: string}
predict:
  key: member
  population: visits
  events:
    visits: {source: visits, time: day, sums: [paid], distinct: [table]}
    tips: {source: tips, time: day}
    letters: {source: letters, time: sent_on, through: {source: sent, column: letter}}
  attributes: [{source: members, columns: [town]}]
  label: {of: visits, sum: paid}
  days: [4, 8, 16]
  crosses: [[visits_paid_8, visits_overdue]]
split: {test_days: 4, validation_days: 4, folds: 2}
training:
  windows: 3
  families:
    linear: {reg_param: [0.001, 0.01, 0.1, 1.0]}
gate: {beat: {}}
schedule: {start: 2026-02-04}
resources: {shuffle_partitions: 2}
"""
CLASSIFY = {"task": "classify", "predict": {"label": {"of": "tips", "sum": None}}}


def club(changes: dict[str, Any] | None = None) -> Pipeline:
    """The pipeline, some of its fields changed."""
    return Pipeline.model_validate(merged(yaml.safe_load(CLUB), changes or {}))


def files(last: str = NIGHT) -> dict[str, list[str]]:
    """All deliveries, below the landing place: who comes often pays much, and tips when he got a letter; of two towns."""
    visits, tips = ["member,day,paid,table"], ["member,day"]
    for member in range(MEMBERS):
        draw = np.random.default_rng([7, member])
        often = 0.2 + 0.6 * draw.random()
        for ago in range((date.fromisoformat(last) - date.fromisoformat(FIRST)).days + 1):
            day = date.fromisoformat(FIRST) + timedelta(days=ago)
            comes, pays, tipped = draw.random() < often, 10 + 20 * often + 5 * draw.random(), draw.random() < often * 0.3
            if comes:
                visits.append(f"m{member:03},{day},{pays:.2f},t{ago % 3}")
                tips += [f"m{member:03},{day}"] if tipped else []
    letters = ["member,letter", *(f"m{member:03},{'ab'[member % 2]}" for member in range(MEMBERS))]
    towns = ["member,town", *(f"m{member:03},{'upper' if member % 3 else 'lower'}" for member in range(0, MEMBERS, 2))]
    return {
        f"club/visits/{last}.csv": visits,
        f"club/tips/{last}.csv": tips,
        "club/letters.csv": letters,
        "club/sent.csv": ["letter,sent_on", "a,2026-01-10", "b,2026-02-20"],
        "club/members.csv": towns,
    }
