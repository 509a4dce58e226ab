"""The faults by name, in the order of the table."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.faults.scene import Scene
    from benchmarks.faults.stand import Stand


@dataclass(frozen=True)
class Fault:
    """One row."""

    name: str
    title: str
    act: Callable[["Scene"], None]
    why_not: Callable[["Stand"], str]
    """Why it cannot be tried on this machine; empty when it can."""


FAULTS: dict[str, Fault] = {}


def fault(name: str, title: str, *, why_not: Callable[["Stand"], str] = lambda stand: "") -> Callable:
    """Declare a row: the function is given its scene."""

    def declare(act: Callable[["Scene"], None]) -> Callable[["Scene"], None]:
        FAULTS[name] = Fault(name=name, title=title, act=act, why_not=why_not)
        return act

    return declare
