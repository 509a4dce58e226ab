"""Writes the portable twin of tonight's collaborative filtering, for baskets of people whom the night does not know; it is applied by
nightfold/twins/baskets.py.

Reads   features (items, statistics, the items' factors of window TONIGHT)
"""

from nightfold.errors import NotServable
from nightfold.spark.arrays import lists
from nightfold.spark.job import Job
from nightfold.spark.recommend import item_statistics, knowledge, parts
from nightfold.spark.recommend.knowledge import Places
from nightfold.spark.windows import TONIGHT, of_facts
from nightfold.twins import folder
from nightfold.twins.baskets import ITEMS, Document

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq


def write(job: Job, uri: str) -> None:
    """Write the twin into a folder. Raises NotServable when ALS knows no item."""
    task, facts = job.pipeline.recommend, job.lake.get("features", job.ds).facts
    (tonight,) = [w for w in of_facts(facts["windows"]) if w.number == TONIGHT]
    columns = task.items.grouping if task.items is not None else []
    items, factors = table(Places.of(parts.folder(job), tonight, task), columns)
    content = pa.BufferOutputStream()
    pq.write_table(items, content)
    settings = {name: facts["als_settings"][name] for name in ("alpha", "regularization")}
    document = Document(factors=factors, columns=list(dict.fromkeys(columns)), **settings)
    folder.write(uri, document, {ITEMS: content.getvalue().to_pybytes()})


def table(places: Places, columns: list[str]) -> tuple[pa.Table, int]:
    """ITEMS, as twins.baskets.Document says, and how many factors an item has.

    :param columns: of the catalogue, in the order of an item's groups
    """
    listed = knowledge.table(places.items).sort_by("item")
    factors = knowledge.item_factors(places.item_factors, listed.num_rows)
    if not factors.any():
        raise NotServable("ALS: it knows no item of the night: has anybody taken one that he liked?")
    known = item_statistics.read(places.statistics, items=listed.num_rows, cutoff=places.cutoff, recent=places.recent)
    of = {name: pc.list_element(listed["groups"], place).combine_chunks() for place, name in enumerate(columns)}
    made = {
        "id": listed["id"],
        "available": listed["available"],
        "popularity": known.popularity[places.recent],
        "place": known.rank,
        "factors": lists(factors),
    }
    return pa.table(made | ({"of": pa.StructArray.from_arrays(list(of.values()), list(of))} if of else {})), factors.shape[1]
