"""What a night has brought, read as anybody outside would read it: the lake's manifests and the store."""

from collections.abc import Callable
from itertools import islice

from embedded.settings import HOST, Settings
from nightfold import pipeline as pipelines
from nightfold.client import Client
from nightfold.lake import Lake
from nightfold.settings import connection_uri
from nightfold.stages import BY_NAME
from nightfold.store import Store, store_at

from pyarrow.dataset import dataset, field

PEOPLE = 3
ITEMS = 5


def stage_summary(pipeline: str, stage: str, ds: str) -> str | None:
    """The line that a stage left in the manifest of its night, None when it left none."""
    manifest = Lake(pipeline).find(BY_NAME[stage].dataset, ds) if stage in BY_NAME else None
    return manifest.summary or None if manifest else None


def sample_keys(store: Store, pipeline: str) -> list[str]:
    """A few people of the live version."""
    live = store.live(pipeline)
    return sorted(islice(store.keys(pipeline, live.version, live.attempt), PEOPLE)) if live else []


def say_lists(pipeline: str, *, say: Callable[[str], None]) -> None:
    """A few people's lists, and the live version's metrics. Raises NightfoldError when the store cannot be read."""
    address = connection_uri(pipelines.named(pipeline).publish.connection)
    store = store_at(address)
    live = store.live(pipeline)
    if live is None:
        say(f"Nothing of {pipeline} is live: the night was not promoted.")
        return
    say(f"\nLive: version {live.version} of night {live.night}, {live.keys:,} lists. Of {PEOPLE} people, the first {ITEMS} items:")
    with Client(address) as client:
        answers = client.lookup_many(pipeline, sample_keys(store, pipeline), n=ITEMS)
    titles = _titles(pipeline, live.night, {item.id for answer in answers for item in answer.items})
    for answer in answers:
        say(f"  {answer.key}")
        for place, item in enumerate(answer.items, 1):
            say(f"    {place}. {item.id:<10} {titles.get(item.id) or '':<28.28} {item.score:#9.4g}  {item.why}")
    say(f"  all of one person: .venv/bin/nightfold lookup {pipeline} KEY")
    if live.metrics:
        say("\nMetrics: " + ", ".join(f"{name} {value:.4g}" for name, value in live.metrics.items()))


def _titles(pipeline: str, night: str, ids: set[str]) -> dict[str, str | None]:
    """The names that the catalogue gives to some items; none where there are no items, but predictions."""
    lake = Lake(pipeline)
    features = lake.get("features", night)
    if "items" not in features.facts:
        return {}
    items = dataset(lake.local_path(f"{features.data}/items"), filesystem=lake.fs, format="parquet")
    rows = items.to_table(columns=["id", "title"], filter=field("id").isin(sorted(ids))).to_pylist()
    return {row["id"]: row["title"] for row in rows}


def say_addresses(settings: Settings, *, say: Callable[[str], None]) -> None:
    """Where the web pages are, and with which login."""
    say(
        f"\nAirflow  {settings['NIGHTFOLD_AIRFLOW_URL']}  {settings['NIGHTFOLD_AIRFLOW_USER']} / {settings['NIGHTFOLD_AIRFLOW_PASSWORD']}"
    )
    say(
        f"MLflow   {settings['MLFLOW_TRACKING_URI']}  {settings['MLFLOW_TRACKING_USERNAME']} / {settings['MLFLOW_TRACKING_PASSWORD']}"
    )
    say("It stays up: make status, make down.")


def say_api(settings: Settings, *, say: Callable[[str], None]) -> None:
    """Where the REST API is, and how to get a key."""
    say(f"\nREST API  http://{HOST}:{settings['NIGHTFOLD_SERVING_PORT']}/v1/pipelines  a key: .venv/bin/nightfold keys add NAME")
    say("It stays up: make status, make restart-serving, make down.")
