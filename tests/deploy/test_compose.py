"""docker-compose.yml against the Compose schema, and its rendered configuration against what the code needs.

compose-spec.json is the schema of the Compose Specification (Copyright 2020 The Compose Specification Authors, Apache License 2.0),
as Docker Compose 2.40.3 carries it.
"""

import json
import re
import shutil
import stat
import subprocess
from pathlib import Path

import deploy.__main__ as deploy
from deploy import healthy
from embedded import airflow_parts
from embedded.settings import load
from serving.__main__ import GRACE

import pytest
import yaml
from deploy_compose import NotGiven, example, made_up, rendered, text, variables
from helpers import ROOT
from jsonschema import Draft7Validator

SECRETS = made_up()
SERVICES = rendered(SECRETS)["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"].startswith("nightfold:")}
AIRFLOW = ("airflow-init", "airflow-api", "airflow-scheduler", "airflow-dags", "airflow-triggerer")
REPLICAS = ("serving-1", "serving-2", "serving-3")


@pytest.fixture(scope="module")
def schema():
    found = json.loads(Path(__file__).with_name("compose-spec.json").read_text(encoding="utf-8"))
    return Draft7Validator(found)


def test_the_file_is_right_by_the_compose_schema_before_and_after_its_variables(schema):
    for content in (yaml.safe_load(text()), rendered(SECRETS)):
        assert [f"{list(error.path)}: {error.message}" for error in schema.iter_errors(content)] == []


def test_the_schema_would_see_a_fault(schema):
    wrong = rendered(SECRETS)
    wrong["services"]["valkey"]["helthcheck"] = {}
    wrong["services"]["mlflow"]["depends_on"]["postgres"]["condition"] = "service_happy"
    assert len(list(schema.iter_errors(wrong))) == 2


@pytest.mark.parametrize("name", sorted(SECRETS))
def test_without_a_secret_compose_stops_and_says_where_to_set_it(name):
    with pytest.raises(NotGiven, match=f"required variable {name} is missing a value: set it in .env"):
        rendered({other: value for other, value in SECRETS.items() if other != name})


def test_the_example_names_every_variable_with_the_files_own_default():
    asked, defaults = example()
    used = variables()
    assert sorted(used) == sorted([*asked, *defaults])
    assert {name for name, uses in used.items() if uses[0][0] == ":?"} == set(asked)
    assert {name: uses[0][1] for name, uses in used.items() if name in defaults} == defaults
    assert {name for name, uses in used.items() if len(set(uses)) > 1} == set(), "one default in all places"


def test_no_secret_is_in_the_file_or_in_a_command():
    named = re.compile("PASSWORD|SECRET|FERNET|AUTH$|_KEY$")
    for service in yaml.safe_load(text())["services"].values():
        for name, value in (service.get("environment") or {}).items():
            assert not named.search(name) or re.fullmatch(r"\$\{\w+:\?set it in \.env\}", value), name
    for name, service in SERVICES.items():
        spoken = json.dumps([service.get(part) for part in ("command", "entrypoint", "healthcheck", "hostname", "build")])
        assert not [secret for secret, value in SECRETS.items() if value in spoken], name


def test_connections_of_your_own_come_from_files_that_are_not_asked_for_and_get_into_no_image_and_no_commit():
    files = {name: service["env_file"] for name, service in SERVICES.items() if "env_file" in service}
    assert {name for name in files if files[name] == [{"path": "connections.env", "required": False}]} == set(AIRFLOW)
    assert {name for name in files if files[name] == [{"path": "serving.env", "required": False}]} == set(REPLICAS)
    assert len(files) == len(AIRFLOW) + len(REPLICAS)
    ignored = {name: (ROOT / name).read_text(encoding="utf-8").splitlines() for name in (".gitignore", ".dockerignore")}
    for file in (".env", "connections.env", "serving.env"):
        assert f"/{file}" in ignored[".gitignore"]
        assert file in ignored[".dockerignore"]


def test_the_settings_say_what_compose_takes_and_nothing_more():
    [section] = re.findall(
        r"^## With Compose$(.*?)(?=^## |\Z)", (ROOT / "docs/settings.md").read_text(), flags=re.MULTILINE | re.DOTALL
    )
    rows = [re.split(r" *\| *", line.strip("| ")) for line in section.splitlines() if line.startswith("| `")]
    _, defaults = example()
    said: dict[str, str] = {}
    for names, _, values in rows:
        found, cells = re.findall(r"`([A-Z_]+)`", names), values.split(", ")
        said |= dict(zip(found, cells if len(cells) > 1 else cells * len(found), strict=True))
    assert set(said) == set(variables())
    assert {name: value.strip("`") for name, value in said.items() if name in defaults} == {
        **defaults,
        "NIGHTFOLD_SERVING_PIPELINES": "all",
    }


