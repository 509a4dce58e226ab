"""Lines for people: one that changes in place on a terminal, none of that in a file or a pipe."""

import sys
from collections.abc import Callable
from typing import TextIO

FRAMES = "|/-\\"


class Terminal:
    """Prints finished lines, and on a terminal one unfinished line below them."""

    def __init__(self, say: Callable[[str], None], *, stream: TextIO | None = None) -> None:
        self._say = say
        self._stream = stream or sys.stdout
        self._live = self._stream.isatty()
        self._turn = 0
        self._shown = False

    def line(self, text: str) -> None:
        """A line that stays."""
        self.clear()
        self._say(text)

    def spin(self, text: str) -> None:
        """What is going on just now; nothing unless a person is looking."""
        if not self._live:
            return
        self._turn += 1
        self._stream.write(f"\r\033[K{FRAMES[self._turn % len(FRAMES)]} {text}"[:160])
        self._stream.flush()
        self._shown = True

    def clear(self) -> None:
        """Take the unfinished line away."""
        if self._shown:
            self._stream.write("\r\033[K")
            self._stream.flush()
            self._shown = False
