"""The operator of the maintenance DAG: what it removes, when it is skipped, waits, or fails."""

from nightfold.lake import Lake, Manifest
from nightfold.store import Store, store_at

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException, TaskDeferred
from helpers import SHOP, free_port
from nightfold_operators import MaintainOperator
from plugins.conftest import NIGHT, context


@pytest.fixture
def store(home, address, monkeypatch) -> Store:
    monkeypatch.setenv("AIRFLOW_CONN_KV_DEFAULT", address)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{home}/mlflow.db")
    (home / "pipelines" / "shop.yaml").write_text(f"{SHOP}\nretention: {{nights_days: 10}}\n")
    return store_at(address)


def attempt(dataset: str, night: str) -> str:
    """Committed; its folder, below the lake's root."""
    lake = Lake("shop")
    name = lake.begin(dataset, night)
    lake.write_text(f"{lake.place(dataset, name)}/rows", "x")
    lake.commit(
        Manifest(pipeline="shop", dataset=dataset, night=night, attempt=name, fingerprint=name, data=lake.place(dataset, name))
    )
    return lake.place(dataset, name)


def maintain() -> str:
    return MaintainOperator(task_id="shop", pipeline="shop", store="kv_default").execute(context())


def test_old_nights_go_and_the_last_stays_and_the_turn_is_free_again(store, home, capsys):
    folders = [attempt(dataset, night) for night in ("2017-11-01", NIGHT) for dataset in ("clean", "model")]
    assert maintain().startswith("shop: 2 things went, ")
    assert "nightfold: removed shop/model/2017-11-01." in capsys.readouterr().out
    assert all(Lake("shop").exists(folder) for folder in folders), "an attempt's folder has some days more"
    assert Lake("shop").nights("model") == [NIGHT]
    assert store.turn("shop") is None


def test_before_the_first_night_it_is_skipped(store):
    with pytest.raises(AirflowSkipException, match="no night was taken yet"):
        maintain()
    assert store.turn("shop") is None


def test_while_a_night_has_the_turn_it_waits_and_removes_nothing(store, capsys):
    attempt("model", "2017-11-01")
    attempt("clean", NIGHT)
    store.take_turn("shop", "nightly_shop/manual__1", NIGHT, seconds=60)
    with pytest.raises(TaskDeferred):
        maintain()
    assert f"nightfold: shop: waits for its turn: nightly_shop/manual__1 of night {NIGHT} is at work" in capsys.readouterr().out
    assert Lake("shop").nights("model") == ["2017-11-01"]


def test_a_store_that_is_down_fails_it_and_it_is_tried_again(store, monkeypatch, capsys):
    attempt("clean", NIGHT)
    monkeypatch.setenv("AIRFLOW_CONN_KV_DEFAULT", f"redis://127.0.0.1:{free_port()}/0")
    with pytest.raises(AirflowException, match="is it up") as caught:
        maintain()
    assert not isinstance(caught.value, AirflowFailException)
    said = capsys.readouterr().out
    assert "nightfold: shop failed: store redis://127.0.0.1:" in said
    assert "9999" not in said, "it is of no night"
