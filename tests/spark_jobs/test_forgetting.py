"""A person is erased: nothing of hers is found again in what the command says that it reaches, and the others are as they were."""

import json
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import spark_jobs.clean as clean
import spark_jobs.ingest as ingest
import spark_jobs.profile as profile
import spark_jobs.publish as publish
from nightfold import cli, forgetting, schemas
from nightfold.errors import ErasedMeanwhile
from nightfold.lake import Lake
from nightfold.spark import tables
from nightfold.spark.recommend import features
from nightfold.store import Store, store_at

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import redis
import yaml
from helpers import SHOP, at, job, land, merged, run, tiny_shop

DS = "2026-01-03"
HER, HIM = "0 07*", "008"
HEAD = "client,article,ticket,pieces,sold_at"


@pytest.fixture
def store(home, valkey_uri, monkeypatch) -> Store:
    address = valkey_uri.removesuffix("/0") + "/4"
    with redis.Redis.from_url(address) as client:
        client.flushdb()
    monkeypatch.setenv("AIRFLOW_CONN_KV_DEFAULT", address)
    (home / "pipelines" / "shop.yaml").write_text(SHOP)
    return store_at(address)


@pytest.fixture(scope="module")
def scored(spark, tmp_path_factory) -> Iterator[Path]:
    """Home of a night with her and him, up to the scores, and an evaluation that shows her."""
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("scored")
        spark.conf.set("spark.sql.session.timeZone", "UTC")
        at(home, patch)
        lines = [
            HEAD,
            f"{HER},x,1,1,{DS} 10:00:00",
            f"{HIM},x,2,1,{DS} 11:00:00",
            f"{HER},y,3,-1,{DS} 12:00:00",
            f"{HER},z,1,1,{DS} 10:00:00,9,9",
            *(f"{HIM},x,{day},1,{day} 11:00:00" for day in ("2025-12-30", "2025-12-31", "2026-01-01", "2026-01-02")),
        ]
        land(home, f"shop/sales/{DS}.csv", lines)
        for stage in (ingest, clean, profile):
            run(stage, tiny_shop(), DS)
        run(features, tiny_shop({"split": {"test_days": 1, "validation_days": 1, "folds": 2}}), DS)
        made = job("score", tiny_shop(), DS)
        items = [("x", 1.0, "w")]
        for part, rows in (("lists", [(HER, items), (HIM, items)]), ("fallback", [("", items)])):
            tables.write(spark.createDataFrame(rows, tables.struct(schemas.SCORES)), schemas.SCORES, f"{made.uri}/{part}")
        shown = {"pipeline": "shop", "night": DS, "examples": [{"user": who, "history": [], "list": []} for who in (HER, HIM)]}
        judged = job("evaluate", tiny_shop(), DS)
        judged.lake.write_text(f"{judged.place}/evaluation.json", json.dumps(shown))
        judged.lake.write_text(f"{judged.place}/report.html", f"<p>{HER}</p>")
        verdict = {"outcome": "held", "reason": "first night"}
        facts = {"metrics": {}, "served": {}, "verdict": verdict, "report": f"{judged.place}/report.html"}
        recipe = {"kind": "baseline", "name": "popularity"}
        made.lake.commit(
            made.manifest("scores", DS, fingerprint="s", data=made.place, facts={"recipe": recipe}),
            made.manifest("model", DS, fingerprint="m"),
            judged.manifest("evaluation", DS, fingerprint="e", facts=facts),
        )
        yield home


@pytest.fixture
def taken(utc, scored, home, store):
    """A copy of it, and its lists live."""
    shutil.copytree(scored, home, dirs_exist_ok=True)
    run(publish, tiny_shop(), DS)
    version = Lake("shop").get("version", DS).facts["version"]
    store.promote("shop", version, store.begin("shop"), 3)
    return home


def rows_of(spark, home, below: str) -> list[list[str]]:
    """Every row of every Parquet file below a part of the lake, as text."""
    files = [str(path) for path in (home / "lake" / "shop" / below).rglob("*.parquet")]
    return [[str(value) for value in row] for file in files for row in spark.read.parquet(f"file://{file}").collect()]


def numbers(home) -> dict[str, set[int]]:
    """Users by number, in the parts of features that have no id."""
    folder = next((home / "lake/shop/features/attempts").iterdir())
    found = {"histories": "user", "interactions": "user", "als/window=0/kind=user": "id"}
    return {part: set(pq.read_table(folder / part, partitioning=None)[column].to_pylist()) for part, column in found.items()}


