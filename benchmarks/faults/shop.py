"""The shop of the fault table: a cut of the sample grocer under a pipeline of its own, small enough for a night in a minute."""

from pathlib import Path

from nightfold.settings import ROOT
from samples.land import land as land_sample

import yaml

PIPELINE = "faults"
DAG = f"nightly_{PIPELINE}"
FIRST = "2017-01-20"
"""The night whose lists are live before each fault."""
SECOND = "2017-01-21"
"""The night that is disturbed: the 21st day."""
HOUSEHOLDS = 200
SOURCES = ("transactions", "redemptions", "campaign_descriptions")  # a CSV, JSON lines that are empty on most days, a table
STRANGER = "nobody"  # a key that no version knows: its list is the fallback


def write_pipeline(folder: Path) -> None:
    """The shipped grocery pipeline with fewer sources, windows that fit 21 days, a small model, and lists written one by one."""
    content = yaml.safe_load((ROOT / "pipelines" / "grocery.yaml").read_text(encoding="utf-8"))
    content["pipeline"] = PIPELINE
    content["description"] = "What the fault table breaks."
    content["sources"] = {name: content["sources"][name] for name in SOURCES}
    content["sources"]["transactions"].pop("references")
    content["recommend"].pop("items")  # 92,331 products are 92,331 reasons for a row of this table to take longer
    content["recommend"]["filters"]["only_catalogue"] = False
    content["split"] = {"test_days": 4, "validation_days": 4, "folds": 2}
    content["training"]["families"] = {"linear": {"reg_param": [0.001, 0.01, 0.1, 1.0]}}
    content["publish"] |= {"batch": 1}  # so that a publisher can be met in the middle
    content["resources"] |= {"driver_memory": "1g", "shuffle_partitions": 2, "retries": 2, "retry_minutes": 0.05}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{PIPELINE}.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")


def land(landing_uri: str) -> None:
    """21 days of files, and the shop's own database."""
    land_sample(landing_uri=landing_uri, households=HOUSEHOLDS, until=SECOND)


def delivery(landing: Path) -> Path:
    """The disturbed night's purchases."""
    return landing / "grocery" / "transactions" / f"{SECOND}.csv"
