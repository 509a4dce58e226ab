"""What the server runs alone, so that checks and change cannot be torn apart. Their keys: `names.py`."""

from dataclasses import dataclass

HISTORY = 1000  # changes of state that are kept; a night makes about five

_NOW = """
local function now()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
"""

_NOTE = (
    _NOW
    + f"""
local function note(history, version, state, cause)
  redis.call('LPUSH', history, cjson.encode({{at = now(), version = version, state = state, cause = cause}}))
  redis.call('LTRIM', history, 0, {HISTORY - 1})
end
"""
)

_SPLIT = """
local function split_of(split)
  local kept = redis.call('GET', split)
  return kept and cjson.decode(kept).manifest.version
end
local function set_split(split, share, manifest)
  redis.call('SET', split, '{"share":' .. share .. ',"manifest":' .. manifest .. '}')
end
local function update_split(split, version, manifest)
  if split_of(split) ~= version then return end
  set_split(split, string.match(redis.call('GET', split), '^{"share":([^,]+),'), manifest)
end
"""


@dataclass(frozen=True)
class Script:
    """Names of control keys, in the order of KEYS, and the text."""

    keys: tuple[str, ...]
    text: str


SEAL = Script(
    ("live", "versions", "states", "leaving", "writing", "split", "history", "progress"),
    _NOTE
    + _SPLIT
    + """
local live, versions, states, leaving, writing, split, history, progress = unpack(KEYS)
local version, manifest, keep, broken = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local attempt = cjson.decode(manifest).attempt
local announced = redis.call('HDEL', writing, version .. ':' .. attempt)
redis.call('HDEL', progress, version .. ':' .. attempt)
local before = redis.call('HGET', versions, version)
local whose = before and cjson.decode(before).attempt
if announced == 0 and whose ~= attempt and (not before or whose == broken) then return false end
if announced == 1 and before and whose ~= attempt and whose ~= broken then
  note(history, version, 'gone', 'attempt ' .. attempt .. ' came second: attempt ' .. whose .. ' had it already')
end
if before and whose == broken then
  redis.call('HSET', versions, version, manifest)
  if redis.call('GET', live) == before then redis.call('SET', live, manifest) end
  update_split(split, version, manifest)
  note(history, version, redis.call('HGET', states, version), 'written anew by attempt ' .. attempt .. ': the store had lost lists of it')
end
if redis.call('HSETNX', versions, version, manifest) == 1 then
  redis.call('HSET', states, version, 'verified')
  note(history, version, 'verified', 'read back whole by attempt ' .. attempt)
end
local staged, other = {}, split_of(split)
for _, name in ipairs(redis.call('HKEYS', versions)) do
  if name ~= version and name ~= other and redis.call('HGET', states, name) == 'verified' then
    local theirs = cjson.decode(redis.call('HGET', versions, name))
    staged[#staged + 1] = {theirs.night .. ' ' .. theirs.attempt, name, theirs.attempt}
  end
end
table.sort(staged, function(a, b) return a[1] > b[1] end)
for i = keep, #staged do
  redis.call('HSET', leaving, staged[i][2], staged[i][3])
  redis.call('HDEL', versions, staged[i][2])
  redis.call('HDEL', states, staged[i][2])
  note(history, staged[i][2], 'gone', 'never promoted, and ' .. keep .. ' later ones were staged')
end
return redis.call('HGET', versions, version)
""",
)

