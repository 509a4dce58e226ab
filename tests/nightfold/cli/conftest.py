"""The command line beside a shop's pipeline file and a real store."""

from nightfold import cli
from nightfold.store import Store, store_at

import pytest
import redis
from asking import SHOP, Result, Run, publish


@pytest.fixture
def uri(home, valkey_uri, monkeypatch) -> str:
    """A shop's pipeline file, and an empty store."""
    (home / "pipelines" / "shop.yaml").write_text(SHOP)
    address = valkey_uri.removesuffix("/0") + "/8"
    with redis.Redis.from_url(address) as client:
        client.flushdb()
    monkeypatch.setenv("AIRFLOW_CONN_KV_DEFAULT", address)
    return address


@pytest.fixture
def run(uri, capsys) -> Run:
    """The command in this process."""

    def run(*words: str) -> Result:
        try:
            code = cli.main(words)
        except SystemExit as end:
            code = int(end.code or 0)
        said = capsys.readouterr()
        return Result(code, said.out, said.err)

    return run


@pytest.fixture
def store(uri) -> Store:
    """With three nights promoted; the last is live."""
    store = store_at(uri)
    for day in (1, 2, 3):
        publish(store, f"v{day}", night=f"2017-12-0{day}")
    return store
