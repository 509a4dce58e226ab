"""What retention lets go, and what nothing may take."""

from datetime import UTC, datetime, timedelta

from nightfold import cli, maintenance, tracking
from nightfold.lake import Lake, Manifest
from nightfold.store import Store, VersionManifest, store_at

import pytest
import redis
from helpers import SHOP, tiny_shop

FIRST, SECOND, THIRD = "2026-01-01", "2026-01-02", "2026-01-03"
LATER = datetime.now(UTC) + timedelta(days=3)


@pytest.fixture
def store(home, valkey_uri, monkeypatch) -> Store:
    address = valkey_uri.removesuffix("/0") + "/5"
    with redis.Redis.from_url(address) as client:
        client.flushdb()
    monkeypatch.setenv("AIRFLOW_CONN_KV_DEFAULT", address)
    (home / "pipelines" / "shop.yaml").write_text(SHOP)
    return store_at(address)


def attempt(dataset: str, night: str, *, commit: bool = True, **facts) -> str:
    """One attempt with a file in it; its folder, below the lake's root."""
    lake = Lake("shop")
    name = lake.begin(dataset, night)
    place = lake.place(dataset, name)
    lake.write_text(f"{place}/rows", "x" * 1000)
    if commit:
        lake.commit(
            Manifest(pipeline="shop", dataset=dataset, night=night, attempt=name, fingerprint=name, data=place, facts=facts)
        )
    return place


def going(store: Store, *, now: datetime = LATER, ds: str = THIRD, **retention) -> dict[str, str]:
    pipeline = tiny_shop({"retention": retention} if retention else {})
    return {one.path: one.why for one in maintenance.doomed(Lake("shop"), pipeline, store, ds=ds, now=now)}


def test_attempts_that_never_counted_or_no_longer_do_go_when_they_are_old(store):
    replaced, dead, counts = attempt("model", FIRST), attempt("model", FIRST, commit=False), attempt("model", FIRST)
    last = attempt("model", SECOND, commit=False)
    manifest = f"shop/model/{FIRST}.{replaced.rsplit('/', 1)[1]}.json"
    assert going(store) == {
        manifest: "a later attempt counts",
        replaced: "no manifest leads to it",
        dead: "no manifest leads to it",
    }, f"{counts} counts, and {last} gives the next attempt its number"
    assert going(store, now=datetime.now(UTC)) == {manifest: "a later attempt counts"}, "they may be at work"


def test_what_a_roll_up_leads_to_stays_whatever_its_own_night_has_by_now(store):
    old, new = attempt("raw/sales", FIRST), attempt("raw/sales", FIRST)
    attempt("raw/sales", SECOND)
    attempt("ingest", FIRST, sources={"sales": {FIRST: {"data": f"{old}/part={FIRST}", "rows": 1, "fingerprint": "f"}}})
    assert old not in going(store)
    assert new not in going(store)


def test_old_nights_of_what_can_be_computed_anew_go_but_not_those_that_the_store_serves(store):
    folders = {night: attempt("model", night) for night in (FIRST, SECOND, THIRD)}
    attempt("raw/sales", FIRST)
    attempt("clean", FIRST)
    store.announce("shop", "v", "a")
    store.seal(
        VersionManifest(pipeline="shop", version="v", night=FIRST, attempt="a", published_at="", keys=0, checksum="", model="")
    )
    gone = going(store, ds="2026-03-01", nights_days=10)
    assert folders[SECOND] in gone
    assert not {folders[FIRST], folders[THIRD]} & set(gone), "one is kept by the store, one is the last"
    assert [path for path in gone if "/raw/" in path or "/clean/" in path] == []
    assert [why for path, why in gone.items() if path.endswith(".json")] == ["older than 10 nights"]


def test_the_twin_of_a_version_that_the_store_keeps_stays_also_when_its_night_was_trained_again(store):
    served, again = attempt("model", FIRST), attempt("model", FIRST)
    forgotten = attempt("model", FIRST, commit=False)
    attempt("model", SECOND)
    facts = {"twin": f"{served}/twin"}
    manifest = {"night": FIRST, "attempt": "a", "published_at": "", "keys": 0, "checksum": "", "model": ""}
    for version in "vw":
        store.announce("shop", version, "a")
    store.seal(VersionManifest(pipeline="shop", version="v", **manifest, facts=facts))
    store.seal(VersionManifest(pipeline="shop", version="w", **manifest, facts={"twin": None}))
    gone = going(store)
    assert forgotten in gone
    assert not {served, again} & set(gone), "what serves the version is not in the attempt that counts now"


