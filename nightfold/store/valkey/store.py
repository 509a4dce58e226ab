"""The store on Valkey or Redis, one server.

Every change of the pointer is one script, which the server runs alone: checks and flip cannot be torn apart.
A version that is dropped loses its name in that same script, and its records after: who finds the name after reading
records has read them whole.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from nightfold.errors import OlderNight, PromotionHeld, PromotionRefused, StoreError, TurnTaken, UnknownVersion
from nightfold.settings import without_password
from nightfold.store.base import WAITING, Store, Turn, Version, VersionManifest
from nightfold.store.valkey import names, scripts

import redis

FORGOTTEN = "lists of persons were erased since: the checksum is that of before"
_TIMEOUT = 30.0  # seconds; a batch of 500 records takes about 2 ms


class ValkeyStore(Store):
    """:param uri: redis[s]://[user:password@]host[:port][/db]; the constructor does not connect."""

    def __init__(self, uri: str) -> None:
        self.address = without_password(uri)
        self.client = redis.Redis.from_url(uri, socket_timeout=_TIMEOUT, socket_connect_timeout=_TIMEOUT, protocol=3)

    def begin(self, pipeline: str) -> int:
        with self._errors():
            return int(self.client.incr(names.control(pipeline, "token")))

    def take_turn(self, pipeline: str, holder: str, night: str, *, seconds: float) -> Turn:
        keys = [names.control(pipeline, name) for name in ("turn", "waiting", "token")]
        with self._errors():
            answer = self.client.eval(scripts.TAKE_TURN, len(keys), *keys, holder, night, int(seconds * 1000), int(WAITING * 1000))
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
        with self._errors():
            return bool(self.client.eval(scripts.KEEP_TURN, 1, names.control(pipeline, "turn"), holder, int(seconds * 1000)))

    def leave_turn(self, pipeline: str, holder: str) -> bool:
        keys = [names.control(pipeline, name) for name in ("turn", "waiting")]
        with self._errors():
            return bool(self.client.eval(scripts.LEAVE_TURN, len(keys), *keys, holder))

    def expect_turn(self, pipeline: str, holder: str, night: str) -> None:
        keys = [names.control(pipeline, name) for name in ("turn", "waiting")]
        with self._errors():
            self.client.eval(scripts.EXPECT_TURN, len(keys), *keys, holder, night)

    def turn(self, pipeline: str) -> Turn | None:
        key = names.control(pipeline, "turn")
        with self._errors():
            holder, night, token = self.client.hmget(key, "holder", "night", "token")
            left = self.client.pttl(key)
        if holder is None or left < 0:
            return None
        return Turn(holder=holder.decode(), night=night.decode(), token=int(token), seconds_left=left / 1000)

    def remark(self, pipeline: str, version: str, text: str) -> bool:
        keys = [names.control(pipeline, name) for name in ("live", "versions")]
        while True:  # until nobody has amended it meanwhile
            with self._errors():
                before = self.client.hget(keys[1], version)
            manifest = VersionManifest.model_validate_json(before) if before is not None else None
            if manifest is None or text in manifest.remarks:
                return False
            after = manifest.model_copy(update={"remarks": [*manifest.remarks, text]}).model_dump_json()
            with self._errors():
                if self.client.eval(scripts.AMEND, len(keys), *keys, version, before, after):
                    return True

    def forget(self, pipeline: str, version: str, key: str) -> bool:
        live, versions = (names.control(pipeline, name) for name in ("live", "versions"))
        while True:  # until nobody has amended it meanwhile
            with self._errors():
                before = self.client.hget(versions, version)
            if before is None:
                return False
            manifest = VersionManifest.model_validate_json(before)
            remarks = [*manifest.remarks, *([FORGOTTEN] if FORGOTTEN not in manifest.remarks else [])]
            after = manifest.model_copy(update={"keys": manifest.keys - 1, "remarks": remarks}).model_dump_json()
            keys = [live, versions, names.record(pipeline, version, manifest.attempt, key)]
            with self._errors():
                done = self.client.eval(scripts.FORGET, len(keys), *keys, version, before, after)
            if done >= 0:
                return bool(done)

    def announce(self, pipeline: str, version: str, attempt: str) -> None:
        with self._errors():
            self.client.eval(scripts.ANNOUNCE, 1, names.control(pipeline, "writing"), f"{version}:{attempt}")

    def collect(self, pipeline: str, *, older_than: float) -> int:
        self._delete_what_left(pipeline)
        keys = [names.control(pipeline, name) for name in ("versions", "writing")]
        prefix, gone = f"nightfold:{pipeline}:", 0
        abandoned: dict[tuple[str, str], bool] = {}  # asked once it is seen: by then it was announced
        batch: list[bytes] = []
        with self._errors():
            for key in self.client.scan_iter(match=names.literal(prefix) + "*", count=1000):
                version, attempt = key.decode().removeprefix(prefix).split(":", 2)[:2]
                if (version, attempt) not in abandoned:
                    verdict = self.client.eval(scripts.ABANDONED, len(keys), *keys, version, attempt, int(older_than * 1000))
                    abandoned[version, attempt] = bool(verdict)
                if abandoned[version, attempt]:
                    batch.append(key)
                if len(batch) == 500:
                    gone += int(self.client.unlink(*batch))
                    batch = []
            return gone + (int(self.client.unlink(*batch)) if batch else 0)

    def write(self, pipeline: str, version: str, attempt: str, records: Mapping[str, bytes]) -> None:
        with self._errors():
            if records:
                self.client.mset({names.record(pipeline, version, attempt, key): value for key, value in records.items()})

    def write_fallback(self, pipeline: str, version: str, attempt: str, record: bytes) -> None:
        with self._errors():
            self.client.set(names.fallback(pipeline, version, attempt), record)

    def read(self, pipeline: str, version: str, attempt: str, keys: list[str]) -> list[bytes | None]:
        with self._errors():
            return self.client.mget([names.record(pipeline, version, attempt, key) for key in keys]) if keys else []

    def count(self, pipeline: str, version: str, attempt: str, keys: list[str]) -> int:
        with self._errors():
            return int(self.client.exists(*(names.record(pipeline, version, attempt, key) for key in keys))) if keys else 0

    def seal(self, manifest: VersionManifest, keep: int = 3, *, broken: str = "") -> VersionManifest:
        keys = [names.control(manifest.pipeline, name) for name in ("live", "versions", "states", "leaving", "writing")]
        with self._errors():
            kept = self.client.eval(scripts.SEAL, len(keys), *keys, manifest.version, manifest.model_dump_json(), keep, broken)
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
        keys = [
            names.control(pipeline, name)
            for name in ("live", "versions", "states", "promoted", "hold", "newest", "fence", "leaving")
        ]
        with self._errors():
            verdict, *details = (
                part.decode() for part in self.client.eval(scripts.PROMOTE, len(keys), *keys, version, night, token, keep)
            )
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

    def rollback(self, pipeline: str, to: str | None = None) -> tuple[str, str]:
        keys = [names.control(pipeline, name) for name in ("live", "versions", "states", "promoted", "hold")]
        with self._errors():
            verdict, *details = (part.decode() for part in self.client.eval(scripts.ROLLBACK, len(keys), *keys, to or ""))
        if verdict == "done":
            return details[0], details[1]
        candidates = [v.manifest.version for v in self.versions(pipeline) if v.state == "retired"]
        raise UnknownVersion(
            f"{pipeline}: cannot roll back to {to or 'an older version'}: "
            + (f"promoted before are: {', '.join(candidates)}" if candidates else "no older promoted version is kept")
        )

    def release(self, pipeline: str) -> bool:
        with self._errors():
            return bool(self.client.delete(names.control(pipeline, "hold")))

    def held(self, pipeline: str) -> str | None:
        with self._errors():
            why = self.client.get(names.control(pipeline, "hold"))
        return why.decode() if why is not None else None

    def live(self, pipeline: str) -> VersionManifest | None:
        with self._errors():
            pointer = self.client.get(names.control(pipeline, "live"))
        return VersionManifest.model_validate_json(pointer) if pointer else None

    def find(self, pipeline: str, version: str) -> Version | None:
        with self._errors():
            manifest = self.client.hget(names.control(pipeline, "versions"), version)
            state = self.client.hget(names.control(pipeline, "states"), version)
        if manifest is None or state is None:
            return None
        return Version(manifest=VersionManifest.model_validate_json(manifest), state=state.decode())

    def versions(self, pipeline: str) -> list[Version]:
        with self._errors():
            manifests = self.client.hgetall(names.control(pipeline, "versions"))
            states = self.client.hgetall(names.control(pipeline, "states"))
        found = [
            Version(manifest=VersionManifest.model_validate_json(manifest), state=states[version].decode())
            for version, manifest in manifests.items()
            if version in states
        ]
        return sorted(found, key=lambda v: (v.manifest.night, v.manifest.published_at), reverse=True)

    def fallback(self, pipeline: str, version: str, attempt: str) -> bytes | None:
        with self._errors():
            return self.client.get(names.fallback(pipeline, version, attempt))

    def keys(self, pipeline: str, version: str, attempt: str) -> Iterator[str]:
        prefix = names.record(pipeline, version, attempt, "")
        seen: set[bytes] = set()  # SCAN may return a key twice
        with self._errors():
            for key in self.client.scan_iter(match=names.literal(prefix) + "*", count=1000):
                if key not in seen:
                    seen.add(key)
                    yield key.decode().removeprefix(prefix)

    def _delete_what_left(self, pipeline: str) -> None:
        """Delete the records of versions that were dropped, by this promotion or by one that died before it could."""
        leaving = names.control(pipeline, "leaving")
        with self._errors():
            for version, attempt in self.client.hgetall(leaving).items():
                self._delete(pipeline, version.decode(), attempt.decode(), earlier=True)
                self.client.hdel(leaving, version)

    def _delete(self, pipeline: str, version: str, attempt: str, *, earlier: bool) -> None:
        """Delete an attempt's records, and those of earlier attempts at the version: they can never be sealed.

        A later attempt publishes the version anew, and is left alone.
        """
        prefix = f"nightfold:{pipeline}:{version}:"
        with self._errors():
            batch: list[bytes] = []
            for key in self.client.scan_iter(match=names.literal(prefix) + "*", count=1000):
                whose = key.decode().removeprefix(prefix).split(":", 1)[0]
                if whose == attempt or (earlier and whose < attempt):
                    batch.append(key)
                if len(batch) == 500:
                    self.client.unlink(*batch)
                    batch = []
            if batch:
                self.client.unlink(*batch)

    def server_id(self) -> str:
        with self._errors():
            info = self.client.info()
        if info["maxmemory_policy"] != "noeviction":
            raise StoreError(
                f"store {self.address}: maxmemory-policy is {info['maxmemory_policy']}, so the server may drop lists by itself: "
                "set it to noeviction"
            )
        return str(info["run_id"])

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except redis.RedisError as error:
            raise StoreError(f"store {self.address}: {error}: is it up, and is there room? (AIRFLOW_CONN_KV_DEFAULT)") from error