def test_a_forgotten_person_is_found_nowhere_that_is_reached_and_the_others_are_as_they_were(spark, taken, store, capsys):
    parts = ("raw", "clean", "rejected", "features/attempts", "scores")
    before = {part: rows_of(spark, taken, part) for part in parts}
    assert all(any(HER in " ".join(row) for row in before[part]) for part in parts), "else it proves nothing"
    assert set(map(frozenset, numbers(taken).values())) == {frozenset({0, 1})}, "she is 0"
    (taken / "lake" / "club").mkdir()
    assert cli.main(["forget", "shop", HER, "--dry-run"]) == 0
    assert {part: rows_of(spark, taken, part) for part in parts} == before
    capsys.readouterr()
    assert cli.main(["forget", "shop", HER]) == 0
    said = capsys.readouterr().out
    assert "not reached: the landing place and the databases (sales)" in said
    assert "1 versions in the store: the list erased" in said
    assert all(place in said for place in ("MLflow's artifacts", "Airflow's task logs", "append-only file", "back-ups"))
    assert "not reached: the lakes and lists of other pipelines: `nightfold forget` for each of them: club" in said
    spark.catalog.clearCache()
    assert set(map(frozenset, numbers(taken).values())) == {frozenset({1})}
    after = {part: rows_of(spark, taken, part) for part in parts}
    assert [row for part in parts for row in after[part] if HER in " ".join(row)] == []
    for part in ("raw", "clean", "scores"):
        assert [row for row in after[part] if HIM in row] == [row for row in before[part] if HIM in row]
    texts = [path for kind in ("*.json", "*.html") for path in (taken / "lake").rglob(kind) if HER in path.read_text()]
    assert texts == []
    assert cli.main(["lookup", "shop", "--all"]) == 0
    assert [json.loads(line)["key"] for line in capsys.readouterr().out.splitlines()] == [HIM], "counted and complete"
    assert store.live("shop").keys == 1


@pytest.mark.parametrize(
    ("line", "hers"),
    [
        (f"{HER},z,1,1,9", True),
        (f'9;"{HER}";z', True),
        (HER, True),
        (f"z,1{HER},1", False),
        (f"{HER}1,z,1", False),
        ("07,z", False),
    ],
)
def test_a_line_that_cannot_be_read_is_hers_only_where_her_whole_key_stands(home, line, hers):
    part = "shop/raw/sales/attempts/1/part-0.parquet"
    file = home / "lake" / part
    file.parent.mkdir(parents=True)
    pq.write_table(pa.table({"client": pa.array([None], pa.string()), "_malformed": [line]}), file)
    mask = forgetting._mask(Lake("shop"), part, "raw/sales", column="client", key=HER)
    assert pq.read_table(file, filters=mask).num_rows == hers


def test_before_the_first_night_nobody_is_found_and_it_is_no_error(home, store, capsys):
    (home / "lake").rmdir()
    assert cli.main(["forget", "shop", HER, "--dry-run"]) == 0
    assert "0 versions in the store" in capsys.readouterr().out


def test_what_was_killed_half_way_goes_and_does_not_stop_it(taken, store, capsys, monkeypatch):
    """Spark, a stage, a publisher and `forget` itself, each killed while it wrote."""
    lake = taken / "lake" / "shop"
    (part,) = (lake / "clean/sales/attempts").rglob("part-*.parquet")
    cut = lake / "features/attempts/000009-dead/interactions/_temporary/0/task/part-0.parquet"
    judged = lake / "evaluation/attempts/000009-dead/scratch/judged/part-0.parquet"
    within = lake / "features/attempts/000009-dead/scratch/als/_temporary/0/task/.part-0.parquet.1.tmp"
    for path, content in ((cut, b""), (within, b""), (judged, part.read_bytes())):
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
    store.announce("shop", "20260103-dead", "000009-dead")
    store.write("shop", "20260103-dead", "000009-dead", {HER: b"her list"})
    assert cli.main(["forget", "shop", HER, "--dry-run"]) == 0
    assert cut.exists()

    def dies(table, where, **named):
        Path(where).write_bytes(b"half")
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(forgetting.pq, "write_table", dies)
        with pytest.raises(RuntimeError, match="killed"):
            cli.main(["forget", "shop", HER])
    (half,) = lake.rglob("*.tmp")
    assert half.name.startswith("."), "no reader takes it for data"
    assert cli.main(["forget", "shop", HER]) == 0
    assert [path for path in lake.rglob("*") if path.suffix == ".tmp" or path.name in ("_temporary", "scratch")] == []
    assert store.read("shop", "20260103-dead", "000009-dead", [HER]) == [None]
    assert store.staged("shop") == []


