"""Examples: for each window, every user's candidates with what was known of them at its cutoff, and whether they came true.

Made in the Python workers, block of users by block, each window in tasks of its own. `label` and `relevant` are all that is
taken from the days after the cutoff.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, fields
from functools import reduce

from nightfold.lake import filesystem
from nightfold.pipeline import Pipeline
from nightfold.spark import tables
from nightfold.spark.arrays import lists, pair_key
from nightfold.spark.job import Job
from nightfold.spark.recommend import history, knowledge
from nightfold.spark.recommend.candidates import Candidates, Limits, candidates
from nightfold.spark.recommend.history import Block, Pairs, blocks
from nightfold.spark.recommend.knowledge import Places
from nightfold.spark.recommend.parts import folder, part
from nightfold.spark.recommend.ranking_features import features
from nightfold.spark.windows import TONIGHT, Window, of_facts

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark import TaskContext
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from threadpoolctl import threadpool_limits

SCHEMA = {
    "window": "int",
    "user": "int",
    "item": "int",
    "known": "boolean",
    "source": "int",
    "baskets": "int",
    "last_day": "int",
    "goes_with": "int",
    "category": "int",
    "popularity_place": "int",
    "als": "float",
    "label": "boolean",
    "relevant": "int",
    "learn": "boolean",
    "features": "array<float>",
}
"""known: whether the user had any past; source: bits (candidates.SOURCES); baskets, last_day: of the user and the item, 0 and NULL
if he never took it; goes_with: an item that he takes and that this goes with, or NULL; category: a number, -1 for none;
popularity_place: 0 the most popular now; als: product of the vectors; label: whether the user took the item in the window;
relevant: how many items that may be listed he took there, candidates or not; learn: whether the row is in the sample that models
learn from; features: in the order of `names`, NaN where nothing is known."""

Maker = Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]
"""Of batches of histories something else."""


@dataclass(frozen=True)
class Settings:
    """What the examples depend on, besides the pasts and the windows."""

    limits: Limits
    negatives: float
    """Share of the candidates that did not come true that models learn from."""
    seed: int

    @classmethod
    def of(cls, pipeline: Pipeline) -> "Settings":
        """As the pipeline file says."""
        task, training = pipeline.recommend, pipeline.training
        limits = task.candidates.model_dump(include={"repeats", "als", "together", "popular", "segment", "overall"})
        return cls(Limits(**limits, exclude_seen=task.filters.exclude_seen), negatives=training.negatives, seed=training.seed)


def names(pipeline: Pipeline) -> list[str]:
    """Names of the features, in their order: they depend on the pipeline file only."""
    nobody, task = np.zeros(0, np.int64), pipeline.recommend
    empty = Block.of_nobody(len(task.users.attributes) if task.users is not None else 0)
    nothing = knowledge.nothing(groups(pipeline), promotions=task.promotions is not None)
    made = features(empty, Pairs.of(empty), nothing, Candidates(*[nobody] * len(fields(Candidates))), cutoff=0)
    named = {f"group_{i}_": f"group_{name}_" for i, name in enumerate(task.items.grouping if task.items is not None else [])}
    named |= {f"segment_{i}_": f"segment_{name}_" for i, name in enumerate(task.users.attributes if task.users is not None else [])}
    return [next((name.replace(at, to, 1) for at, to in named.items() if name.startswith(at)), name) for name in made]


def groups(pipeline: Pipeline) -> int:
    """How many attributes group the items."""
    items = pipeline.recommend.items
    return 0 if items is None else len(items.grouping)


def tonight(spark: SparkSession, job: Job) -> DataFrame:
    """SCHEMA: the examples of window TONIGHT, every user's, by user and item within each partition."""
    ((_, made),) = _of_night(job, [TONIGHT], whole=[TONIGHT])
    return part(spark, job, "histories", history.SCHEMA).mapInArrow(made, tables.struct(SCHEMA))


def written(spark: SparkSession, job: Job, numbers: Collection[int], *, whole: Collection[int]) -> DataFrame:
    """SCHEMA: the examples of the night's windows of these numbers, made once, to be read from the attempt's scratch as often as
    one likes; a filter on `window` reads it only. The workers write it themselves: rows would cost more than all the rest.

    :param whole: of these windows every candidate of every user who took anything; of the others only what models learn from
    """
    place = f"{job.scratch}/examples"
    histories = part(spark, job, "histories", history.SCHEMA)
    made = [
        histories.mapInArrow(_to_files(made, f"{place}/window={window.number}"), "rows bigint")
        for window, made in _of_night(job, numbers, whole=whole)
    ]
    reduce(DataFrame.unionAll, made).agg(F.sum("rows")).collect()
    columns = {name: kind for name, kind in SCHEMA.items() if name != "window"}  # it is a folder's name
    return spark.read.schema(tables.struct(columns | {"window": "int"})).parquet(place)


def _of_night(job: Job, numbers: Collection[int], *, whole: Collection[int]) -> list[tuple[Window, Maker]]:
    settings = Settings.of(job.pipeline)
    wanted = [window for window in of_facts(job.lake.get("features", job.ds).facts["windows"]) if window.number in numbers]
    places = {window: Places.of(folder(job), window, job.pipeline.recommend) for window in wanted}
    return [(window, _of_window(window, places[window], settings, whole=window.number in whole)) for window in wanted]


