"""What a training has found of its grid, kept in its attempt's folder, so that a retry goes on where the try before it stopped."""

import json
import threading
from collections.abc import Iterator, MutableMapping

from nightfold.lake import Lake

FILE = "grid_so_far.json"


class GridSoFar(MutableMapping[tuple[int, int], float]):
    """(fold, point) → its metric. Begins with what any earlier attempt at the model has found from the same inputs."""

    def __init__(self, lake: Lake, attempt: str, inputs: str) -> None:
        self._lake, self._inputs = lake, inputs
        self._path = f"{lake.place('model', attempt)}/{FILE}"
        self._lock = threading.Lock()
        self._found: dict[tuple[int, int], float] = {}
        for earlier in lake.attempts("model"):
            path = f"{lake.place('model', earlier)}/{FILE}"
            if earlier != attempt and lake.exists(path):
                kept = json.loads(lake.read_text(path))
                if kept["inputs"] == inputs:
                    self._found |= {(fold, point): metric for fold, point, metric in kept["found"]}

    def __setitem__(self, key: tuple[int, int], value: float) -> None:
        with self._lock:
            self._found[key] = value
            rows = [[*place, metric] for place, metric in sorted(self._found.items())]
            self._lake.write_text(self._path, json.dumps({"inputs": self._inputs, "found": rows}))

    def __getitem__(self, key: tuple[int, int]) -> float:
        return self._found[key]

    def __delitem__(self, key: tuple[int, int]) -> None:
        del self._found[key]

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(dict(self._found))

    def __len__(self) -> int:
        return len(self._found)
