"""The store on Valkey or Redis, one server or a cluster.

Every change of the pointer is one script, which the server runs alone: checks and flip cannot be torn apart.
A version that is dropped loses its name in that same script, then its mark of being whole, and its records after: who finds
the mark beside what he has read, or the name after it, has read records whole.
"""

import functools
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from nightfold.errors import BadInput, IncompleteVersion, OlderNight, PromotionHeld, PromotionRefused, StoreError, UnknownVersion
from nightfold.store.base import Change, Split, Staged, Store, Version, VersionManifest
from nightfold.store.records import checksum, record_digest
from nightfold.store.valkey import names, scripts
from nightfold.store.valkey.turns import Turns

_BATCH = 500  # keys that are deleted at once


class ValkeyStore(Turns, Store):
    """:param uri: redis[s]://[user:password@]host[:port][/db][?cluster=yes]; the constructor does not connect."""

    def remark(self, pipeline: str, version: str, text: str) -> bool:
        while True:  # until nobody has amended it meanwhile
            before, manifest = self._kept(pipeline, version)
            if manifest is None or text in manifest.remarks:
                return False
            after = manifest.model_copy(update={"remarks": [*manifest.remarks, text]}).model_dump_json()
            if self._run(scripts.AMEND, pipeline, version, before, after, ""):
                return True

    def forget(self, pipeline: str, version: str, key: str) -> bool:
        amended = False
        while True:  # until nobody has amended it meanwhile
            self._erase(pipeline)  # also what was amended by a try whose answer was lost: it must not count twice
            before, manifest = self._kept(pipeline, version)
            if manifest is None:
                return amended
            record = names.record(pipeline, version, manifest.attempt, key)
            with self._errors():
                [kept] = self.wire.get([record])
            if kept is None:
                return amended
            total = checksum([int(manifest.checksum, 16), -record_digest(key, kept)])
            after = manifest.model_copy(update={"keys": manifest.keys - 1, "checksum": total}).model_dump_json()
            self._run(scripts.AMEND, pipeline, version, before, after, record)
            amended = True  # if it was: the next round finds no record then

    def _kept(self, pipeline: str, version: str) -> tuple[bytes, VersionManifest | None]:
        """A version's manifest, as it stands there and read."""
        with self._errors():
            text = self.wire.client.hget(names.control(pipeline, "versions"), version)
        return (text, VersionManifest.model_validate_json(text)) if text is not None else (b"", None)

    def _erase(self, pipeline: str) -> None:
        """Delete what no manifest counts any more, by this call or by one that died before it could."""
        erasing = names.control(pipeline, "erasing")
        with self._errors():
            for record in self.wire.client.smembers(erasing):
                self.wire.unlink([record])
                self.wire.client.srem(erasing, record)

    def announce(self, pipeline: str, version: str, attempt: str) -> None:
        self._run(scripts.ANNOUNCE, pipeline, version, attempt)

    def progress(self, pipeline: str, version: str, attempt: str, *, more: int = 0) -> int:
        key, name = names.control(pipeline, "progress"), f"{version}:{attempt}"
        with self._errors():
            return int(self.wire.client.hincrby(key, name, more) if more else self.wire.client.hget(key, name) or 0)

    def staged(self, pipeline: str) -> list[Staged]:
        with self._errors():
            writing = self.wire.client.hgetall(names.control(pipeline, "writing"))
        found = []
        for name, since in writing.items():
            version, attempt = name.decode().split(":", 1)
            found.append(Staged(version=version, attempt=attempt, since=_moment(int(since))))
        return sorted(found, key=lambda staged: staged.since)

    def history(self, pipeline: str) -> list[Change]:
        with self._errors():
            kept = self.wire.client.lrange(names.control(pipeline, "history"), 0, -1)
        read = [json.loads(change) for change in kept]
        return [Change(**{**change, "at": _moment(change["at"])}) for change in read]

    def collect(self, pipeline: str, *, older_than: float) -> int:
        self._delete_what_left(pipeline)
        self._erase(pipeline)
        prefix, gone = f"nightfold:{pipeline}:", 0
        batch: list[bytes] = []

        @functools.cache  # asked once it is seen: by then it was announced
        def abandoned(version: str, attempt: str) -> bool:
            return bool(self._run(scripts.ABANDONED, pipeline, version, attempt, int(older_than * 1000)))

        for announced in self.staged(pipeline):  # also one that died before it wrote anything
            abandoned(announced.version, announced.attempt)
        with self._errors():
            for key in self._scan(prefix):
                version, attempt = key.decode().removeprefix(prefix).split(":", 2)[:2]
                if abandoned(version, attempt):
                    batch.append(key)
                if len(batch) == _BATCH:
                    gone += self.wire.unlink(batch)
                    batch = []
            return gone + (self.wire.unlink(batch) if batch else 0)

    def _scan(self, prefix: str) -> Iterator[bytes]:
        """Every key that begins so; some twice."""
        return self.wire.client.scan_iter(match=names.literal(prefix) + "*", count=1000)

    def write(self, pipeline: str, version: str, attempt: str, records: Mapping[str, bytes]) -> None:
        with self._errors():
            if records:
                self.wire.set({names.record(pipeline, version, attempt, key): value for key, value in records.items()})

    def write_fallback(self, pipeline: str, version: str, attempt: str, record: bytes) -> None:
        with self._errors():
            self.wire.set({names.fallback(pipeline, version, attempt): record})

    def read(self, pipeline: str, version: str, attempt: str, keys: list[str]) -> list[bytes | None]:
        with self._errors():
            return self.wire.get([names.record(pipeline, version, attempt, key) for key in keys]) if keys else []

    def count(self, pipeline: str, version: str, attempt: str, keys: list[str]) -> int:
        with self._errors():
            return self.wire.exist([names.record(pipeline, version, attempt, key) for key in keys]) if keys else 0

    def seal(self, manifest: VersionManifest, keep: int = 3, *, broken: str = "") -> VersionManifest:
        with self._errors():  # before its name: who dies in between leaves no version that readers take for one being deleted
            self.wire.set({names.whole(manifest.pipeline, manifest.version, manifest.attempt): b"1"})
        kept = self._run(scripts.SEAL, manifest.pipeline, manifest.version, manifest.model_dump_json(), keep, broken)
        if kept is None:
            self._delete(manifest.pipeline, manifest.version, manifest.attempt, earlier=False)
            raise StoreError(
                f"{manifest.pipeline}, night {manifest.night}: attempt {manifest.attempt} at version {manifest.version} was taken for "
                "dead, and what it had written was collected: nothing is sealed, live stays; run the task again"
            )
        sealed = VersionManifest.model_validate_json(kept)
        for useless in {manifest.attempt, broken} - {sealed.attempt, ""}:
            self._delete(manifest.pipeline, manifest.version, useless, earlier=False)
        self._delete_what_left(manifest.pipeline)
        return sealed

    def promote(self, pipeline: str, version: str, token: int, keep: int) -> bool:
        wanted = self.find(pipeline, version)
        if wanted is None:
            raise UnknownVersion(f"{pipeline}: version {version} is not staged: run publish for its night first")
        night = wanted.manifest.night
        if self.fallback(pipeline, version, wanted.manifest.attempt) is None:
            raise IncompleteVersion(
                f"{pipeline}, night {night}: version {version} has lost its records, live stays: {wanted.manifest.mend}"
            )
        verdict, *details = (part.decode() for part in self._run(scripts.PROMOTE, pipeline, version, night, token, keep))
        if verdict in ("done", "already"):
            self._delete_what_left(pipeline)
            return verdict == "done"
        what = f"{pipeline}, night {night}: version {version} is not promoted, live stays"
        if verdict == "held":
            raise PromotionHeld(f"{what}: promotions are held ({details[0]}): `nightfold release {pipeline}` lets them go on")
        if verdict == "older":
            raise OlderNight(
                f"{what}: night {details[0]} was promoted before; only `nightfold rollback {pipeline} --to VERSION` goes back"
            )
        reasons = {
            "unknown": "it is not staged: run publish for its night first",
            "bad": "somebody rolled back from it: mend the cause, and the night gets another version",
            "outdated": "a later attempt has promoted since: nothing to do",
        }
        raise PromotionRefused(f"{what}: {reasons[verdict]}")

    def rollback(self, pipeline: str, to: str | None = None, *, because: str = "") -> tuple[str, str]:
        while True:  # until nobody has promoted meanwhile
            live = self.live(pipeline)
            expected = live.version if live is not None else ""  # a try whose answer was lost must not go back once more
            verdict, *details = (part.decode() for part in self._run(scripts.ROLLBACK, pipeline, to or "", because, expected))
            if verdict == "done":
                return details[0], details[1]
            if verdict != "moved":
                break
        candidates = [v.manifest.version for v in self.versions(pipeline) if v.state == "retired"]
        raise UnknownVersion(
            f"{pipeline}: cannot roll back to {to or 'an older version'}: "
            + (f"promoted before are: {', '.join(candidates)}" if candidates else "no older promoted version is kept")
        )

    def release(self, pipeline: str) -> bool:
        with self._errors():
            return bool(self.wire.client.delete(names.control(pipeline, "hold")))

    def absolve(self, pipeline: str, version: str) -> None:
        [verdict] = self._run(scripts.ABSOLVE, pipeline, version)
        if verdict != b"done":
            raise UnknownVersion(f"{pipeline}: version {version} is not marked bad: it is {verdict.decode()}")

    def held(self, pipeline: str) -> str | None:
        with self._errors():
            why = self.wire.client.get(names.control(pipeline, "hold"))
        return why.decode() if why is not None else None

    def split(self, pipeline: str, version: str, share: float) -> None:
        if not 0 < share < 1:
            raise BadInput(f"{pipeline}: a share of {share:g} is no split: say more than 0 and less than 1")
        [verdict] = self._run(scripts.SPLIT, pipeline, version, repr(float(share)))
        if verdict == b"done":
            return
        reasons = {
            "unknown": f"no such version is kept; kept are: {', '.join(v.manifest.version for v in self.versions(pipeline)) or 'none'}",
            "live": "it is live: name the other one",
            "bad": "somebody rolled back from it",
        }
        why = reasons.get(verdict.decode(), "nothing is live yet: promote a version first")
        raise UnknownVersion(f"{pipeline}: version {version} cannot be served beside live: {why}")

    def unsplit(self, pipeline: str) -> bool:
        return bool(self._run(scripts.UNSPLIT, pipeline))

    def divided(self, pipeline: str) -> Split | None:
        with self._errors():
            kept = self.wire.client.get(names.control(pipeline, "split"))
        return Split.model_validate_json(kept) if kept is not None else None

    def live(self, pipeline: str) -> VersionManifest | None:
        with self._errors():
            pointer = self.wire.client.get(names.control(pipeline, "live"))
        return VersionManifest.model_validate_json(pointer) if pointer else None

    def find(self, pipeline: str, version: str) -> Version | None:
        with self._errors():
            manifest = self.wire.client.hget(names.control(pipeline, "versions"), version)
            state = self.wire.client.hget(names.control(pipeline, "states"), version)
        if manifest is None or state is None:
            return None
        return Version(manifest=VersionManifest.model_validate_json(manifest), state=state.decode())

    def versions(self, pipeline: str) -> list[Version]:
        with self._errors():
            manifests = self.wire.client.hgetall(names.control(pipeline, "versions"))
            states = self.wire.client.hgetall(names.control(pipeline, "states"))
        found = [
            Version(manifest=VersionManifest.model_validate_json(manifest), state=states[version].decode())
            for version, manifest in manifests.items()
            if version in states
        ]
        return sorted(found, key=lambda v: (v.manifest.night, v.manifest.published_at), reverse=True)

    def fallback(self, pipeline: str, version: str, attempt: str) -> bytes | None:
        with self._errors():
            return self.wire.client.get(names.fallback(pipeline, version, attempt))

    def keys(self, pipeline: str, version: str, attempt: str) -> Iterator[str]:
        prefix = names.record(pipeline, version, attempt, "")
        seen: set[bytes] = set()  # SCAN may return a key twice
        with self._errors():
            for key in self._scan(prefix):
                if key not in seen:
                    seen.add(key)
                    yield key.decode().removeprefix(prefix)

    def _delete_what_left(self, pipeline: str) -> None:
        """Delete the records of versions that were dropped, by this promotion or by one that died before it could."""
        leaving = names.control(pipeline, "leaving")
        with self._errors():
            for version, attempt in self.wire.client.hgetall(leaving).items():
                self._delete(pipeline, version.decode(), attempt.decode(), earlier=True)
                self.wire.client.hdel(leaving, version)

    def discard(self, pipeline: str, version: str, attempt: str) -> None:
        if self._run(scripts.ABANDONED, pipeline, version, attempt, 0):
            self._delete(pipeline, version, attempt, earlier=False)

    def _delete(self, pipeline: str, version: str, attempt: str, *, earlier: bool) -> None:
        """Delete an attempt's records, and those of earlier attempts at the version, which are never sealed then.

        A later attempt publishes the version anew, and is left alone.
        """

        @functools.cache
        def useless(whose: str) -> bool:
            return whose == attempt or (
                earlier and whose < attempt and bool(self._run(scripts.ABANDONED, pipeline, version, whose, 0))
            )

        prefix = f"nightfold:{pipeline}:{version}:"
        with self._errors():
            self.wire.unlink([names.whole(pipeline, version, attempt)])  # first: who still finds it has read all that there was
            batch: list[bytes] = []
            for key in self._scan(prefix):
                whose = key.decode().removeprefix(prefix).split(":", 1)[0]
                if useless(whose):
                    batch.append(key)
                if len(batch) == _BATCH:
                    self.wire.unlink(batch)
                    batch = []
            if batch:
                self.wire.unlink(batch)

    def server_id(self) -> str:
        with self._errors():
            servers = self.wire.servers()
        for info in servers.values():
            if info["maxmemory_policy"] != "noeviction":
                raise StoreError(
                    f"store {self.address}: maxmemory-policy is {info['maxmemory_policy']}, so the server may drop lists by itself: "
                    "set it to noeviction"
                )
        return " ".join(sorted(str(info["run_id"]) for info in servers.values()))


def _moment(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="seconds")