def test_killed_before_it_has_counted_it_counts_the_second_time(taken, store, capsys, monkeypatch):
    def dies(lake):
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(forgetting, "_count_anew", dies)
        with pytest.raises(RuntimeError, match="killed"):
            cli.main(["forget", "shop", HER])
    assert Lake("shop").get("raw/sales", DS).rows == 8
    assert cli.main(["forget", "shop", HER]) == 0
    assert Lake("shop").get("raw/sales", DS).rows == 5
    assert "not reached: 1 trained models" in capsys.readouterr().out


def test_rows_that_retention_has_let_go_count_on_as_they_did(utc, home, store):
    land(home, f"shop/sales/{DS}.csv", [HEAD, *(f"{who},x,{who},1,{DS} 10:00:00" for who in (HER, HIM, "009"))])
    for stage in (ingest, clean):
        run(stage, tiny_shop(), DS)
    gone = Lake("shop").get("raw/sales", DS)
    shutil.rmtree(home / "lake" / gone.data)
    assert cli.main(["forget", "shop", HER]) == 0
    lake = Lake("shop")
    assert (lake.get("raw/sales", DS), lake.get("ingest", DS).facts["sources"]["sales"][DS]["rows"]) == (gone, 3)
    assert (lake.get("clean/sales", DS).rows, lake.get("clean", DS).facts["sources"]["sales"][DS]["rows"]) == (2, 2)


def test_a_file_that_cannot_be_read_is_named_with_what_to_do(home, store, capsys):
    broken = home / "lake/shop/raw/sales/attempts/000009-dead/part-0.parquet"
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"no parquet")
    assert cli.main(["forget", "shop", HER]) == 1
    said = capsys.readouterr().err
    assert "shop/raw/sales/attempts/000009-dead/part-0.parquet: rows of the person may be in it, and it cannot be read" in said
    assert "remove the file; then run forget again" in said


