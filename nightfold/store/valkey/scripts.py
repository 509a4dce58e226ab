"""What the server runs alone, so that checks and change cannot be torn apart. Their keys: `names.py`."""

SEAL = """
local live, versions, states, leaving, writing = unpack(KEYS)
local version, manifest, keep, broken = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
redis.call('HDEL', writing, version .. ':' .. cjson.decode(manifest).attempt)
local before = redis.call('HGET', versions, version)
if before and cjson.decode(before).attempt == broken then
  redis.call('HSET', versions, version, manifest)
  if redis.call('GET', live) == before then redis.call('SET', live, manifest) end
end
if redis.call('HSETNX', versions, version, manifest) == 1 then redis.call('HSET', states, version, 'verified') end
local staged = {}
for _, name in ipairs(redis.call('HKEYS', versions)) do
  if name ~= version and redis.call('HGET', states, name) == 'verified' then
    local theirs = cjson.decode(redis.call('HGET', versions, name))
    staged[#staged + 1] = {theirs.night .. ' ' .. theirs.attempt, name, theirs.attempt}
  end
end
table.sort(staged, function(a, b) return a[1] > b[1] end)
for i = keep, #staged do
  redis.call('HSET', leaving, staged[i][2], staged[i][3])
  redis.call('HDEL', versions, staged[i][2])
  redis.call('HDEL', states, staged[i][2])
end
return redis.call('HGET', versions, version)
"""

PROMOTE = """
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

ROLLBACK = """
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

TAKE_TURN = """
local turn, waiting, counter = unpack(KEYS)
local me, night, lease, patience = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local has = redis.call('HMGET', turn, 'holder', 'night', 'token')
if has[1] == me then
  redis.call('PEXPIRE', turn, lease)
  redis.call('HDEL', waiting, me)
  return {'yours', me, has[2], has[3], lease}
end
if has[1] then
  redis.call('HSET', waiting, me, night .. ' ' .. now)
  return {'taken', has[1], has[2], has[3], redis.call('PTTL', turn)}
end
local others = redis.call('HGETALL', waiting)
for i = 1, #others, 2 do
  local theirs, asked = string.match(others[i + 1], '(%S*) (%d+)')  -- a job by hand may have no night
  if now - tonumber(asked) > patience then
    redis.call('HDEL', waiting, others[i])
  elseif others[i] ~= me and theirs < night then
    redis.call('HSET', waiting, me, night .. ' ' .. now)
    return {'waits', others[i], theirs, '0', patience - now + tonumber(asked)}
  end
end
local token = redis.call('INCR', counter)
redis.call('HSET', turn, 'holder', me, 'night', night, 'token', token)
redis.call('PEXPIRE', turn, lease)
redis.call('HDEL', waiting, me)
return {'yours', me, night, tostring(token), lease}
"""

EXPECT_TURN = """
local time = redis.call('TIME')
if redis.call('HGET', KEYS[1], 'holder') == ARGV[1] then return 0 end
local now = time[1] * 1000 + math.floor(time[2] / 1000)
return redis.call('HSET', KEYS[2], ARGV[1], ARGV[2] .. ' ' .. now)
"""

KEEP_TURN = """
if redis.call('HGET', KEYS[1], 'holder') ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""

LEAVE_TURN = """
redis.call('HDEL', KEYS[2], ARGV[1])
if redis.call('HGET', KEYS[1], 'holder') ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
"""

AMEND = """
local live, versions = unpack(KEYS)
local version, before, after = ARGV[1], ARGV[2], ARGV[3]
if redis.call('HGET', versions, version) ~= before then return 0 end
redis.call('HSET', versions, version, after)
if redis.call('GET', live) == before then redis.call('SET', live, after) end
return 1
"""

ANNOUNCE = """
local time = redis.call('TIME')
return redis.call('HSET', KEYS[1], ARGV[1], time[1] * 1000 + math.floor(time[2] / 1000))
"""

ABANDONED = """
local versions, writing = unpack(KEYS)
local version, attempt, patience = ARGV[1], ARGV[2], tonumber(ARGV[3])
local manifest = redis.call('HGET', versions, version)
if manifest and cjson.decode(manifest).attempt == attempt then return 0 end
local since = redis.call('HGET', writing, version .. ':' .. attempt)
local time = redis.call('TIME')
if since and time[1] * 1000 + math.floor(time[2] / 1000) - tonumber(since) < patience then return 0 end
redis.call('HDEL', writing, version .. ':' .. attempt)
return 1
"""

FORGET = """
local live, versions, record = unpack(KEYS)
local version, before, after = ARGV[1], ARGV[2], ARGV[3]
if redis.call('HGET', versions, version) ~= before then return -1 end
if redis.call('DEL', record) == 0 then return 0 end
redis.call('HSET', versions, version, after)
if redis.call('GET', live) == before then redis.call('SET', live, after) end
return 1
"""