def test_every_service_has_a_health_check_a_restart_policy_and_waits_for_what_it_needs():
    for name, service in SERVICES.items():
        if name == "airflow-init":
            assert service["restart"] == "no"
            continue
        assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL"), name
        assert service["restart"] == "unless-stopped", name
    conditions = {n: {on: need["condition"] for on, need in s.get("depends_on", {}).items()} for n, s in SERVICES.items()}
    assert conditions["airflow-scheduler"] == {
        "postgres": "service_healthy",
        "airflow-init": "service_completed_successfully",
        "airflow-api": "service_healthy",
        "spark-master": "service_healthy",
        "valkey": "service_healthy",
        "mlflow": "service_healthy",
    }
    assert conditions["spark-worker-2"] == {"spark-master": "service_healthy"}
    assert conditions["airflow-init"] == {"postgres": "service_healthy"}
    assert {need for needs in conditions.values() for need in needs} <= set(SERVICES)


def test_published_are_airflow_mlflow_and_the_balancer_only_and_on_this_machine_only():
    ports = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert ports == {
        "airflow-api": ["127.0.0.1:8080:8080"],
        "mlflow": ["127.0.0.1:5005:5000"],
        "balancer": ["127.0.0.1:8090:8090"],
    }
    assert not [name for name, service in SERVICES.items() if "network_mode" in service or service.get("privileged")]
    elsewhere = rendered({**SECRETS, "NIGHTFOLD_BIND": "10.0.0.5", "NIGHTFOLD_AIRFLOW_PORT": "80"})["services"]
    assert elsewhere["airflow-api"]["ports"] == ["10.0.0.5:80:8080"]


def test_images_have_a_version():
    images = {service["image"] for service in SERVICES.values()}
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    images |= set(re.findall(r"^FROM (\S+)", dockerfile, flags=re.MULTILINE))
    assert all(re.fullmatch(r"[a-z/]+:\d+\.\d+(\.\d+)?(-[a-z-]+)?", image) for image in images), images
    assert {service["image"] for service in OURS.values()} == {"nightfold:0.2.0"}, "one image"


def test_one_service_builds_the_image_of_all_and_none_looks_for_it_in_a_registry():
    """Two that build one tag at once fail where there is no such tag yet: `image already exists`."""
    assert {name: service["build"] for name, service in SERVICES.items() if "build" in service} == {"airflow-init": "."}
    assert set(OURS) == set(SERVICES) - {"postgres", "valkey", "balancer"}
    assert {service["pull_policy"] for service in OURS.values()} == {"never"}
    assert not [name for name in set(SERVICES) - set(OURS) if "pull_policy" in SERVICES[name]]


def test_postgres_is_asked_where_the_server_that_only_makes_the_databases_does_not_listen():
    assert " ".join(SERVICES["postgres"]["healthcheck"]["test"]) == "CMD pg_isready -h 127.0.0.1 -U nightfold -d airflow"


def test_the_dockerfile_copies_and_runs_what_there_is():
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    copied = [source for line in re.findall(r"^COPY (.*)$", dockerfile, flags=re.MULTILINE) for source in line.split()[1:-1]]
    assert copied == ["requirements.lock", "."]
    assert all((ROOT / source).exists() for source in copied)
    scripts = re.findall(r"scripts/\w+\.sh", dockerfile)
    assert scripts == ["scripts/venv.sh", "scripts/java.sh", "scripts/spark.sh"]
    assert all((ROOT / script).stat().st_mode & stat.S_IXUSR for script in scripts)
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert {".env", "var", ".git"} <= set(ignored), "no secret and no state gets into the image"
    needed = {
        "dags",
        "plugins",
        "spark_jobs",
        "nightfold",
        "serving",
        "deploy",
        "embedded",
        "scripts",
        "pipelines",
        "requirements.lock",
    }
    assert not needed & {line.strip("/") for line in ignored}


def test_what_is_mounted_from_the_checkout_is_there():
    mounts = [volume for service in SERVICES.values() for volume in service.get("volumes", [])]
    sources = {volume.split(":")[0] for volume in mounts}
    assert {source for source in sources if source.startswith(".")} == {
        "./pipelines",
        "./deploy/haproxy.cfg",
        "./deploy/haproxy-replicas.cfg",
        "./deploy/postgres.sql",
        "./deploy/valkey.sh",
    }
    assert all((ROOT / source).exists() for source in sources if source.startswith("."))
    assert {source for source in sources if not source.startswith(".")} == set(rendered(SECRETS)["volumes"])