def test_what_was_taken_counts_as_before_and_a_second_time_there_is_nothing(spark, taken, store, capsys):
    assert cli.main(["forget", "shop", HER]) == 0
    assert Lake("shop").get("raw/sales", DS).rows == 5
    assert Lake("shop").get("ingest", DS).facts["sources"]["sales"][DS]["rows"] == 5
    assert "reused" in run(ingest, tiny_shop(), DS)
    assert "reused" in run(clean, tiny_shop(), DS)
    capsys.readouterr()
    assert cli.main(["forget", "shop", HER, "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert (again["rows"], again["reports"], again["versions"]) == ({}, [], [])
    stricter = tiny_shop({"sources": {"sales": {"columns": {"pieces": {"max": 5}}}}})
    run(clean, stricter, DS)
    assert Lake("shop").get("clean/sales", DS).rows == 5, "cleaned anew from what is left"


def test_who_was_erased_does_not_come_back_with_a_delivery_that_is_taken_again(spark, taken, store):
    assert cli.main(["forget", "shop", HER]) == 0
    land(taken, f"shop/sales/{DS}.csv", [HEAD, f"{HER},x,1,1,{DS} 10:00:00", f"{HIM},x,2,1,{DS} 11:00:00", f",x,4,1,{DS} 11:00:00"])
    assert run(ingest, tiny_shop(), DS).startswith(f"1 deliveries taken, 2 rows up to {DS} (sales 2); sales of {DS} changed")
    run(clean, tiny_shop(), DS)
    assert [row for row in rows_of(spark, taken, "raw") if HER in row] == []
    assert HER not in (taken / "lake/shop/forgotten.json").read_text()


def test_a_data_report_that_was_being_made_meanwhile_is_not_kept(taken, store, monkeypatch):
    def rendered(figures):
        assert HER in json.dumps(figures), "else it proves nothing"
        assert cli.main(["forget", "shop", HER]) == 0
        return render(figures)

    render = profile.eda.render
    changed = tiny_shop({"sources": {"sales": {"columns": {"pieces": {"max": 5}}}}})  # else what is committed is reused
    run(clean, changed, DS)
    with monkeypatch.context() as patch:
        patch.setattr(profile.eda, "render", rendered)
        with pytest.raises(ErasedMeanwhile, match="a retry reads anew"):
            run(profile, changed, DS)
    assert run(profile, changed, DS).startswith("1 sources, 5 rows")
    assert [path for kind in ("*.json", "*.html") for path in (taken / "lake").rglob(kind) if HER in path.read_text()] == []


def test_a_finding_that_names_her_is_told_anew_on_the_data_report_and_in_its_manifest(utc, home, store, capsys):
    days = [f"2026-01-{day:02}" for day in range(1, 9)]
    for day in days:
        buyers = [HER] * 9 + [HIM] if day == days[-1] else [HER] + [HIM] * 5 + ["009"] * 4
        land(home, f"shop/sales/{day}.csv", [HEAD, *(f"{who},x,{n},1,{day} 10:00:00" for n, who in enumerate(buyers))])
    for stage in (ingest, clean, profile):
        run(stage, tiny_shop(), days[-1])
    (manifest,) = (home / "lake/shop/profile").glob("*.json")
    before = manifest.read_text()
    assert f"most at {HER}: 90.0% instead of 10.0%" in before, "else it proves nothing"

    def erased() -> str:
        assert cli.main(["forget", "shop", HER]) == 0
        assert [path for kind in ("*.json", "*.html") for path in (home / "lake").rglob(kind) if HER in path.read_text()] == []
        return capsys.readouterr().out

    assert "1 reports erased" in erased()
    assert manifest.read_text() == before.replace(HER, forgetting.FORGOTTEN)
    facts = Lake("shop").get("profile", days[-1]).facts
    assert "most at (forgotten): 90.0% instead of 10.0%" in Lake("shop").read_text(facts["report"])
    manifest.write_text(before)  # as of a report that is committed while she is erased
    assert "1 reports erased" in erased()
    numbers = home / "lake" / facts["json"]
    numbers.write_text(json.dumps({**json.loads(numbers.read_text()), "attention": json.loads(before)["facts"]["attention"]}))
    assert "1 reports erased" in erased(), "of which 0.2 had left the sentences"
    assert "0 reports erased" in erased()


def test_a_source_that_names_her_in_a_column_of_another_name_is_reached_too(spark, home, store, capsys):
    clients = {"format": "csv", "path": "shop/clients.csv", "delivery": "snapshot"}
    clients["columns"] = {"id": {"type": "string", "required": True}, "age": {}}
    users = {"source": "clients", "id": "id", "attributes": ["age"]}
    split = {"test_days": 1, "validation_days": 1, "folds": 2}
    changes = {"sources": {"clients": clients}, "recommend": {"users": users}, "split": split}
    (home / "pipelines" / "shop.yaml").write_text(yaml.safe_dump(merged(yaml.safe_load(SHOP), changes)))
    days = ("2025-12-30", "2025-12-31", "2026-01-01", "2026-01-02", DS)
    land(home, f"shop/sales/{DS}.csv", [HEAD, *(f"{who},x,{day},1,{day} 11:00:00" for day in days for who in (HER, HIM))])
    land(home, "shop/clients.csv", ["id,age", f"{HER},30", f"{HIM},40"])
    for stage in (ingest, clean, features):
        run(stage, tiny_shop(changes), DS)
    assert cli.main(["forget", "shop", HER]) == 0
    assert "the landing place and the databases (clients, sales)" in capsys.readouterr().out
    spark.catalog.clearCache()
    for part in ("raw/clients", "clean/clients"):
        assert [row[0] for row in rows_of(spark, home, part)] == [HIM]
    attempt = next((home / "lake/shop/features/attempts").iterdir())
    assert pq.read_table(attempt / "attributes", partitioning=None)["values"].to_pylist() == [["40"]]
    land(home, "shop/clients.csv", ["id,age", f"{HER},31", f"{HIM},41"])
    run(ingest, tiny_shop(changes), DS)
    assert {row[0] for row in rows_of(spark, home, "raw/clients")} == {HIM}


@pytest.mark.parametrize("nights", [3, 12])
def test_erasing_somebody_is_no_change_of_a_table(spark, home, store, monkeypatch, nights):
    database = home / "shop.db"
    days = [f"2026-01-{day:02}" for day in range(1, nights + 1)]
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE sales (client TEXT, article TEXT, ticket TEXT, pieces INTEGER, sold_at TEXT)")
        sales = [(who, f"{day} 10:00:00") for day in days for who in (HER, HIM)]
        connection.executemany("INSERT INTO sales VALUES (?, 'x', '1', 1, ?)", sales)
    monkeypatch.setenv("AIRFLOW_CONN_SHOP_DB", f"sqlite:///{database}")
    table = {"format": "table", "connection": "shop_db", "table": "sales", "night_column": "sold_at", "path": None}
    pipeline = tiny_shop({"sources": {"sales": {**table, "look_back": 5, "changed": "refuse"}}})
    run(ingest, pipeline, days[-2])
    cli.main(["forget", "shop", HER])
    assert run(ingest, pipeline, days[-1]) == f"1 deliveries taken, {nights} rows up to {days[-1]} (sales {nights})"
