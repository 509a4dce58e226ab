"""Runs in Feast's environment: makes a repository in a folder, and puts the lists of its records.json into the online store."""

import json
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pandas as pd  # of that environment
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, ValueType
from feast.types import String

AT_ONCE = 1000


def main(folder: Path) -> int:
    address = urlsplit(os.environ["STORE_URI"])
    configuration = folder / "feature_store.yaml"
    configuration.touch(mode=0o600)
    configuration.write_text(
        "project: lists\nprovider: local\nregistry: registry.db\nentity_key_serialization_version: 3\n"
        "offline_store:\n  type: file\n"
        f'online_store:\n  type: redis\n  connection_string: "127.0.0.1:{address.port},password={address.password}"\n'
    )
    lists = json.loads((folder / "records.json").read_text())
    moment = datetime.now(UTC)
    pd.DataFrame({"key": ["none"], "list": [""], "at": [moment]}).to_parquet(folder / "lists.parquet")
    person = Entity(name="key", join_keys=["key"], value_type=ValueType.STRING)
    source = FileSource(path=str(folder / "lists.parquet"), timestamp_field="at")
    view = FeatureView(
        name="lists",
        entities=[person],
        ttl=timedelta(days=30),
        schema=[Field(name="list", dtype=String)],
        source=source,
        online=True,
    )
    store = FeatureStore(repo_path=str(folder))
    store.apply([person, view])
    keys = list(lists)
    for first in range(0, len(keys), AT_ONCE):
        some = keys[first : first + AT_ONCE]
        frame = pd.DataFrame({"key": some, "list": [lists[key] for key in some], "at": moment, "created": moment})
        store.write_to_online_store("lists", frame)
    found = store.get_online_features(features=["lists:list"], entity_rows=[{"key": keys[0]}]).to_dict()
    return 0 if found["list"] == [lists[keys[0]]] else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
