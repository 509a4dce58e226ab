"""Where a setting comes from, and what a connection becomes."""

from pathlib import Path

from nightfold import settings
from nightfold.errors import BadPipeline

import pytest


@pytest.fixture
def platform(tmp_path, monkeypatch):
    """Call it with the lines of `platform.env`."""
    monkeypatch.setenv("NIGHTFOLD_HOME", str(tmp_path))
    for name in ("NIGHTFOLD_LAKE", "NIGHTFOLD_LANDING", "NIGHTFOLD_PIPELINES", "AIRFLOW_CONN_KV_DEFAULT"):
        monkeypatch.delenv(name, raising=False)

    def write(*lines: str) -> None:
        (tmp_path / "platform.env").write_text("".join(f"{line}\n" for line in lines))

    write()
    return write


def test_the_environment_wins_over_the_platforms_file_and_that_over_the_default(platform, monkeypatch):
    assert settings.setting("SOME_SETTING") is None
    assert settings.setting("SOME_SETTING", "default") == "default"
    platform("SOME_SETTING=from=the file", "OTHER=1")
    assert settings.setting("SOME_SETTING", "default") == "from=the file"
    monkeypatch.setenv("SOME_SETTING", "from the environment")
    assert settings.setting("SOME_SETTING", "default") == "from the environment"
    monkeypatch.setenv("SOME_SETTING", "")
    assert settings.setting("SOME_SETTING", "default") == "from=the file", "an empty variable says nothing"


def test_comments_blank_lines_and_stray_words_in_the_file_are_passed_over(platform):
    platform("# Written by `make up`", "", "  ", "stray", "#SOME_SETTING=no", "SOME_SETTING=yes")
    assert settings.setting("SOME_SETTING") == "yes"


def test_without_settings_everything_is_below_home(platform, tmp_path):
    assert settings.home() == tmp_path
    assert settings.lake_uri() == f"file://{tmp_path}/lake"
    assert settings.landing_uri() == f"file://{tmp_path}/landing"
    assert settings.pipelines_dir() == Path(__file__).resolve().parents[2] / "pipelines"


def test_home_is_var_of_the_checkout_unless_said_otherwise(monkeypatch):
    monkeypatch.delenv("NIGHTFOLD_HOME", raising=False)
    assert settings.home() == Path(__file__).resolve().parents[2] / "var"


@pytest.mark.parametrize(
    ("given", "uri"),
    [
        ("s3a://bucket/lake/", "s3a://bucket/lake"),
        ("hdfs://name:9000/lake", "hdfs://name:9000/lake"),
        ("/data/lake/", "file:///data/lake"),
        ("file:///data/my lake", "file:///data/my lake"),
    ],
)
def test_a_lake_is_a_uri_or_a_folder(platform, given, uri):
    platform(f"NIGHTFOLD_LAKE={given}", f"NIGHTFOLD_LANDING={given}")
    assert (settings.lake_uri(), settings.landing_uri()) == (uri, uri)


@pytest.mark.parametrize(
    ("value", "uri"),
    [
        ("redis://:pw@127.0.0.1:6390/0", "redis://:pw@127.0.0.1:6390/0"),
        ('{"conn_type": "redis", "host": "h", "port": 6379, "password": "p/w@#"}', "redis://:p%2Fw%40%23@h:6379/"),
        (
            '{"conn_type": "postgres", "login": "me", "password": "pw", "host": "h", "schema": "db", "extra": {"sslmode": "require"}}',
            "postgres://me:pw@h/db?sslmode=require",
        ),
        ('{"conn_type": "postgres", "host": "h", "extra": "{\\"a\\": \\"b\\"}"}', "postgres://h/?a=b"),
        (
            '{"conn_type": "jdbc", "host": "jdbc:db2://h:1/shop", "login": "me", "password": "p&w"}',
            "jdbc:db2://h:1/shop?user=me&password=p%26w",
        ),
    ],
)
def test_a_connection_is_a_uri_or_airflows_json(platform, value, uri):
    platform(f"AIRFLOW_CONN_KV_DEFAULT={value}")
    assert settings.connection_uri("kv_default") == uri


def test_a_missing_connection_is_named_with_its_mend(platform):
    with pytest.raises(BadPipeline) as caught:
        settings.connection_uri("kv_default")
    assert str(caught.value) == (
        "connection 'kv_default' is not defined: run `make up` on a laptop; elsewhere set AIRFLOW_CONN_KV_DEFAULT "
        "(tasks also see Airflow's own)"
    )


def test_a_connection_that_is_no_json_is_named_without_what_it_holds(platform):
    platform('AIRFLOW_CONN_KV_DEFAULT={"password": s3cret}')
    with pytest.raises(BadPipeline, match="connection 'kv_default': AIRFLOW_CONN_KV_DEFAULT is neither a URI nor JSON") as caught:
        settings.connection_uri("kv_default")
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ('"conn_type": "redis", "host": "h", "extra": "s3cret"', "extra must be a JSON object"),
        ('"conn_type": "redis", "host": "h", "extra": ["s3cret"]', "extra must be a JSON object"),
        ('"conn_type": "redis", "host": "h", "extra": "7"', "extra must be a JSON object"),
        ('"conn_type": "jdbc", "password": "s3cret"', "host is missing"),
        ('"conn_type": "sqlite", "password": "s3cret"', "host is missing"),
        ('"host": "s3cret"', "conn_type is missing"),
        ('"conn_type": "redis", "host": "h", "login": 53837', "login must be a string: put it in quotes"),
        ('"conn_type": "postgres", "host": "h", "password": ["s3cret"]', "password must be a string: put it in quotes"),
        ('"conn_type": "jdbc", "host": {"s3cret": 1}', "host must be a string: put it in quotes"),
    ],
)
def test_a_connection_with_a_wrong_field_is_named_with_it_and_not_with_what_it_holds(platform, fields, complaint):
    platform(f"AIRFLOW_CONN_KV_DEFAULT={{{fields}}}")
    with pytest.raises(BadPipeline) as caught:
        settings.connection_uri("kv_default")
    assert str(caught.value) == f"connection 'kv_default': AIRFLOW_CONN_KV_DEFAULT: {complaint}"
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("redis://:s3cret@127.0.0.1:6390/0", "redis://127.0.0.1:6390/0"),
        ("postgresql://shop:s3cret@h:5443/grocer", "postgresql://h:5443/grocer"),
        ("jdbc:db2://h:1/shop?user=me&password=s3cret", "jdbc://db2://h:1/shop?user=me"),
        ("redis://h/0?password=s3cret&ssl=true", "redis://h/0?ssl=true"),
    ],
)
def test_an_address_is_shown_without_its_password(uri, shown):
    assert settings.without_password(uri) == shown
