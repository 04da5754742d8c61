-- Evidence, as `algorithms/edges.py` and `algorithms/values.py` have it. Strings are written whole: a server that appends to one
-- keeps room for as much again, which would be half of all that evidence takes.
local DONE, EDGE, SINGLE, BARE = 94, 11, 12, 10 -- bytes
local NOTHING = string.rep('\0', DONE)
local byte, char = string.byte, string.char

local function hour_of(now)
  local hour = floor((now - 1735689600000000) / HOUR) -- since 2025-01-01
  return hour < 0 and 0 or hour > 65535 and 65535 or hour
end

-- Where what begins with `key` stands among things of `size` bytes, behind `skip` others; nil where it does not.
local function place(s, key, skip, size)
  local at = find(s, key, skip + 1, true)
  while at and (at - 1 - skip) % size > 0 do at = find(s, key, at + 1, true) end
  return at
end

local function big(n, size)
  local bytes = {}
  for i = size, 1, -1 do
    local rest = n % 256
    bytes[i] = rest
    n = (n - rest) / 256
  end
  return char(unpack(bytes))
end

local function held_by(record)
  local a, b, c, d = byte(record, 7, BARE)
  return ((a * 256 + b) * 256 + c) * 256 + d
end

local function cut(bucket, singles, at)
  local left = sub(singles, 1, at - 1) .. sub(singles, at + SINGLE)
  if left == '' then call('DEL', bucket) else call('SET', bucket, left) end
end

-- One more holds a value: what is known of it now.
local function hold(bucket, records, key, who)
  local field = sub(key, 1, 7)
  local record = call('HGET', records, field)
  if record then
    record = sub(record, 1, 6) .. big(math.min(held_by(record) + 1, 4294967295), 4) .. sub(record, BARE + 1)
    call('HSET', records, field, record)
    return record
  end
  local singles, rest = call('GET', bucket) or '', sub(key, 1, 6)
  local at = place(singles, rest, 0, SINGLE)
  if not at then
    call('SET', bucket, singles .. rest .. who)
    return who
  end
  local first = sub(singles, at + 6, at + SINGLE - 1)
  if first == who then return who end
  record = first .. big(2, 4)
  call('HSET', records, field, record)
  cut(bucket, singles, at)
  return record
end

-- What is known of a value that one holds already.
local function look(records, key, who)
  return call('HGET', records, sub(key, 1, 7)) or who
end

-- What is stored of a value: a record, its holder, or nothing.
local function stored(bucket, records, key)
  local record = call('HGET', records, sub(key, 1, 7))
  if record then return record end
  local singles = call('GET', bucket) or ''
  local at = place(singles, sub(key, 1, 6), 0, SINGLE)
  return at and sub(singles, at + 6, at + SINGLE - 1) or ''
end

-- One fewer holds it.
local function drop(bucket, records, key, who)
  local field = sub(key, 1, 7)
  local record = call('HGET', records, field)
  if record then
    local left = held_by(record) - 1
    if left <= 0 then
      call('HDEL', records, field)
    else
      local first = sub(record, 1, 6)
      if first == who then first = sub(NOTHING, 1, 6) end
      call('HSET', records, field, first .. big(left, 4) .. sub(record, BARE + 1))
    end
    return ''
  end
  local singles = call('GET', bucket) or ''
  local at = place(singles, sub(key, 1, 6), 0, SINGLE)
  if at and sub(singles, at + 6, at + SINGLE - 1) == who then cut(bucket, singles, at) end
  return ''
end