def test_the_lists_and_the_model_of_a_kept_version_stay_when_its_night_was_taken_again(store):
    model, lists = (attempt(dataset, FIRST) for dataset in ("model", "scores"))
    for dataset in ("model", "scores"):
        attempt(dataset, FIRST)
        attempt(dataset, SECOND)
    store.announce("shop", "v", "a")
    facts = {"lists": f"{lists}/lists", "recipe": {"kind": "model", "night": FIRST, "data": model}}
    manifest = {"night": FIRST, "attempt": "a", "published_at": "", "keys": 0, "checksum": "", "model": ""}
    store.seal(VersionManifest(pipeline="shop", version="v", **manifest, facts=facts))
    assert not {model, lists} & set(going(store))


@pytest.mark.parametrize(("days", "stay"), [(None, True), (60, True), (10, False)])
def test_lists_that_readers_got_stay_until_they_are_judged_though_their_night_was_taken_again(store, days, stay):
    read, again = attempt("scores", FIRST), attempt("scores", FIRST)
    attempt("scores", SECOND)
    attempt("promotion", FIRST, version="v", facts={"lists": f"{read}/lists"}, metrics={})
    for number in range(tiny_shop().publish.keep):
        attempt("promotion", f"2026-01-0{number + 3}", version=f"v{number}", facts={}, metrics={})
    gone = going(store, ds="2026-02-01", **({"nights_days": days} if days else {}))
    assert (read not in gone, again not in gone) == (stay, stay)


def test_what_was_promoted_last_stays_though_the_store_has_lost_it(store):
    """Nights after it were refused, and the store came back empty: it is published again from the lake, or nothing is."""
    trained = attempt("model", "2025-12-31")
    folders = {name: attempt(name, FIRST) for name in ("features", "evaluation", "scores", "clean")}
    recipe = {"kind": "model", "night": "2025-12-31", "data": trained}
    facts = {"recipe": recipe, "twin": f"{trained}/twin", "lists": f"{folders['scores']}/lists"}
    attempt("promotion", FIRST, version="v", facts=facts, metrics={})
    for night in (SECOND, THIRD):
        for name in ("model", *folders):
            attempt(name, night)
    assert store.versions("shop") == []
    gone = going(store, ds="2026-03-01", nights_days=10)
    assert not {trained, *folders.values()} & set(gone)
    assert [path for path in gone if path.startswith(f"shop/model/{SECOND}")]


def fingerprint_of(place: str) -> str:
    """See `attempt`."""
    return place.rsplit("/", 1)[1]


def taken(*nights: str, history: int = 100) -> dict[str, dict[str, str]]:
    """Rows of some nights, each in an attempt of its own, and a roll-up a night of the last ones; layer → night → folder."""
    folders: dict[str, dict[str, str]] = {layer: {} for layer in ("raw", "rejected", "clean")}
    for night in nights:
        for layer in ("raw", "rejected"):
            folders[layer][night] = attempt(f"{layer}/sales", night)
        folders["clean"][night] = attempt("clean/sales", night, raw=fingerprint_of(folders["raw"][night]))
        for dataset, layer in (("ingest", "raw"), ("clean", "clean")):
            last = list(folders[layer].items())[-history:]
            attempt(dataset, night, sources={"sales": {n: {"data": d, "rows": 1, "fingerprint": "f"} for n, d in last}})
    return folders


def test_raw_rows_go_by_their_age_and_leave_their_manifests_and_what_is_clean(store):
    folders = taken(FIRST, SECOND, THIRD)
    gone = going(store, raw_days=2)
    assert gone == dict.fromkeys((folders["raw"][FIRST], folders["rejected"][FIRST]), "rows older than 2 days")
    assert going(store, raw_days=3) == {}


def test_raw_rows_of_which_no_clean_ones_were_made_stay_however_old(store):
    folders = taken(FIRST, SECOND, THIRD)
    again, late = attempt("raw/sales", FIRST), attempt("raw/sales", "2025-12-31")
    assert set(going(store, raw_days=1)) == {
        folders["raw"][SECOND],
        *(folders["rejected"][night] for night in (FIRST, SECOND)),
        f"shop/raw/sales/{FIRST}.{fingerprint_of(folders['raw'][FIRST])}.json",
    }, f"{again} and {late} are yet to be cleaned, and a night consists of the first one's rows"


