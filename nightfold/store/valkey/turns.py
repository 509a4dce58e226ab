"""Turns and fencing tokens: one run at a time works on a pipeline, the oldest night first."""

from nightfold.errors import TurnTaken
from nightfold.store.base import RETURN, WAITING, Turn, said_night
from nightfold.store.valkey import names, scripts
from nightfold.store.valkey.server import Server

_WHY = {
    "taken": "is at work; it ends by itself, or after {seconds:.0f} s without a sign of life",
    "waits": "waits, and is older",
    "awaited": "was not done when it was last heard of; it goes first if it comes back within {seconds:.0f} s, or until"
    " `nightfold unlock {pipeline}` says that it is dead",
}
"""What is said of who goes first, by TAKE_TURN's verdict; what changes from one question to the next stands behind the semicolon, and
is not said again (turns.waited_for)."""


class Turns(Server):
    """As base.Store promises."""

    def begin(self, pipeline: str) -> int:
        with self._errors():
            return int(self.wire.client.incr(names.control(pipeline, "token")))

    def take_turn(self, pipeline: str, holder: str, night: str, *, seconds: float) -> Turn:
        limits = (int(limit * 1000) for limit in (seconds, WAITING, RETURN))
        answer = self._run(scripts.TAKE_TURN, pipeline, holder, night, *limits)
        verdict, theirs, their_night, token, left = (part.decode() if isinstance(part, bytes) else part for part in answer)
        if verdict == "yours":
            return Turn(holder=theirs, night=their_night, token=int(token), seconds_left=left / 1000)
        why = _WHY[verdict].format(seconds=max(left, 0) / 1000, pipeline=pipeline)
        who, them = (
            (f"{pipeline}, night {night}" if said_night(night) else pipeline),
            f"{theirs} of night {their_night}" if said_night(their_night) else theirs,
        )
        raise TurnTaken(f"{who}: waits for its turn: {them} {why}")

    def keep_turn(self, pipeline: str, holder: str, *, seconds: float) -> bool:
        return bool(self._run(scripts.KEEP_TURN, pipeline, holder, int(seconds * 1000)))

    def leave_turn(self, pipeline: str, holder: str) -> bool:
        return bool(self._run(scripts.LEAVE_TURN, pipeline, holder))

    def expect_turn(self, pipeline: str, holder: str, night: str) -> None:
        self._run(scripts.EXPECT_TURN, pipeline, holder, night)

    def turn(self, pipeline: str) -> Turn | None:
        key = names.control(pipeline, "turn")
        with self._errors():
            holder, night, token, until = self.wire.client.hmget(key, "holder", "night", "token", "until")
            seconds, microseconds = self.wire.client.time()
        if holder is None:
            return None
        left = int(until or 0) / 1000 - seconds - microseconds / 1e6
        return Turn(holder=holder.decode(), night=night.decode(), token=int(token), seconds_left=left)
