"""A twin of collaborative filtering by itself: what a basket gives, beside `implicit`'s own way to take in a user, and what is refused."""

import json
import math
import time
from pathlib import Path

from nightfold.errors import BadInput
from nightfold.twins import folder
from nightfold.twins.baskets import ITEMS, Baskets, Document

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from implicit.cpu.als import AlternatingLeastSquares
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

IDS = ["bread", "butter", "cheese", "milk", "rare", "sold out"]
"""milk is as bread, cheese as butter; ALS does not know what is rare."""
FACTORS = np.array([[1, 0], [0, 1], [0, 1], [1, 0], [0, 0], [1, 1]], np.float32)
SHELVES = ["bakery", "dairy", "dairy", "dairy", None, "dairy"]
BRANDS = ["own", "own", "other", "own", "other", "own"]


def items(
    ids: list[str], factors: np.ndarray, available: list[bool], place: list[int], of: dict[str, list[str | None]]
) -> pa.Table:
    flat = pa.array(factors.tolist(), pa.list_(pa.float32()))
    popularity = [100.0 / (1 + at) for at in place]
    table = pa.table({"id": ids, "available": available, "popularity": popularity, "place": place, "factors": flat})
    columns = [pa.array(values, pa.string()) for values in of.values()]
    return table.append_column("of", pa.StructArray.from_arrays(columns, list(of))) if of else table


def twin(path: Path, table: pa.Table | None = None, *, document: Document | None = None) -> str:
    """Written to a folder; its URI."""
    of = {"shelf": SHELVES, "brand": BRANDS}
    table = items(IDS, FACTORS, [True] * 5 + [False], [3, 1, 2, 4, 0, 5], of) if table is None else table
    content = pa.BufferOutputStream()
    pq.write_table(table, content)
    document = document or Document(factors=2, alpha=1.0, regularization=1.0, columns=["shelf", "brand"])
    folder.write(f"file://{path}/twin", document, {ITEMS: content.getvalue().to_pybytes()})
    return f"file://{path}/twin"


@pytest.fixture
def shop(tmp_path) -> Baskets:
    return Baskets.load(twin(tmp_path))


def test_what_goes_with_a_basket_comes_first_and_equal_scores_go_by_the_id(shop):
    answer = shop.recommend({"bread": 1}, 3, exclude_seen=False)
    assert [item for item, _ in answer.items] == ["bread", "milk", "butter"]
    assert answer.items[0][1] == answer.items[1][1] == 0.266667  # 4/15: YtY + I is [[4, 1], [1, 4]], Yt C p is [1, 0]
    assert answer.items[2][1] == pytest.approx(-1 / 15, abs=1e-6)
    assert (answer.unknown, answer.source) == ([], "basket")


def test_what_is_in_more_baskets_weighs_more_and_what_was_seen_is_left_out(shop):
    answer = shop.recommend({"bread": 1, "butter": 9}, 9, exclude_seen=True)
    assert [item for item, _ in answer.items] == ["cheese", "milk"], "sold out may not be listed, of what is rare nothing is known"
    assert shop.recommend({"bread": 9, "butter": 1}, 9, exclude_seen=True).items[0][0] == "milk"
    assert [item for item, _ in shop.recommend({"bread": 1}, 9, exclude_seen=True, without={"milk", "nothing"}).items] == [
        "butter",
        "cheese",
    ]


def test_answers_are_narrowed_down_by_the_catalogue(shop):
    dairy = shop.recommend({"bread": 1}, 9, exclude_seen=False, only={"shelf": ["dairy"]})
    assert [item for item, _ in dairy.items] == ["milk", "butter", "cheese"]
    both = shop.recommend({"bread": 1}, 9, exclude_seen=False, only={"shelf": {"dairy", "bakery"}, "brand": ["other"]})
    assert [item for item, _ in both.items] == ["cheese"]
    assert shop.recommend({"bread": 1}, 9, exclude_seen=False, only={"shelf": ["toys"]}).items == []
    assert [item for item, _ in shop.recommend({}, 9, exclude_seen=False, only={"brand": ["other"]}).items] == ["rare", "cheese"]
    assert shop.columns == {"shelf": ["bakery", "dairy"], "brand": ["other", "own"]}
    assert shop.of("rare") == {"shelf": None, "brand": "other"}
    assert shop.of("bread") == {"shelf": "bakery", "brand": "own"}


def test_a_basket_of_which_nothing_is_known_gives_what_is_popular_and_says_so(shop):
    answer = shop.recommend({"wine": 1, "rare": 2}, 2, exclude_seen=True)
    assert answer.items == [("butter", 0.5), ("cheese", 0.333333)]
    assert (answer.unknown, answer.source) == (["wine"], "popularity")
    assert shop.recommend({}, 1, exclude_seen=True).items == [("rare", 1.0)]
    assert shop.recommend({"wine": 1, "bread": 1}, 1, exclude_seen=True).unknown == ["wine"]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (
            {"basket": {"bread": 0}},
            "basket, 'bread': 0 is no weight: give ids as text, and of each in how many baskets it was, above 0",
        ),
        ({"basket": {"bread": -1}}, "basket, 'bread': -1 is no weight"),
        ({"basket": {"bread": True}}, "basket, 'bread': True is no weight"),
        ({"basket": {"wine": "2"}}, "basket, 'wine': '2' is no weight"),
        ({"basket": {"bread": math.nan}}, "basket, 'bread': nan is no weight"),
        ({"basket": {"bread": math.inf}}, "basket, 'bread': inf is no weight"),
        ({"basket": {3: 1}}, "basket, 3: 1 is no weight: give ids as text"),
        ({"basket": {}, "n": 0}, "n: 0 is no length of a list: give 1 or more"),
        (
            {"basket": {}, "only": {"shelves": ["dairy"]}},
            "only, 'shelves': no such column of the catalogue: did you mean one of shelf?",
        ),
        ({"basket": {}, "only": {"shelf": "dairy"}}, "only, shelf: 'dairy' is no list of texts: give the values, each in quotes"),
        ({"basket": {}, "only": {"shelf": [["dairy"]]}}, "only, shelf: [['dairy']] is no list of texts"),
    ],
)
def test_what_is_no_question_is_refused_in_one_line(shop, asked, message):
    with pytest.raises(BadInput) as refused:
        shop.recommend(asked.pop("basket"), asked.pop("n", 5), exclude_seen=True, **asked)
    assert str(refused.value).startswith(message)


