"""A pipeline file is accepted, or refused in one line that names the file, the field and the mend."""

import json
from datetime import date
from pathlib import Path

from nightfold import pipeline as pipelines
from nightfold.errors import BadPipeline
from nightfold.pipeline import Pipeline

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = sorted((ROOT / "pipelines").glob("*.yaml"))

SHOP = """\
pipeline: shop
description: Next purchases.
timezone: Europe/Berlin
task: recommend
sources:
  sales:
    format: csv
    path: sales/{ds}.csv
    columns:
      client: {type: string, required: true}
      article: {type: string, required: true}
      price: {type: "decimal(8,2)", min: 0}
      sold_at: {type: timestamp, required: true}
    references:
      - {column: article, to: articles.id}
  articles:
    format: table
    connection: shop_db
    table: articles
    delivery: snapshot
    columns:
      id: {type: string, required: true}
      title: {}
recommend:
  interactions: {source: sales, user: client, item: article, time: sold_at}
  items: {source: articles, id: id, title: title}
training:
  families: {xgboost: {max_depth: [4, 6]}, linear: {reg_param: [0.1, 1.0]}}
schedule: {cron: "30 2 * * *", start: 2017-01-01}
"""


@pytest.fixture
def write(tmp_path):
    """Call it with a text, or with replacements in the shop's; returns the file."""

    def write(text: str | None = None, *replacements: tuple[str, str], name: str = "shop") -> Path:
        file = tmp_path / f"{name}.yaml"
        for old, new in replacements:
            assert SHOP.count(old) == 1, old
            text = (text or SHOP).replace(old, new)
        file.write_text(SHOP if text is None else text)
        return file

    return write


