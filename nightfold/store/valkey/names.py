"""The names of all keys.

    nightfold:{P}:live        the live version's manifest (the pointer)
    nightfold:{P}:versions    hash: version → manifest     nightfold:{P}:states  hash: version → state
    nightfold:{P}:promoted    list, newest first           nightfold:{P}:newest  newest night ever promoted
    nightfold:{P}:hold        why promotions wait          nightfold:{P}:token, :fence  fencing tokens: given, used
    nightfold:{P}:turn        hash: holder, night, token, until (end of the lease), awaited (newer nights wait so long)
    nightfold:{P}:waiting     hash: holder → "night milliseconds": who asked for the turn, and when last
    nightfold:{P}:writing     hash: version:attempt → milliseconds: announced, not sealed
    nightfold:{P}:progress    hash: version:attempt → records written so far
    nightfold:{P}:leaving     hash: version → attempt, dropped, whose records are still to be deleted
    nightfold:{P}:split       share and manifest of a second version that a part of the keys get
    nightfold:{P}:history     list, newest first: every change of a version's state, with its time and cause
    nightfold:{P}:erasing     set: version:attempt:key of records whose manifest counts them no more, still to be deleted
    nightfold:P:VERSION:ATTEMPT:u:KEY  a record            nightfold:P:VERSION:ATTEMPT:fallback
    nightfold:P:VERSION:ATTEMPT:whole  says that no record of it is deleted yet: the first to go

The control keys of a pipeline share a hash tag, so that one script may touch them all on a cluster; records are spread over it.
Readers need GET and MGET of `nightfold:*`, and HGETALL to list versions.
"""


def control(pipeline: str, name: str) -> str:
    return f"nightfold:{{{pipeline}}}:{name}"


def record(pipeline: str, version: str, attempt: str, key: str) -> str:
    return f"nightfold:{pipeline}:{version}:{attempt}:u:{key}"


def fallback(pipeline: str, version: str, attempt: str) -> str:
    return f"nightfold:{pipeline}:{version}:{attempt}:fallback"


def whole(pipeline: str, version: str, attempt: str) -> str:
    return f"nightfold:{pipeline}:{version}:{attempt}:whole"


def literal(text: str) -> str:
    """Escape what SCAN would take as a pattern."""
    return "".join("\\" + c if c in "\\*?[]" else c for c in text)
