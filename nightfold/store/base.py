"""The key-value store as Nightfold sees it: versions that are whole or absent, and one pointer per pipeline."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

WAITING = 30.0  # seconds: who has not asked again by then waits no longer
RETURN = 600.0
"""Seconds that newer nights wait for one whose lease ran out before it was done: Airflow notices after 5 minutes that a task is dead,
and then tries it again."""

AFTER_ALL = "9999-12-31"
"""The night of who is of none, and goes after all nights that wait: maintenance."""


def said_night(night: str) -> str:
    """As people are told it; empty for who is of none."""
    return "" if night == AFTER_ALL else night


class VersionManifest(BaseModel):
    """What a published version is: immutable once sealed, but for `remarks`."""

    model_config = ConfigDict(frozen=True, extra="allow")  # what a later release says besides is kept, and not understood

    pipeline: str
    version: str
    night: str
    attempt: str
    """Whose writing counts: the data's keys hold it, so another attempt at the same version hurts nothing. Names sort by time."""
    published_at: str
    keys: int
    checksum: str
    """Over all keys and records, the fallback under the key ""; does not depend on their order."""
    model: str
    """Fingerprint of the model that made the lists."""
    facts: dict[str, Any] = {}
    metrics: dict[str, float] = {}
    remarks: list[str] = []
    """What came to light after it was published: inputs that have changed since. All else never changes."""

    @property
    def published(self) -> float:
        """When, in seconds since 1970."""
        return datetime.fromisoformat(self.published_at).timestamp()

    @property
    def mend(self) -> str:
        """What to do where the store has not kept it whole."""
        return f"clear `publish` of night {self.night} in Airflow, which writes it anew"


class Version(BaseModel):
    """A kept version, and how it stands."""

    manifest: VersionManifest
    state: str
    """verified (staged whole), live, retired (promoted before), bad (rolled back from)."""


class Staged(BaseModel):
    """A version that somebody has announced to write, and has not sealed."""

    version: str
    attempt: str
    since: str


class Change(BaseModel):
    """One change of a version's state: staged, verified, live, retired, bad, gone."""

    at: str
    """By the server's clock."""
    version: str
    state: str
    cause: str


class Split(BaseModel):
    """A second version, which a share of the keys get instead of the live one: see `buckets.py` for which."""

    share: float
    """Above 0, below 1."""
    manifest: VersionManifest


class Turn(BaseModel):
    """Who may work on a pipeline: one run at a time, the oldest night first among those that wait."""

    model_config = ConfigDict(frozen=True)

    holder: str
    """Names a run of the DAG, or a job by hand."""
    night: str
    token: int
    """The run's fencing token: a promotion with it is refused once a later run has promoted."""
    seconds_left: float
    """Until others may have it, unless it is kept; not above 0: it shows no sign of life, and newer nights wait for its return."""

    @property
    def whose(self) -> str:
        """For people."""
        return f"{self.holder}, night {self.night}" if said_night(self.night) else self.holder


