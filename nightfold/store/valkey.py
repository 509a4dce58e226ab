"""The store on Valkey or Redis, one server.

    nightfold:{P}:live        the live version's manifest (the pointer)
    nightfold:{P}:versions    hash: version → manifest     nightfold:{P}:states  hash: version → state
    nightfold:{P}:promoted    list, newest first           nightfold:{P}:newest  newest night ever promoted
    nightfold:{P}:hold        why promotions wait          nightfold:{P}:token, :fence  fencing tokens: given, used
    nightfold:{P}:leaving     hash: version → attempt, dropped, whose records are still to be deleted
    nightfold:P:VERSION:ATTEMPT:u:KEY  a record            nightfold:P:VERSION:ATTEMPT:fallback

Every change of the pointer is one script, which the server runs alone: checks and flip cannot be torn apart.
A version that is dropped loses its name in that same script, and its records after: who finds the name after reading
records has read them whole.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from nightfold.errors import OlderNight, PromotionHeld, PromotionRefused, StoreError, UnknownVersion
from nightfold.settings import without_password
from nightfold.store.base import Store, Version, VersionManifest

import redis

_TIMEOUT = 30.0  # seconds; a batch of 500 records takes about 2 ms

_SEAL = """
if redis.call('HSETNX', KEYS[1], ARGV[1], ARGV[2]) == 1 then redis.call('HSET', KEYS[2], ARGV[1], 'verified') end
return redis.call('HGET', KEYS[1], ARGV[1])
"""

_PROMOTE = """
local live, versions, states, promoted, hold, newest, fence, leaving = unpack(KEYS)
local version, night, token, keep = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local state = redis.call('HGET', states, version)
if not state then return {'unknown'} end
if state == 'live' then return {'already'} end
if state == 'bad' then return {'bad'} end
local why = redis.call('GET', hold)
if why then return {'held', why} end
local last = redis.call('GET', newest)
if last and night < last then return {'older', last} end
if token < tonumber(redis.call('GET', fence) or '0') then return {'outdated'} end
local before = redis.call('LINDEX', promoted, 0)
if before then redis.call('HSET', states, before, 'retired') end
redis.call('HSET', states, version, 'live')
redis.call('SET', live, redis.call('HGET', versions, version))
redis.call('LREM', promoted, 0, version)
redis.call('LPUSH', promoted, version)
redis.call('SET', newest, night)
redis.call('SET', fence, token)
redis.call('LTRIM', promoted, 0, keep - 1)
local kept, oldest = {}, night
for _, name in ipairs(redis.call('LRANGE', promoted, 0, -1)) do
  kept[name] = true
  local at = cjson.decode(redis.call('HGET', versions, name)).night
  if at < oldest then oldest = at end
end
for _, name in ipairs(redis.call('HKEYS', versions)) do
  local manifest = cjson.decode(redis.call('HGET', versions, name))
  if not kept[name] and (redis.call('HGET', states, name) == 'retired' or manifest.night < oldest) then
    redis.call('HSET', leaving, name, manifest.attempt)
    redis.call('HDEL', versions, name)
    redis.call('HDEL', states, name)
  end
end
return {'done'}
"""

_ROLLBACK = """
local live, versions, states, promoted, hold = unpack(KEYS)
local from = redis.call('LINDEX', promoted, 0)
local to = ARGV[1]
if to == '' then to = redis.call('LINDEX', promoted, 1) end
if not from or not to then return {'none'} end
if to == from or redis.call('LPOS', promoted, to) == false then return {'unknown'} end
repeat
  local head = redis.call('LINDEX', promoted, 0)
  if head ~= to then
    redis.call('LPOP', promoted)
    redis.call('HSET', states, head, 'bad')
  end