def refused(file: Path) -> str:
    """What a refusal says after the file's name."""
    with pytest.raises(BadPipeline) as caught:
        pipelines.load(file)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{file}: ")
    return message.removeprefix(f"{file}: ")


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_the_shipped_pipelines_are_valid(file):
    assert pipelines.load(file).pipeline == file.stem


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_the_json_schema_accepts_the_shipped_pipelines(file):
    content = json.loads(json.dumps(yaml.safe_load(file.read_text()), default=str))
    schema = json.loads((ROOT / "pipelines/schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(content)
    content["sorces"] = {}
    assert not jsonschema.Draft202012Validator(schema).is_valid(content)


def test_the_json_schema_for_editors_is_current():
    assert (ROOT / "pipelines/schema.json").read_text() == pipelines.json_schema(), (
        "write pipelines/schema.json anew: .venv/bin/python -c "
        "'from nightfold import pipeline; print(pipeline.json_schema(), end=\"\")' > pipelines/schema.json"
    )


def test_the_shipped_files_name_the_schema_for_editors():
    for file in SHIPPED:
        assert file.read_text().startswith("# yaml-language-server: $schema=schema.json\n"), file.name


def test_a_file_says_what_it_leaves_out_by_default(write):
    shop = pipelines.load(write())
    assert shop.owner == "nightfold"
    assert shop.recommend.top_n == 20
    assert shop.recommend.filters.exclude_seen is False
    assert (shop.publish.connection, shop.publish.keep) == ("kv_default", 3)
    assert shop.split.model_dump() == {"test_days": 28, "validation_days": 28, "folds": 3}
    assert shop.schedule.start == date(2017, 1, 1)
    assert shop.schedule.until is None
    assert shop.connections == ["kv_default", "shop_db"]
    assert [point["family"] for point in shop.training.families.points] == ["xgboost", "xgboost", "linear", "linear"]
    assert shop.sources["sales"].columns["price"].spark_type == "decimal(8,2)"
    assert shop.sources["sales"].max_rejected == 0.02
    assert shop.sources["articles"].nightly is False


WRONG = [
    # what stands there, what is written instead, what the refusal says
    ("task: recommend", "task: recomend", "task: input should be 'recommend', 'classify' or 'regress', got 'recomend'"),
    ("description: Next purchases.\n", "", "description: missing; add it"),
    ("timezone:", "timezon:", "timezon: unknown field; did you mean 'timezone'?"),
    ("Europe/Berlin", "Mars/Phobos", "timezone: is not a time zone, such as Europe/Berlin or UTC"),
    ("Europe/Berlin", "Europe", "timezone: is not a time zone, such as Europe/Berlin or UTC"),
    (
        "    path: sales",
        "    pth: sales",
        "sources.sales.path: missing; add it; sources.sales.pth: unknown field; did you mean 'path'?",
    ),
    ("sales/{ds}.csv", "sales.csv", "sources.sales: a nightly path must hold {ds} exactly once, as in sales/{ds}.csv"),
    ("format: csv", "format: xml", "sources.sales.format: must be one of csv, jsonl, parquet, table"),
    ("    format: csv\n", "", "sources.sales.format: must be one of csv, jsonl, parquet, table"),
    (
        "decimal(8,2)",
        "money",
        "sources.sales.columns.price.type: must be string, integer, double, boolean, date, timestamp or decimal(p,s)",
    ),
    ("decimal(8,2)", "decimal(39,2)", "sources.sales.columns.price.type: decimal(p,s) needs 1 <= p <= 38 and s <= p"),
    ("title: {}", "title: {min: 1}", "sources.articles.columns.title: min and max are for numbers, not for string"),
    ("min: 0", "min: 5, max: 2", "sources.sales.columns.price: min 5.0 is greater than max 2.0"),
    (
        "{type: timestamp, required: true}",
        "{type: timestamp, required: true, format: YYYY-MM-dd}",
        "sources.sales.columns.sold_at.format: 'Y' is no letter of a date that is read (years are yyyy, months MM, days dd, hours HH, ",
    ),
    (
        "{type: timestamp, required: true}",
        "{type: timestamp, required: true, format: yyyy-MM-DD}",
        "sources.sales.columns.sold_at.format: 'D' is the day of the year, which does not go with a month: days of a month are dd",
    ),
    (
        "{type: timestamp, required: true}",
        "{type: timestamp, required: true, format: yyyy-mm-dd}",
        "sources.sales.columns.sold_at.format: 'm' is the minute, and does not follow an hour: months are MM",
    ),
    (
        "{type: timestamp, required: true}",
        "{type: timestamp, required: true, format: 'yyyy-MM-ddTHH:mm'}",
        "sources.sales.columns.sold_at.format: 'T' is no letter of a date that is read",
    ),
    (
        "{type: timestamp, required: true}",
        '{type: timestamp, required: true, format: "yyyy-MM-dd\'T"}',
        "sources.sales.columns.sold_at.format: a single quote is opened and never closed",
    ),
    ("title: {}", "title: {requird: true}", "sources.articles.columns.title.requird: unknown field; did you mean 'required'?"),
    (
        "title: {}",
        "_title: {}",
        "sources.articles: column '_title': names starting with '_' and the name 'night' are Nightfold's own",
    ),
    (
        "column: article,",
        "column: artikel,",
        "sources.sales: a rule names column 'artikel', which is not among columns: client, article, price, sold_at",
    ),
    ("to: articles.id", "to: goods.id", "sources.sales.references: no source 'goods'; there are: sales, articles"),
    ("to: articles.id", "to: articles.nr", "sources.sales.references: source 'articles' has no column 'nr'; it has: id, title"),
    ("delivery: snapshot", "delivery: nightly", "sources.articles: a nightly table needs night_column, and only a nightly one"),
    ("    table: articles", "    table: articles; drop", "sources.articles.table: string should match pattern"),
    ("shop_db", "postgresql://me:pw@h/db", "sources.articles.connection: string should match pattern"),
    (
        "user: client",
        "user: klient",
        "recommend.interactions.user: source 'sales' has no column 'klient'; it has: client, article,",
    ),
    (
        "sold_at: {type: timestamp, required: true}",
        "sold_at: {type: timestamp}",
        "recommend.interactions.time: declare sales.sold_at as {type: timestamp, required: true}: a row of no day counts nowhere",
    ),
    ("time: sold_at", "time: client", "recommend.interactions.time: 'client' must be a date or timestamp, not string"),
    (
        "client: {type: string",
        "client: {type: integer",
        "recommend.interactions.user: declare sales.client as {type: string, required: true}: ids are opaque",
    ),
    (
        "article: {type: string, required: true}",
        "article: {type: string}",
        "recommend.interactions.item: declare sales.article as {type: string, required: true}: ids are opaque",
    ),
    (
        "time: sold_at}",
        "time: sold_at, amount: sold_at}",
        "recommend.interactions.amount: 'sold_at' must be a number, not timestamp",
    ),
    (
        "time: sold_at}",
        "time: sold_at, rating: sold_at}",
        "recommend.interactions.rating: 'sold_at' must be a number, not timestamp",
    ),
    ("time: sold_at}", "time: sold_at, weight: client}", "recommend.interactions.weight: 'client' must be a number, not string"),
    (
        "time: sold_at}",
        "time: sold_at, discount: client}",
        "recommend.interactions.discount: 'client' must be a number, not string",
    ),
    (
        "id: {type: string,",
        "id: {type: integer,",
        "recommend.items.id: declare articles.id as {type: string}: ids are opaque",
    ),
    (
        "source: sales,",
        "source: articles,",
        "recommend.interactions.user: source 'articles' has no column 'client'; it has: id, title",
    ),
    (
        "  items: {",
        "  users: {source: sales, id: client, attributes: [price]}\n  items: {",
        "recommend.users.source: 'sales' must be a snapshot; facts of days are events",
    ),
    (
        "  items: {",
        "  users: {source: articles, id: id, attributes: [age]}\n  items: {",
        "recommend.users.attributes: source 'articles' has no column 'age'; it has: id, title",
    ),
    (
        "  items: {",
        "  users: {source: articles, id: title, attributes: [id]}\n  items: {",
        "recommend.users.id: declare articles.title as {type: string, required: true}: ids are opaque",
    ),
    (
        "  items: {",
        "  promotions: {source: sales, item: article, first: sold_at, last: price}\n  items: {",
        "recommend.promotions.last: 'price' must be a date or timestamp, not decimal(8,2)",
    ),
    (
        "  items: {",
        "  promotions: {source: sales, item: article, first: a, last: b, through: {source: articles, column: id}}\n  items: {",
        "recommend.promotions.through.column: source 'sales' has no column 'id'; it has: client, article,",
    ),
    ("title: title", "titel: title", "recommend.items.titel: unknown field; did you mean 'title'?"),
    ("title: title", "available: {stock: [yes]}", "recommend.items.available: source 'articles' has no column 'stock'"),
    ("max_depth: [4, 6]", "max_depth: [4]", "training: the families have 3 points; give at least 4"),
    ("max_depth: [4, 6]", "max_depth: [4, 4]", "training: the families have 3 points; give at least 4"),
    (
        "xgboost: {max_depth: [4, 6]}, linear: {reg_param: [0.1, 1.0]}",
        "",
        "training.families: name at least one of xgboost and linear",
    ),
    ("max_depth: [4, 6]", "max_depth: [4, many]", "training.families.xgboost.max_depth.1: input should be a valid integer, "),
    ("max_depth: [4, 6]", "max_dept: [4, 6]", "training.families.xgboost.max_dept: unknown field; did you mean 'max_depth'?"),
    ("training:", "training:\n  seed: -1", "training.seed: input should be greater than or equal to 0, got -1"),
    ("training:", "training:\n  seed: 4294967296", "training.seed: input should be less than 4294967296, got 4294967296"),
    ("30 2 * * *", "every night", "schedule.cron: is not a cron expression of five fields, such as '30 2 * * *'"),
    ("30 2 * * *", "0 30 2 * * *", "schedule.cron: is not a cron expression of five fields, such as '30 2 * * *'"),
    ("30 2 * * *", "*/5 2 * * *", "schedule.cron: is not once a day, as a night is: give one minute and one hour, such as '30 "),
    ("30 2 * * *", "30 2,14 * * *", "schedule.cron: is not once a day"),
    ("30 2 * * *", "30 2 * * 1-5", "schedule.cron: is not once a day"),
    ("30 2 * * *", "30 2 1 * *", "schedule.cron: is not once a day"),
    ("30 2 * * *", "30 2 L * *", "schedule.cron: is not once a day"),
    ("2017-01-01", "2017-13-01", "schedule.start: input should be a valid date or datetime, month value is outside expected range"),
    ("2017-01-01", "2017-01-01, until: 2016-12-31", "schedule: until 2016-12-31 is before start 2017-01-01"),
    ("pipeline: shop", "pipeline: Shop", "pipeline: string should match pattern '^[a-z][a-z0-9_]*$', got 'Shop'"),
    ("pipeline: shop", "pipeline: other", "pipeline: is 'other'; name it 'shop', or rename the file"),
    (
        "  articles:\n",
        "  my-articles:\n",
        "sources.my-articles: string should match pattern '^[a-z][a-z0-9_]*$', got 'my-articles'",
    ),
    ("training:", "resources: {conf: {spark.driver.memory: 2g}}\ntraining:", "resources.conf: spark.driver.memory has a field"),
    ("training:", "resources: {conf: {spark.executor.cores: '2'}}\ntraining:", "resources.conf: spark.executor.cores has a field"),
    ("training:", "resources: {driver_memory: 2GB}\ntraining:", "resources.driver_memory: string should match pattern"),
    ("training:", "retention: {clean_days: 400}\ntraining:", "retention: clean_days needs nights_days"),
    ("training:", "retention: {clean_days: 400, nights_days: 7, raw_days: 401}\ntraining:", "retention: raw_days 401 is more than"),
    (
        "training:",
        "retention: {clean_days: 30, nights_days: 7}\ntraining:",
        "retention.clean_days: 30 are too few: the split needs",
    ),
    ("training:", "publish: {keep: 1}\ntraining:", "publish.keep: input should be greater than or equal to 2, got 1"),
    ("items: {", "filters: {never: [00123]}\n  items: {", "recommend.filters.never.0: must be a string, got 83: put it in quotes"),
    ("title: {}", "title: {type: string}\n      title: {}", "cannot be read as YAML: the field 'title' is given twice in"),
    ("training:", "sources: {}\ntraining:", "cannot be read as YAML: the field 'sources' is given twice in"),
    ("training:", "\ttraining:", "cannot be read as YAML: "),
]


@pytest.mark.parametrize(("old", "new", "says"), WRONG, ids=[case[1].strip() for case in WRONG])
def test_a_wrong_file_is_refused_with_the_field_and_the_mend(write, old, new, says):
    message = refused(write(None, (old, new)))
    assert message.startswith(says), message


def test_everything_that_is_wrong_is_said_at_once(write):
    message = refused(write(None, ("description: Next purchases.\n", ""), ("task: recommend", "task: x")))
    assert message == "description: missing; add it; task: input should be 'recommend', 'classify' or 'regress', got 'x'"


def test_a_field_given_twice_is_named_with_its_line(write):
    assert "line 24, column 7" in refused(write(None, ("      title: {}", "      title: {}\n      id: {}")))


@pytest.mark.parametrize(
    "pattern", ["yyyyDDD", "d.M.yy", "yyyy-MM-dd'T'HH:mm[:ss][.SSS]XXX", "dd/MMM/yyyy hh.mm a", "HHmm, 'Day' d ''LL y"]
)
def test_a_pattern_that_reads_dates_is_accepted(write, pattern):
    quoted = pattern.replace("'", "''")
    file = write(None, ("sold_at: {type: timestamp,", f"sold_at: {{type: timestamp, format: '{quoted}',"))
    assert pipelines.load(file).sources["sales"].columns["sold_at"].format == pattern


def test_a_decimal_is_named_as_spark_names_it(write):
    file = write(None, ("decimal(8,2)", "decimal(8, 2)"))
    assert pipelines.load(file).sources["sales"].columns["price"].spark_type == "decimal(8,2)"


def test_a_name_means_one_column_only(write):
    for other in ("article", "client"):
        message = refused(write(None, ("client: {type: string, required: true}", f"client: {{required: true, also: [{other}]}}")))
        assert message.endswith(f"also: {other} names more than one column"), message


def test_a_source_or_column_named_like_a_format_keeps_its_name_in_the_path(write):
    message = refused(write(None, ("title: {}", "title: {}\n      table: {typ: string}")))
    assert message == "sources.articles.columns.table.typ: unknown field; did you mean 'type'?"


def test_references_that_go_round_in_a_circle_are_named(write):
    circle = ("      title: {}\n", "      title: {}\n    references:\n      - {column: title, to: sales.client}\n")
    assert refused(write(None, circle)) == "sources: references go round in a circle: sales → articles → sales"


def test_a_source_may_refer_to_itself_and_comes_after_those_it_refers_to(write):
    itself = ("      title: {}\n", "      title: {}\n    references:\n      - {column: title, to: articles.id}\n")
    assert pipelines.load(write(None, itself)).sources_in_order() == ["articles", "sales"]


def test_a_source_that_would_refuse_what_it_lacks_itself_is_refused(write):
    itself = "      title: {}\n    references:\n      - {column: title, to: articles.id, missing: refuse}\n"
    assert refused(write(None, ("      title: {}\n", itself))) == (
        "sources.articles.references: 'articles.id' is of the source itself, whose rows are not clean yet: say missing: keep"
    )


def test_yes_and_no_and_dates_stay_strings_where_strings_are_meant(write):
    never = ("items: {", 'filters: {never: [no, on, 2017-01-01, "00123"], exclude_seen: yes}\n  items: {')
    filters = pipelines.load(write(None, never)).recommend.filters
    assert filters.never == ["no", "on", "2017-01-01", "00123"]
    assert filters.exclude_seen is True


@pytest.mark.parametrize("text", ["", "just words", "- a\n- list\n"])
def test_a_file_that_is_no_mapping_says_how_to_begin(write, text):
    assert refused(write(text)) == "must be a mapping that starts with 'pipeline: shop'"


def test_a_file_that_is_no_text_is_refused(tmp_path):
    file = tmp_path / "shop.yaml"
    file.write_bytes(b"\xff\xfe\x00")
    assert refused(file).startswith("cannot be read as YAML: 'utf-8' codec can't decode")


def test_a_yaml_that_would_run_code_is_refused(write):
    assert "cannot be read as YAML: could not determine a constructor for the tag" in refused(
        write("a: !!python/object:os.system {}\n")
    )


def test_a_file_that_is_not_there_names_those_that_are(write):
    write()
    file = write(SHOP.replace("pipeline: shop", "pipeline: other"), name="other")
    assert refused(file.with_name("stop.yaml")) == "no such pipeline file; there are: other, shop"


def test_pipelines_are_found_by_name_in_the_folder_of_the_settings(write, monkeypatch):
    file = write()
    monkeypatch.setenv("NIGHTFOLD_PIPELINES", str(file.parent))
    assert pipelines.named("shop").pipeline == "shop"
    assert pipelines.files() == [file]


def test_a_pipeline_does_not_change(write):
    shop = pipelines.load(write())
    with pytest.raises(ValueError, match="frozen"):
        shop.owner = "me"
    assert Pipeline.model_validate(shop.model_dump(mode="json")) == shop