class Store(ABC):
    """One backend, one file; all pass the same contract (tests/nightfold/store)."""

    address: str
    """For people: without user and password."""

    @abstractmethod
    def begin(self, pipeline: str) -> int:
        """A fencing token, greater than any given before: promotions with an older one are refused."""

    @abstractmethod
    def take_turn(self, pipeline: str, holder: str, night: str, *, seconds: float) -> Turn:
        """The pipeline's one turn, for so many seconds from now: by whoever has it already, too, with the same token.

        Raises TurnTaken when another has it, or an older night waits for it; then this one waits, too, as long as it asks
        again at least every WAITING seconds. Also when an older night had it and its lease ran out before it left: for RETURN
        seconds from the first question on, for its run may be tried again, as after a machine's restart.
        """

    @abstractmethod
    def keep_turn(self, pipeline: str, holder: str, *, seconds: float) -> bool:
        """Have the turn for so many seconds from now; False when it is this holder's no longer."""

    @abstractmethod
    def leave_turn(self, pipeline: str, holder: str) -> bool:
        """The next may have it, and this one does not wait either; False when it was not this holder's."""

    @abstractmethod
    def expect_turn(self, pipeline: str, holder: str, night: str) -> None:
        """Have the others wait for this holder as if it had asked now; it is forgotten like one that asks no more."""

    @abstractmethod
    def turn(self, pipeline: str) -> Turn | None:
        """Who has the turn; None when nobody does."""

    @abstractmethod
    def remark(self, pipeline: str, version: str, text: str) -> bool:
        """Add a remark to a version's manifest, once; False when it is there already, or the version is not kept."""

    @abstractmethod
    def forget(self, pipeline: str, version: str, key: str) -> bool:
        """Delete one key's record, and count one less in the version's manifest; False when it was not there.

        Its checksum follows. Killed in the middle, the record goes with the next call, or the next `collect`.
        """

    @abstractmethod
    def history(self, pipeline: str) -> list[Change]:
        """What became of versions, the newest change first; the last thousand."""

    @abstractmethod
    def staged(self, pipeline: str) -> list[Staged]:
        """What is being written, or was left so by one that died."""

    @abstractmethod
    def split(self, pipeline: str, version: str, share: float) -> None:
        """Have a share of the keys get a kept version beside the live one (see `buckets.py`); it stays as long as the split does.

        Its end: unsplit, its promotion, or a rollback from it or to it.

        Raises UnknownVersion when it is not kept, live, or bad, or nothing is live; BadInput when the share is not between 0 and 1.
        """

    @abstractmethod
    def unsplit(self, pipeline: str) -> bool:
        """All keys get the live version again; False when they did already."""

    @abstractmethod
    def divided(self, pipeline: str) -> Split | None:
        """The second version, and who gets it; None when all get the live one."""

    @abstractmethod
    def announce(self, pipeline: str, version: str, attempt: str) -> None:
        """This attempt is about to write: what it writes is no orphan for a while."""

    @abstractmethod
    def discard(self, pipeline: str, version: str, attempt: str) -> None:
        """Delete what an attempt has written, which will not be sealed; one that was sealed stays."""

    @abstractmethod
    def progress(self, pipeline: str, version: str, attempt: str, *, more: int = 0) -> int:
        """How many records this attempt says to have written; `more` were added just now. Called in parallel, by executors."""

    @abstractmethod
    def collect(self, pipeline: str, *, older_than: float) -> int:
        """Delete the records of attempts that were never sealed; returns how many.

        What is kept as a version stays, and so does what was announced less than `older_than` seconds ago.
        """

    @abstractmethod
    def write(self, pipeline: str, version: str, attempt: str, records: Mapping[str, bytes]) -> None:
        """Keep one batch of records by key. Called in parallel, by executors."""

    @abstractmethod
    def write_fallback(self, pipeline: str, version: str, attempt: str, record: bytes) -> None:
        """Keep the record for a key that the version does not know."""

    @abstractmethod
    def read(self, pipeline: str, version: str, attempt: str, keys: list[str]) -> list[bytes | None]:
        """Records as kept, in the order of `keys`; None where there is none."""

    @abstractmethod
    def count(self, pipeline: str, version: str, attempt: str, keys: list[str]) -> int:
        """How many of these keys have a record."""

    @abstractmethod
    def seal(self, manifest: VersionManifest, keep: int = 3, *, broken: str = "") -> VersionManifest:
        """The version is whole and verified.

        If another attempt sealed it before, that manifest stands and is returned, and this attempt's records go: unless it is
        the attempt `broken`, whose records the store has lost. Then this one takes its place, for readers too. Of versions that
        were never promoted the last `keep` nights' stay, this one among them: a backfill of old nights must not fill the store.
        """

    @abstractmethod
    def promote(self, pipeline: str, version: str, token: int, keep: int) -> bool:
        """Point readers at a sealed version; False when it is live already.

        Keeps the last `keep` promoted; those before them vanish, and with them what was staged or marked bad for older nights.

        Raises UnknownVersion, PromotionRefused (bad version, older night, outdated token), PromotionHeld.
        """

    @abstractmethod
    def rollback(self, pipeline: str, to: str | None = None, *, because: str = "") -> tuple[str, str]:
        """Point readers at an older promoted version, mark the live one bad, hold promotions. Returns (from, to).

        :param because: for the history, and for who asks why promotions are held

        Raises UnknownVersion when there is none to go back to.
        """

    @abstractmethod
    def release(self, pipeline: str) -> bool:
        """Let promotions go on; False when none were held."""

    @abstractmethod
    def absolve(self, pipeline: str, version: str) -> None:
        """What was rolled back from by mistake is no longer bad: it is verified, as before its promotion.

        Raises UnknownVersion when it is not marked bad.
        """

    @abstractmethod
    def held(self, pipeline: str) -> str | None:
        """Why promotions are held; None when they are not."""

    @abstractmethod
    def live(self, pipeline: str) -> VersionManifest | None:
        """The version that readers get."""

    @abstractmethod
    def find(self, pipeline: str, version: str) -> Version | None:
        """One kept version."""

    @abstractmethod
    def versions(self, pipeline: str) -> list[Version]:
        """All kept versions, newest night first."""

    @abstractmethod
    def fallback(self, pipeline: str, version: str, attempt: str) -> bytes | None:
        """The record for an unknown key."""

    @abstractmethod
    def keys(self, pipeline: str, version: str, attempt: str) -> Iterator[str]:
        """Every key of a version, in no order."""

    @abstractmethod
    def server_id(self) -> str:
        """Changes when the server restarts: what was written before may be gone.

        Raises StoreError when the server may drop keys by itself (an eviction policy), or cannot be reached.
        """