def test_the_commands_are_services_that_the_entry_knows_and_airflow_has_their_words():
    commands = {name: service["command"] for name, service in OURS.items()}
    assert {command for [command] in commands.values()} == set(deploy.SERVICES)
    checks = {name: s["healthcheck"]["test"] for name, s in OURS.items() if "healthcheck" in s}
    assert all(test == ["CMD", "python", "-m", "deploy", "healthy", commands[name][0]] for name, test in checks.items())
    assert set(healthy.JOBS) == set(deploy.AIRFLOW) == set(airflow_parts.COMMANDS)
    assert {name: words for name, (words, _) in airflow_parts.COMMANDS.items()} == deploy.AIRFLOW
    for words in ("db migrate", "pools set"):
        done = subprocess.run(["airflow", *words.split(), "--help"], capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr


def test_airflow_is_told_all_that_the_embedded_one_is_told(tmp_path):
    embedded = set(airflow_parts.environment(load(home=tmp_path, environ={})))
    wanted = {name for name in embedded if name.startswith(("AIRFLOW__", "NIGHTFOLD_", "MLFLOW_", "AIRFLOW_CONN_"))}
    only_embedded = {name for name in wanted if re.search(r"_PORT$|_WORKER|^NIGHTFOLD_(AIRFLOW|ROOT|SPARK_SLOTS)|GROCER", name)}
    in_the_image = {"NIGHTFOLD_HOME"}
    told_by_the_entry = {"AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"}
    less_often = {"AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL", "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES"}
    needed = wanted - only_embedded - in_the_image - told_by_the_entry - less_often
    for name in AIRFLOW:
        assert needed - set(SERVICES[name]["environment"]) == set(), name
        assert not [variable for variable, value in SERVICES[name]["environment"].items() if not value]


def test_drivers_and_executors_see_one_lake_at_one_path_in_one_checkout():
    scheduler, *workers = (SERVICES[name] for name in ("airflow-scheduler", "spark-worker-1", "spark-worker-2"))
    for worker in workers:
        assert worker["image"] == scheduler["image"]
        assert worker["volumes"] == scheduler["volumes"]
        for name in ("NIGHTFOLD_LAKE", "NIGHTFOLD_LANDING", "NIGHTFOLD_SPARK_SECRET"):
            assert worker["environment"][name] == scheduler["environment"][name]
    assert {worker["hostname"] for worker in workers} == {"spark-worker-1", "spark-worker-2"}
    logs = SERVICES["airflow-api"]["environment"]["AIRFLOW__LOGGING__BASE_LOG_FOLDER"]
    assert f"logs:{logs}" in SERVICES["airflow-api"]["volumes"], "the API server shows what the scheduler's tasks wrote"
    assert f"logs:{logs}" in scheduler["volumes"]
    assert scheduler["environment"]["AIRFLOW__LOGGING__BASE_LOG_FOLDER"] == logs


def test_a_worker_knows_the_secret_of_spark_and_no_other():
    held = {name for name, value in SECRETS.items() if value in json.dumps(SERVICES["spark-worker-1"]["environment"])}
    assert held == {"NIGHTFOLD_SPARK_SECRET"}


def test_a_replica_reads_the_store_as_a_user_that_only_reads_and_knows_no_other_secret():
    replicas = [SERVICES[name] for name in REPLICAS]
    assert replicas[0] == replicas[1] == replicas[2]
    held = {name for name, value in SECRETS.items() if value in json.dumps(replicas[0])}
    assert held == {"NIGHTFOLD_VALKEY_READER_PASSWORD"}
    assert "lake:/data/lake:ro" in replicas[0]["volumes"]
    told = replicas[0]["environment"]
    assert told["NIGHTFOLD_SERVING_KEYS"].startswith("/data/serving/"), "in a volume that all three share"
    assert int(told["NIGHTFOLD_SERVING_DRAIN"]) + GRACE < int(replicas[0]["stop_grace_period"].removesuffix("s"))
    assert SERVICES["balancer"]["environment"].keys() == {"NIGHTFOLD_BALANCER_BIND", "NIGHTFOLD_BALANCER_SOCKET"}


def test_addresses_name_services():
    spoken = json.dumps(SERVICES)
    hosts = set(re.findall(r"@([a-z-]+)[:/]", spoken)) | set(re.findall(r"(?:http|spark)://([a-z-]+):", spoken))
    assert hosts <= set(SERVICES)
    assert hosts == {"postgres", "valkey", "mlflow", "airflow-api", "spark-master"}


@pytest.mark.skipif(shutil.which("sh") is None, reason="needs a shell")
def test_the_scripts_are_right_for_a_plain_shell():
    for script in (ROOT / "deploy").glob("*.sh"):
        subprocess.run(["sh", "-n", str(script)], check=True)
