"""The named errors. A message is one line: the file, row or field; the night; the mend."""

from collections.abc import Sequence


def printable(text: str) -> str:
    """The same with all that is no letter to be shown as an escape: a message may quote what was delivered."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def failure(stage: str, night: str, message: str) -> str:
    """The line that says why a stage failed, which its task's log is searched for; the night, if it is of one, is said where
    the message does not."""
    when = "" if night in message else f"night {night}: "
    return f"nightfold: {stage} failed: {when}{printable(message)}"


class NightfoldError(Exception):
    """Anything that Nightfold refuses. Worth a retry unless it is also `Permanent`."""


class Permanent(NightfoldError):
    """A retry would see the same facts: bad data, wrong configuration. The task fails at once."""

    EXIT = 65  # EX_DATAERR of sysexits.h: what a job exits with, and what the operator does not retry


class BadPipeline(Permanent):
    """The pipeline file is wrong: names the file, the field's path and the mend."""

    def __init__(self, message: str, problems: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.problems = problems or (message,)  # each on a line of its own, for who mends the file


class BadInput(Permanent):
    """A delivery is missing, or its columns are not those that the pipeline declares."""


class NotServable(NightfoldError):
    """A model has a part of which there is no portable twin: the night goes on, and only its lists are published."""


class TooManyRejects(Permanent):
    """More rows were refused than the pipeline allows: the source has changed, so the night stops."""


class NotCommitted(Permanent):
    """A stage was asked to run before the stage that it reads has committed."""


class StoreError(NightfoldError):
    """The key-value store did not keep what it was given, or cannot be reached."""


class IncompleteVersion(StoreError):
    """A staged version does not match its manifest; it must not be served."""


class ClusterUnreachable(NightfoldError):
    """Spark's master takes no job: it is down, or was started with another secret."""


class TurnTaken(NightfoldError):
    """Another run of the pipeline is at work, or an older night waits: ask again."""


class ErasedMeanwhile(NightfoldError):
    """Somebody was erased while her rows were read: a retry reads what is left."""


class PromotionRefused(Permanent):
    """The pointer may not move there: an older night, a bad version, an outdated fencing token."""


class OlderNight(PromotionRefused):
    """A newer night was promoted before: the pointer never moves back by itself."""


class NightRefused(Permanent):
    """The gate does not let tonight's model through, and there is none to hold on to: nothing is published, live stays."""


class PromotionHeld(NightfoldError):
    """Somebody rolled back: promotions wait until they are released."""


class UnknownVersion(Permanent):
    """No such version of this pipeline is kept."""
