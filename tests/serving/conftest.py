"""A replica in this process, on a real Valkey, with twins on a real lake: a shop's lists, a club's predictions."""

from collections.abc import Callable, Iterator
from pathlib import Path

from nightfold import api_keys
from nightfold.store import Store, VersionManifest, store_at
from nightfold.store.records import encode
from serving.app import create
from serving.configuration import Configuration

import pytest
import redis
from asking import CLUB, SHOP
from servers import wait_for
from starlette.testclient import TestClient
from twins_of import club_twin, shop_twin

FALLBACK = encode([("milk", 9.0, "popular"), ("bread", 8.0, "popular")])
LISTS = {
    "anna": encode([("bread", 0.5, "bought 3 times"), ("butter", 0.25, "goes with bread"), ("cheese", 0.1, "popular now")]),
    "a/b c": encode([("milk", 1.0, "")]),
    "Jürgen Ω": encode([]),
}


@pytest.fixture
def uri(home, valkey_uri, monkeypatch) -> str:
    """Both pipeline files, and an empty store."""
    (home / "pipelines" / "shop.yaml").write_text(SHOP)
    (home / "pipelines" / "club.yaml").write_text(CLUB)
    address = valkey_uri.removesuffix("/0") + "/7"
    with redis.Redis.from_url(address) as client:
        client.flushdb()
    monkeypatch.setenv("AIRFLOW_CONN_KV_DEFAULT", address)
    return address


@pytest.fixture
def store(uri) -> Store:
    return store_at(uri)


@pytest.fixture
def publish(store, home) -> Callable[..., None]:
    """Stage and promote a version of a pipeline."""

    def publish(
        pipeline: str, version: str, records: dict[str, bytes], *, night: str, twin: str | None, promote: bool = True
    ) -> None:
        store.announce(pipeline, version, "a")
        store.write(pipeline, version, "a", records)
        store.write_fallback(pipeline, version, "a", FALLBACK)
        about = {"night": night, "published_at": f"{night}T23:00:00+00:00", "checksum": "0", "model": "m", "facts": {"twin": twin}}
        store.seal(VersionManifest(pipeline=pipeline, version=version, attempt="a", keys=len(records), **about))
        if promote:
            store.promote(pipeline, version, store.begin(pipeline), 3)

    return publish


@pytest.fixture
def published(publish, home) -> None:
    """A night of both."""
    lake = home / "lake"
    publish("shop", "s1", LISTS, night="2017-12-03", twin=shop_twin(lake, "shop/twin1"))
    publish("club", "c1", {"m1": FALLBACK}, night="2017-12-03", twin=club_twin(lake, "club/twin1", intercept=100.0))


@pytest.fixture
def keys(home) -> Path:
    return home / "serving" / "keys.json"


@pytest.fixture
def key(keys) -> str:
    """One that may do everything."""
    return api_keys.add(keys, "all", pipelines=["*"], scopes=list(api_keys.SCOPES))[1]


@pytest.fixture
def replica(published, key, keys) -> Iterator[TestClient]:
    """Ready, and asked with that key."""
    with TestClient(
        create(Configuration(keys=keys)), headers={"Authorization": f"Bearer {key}"}, raise_server_exceptions=False
    ) as client:
        wait_for(lambda: client.get("/health/ready").status_code == 200, what="ready")
        yield client
