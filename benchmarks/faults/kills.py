"""Faults that kill: each stage's Spark job, and each of the platform's servers, with signal 9 in the middle of a stage."""

from benchmarks.faults import jobs, shop
from benchmarks.faults.registry import fault
from benchmarks.faults.scene import Scene
from benchmarks.faults.stand import until

KILLED = r"night {night}: .*killed by signal 9"
MEND = r"memory is short .*resources\.driver_memory|resources\.driver_memory"


def _killed(night: str = shop.SECOND) -> str:
    return KILLED.format(night=night)


def _stage(scene: Scene, stage: str, *, python: bool = False) -> None:
    scene.begin(stage)
    scene.kill_stage(stage, python=python)
    scene.ended()
    scene.told_by_log(stage, cause=_killed(), mend=MEND)
    scene.finish()


for name in ("ingest", "clean", "profile", "features", "train", "evaluate", "score", "publish"):
    fault(f"kill-{name}", f"kill -9 of `{name}`: spark-submit's JVM")(lambda scene, stage=name: _stage(scene, stage))

for name in ("features", "publish"):
    fault(f"kill-{name}-python", f"kill -9 of `{name}`: its Python process")(
        lambda scene, stage=name: _stage(scene, stage, python=True)
    )


def _server(scene: Scene, part: str, *, stage: str) -> None:
    _, where = jobs.at_work(scene.stand, stage, before=scene.before[stage])
    scene.strike(lambda: jobs.kill_part(scene.stand, part), f"in `{stage}`, {where}")


@fault("kill-scheduler", "kill -9 of Airflow's scheduler")
def scheduler(scene: Scene) -> None:
    scene.begin("train")
    _server(scene, "airflow-scheduler", stage="train")
    scene.told_by_terminal(cause="airflow-scheduler has ended, so the night stands still", mend="make up")
    scene.make_up()
    scene.ended()
    scene.finish()


@fault("kill-api", "kill -9 of Airflow's API server")
def api_server(scene: Scene) -> None:
    scene.begin("train")
    _server(scene, "airflow-api", stage="train")
    scene.told_by_terminal(cause="Airflow does not answer|airflow-api has ended", mend="make up")
    scene.make_up()
    scene.ended()
    scene.finish()


@fault("kill-postgres", "kill -9 of the platform's PostgreSQL")
def postgres(scene: Scene) -> None:
    scene.begin("train")
    _server(scene, "postgres", stage="train")
    scene.told_by_terminal(cause="postgres has ended", mend="make up")
    scene.make_up()
    scene.ended()
    scene.finish()


@fault("kill-valkey", "kill -9 of Valkey while lists are written")
def valkey(scene: Scene) -> None:
    scene.begin("publish")

    def down_and_up() -> None:
        scene.store_dies()
        scene.first_failure("publish")
        scene.make_up()

    with jobs.half_published(scene.stand, scene.stand.second) as (_, where):
        scene.strike(down_and_up, where)
    scene.ended()
    scene.told_by_log("publish", cause=r"publish failed: .*store .*(Connection|Error \d+)", mend="is it up, and is there room")
    scene.finish()


@fault("valkey-full", "Valkey is full (`maxmemory`, noeviction) while lists are written")
def valkey_full(scene: Scene) -> None:
    scene.begin("publish")
    client = scene.stand.client
    with jobs.half_published(scene.stand, scene.stand.second) as (_, where):
        scene.strike(lambda: client.config_set("maxmemory", "1mb"), where)
    scene.first_failure("publish")
    scene.person("CONFIG SET maxmemory 0", lambda: client.config_set("maxmemory", "0"))
    scene.ended()
    scene.told_by_log("publish", cause=r"publish failed: .*maxmemory", mend="is it up, and is there room")
    scene.finish()


@fault("two-runs", "two runs of one night at once: by hand and by backfill")
def two_runs(scene: Scene) -> None:
    scene.begin("features")
    scene.strike(lambda: None, "a backfill of the night is started while `features` works")
    jobs.at_work(scene.stand, "features", before=scene.before["features"])
    day = f"{shop.SECOND}T00:00:00Z"
    body = {"dag_id": shop.DAG, "from_date": day, "to_date": f"{shop.SECOND}T23:59:59Z", "max_active_runs": 4}
    scene.stand.api.post("backfills", body | {"reprocess_behavior": "completed"})
    backfills = lambda: [r for r in _runs(scene) if r["run_type"] == "backfill" and r["state"] in ("running", "queued")]  # noqa: E731
    [other] = until(backfills, what="run of the backfill", limit=60)
    scene.ended()
    scene.ended(run_id=other["dag_run_id"])
    scene.row.tasks = "both runs succeed, one after the other"
    scene.acts.append("nobody: the second waits for its turn")
    scene.finish()


def _runs(scene: Scene) -> list[dict]:
    return scene.stand.api.get(f"dags/{shop.DAG}/dagRuns", limit=100)["dag_runs"]
