"""Lists that are made up, the same every time: short ones in bulk, and ones with the reasons that people read."""

from nightfold.store.records import Row, encode

import numpy as np
import pyarrow as pa

ITEMS = 1000
"""Different items of the lists in bulk."""
STEP, TURN = 7919, 613  # both are prime to ITEMS: the items of a list differ, and so do neighbouring lists
PLACES = pa.struct([("id", pa.string()), ("score", pa.float64()), ("why", pa.string())])
GOODS = (
    "FLUID MILK WHITE ONLY",
    "BANANAS",
    "SOFT DRINKS 12/18&15PK CAN CAR",
    "YOGURT NOT MULTI-PACKS",
    "SHREDDED CHEESE",
    "MAINSTREAM WHITE BREAD",
    "PRIMAL",
    "TORTILLA/NACHO CHIPS",
    "EGGS - LARGE",
)


def bulk(numbers: range, *, length: int) -> tuple[pa.Array, pa.ListArray]:
    """Keys and lists without reasons: about 15 bytes an item, once encoded.

    :param numbers: of the lists
    """
    keys = pa.array([f"user{number:08}" for number in numbers], pa.string())
    at = np.asarray(numbers, dtype=np.int64)[:, None] * STEP + np.arange(length) * TURN
    names = pa.array([str(item) for item in range(ITEMS)], pa.string())
    ids = names.take(pa.array((at % ITEMS).ravel().astype(np.int32)))
    scores = pa.array(np.tile((99 - np.arange(length)) / 10, len(numbers)))
    whys = pa.array([""], pa.string()).take(pa.array(np.zeros(len(numbers) * length, np.int32)))
    places = pa.StructArray.from_arrays([ids, scores, whys], fields=list(PLACES))
    return keys, pa.ListArray.from_arrays(pa.array(np.arange(len(numbers) + 1) * length, pa.int32()), places)


def reasoned(number: int, *, length: int) -> list[Row]:
    """One list as the sample grocer's are: seven digits of an id, six of a score, a reason."""
    rows = []
    for place in range(length):
        chance = (number * STEP + place * TURN) % 9973
        times, goods = chance % 14, GOODS[chance % len(GOODS)]
        bought = "bought once" if times == 1 else f"bought {times} times"
        reasons = (
            bought,
            f"{bought}, last on 2017-11-{chance % 28 + 1:02}",
            f"goes with {goods}",
            "popular now",
            "suits your taste",
        )
        rows.append(
            (str(800000 + (number * 31 + place * 977) % 9000000), (9973 - chance) / 9973 / (place + 1), reasons[chance % 5])
        )
    return rows


def records(numbers: range, *, length: int) -> dict[str, bytes]:
    """Key → record, of lists with reasons."""
    return {f"user{number:08}": encode(reasoned(number, length=length)) for number in numbers}