SHORT = {"test_days": 1, "validation_days": 1, "folds": 2}


@pytest.mark.parametrize(("history", "oldest"), [(5, "2026-01-04"), (100, "2026-01-01")])
def test_all_rows_go_that_no_kept_night_learns_from(store, history, oldest):
    nights = [f"2026-01-{day:02}" for day in range(1, 11)]
    folders = taken(*nights, history=history)
    pipeline = tiny_shop({"split": SHORT, "retention": {"clean_days": 5, "nights_days": 2}})
    lake = Lake("shop")
    for one in (going := maintenance.doomed(lake, pipeline, store, ds=nights[-1], now=LATER)):
        maintenance.remove(lake, one)
    gone = {one.path for one in going}
    kept = {layer: [night for night in nights if folders[layer][night] not in gone] for layer in folders}
    assert kept["raw"] == kept["rejected"] == nights[-5:], "by their age alone"
    assert kept["clean"] == [night for night in nights if night >= oldest], "the night of two days ago learned from these"
    assert lake.nights("ingest") == lake.nights("clean") == nights[-3:]
    assert lake.nights("raw/sales") == lake.nights("clean/sales") == kept["clean"], "what was taken is still known to be"
    assert maintenance.doomed(lake, pipeline, store, ds=nights[-1], now=LATER) == []


def test_the_runs_of_old_nights_leave_mlflow(store, home, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{home}/mlflow.db")
    grid = [{"best": True, "params": {"rank": 4}, "mean": 0.5, "train": [0.6], "validation": [0.5]}]
    runs = {
        n: tracking.log_training(tiny_shop(), n, grid=grid, chosen_before={}, metric="ndcg@10", model="m", inputs="i")
        for n in (FIRST, SECOND, THIRD)
    }
    store.announce("shop", "v", "a")
    store.seal(
        VersionManifest(pipeline="shop", version="v", night=FIRST, attempt="a", published_at="", keys=0, checksum="", model="")
    )
    pipeline = tiny_shop({"retention": {"nights_days": 10}})
    attempt("clean", THIRD)
    assert maintenance.old_runs(Lake("shop"), pipeline, store, ds="2026-01-12") == []
    removed = maintenance.maintain(Lake("shop"), pipeline, store, ds="2026-01-13", now=LATER)
    assert [(one.path, one.why) for one in removed] == [(f"mlflow:{runs[SECOND]}", f"night {SECOND} is older than 10 nights")]
    assert maintenance.old_runs(Lake("shop"), pipeline, store, ds="2026-01-13") == []


def test_maintenance_leaves_what_counts_as_it_was_and_a_second_one_finds_nothing(store, home, capsys):
    attempt("clean", FIRST)
    dead, counts = attempt("model", FIRST, commit=False), attempt("model", FIRST)
    assert cli.main(["maintain", "shop", "--dry-run"]) == 0
    assert (home / "lake" / dead).is_dir()
    removed = maintenance.maintain(Lake("shop"), tiny_shop(), store, ds=FIRST, now=LATER)
    assert [one.path for one in removed] == [dead]
    assert not (home / "lake" / dead).exists()
    assert Lake("shop").get("model", FIRST).data == counts
    assert maintenance.maintain(Lake("shop"), tiny_shop(), store, ds=FIRST, now=LATER) == []
    assert capsys.readouterr().out == "shop: 0 things would go, 0.0 MB\n", "three days too early"


def test_maintenance_never_runs_beside_a_night(store, capsys):
    attempt("clean", FIRST)
    store.take_turn("shop", "run 1", SECOND, seconds=60)
    assert cli.main(["maintain", "shop"]) == 1
    assert "waits for its turn: run 1 of night 2026-01-02 is at work" in capsys.readouterr().err
    assert cli.main(["forget", "shop", "007"]) == 1
    assert "nightfold: shop: waits for its turn: run 1" in capsys.readouterr().err
    store.leave_turn("shop", "run 1")
    assert store.take_turn("shop", "run 1", SECOND, seconds=60).holder == "run 1", "nobody waits who has given up"
    assert cli.main(["maintain", "shop", "--dry-run"]) == 0, "who only looks needs no turn"
    assert store.turn("shop").holder == "run 1"
