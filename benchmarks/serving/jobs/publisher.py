"""A publisher, as a process that can be struck: `python -m benchmarks.serving.jobs.publisher ORDER`, a JSON object.

Takes a token, writes a version list by list or in batches, seals it and promotes it, as the tasks publish and promote do.
"""

import json
import sys

from benchmarks.serving import published
from nightfold.errors import NightfoldError
from nightfold.store import open_store


def main(words: str) -> int:
    order = json.loads(words)
    store = open_store()
    try:
        token = store.begin(published.PIPELINE)
        print("began", flush=True)
        sealed = published.stage(
            store,
            order["version"],
            published.made(order["version"]),
            night=order["night"],
            attempt=order["attempt"],
            at_once=order["at_once"],
        )
        print(f"sealed {sealed.attempt}", flush=True)
        store.promote(published.PIPELINE, order["version"], token, 3)
    except NightfoldError as error:
        print(f"nightfold: {error}", flush=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