def test_an_item_that_the_night_did_not_know_is_of_nothing(shop):
    assert shop.of("wine") is None


def test_a_twin_that_is_broken_or_foreign_is_refused_in_one_line(tmp_path):
    uri, file = twin(tmp_path), tmp_path / "twin" / folder.DOCUMENT
    said = file.read_text()
    file.write_text(json.dumps(json.loads(said) | {"kind": "predictions"}))
    with pytest.raises(BadInput, match=r"/twin/twin.json: kind is 'predictions', not 'baskets': clear `train` of its night"):
        Baskets.load(uri)
    for wrong in ({"factors": 3}, {"columns": ["colour"]}):
        file.write_text(json.dumps(json.loads(said) | wrong))
        with pytest.raises(
            BadInput, match=r"^file://\S+/twin/items.parquet: does not fit twin.json \(.+\): clear `train` of its night"
        ):
            Baskets.load(uri)
    file.write_text(said)
    (tmp_path / "twin" / ITEMS).write_bytes(b"PAR1")
    with pytest.raises(BadInput, match=r"/twin/items.parquet: is not what was written with twin.json"):
        Baskets.load(uri)


def test_the_same_question_has_the_same_answer_after_loading_again(tmp_path):
    uri = twin(tmp_path)
    one, other = (Baskets.load(uri).recommend({"bread": 2, "cheese": 1}, 6, exclude_seen=False) for _ in range(2))
    assert one == other


def test_without_a_catalogue_and_without_a_penalty_it_answers_too(tmp_path):
    plain = items(["a", "b"], np.array([[1, 0, 0], [0.5, 0, 0]], np.float32), [True, True], [0, 1], {})
    uri = twin(tmp_path, plain, document=Document(factors=3, alpha=1.0, regularization=0.0, columns=[]))
    answer = Baskets.load(uri).recommend({"a": 1}, 5, exclude_seen=False)
    assert answer.items == [("a", 0.8), ("b", 0.4)]  # 1 / (1 + 0.25)
    assert Baskets.load(uri).of("a") == {}


@pytest.mark.parametrize(("alpha", "regularization"), [(1.0, 10.0), (3.0, 0.1)])
def test_a_basket_is_taken_in_as_implicit_takes_in_a_user(tmp_path, alpha, regularization):
    draw = np.random.default_rng(1)
    taken = csr_matrix((draw.poisson(0.08, (200, 150)) * draw.integers(1, 9, (200, 150))).astype(np.float32))
    with threadpool_limits(limits=1, user_api="blas"):
        model = AlternatingLeastSquares(
            factors=16, regularization=regularization, alpha=alpha, iterations=4, random_state=1, num_threads=1
        )
        model.fit(taken, show_progress=False)
    ids = [f"i{item:03}" for item in range(150)]
    table = items(ids, model.item_factors, [True] * 150, list(range(150)), {})
    document = Document(factors=16, alpha=alpha, regularization=regularization, columns=[])
    found = Baskets.load(twin(tmp_path, table, document=document))
    for user in range(100):
        past = taken[user]
        own = found.folded_in(past.indices.astype(np.int64), past.data.astype(np.float64))
        assert own == pytest.approx(model.recalculate_user(user, past), abs=1e-4)
        best, scores = model.recommend(user, past, N=10, filter_already_liked_items=True, recalculate_user=True)
        basket = {ids[item]: float(weight) for item, weight in zip(past.indices, past.data, strict=True)}
        answer = found.recommend(basket, 10, exclude_seen=True)
        assert [item for item, _ in answer.items] == [ids[item] for item in best]
        assert [score for _, score in answer.items] == pytest.approx(scores.tolist(), abs=1e-4)


def test_seventy_thousand_items_take_a_few_milliseconds(tmp_path):
    draw, size, width = np.random.default_rng(1), 70_000, 64
    ids, shelves = [f"{item:06}" for item in range(size)], [f"s{item % 30}" for item in range(size)]
    factors = draw.normal(size=(size, width)).astype(np.float32)
    table = items(ids, factors, [True] * size, list(range(size)), {"shelf": shelves})
    document = Document(factors=width, alpha=1.0, regularization=10.0, columns=["shelf"])
    found, took = Baskets.load(twin(tmp_path, table, document=document)), []
    with threadpool_limits(limits=1, user_api="blas"):
        for _ in range(20):
            basket = {ids[item]: 1.0 for item in draw.integers(0, size, 30)}
            started = time.perf_counter()
            found.recommend(basket, 20, exclude_seen=True, only={"shelf": ["s1", "s2"]})
            took.append(time.perf_counter() - started)
    assert np.median(took) < 0.02, "it takes 0.003"
