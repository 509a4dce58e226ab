"""Turns and fencing tokens: one run at a time works on a pipeline, the oldest night first."""

from nightfold.errors import TurnTaken
from nightfold.store.base import WAITING, Turn
from nightfold.store.valkey import names, scripts
from nightfold.store.valkey.server import Server


class Turns(Server):
    """As base.Store promises."""

    def begin(self, pipeline: str) -> int:
        with self._errors():
            return int(self.wire.client.incr(names.control(pipeline, "token")))

    def take_turn(self, pipeline: str, holder: str, night: str, *, seconds: float) -> Turn:
        answer = self._run(scripts.TAKE_TURN, pipeline, holder, night, int(seconds * 1000), int(WAITING * 1000))
        verdict, theirs, their_night, token, left = (part.decode() if isinstance(part, bytes) else part for part in answer)
        if verdict == "yours":
            return Turn(holder=theirs, night=their_night, token=int(token), seconds_left=left / 1000)
        why = "is at work" if verdict == "taken" else "waits, and is older"
        mend = f"; it ends by itself, or after {max(left, 0) / 1000:.0f} s without a sign of life" if verdict == "taken" else ""
        who, them = (
            (f"{pipeline}, night {night}" if night else pipeline),
            f"{theirs} of night {their_night}" if their_night else theirs,
        )
        raise TurnTaken(f"{who}: waits for its turn: {them} {why}{mend}")

    def keep_turn(self, pipeline: str, holder: str, *, seconds: float) -> bool:
        return bool(self._run(scripts.KEEP_TURN, pipeline, holder, int(seconds * 1000)))

    def leave_turn(self, pipeline: str, holder: str) -> bool:
        return bool(self._run(scripts.LEAVE_TURN, pipeline, holder))

    def expect_turn(self, pipeline: str, holder: str, night: str) -> None:
        self._run(scripts.EXPECT_TURN, pipeline, holder, night)

    def turn(self, pipeline: str) -> Turn | None:
        key = names.control(pipeline, "turn")
        with self._errors():
            holder, night, token = self.wire.client.hmget(key, "holder", "night", "token")
            left = self.wire.client.pttl(key)
        if holder is None or left < 0:
            return None
        return Turn(holder=holder.decode(), night=night.decode(), token=int(token), seconds_left=left / 1000)