def _of_window(window: Window, places: Places, settings: Settings, *, whole: bool) -> Maker:
    def made(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        with threadpool_limits(limits=1, user_api="blas"):
            for block in blocks(batches):
                yield of_block(block, window, places, settings, whole=whole)

    return made


def _to_files(made: Maker, place: str) -> Maker:
    """A maker that writes what `made` makes, and gives the number of rows. A task's file has a name of its own, and is whole or
    absent: tried again, it is replaced."""

    def write(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        context = TaskContext.get()
        fs, folder = filesystem(place)
        fs.create_dir(folder)
        name = f"part-{context.partitionId():05}.parquet"
        unfinished = f"{folder}/.{name}-{context.taskAttemptId()}"
        rows, writer = 0, None
        for batch in made(batches):
            batch = batch.drop_columns(["window"])
            writer = writer or pq.ParquetWriter(
                unfinished, batch.schema, filesystem=fs, use_dictionary=False, write_statistics=False
            )
            writer.write_batch(batch)
            rows += batch.num_rows
        if writer is not None:
            writer.close()
            fs.move(unfinished, f"{folder}/{name}")
        yield pa.RecordBatch.from_arrays([pa.array([rows], pa.int64())], names=["rows"])

    return write


def of_block(block: Block, window: Window, places: Places, settings: Settings, *, whole: bool) -> pa.RecordBatch:
    """The examples of some users."""
    known = knowledge.read(places)
    past = block.until(window.cutoff)
    pairs = Pairs.of(past)
    some = candidates(past, pairs, known, settings.limits, cutoff=window.cutoff, recent=places.recent)
    label, relevant = _truth(block, window, pairs, some, known.available, exclude_seen=settings.limits.exclude_seen)
    had = np.bincount(past.row, minlength=len(block.users)) > 0
    sampled = _random(block.users[some.row], some.item, settings.seed + window.number) < settings.negatives
    learn = had[some.row] & (label | sampled) & (window.number != TONIGHT)
    wanted = learn | whole & ((relevant[some.row] > 0) | (window.number == TONIGHT))
    some, label, learn = some.only(wanted), label[wanted], learn[wanted]
    columns = features(past, pairs, known, some, cutoff=window.cutoff)
    about = {
        "window": np.full(len(some.row), window.number),
        "user": block.users[some.row],
        "item": some.item,
        "known": had[some.row],
        "source": some.source,
        "baskets": _of_pair(pairs.sums(past.baskets), some.pair, 0),
        "last_day": _of_pair(pairs.lasts(past.day), some.pair, -1),
        "goes_with": some.goes_with,
        "category": known.groups[0][some.item] if known.groups else np.full(len(some.row), -1),
        "popularity_place": known.statistics.rank[some.item],
        "als": some.als,
        "label": label,
        "relevant": relevant[some.row],
        "learn": learn,
    }
    arrays = [_array(name, values) for name, values in about.items()]
    arrays.append(lists(np.stack(list(columns.values()), axis=1)))
    return pa.RecordBatch.from_arrays(arrays, names=list(SCHEMA))


def _of_pair(values: np.ndarray, pair: np.ndarray, missing: int) -> np.ndarray:
    """(N,) of values by pair (P,); `missing` where a candidate was never taken."""
    found = np.full(len(pair), missing, np.int64)
    found[pair >= 0] = values[pair[pair >= 0]]
    return found


def _array(name: str, values: np.ndarray) -> pa.Array:
    kinds = {"int": pa.int32(), "float": pa.float32(), "boolean": pa.bool_()}
    missing = values < 0 if name in ("goes_with", "last_day") else None
    return pa.array(values.astype(kinds[SCHEMA[name]].to_pandas_dtype()), mask=missing)


def _truth(
    block: Block, window: Window, pairs: Pairs, some: Candidates, available: np.ndarray, *, exclude_seen: bool
) -> tuple[np.ndarray, np.ndarray]:
    """(N,) which candidates came true; (B,) how many items that may be listed each user took."""
    if window.number == TONIGHT:
        return np.zeros(len(some.row), bool), np.zeros(len(block.users), np.int64)
    items = len(available)
    taken = taken_after(block, window, pairs, available, exclude_seen=exclude_seen)
    return np.isin(pair_key(some.row, some.item, items), taken), np.bincount(taken // items, minlength=len(block.users))


def taken_after(block: Block, window: Window, pairs: Pairs, available: np.ndarray, *, exclude_seen: bool) -> np.ndarray:
    """Keys (row * items + item) of what may be listed and each user took in the days after the cutoff.

    :param pairs: of what was known at the cutoff
    """
    items = len(available)
    later = block.after(window.cutoff, window.days)
    listed = available[later.item] & (later.baskets > 0)
    taken = np.unique(pair_key(later.row[listed], later.item[listed], items))
    return np.setdiff1d(taken, pair_key(pairs.row, pairs.item, items), assume_unique=True) if exclude_seen else taken


def _random(user: np.ndarray, item: np.ndarray, seed: int) -> np.ndarray:
    """(N,) in [0, 1), the same for the same user, item and seed (splitmix64: Steele, Lea, Flood, 2014)."""
    with np.errstate(over="ignore"):
        x = (user.astype(np.uint64) << np.uint64(32)) + item.astype(np.uint64) + np.uint64(seed) * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return ((x ^ (x >> np.uint64(31))) >> np.uint64(11)).astype(np.float64) / 2.0**53