until head == to
redis.call('HSET', states, to, 'live')
redis.call('SET', live, redis.call('HGET', versions, to))
redis.call('SET', hold, 'rolled back from ' .. from)
return {'done', from, to}
"""


class ValkeyStore(Store):
    """:param uri: redis[s]://[user:password@]host[:port][/db]; the constructor does not connect."""

    def __init__(self, uri: str) -> None:
        self.address = without_password(uri)
        self.client = redis.Redis.from_url(uri, socket_timeout=_TIMEOUT, socket_connect_timeout=_TIMEOUT, protocol=3)

    def begin(self, pipeline: str) -> int:
        with self._errors():
            return int(self.client.incr(_control(pipeline, "token")))

    def write(self, pipeline: str, version: str, attempt: str, records: Mapping[str, bytes]) -> None:
        with self._errors():
            if records:
                self.client.mset({_record(pipeline, version, attempt, key): value for key, value in records.items()})

    def write_fallback(self, pipeline: str, version: str, attempt: str, record: bytes) -> None:
        with self._errors():
            self.client.set(_fallback(pipeline, version, attempt), record)

    def read(self, pipeline: str, version: str, attempt: str, keys: list[str]) -> list[bytes | None]:
        with self._errors():
            return self.client.mget([_record(pipeline, version, attempt, key) for key in keys]) if keys else []

    def count(self, pipeline: str, version: str, attempt: str, keys: list[str]) -> int:
        with self._errors():
            return int(self.client.exists(*(_record(pipeline, version, attempt, key) for key in keys))) if keys else 0

    def seal(self, manifest: VersionManifest) -> VersionManifest:
        keys = [_control(manifest.pipeline, name) for name in ("versions", "states")]
        with self._errors():
            kept = self.client.eval(_SEAL, len(keys), *keys, manifest.version, manifest.model_dump_json())
        sealed = VersionManifest.model_validate_json(kept)
        if sealed.attempt != manifest.attempt:
            self._delete(manifest.pipeline, manifest.version, manifest.attempt, earlier=False)
        return sealed

    def promote(self, pipeline: str, version: str, token: int, keep: int) -> bool:
        wanted = self.find(pipeline, version)
        if wanted is None:
            raise UnknownVersion(f"{pipeline}: version {version} is not staged: run publish for its night first")
        night = wanted.manifest.night
        keys = [
            _control(pipeline, name) for name in ("live", "versions", "states", "promoted", "hold", "newest", "fence", "leaving")
        ]
        with self._errors():
            verdict, *details = (
                part.decode() for part in self.client.eval(_PROMOTE, len(keys), *keys, version, night, token, keep)
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
        keys = [_control(pipeline, name) for name in ("live", "versions", "states", "promoted", "hold")]
        with self._errors():
            verdict, *details = (part.decode() for part in self.client.eval(_ROLLBACK, len(keys), *keys, to or ""))
        if verdict == "done":
            return details[0], details[1]
        candidates = [v.manifest.version for v in self.versions(pipeline) if v.state == "retired"]
        raise UnknownVersion(
            f"{pipeline}: cannot roll back to {to or 'an older version'}: "
            + (f"promoted before are: {', '.join(candidates)}" if candidates else "no older promoted version is kept")
        )

    def release(self, pipeline: str) -> bool:
        with self._errors():
            return bool(self.client.delete(_control(pipeline, "hold")))

    def held(self, pipeline: str) -> str | None:
        with self._errors():
            why = self.client.get(_control(pipeline, "hold"))
        return why.decode() if why is not None else None

    def live(self, pipeline: str) -> VersionManifest | None:
        with self._errors():
            pointer = self.client.get(_control(pipeline, "live"))
        return VersionManifest.model_validate_json(pointer) if pointer else None

    def find(self, pipeline: str, version: str) -> Version | None:
        with self._errors():
            manifest = self.client.hget(_control(pipeline, "versions"), version)
            state = self.client.hget(_control(pipeline, "states"), version)
        if manifest is None or state is None:
            return None
        return Version(manifest=VersionManifest.model_validate_json(manifest), state=state.decode())

    def versions(self, pipeline: str) -> list[Version]:
        with self._errors():
            manifests = self.client.hgetall(_control(pipeline, "versions"))
            states = self.client.hgetall(_control(pipeline, "states"))
        found = [
            Version(manifest=VersionManifest.model_validate_json(manifest), state=states[version].decode())
            for version, manifest in manifests.items()
            if version in states
        ]
        return sorted(found, key=lambda v: (v.manifest.night, v.manifest.published_at), reverse=True)

    def fallback(self, pipeline: str, version: str, attempt: str) -> bytes | None:
        with self._errors():
            return self.client.get(_fallback(pipeline, version, attempt))

    def keys(self, pipeline: str, version: str, attempt: str) -> Iterator[str]:
        prefix = _record(pipeline, version, attempt, "")
        seen: set[bytes] = set()  # SCAN may return a key twice
        with self._errors():
            for key in self.client.scan_iter(match=_literal(prefix) + "*", count=1000):
                if key not in seen:
                    seen.add(key)
                    yield key.decode().removeprefix(prefix)

    def _delete_what_left(self, pipeline: str) -> None:
        """Delete the records of versions that were dropped, by this promotion or by one that died before it could."""
        leaving = _control(pipeline, "leaving")
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
            for key in self.client.scan_iter(match=_literal(prefix) + "*", count=1000):
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


def _control(pipeline: str, name: str) -> str:
    return f"nightfold:{{{pipeline}}}:{name}"


def _record(pipeline: str, version: str, attempt: str, key: str) -> str:
    return f"nightfold:{pipeline}:{version}:{attempt}:u:{key}"


def _fallback(pipeline: str, version: str, attempt: str) -> str:
    return f"nightfold:{pipeline}:{version}:{attempt}:fallback"


def _literal(text: str) -> str:
    """Escape what SCAN would take as a pattern."""
    return "".join("\\" + c if c in "\\*?[]" else c for c in text)