PROMOTE = Script(
    ("live", "versions", "states", "promoted", "hold", "newest", "fence", "leaving", "split", "history"),
    _NOTE
    + _SPLIT
    + """
local live, versions, states, promoted, hold, newest, fence, leaving, split, history = unpack(KEYS)
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
if before then
  redis.call('HSET', states, before, 'retired')
  note(history, before, 'retired', version .. ' went live')
end
redis.call('HSET', states, version, 'live')
redis.call('SET', live, redis.call('HGET', versions, version))
note(history, version, 'live', 'promoted with token ' .. ARGV[3])
local other = split_of(split)
if other == version then
  redis.call('DEL', split)
  note(history, version, 'live', 'the split has ended: it is live for all')
end
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
if other then kept[other] = true end
for _, name in ipairs(redis.call('HKEYS', versions)) do
  local manifest = cjson.decode(redis.call('HGET', versions, name))
  if not kept[name] and (redis.call('HGET', states, name) == 'retired' or manifest.night < oldest) then
    redis.call('HSET', leaving, name, manifest.attempt)
    redis.call('HDEL', versions, name)
    redis.call('HDEL', states, name)
    note(history, name, 'gone', 'not among the last ' .. keep .. ' promoted')
  end
end
return {'done'}
""",
)

ROLLBACK = Script(
    ("live", "versions", "states", "promoted", "hold", "split", "history"),
    _NOTE
    + _SPLIT
    + """
local live, versions, states, promoted, hold, split, history = unpack(KEYS)
local from = redis.call('LINDEX', promoted, 0)
local to, why, expected = ARGV[1], ARGV[2], ARGV[3]
if from and from ~= expected then
  if redis.call('HGET', states, expected) == 'bad' and (to == '' or to == from) then return {'done', expected, from} end
  return {'moved'}
end
if to == '' then to = redis.call('LINDEX', promoted, 1) end
if not from or not to then return {'none'} end
if to == from or redis.call('LPOS', promoted, to) == false then return {'unknown'} end
local because = 'rolled back from ' .. from
if why ~= '' then because = because .. ': ' .. why end
local other = split_of(split)
repeat
  local head = redis.call('LINDEX', promoted, 0)
  if head ~= to then
    redis.call('LPOP', promoted)
    redis.call('HSET', states, head, 'bad')
    note(history, head, 'bad', because)
  end
  if other == head then
    redis.call('DEL', split)
    note(history, head, redis.call('HGET', states, head), 'the split has ended: ' .. because)
  end
until head == to
redis.call('HSET', states, to, 'live')
redis.call('SET', live, redis.call('HGET', versions, to))
note(history, to, 'live', because)
redis.call('SET', hold, because)
return {'done', from, to}
""",
)

ABSOLVE = Script(
    ("states", "history"),
    _NOTE
    + """
local states, history = unpack(KEYS)
local version = ARGV[1]
local state = redis.call('HGET', states, version)
if state ~= 'bad' then return {state or 'not kept'} end
redis.call('HSET', states, version, 'verified')
note(history, version, 'verified', 'it was rolled back from by mistake')
return {'done'}
""",
)

SPLIT = Script(
    ("live", "versions", "states", "split", "history"),
    _NOTE
    + _SPLIT
    + """
local live, versions, states, split, history = unpack(KEYS)
local version, share = ARGV[1], ARGV[2]
local state = redis.call('HGET', states, version)
if not state then return {'unknown'} end
if state == 'live' or state == 'bad' or not redis.call('GET', live) then return {state} end
local other = split_of(split)
if other and other ~= version then note(history, other, redis.call('HGET', states, other), 'the split has ended: now with ' .. version) end
set_split(split, share, redis.call('HGET', versions, version))
note(history, version, state, 'a share of ' .. share .. ' of the keys get it')
return {'done'}
""",
)

UNSPLIT = Script(
    ("split", "states", "history"),
    _NOTE
    + _SPLIT
    + """
local split, states, history = unpack(KEYS)
local other = split_of(split)
if not other then return 0 end
redis.call('DEL', split)
note(history, other, redis.call('HGET', states, other), 'the split has ended')
return 1
""",
)

