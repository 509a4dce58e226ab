"""Whose turn it is on a pipeline: taking it, waiting for it, and having it for as long as one works.

The turn keeps the nights of a pipeline apart and in order. It is not what keeps data whole: attempts and fencing tokens do
that, also when a turn is lost. It frees itself: who dies shows no sign of life, and his lease runs out.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from nightfold.errors import StoreError, TurnTaken
from nightfold.store import Store, Turn

LEASE = 120.0  # seconds without a sign of life until others may have it
SIGN = 20.0  # seconds between two signs: five may be lost, or the store be away for so long
GAP = (
    1800.0  # seconds between two tasks of one run at least: how long a retry or a full pool may keep it waiting, its operator knows
)
SLACK = 600.0  # seconds until Airflow starts what may start
ASK = 3.0  # seconds between two questions; the store forgets who has not asked for 30

Say = Callable[[str], None]


def waited_for(store: Store, pipeline: str, holder: str, night: str, *, limit: float, say: Say) -> Turn:
    """Take the turn, waiting for it at most `limit` seconds; says whom it waits for. Raises TurnTaken after that."""
    give_up, said = time.monotonic() + limit, ""
    while True:
        try:
            return store.take_turn(pipeline, holder, night, seconds=LEASE)
        except TurnTaken as taken:
            if time.monotonic() > give_up:
                store.leave_turn(pipeline, holder)
                raise
            whose = str(taken).split(";")[0]
            if whose != said:
                say(str(taken))
            said = whose
        time.sleep(ASK)


@contextmanager
def kept(store: Store, pipeline: str, holder: str, night: str, *, say: Say) -> Iterator[None]:
    """Show signs of life while the block runs. Losing the turn is said, and the work goes on: nothing depends on it."""
    done = threading.Event()

    def signs() -> None:
        trouble = ""
        while not done.wait(SIGN):
            try:
                if not store.keep_turn(pipeline, holder, seconds=LEASE):
                    store.take_turn(pipeline, holder, night, seconds=LEASE)  # the store has forgotten it: a restart
                trouble = ""
            except (StoreError, TurnTaken) as error:
                if not trouble:
                    say(f"the turn cannot be kept, the work goes on: {error}")
                trouble = str(error)

    thread = threading.Thread(target=signs, daemon=True, name="turn")
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(SIGN)
