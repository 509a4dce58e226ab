"""The records of many lists at once, from columns: for who writes. Readers need neither numpy nor pyarrow."""

import itertools

from nightfold.store.records import SCALE, encoder

import numpy as np
import pyarrow as pa


def encode_all(lists: pa.ListArray) -> list[bytes]:
    """The records of many lists.

    :param lists: of structs id string, score double, why string
    """
    rows, first = lists.flatten(), lists.offsets[0].as_py()
    ids, whys = rows.field("id").to_pylist(), rows.field("why").to_pylist()
    scores = (np.rint(rows.field("score").to_numpy(zero_copy_only=False) * SCALE) / SCALE + 0.0).tolist()  # + 0.0: no minus zero
    flat, edges = list(zip(ids, scores, whys, strict=True)), (lists.offsets.to_numpy() - first).tolist()
    return [encoder.encode(flat[start:end]) for start, end in itertools.pairwise(edges)]
