"""A shop with published versions, and what the command line answers."""

import json
from collections.abc import Callable
from typing import NamedTuple

from nightfold.store import Store, VersionManifest
from nightfold.store.records import encode

CLUB = """\
pipeline: club
description: What a member will pay.
task: regress
sources:
  visits:
    format: csv
    path: "{ds}.csv"
    columns: {member: {required: true}, day: {type: date, required: true}, paid: {type: double}}
predict:
  key: member
  population: visits
  events: {visits: {source: visits, time: day, sums: [paid]}}
  label: {of: visits, sum: paid}
schedule: {start: 2017-01-01}
"""
SHOP = """\
pipeline: shop
description: Next purchases.
task: recommend
sources:
  sales:
    format: csv
    path: "{ds}.csv"
    columns: {client: {required: true}, article: {required: true}, sold_at: {type: timestamp, required: true}}
recommend:
  interactions: {source: sales, user: client, item: article, time: sold_at}
schedule: {start: 2017-01-01}
"""


class Result(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def facts(self) -> dict:
        return json.loads(self.out)


Run = Callable[..., Result]


PROMISED = {
    "pipeline": "shop",
    "key": "1228",
    "version": "v3",
    "night": "2017-12-03",
    "published_at": "2017-12-03T23:00:00+00:00",
    "source": "model",
    "bucket": None,
    "degraded": False,
    "items": [
        {"id": "00123", "score": 2.5, "why": "bought 3 times"},
        {"id": "v3", "score": 1.25, "why": "popular"},
    ],
}


def ageless(answer: dict) -> dict:
    """Without what is another number every time."""
    assert answer.pop("age_seconds") > 0
    return answer


def publish(store: Store, version: str, *, night: str, keep: int = 3, pipeline: str = "shop") -> None:
    records = {
        "1228": encode([("00123", 2.5, "bought 3 times"), (version, 1.25, "popular")]),
        "Jürgen Ω": encode([("soap", 1.0, "")]),
    }
    store.announce(pipeline, version, "a")
    store.write(pipeline, version, "a", records)
    store.write_fallback(pipeline, version, "a", encode([("milk", 9.0, "popular")]))
    store.seal(
        VersionManifest(
            pipeline=pipeline,
            version=version,
            night=night,
            attempt="a",
            published_at=f"{night}T23:00:00+00:00",
            keys=2,
            checksum="0",
            model="m",
            metrics={"ndcg": 0.5},
        )
    )
    store.promote(pipeline, version, store.begin(pipeline), keep)


def failed(result: Result, code: int = 1) -> str:
    """The one line of a failure."""
    assert result.code == code, result
    assert result.out == ""
    assert result.err.endswith("\n")
    assert result.err.count("\n") == 1, result.err
    return result.err.rstrip("\n")