TAKE_TURN = Script(
    ("turn", "waiting", "token"),
    _NOW
    + """
local turn, waiting, counter = unpack(KEYS)
local me, night, lease, patience, back = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
redis.call('HDEL', waiting, me)  -- first, for a full store takes what follows a deletion: who makes room needs the turn
local has = redis.call('HMGET', turn, 'holder', 'night', 'token', 'until', 'awaited')
if has[1] == me then
  redis.call('HSET', turn, 'until', now() + lease)
  redis.call('HDEL', turn, 'awaited')
  return {'yours', me, has[2], has[3], lease}
end
if has[1] then
  local left = tonumber(has[4] or 0) - now()  -- a turn that an older release gave has no `until`
  if left > 0 then
    redis.call('HSET', waiting, me, night .. ' ' .. now())
    return {'taken', has[1], has[2], has[3], left}
  end
  if has[2] ~= '' and has[2] < night then
    local awaited = tonumber(has[5] or now() + back)
    if now() < awaited then
      redis.call('HSET', turn, 'awaited', awaited)
      redis.call('HSET', waiting, me, night .. ' ' .. now())
      return {'awaited', has[1], has[2], has[3], awaited - now()}
    end
  end
end
local others = redis.call('HGETALL', waiting)
for i = 1, #others, 2 do
  local theirs, asked = string.match(others[i + 1], '(%S*) (%d+)')  -- a job by hand may have no night
  if now() - tonumber(asked) > patience then
    redis.call('HDEL', waiting, others[i])
  elseif others[i] ~= me and theirs < night then
    redis.call('HSET', waiting, me, night .. ' ' .. now())
    return {'waits', others[i], theirs, '0', patience - now() + tonumber(asked)}
  end
end
local token = redis.call('INCR', counter)
redis.call('DEL', turn)
redis.call('HSET', turn, 'holder', me, 'night', night, 'token', token, 'until', now() + lease)
return {'yours', me, night, tostring(token), lease}
""",
)

EXPECT_TURN = Script(
    ("turn", "waiting"),
    _NOW
    + """
if redis.call('HGET', KEYS[1], 'holder') == ARGV[1] then return 0 end
return redis.call('HSET', KEYS[2], ARGV[1], ARGV[2] .. ' ' .. now())
""",
)

KEEP_TURN = Script(
    ("turn",),
    _NOW
    + """
if redis.call('HGET', KEYS[1], 'holder') ~= ARGV[1] then return 0 end
redis.call('HDEL', KEYS[1], 'awaited')
redis.call('HSET', KEYS[1], 'until', now() + tonumber(ARGV[2]))
return 1
""",
)

LEAVE_TURN = Script(
    ("turn", "waiting"),
    """
redis.call('HDEL', KEYS[2], ARGV[1])
if redis.call('HGET', KEYS[1], 'holder') ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
""",
)

AMEND = Script(
    ("live", "versions", "split", "erasing"),
    _SPLIT
    + """
local live, versions, split, erasing = unpack(KEYS)
local version, before, after, record = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if redis.call('HGET', versions, version) ~= before then return 0 end
redis.call('HSET', versions, version, after)
if redis.call('GET', live) == before then redis.call('SET', live, after) end
update_split(split, version, after)
if record ~= '' then redis.call('SADD', erasing, record) end
return 1
""",
)

ANNOUNCE = Script(
    ("writing", "history"),
    _NOTE
    + """
local writing, history = unpack(KEYS)
local version, attempt = ARGV[1], ARGV[2]
note(history, version, 'staged', 'attempt ' .. attempt .. ' writes it')
return redis.call('HSET', writing, version .. ':' .. attempt, now())
""",
)

ABANDONED = Script(
    ("versions", "writing", "history", "progress"),
    _NOTE
    + """
local versions, writing, history, progress = unpack(KEYS)
local version, attempt, patience = ARGV[1], ARGV[2], tonumber(ARGV[3])
local manifest = redis.call('HGET', versions, version)
if manifest and cjson.decode(manifest).attempt == attempt then return 0 end
local since = redis.call('HGET', writing, version .. ':' .. attempt)
if since and now() - tonumber(since) < patience then return 0 end
redis.call('HDEL', progress, version .. ':' .. attempt)
if redis.call('HDEL', writing, version .. ':' .. attempt) == 1 then
  note(history, version, 'gone', 'attempt ' .. attempt .. ' was never sealed')
end
return 1
""",
)
