-- Records in a drawer. KEYS: its index, names by when they were made; its ends, names by until when; the record, but to list.
-- ARGV[1]: now, and until when (to file) or how many (to list); ARGV[2]: `file`, `pull`, `listed` or `shred`; ARGV[3]: the name,
-- or after which; then triples of op, field, value.
-- A record has 'made until' under a blank, which no field can be called.
local now, given = time(num()), num()
local index, ends, key, name = KEYS[1], KEYS[2], KEYS[3], ARGV[3]
local HEAD, PART = ' ', 1000
local ways = {}

-- The record's fields, when it was made, and until when it is kept; nothing where there is none.
local function record()
  local stored, fields = call('HGETALL', key), {}
  for i = 1, #stored, 2 do fields[stored[i]] = stored[i + 1] end
  local made, until_ = match(fields[HEAD] or '', '^(%d+) (%d+)$')
  if not made or tonumber(until_) <= now then return nil end
  fields[HEAD] = nil
  return fields, tonumber(made), tonumber(until_)
end

local function flat(fields)
  local answer = {}
  for field, value in pairs(fields) do
    answer[#answer + 1] = field
    answer[#answer + 1] = value
  end
  return answer
end

-- Forget names whose time is over, so many at once. Whether that was all.
local function swept()
  local gone = call('ZRANGEBYSCORE', ends, '-inf', fmt(NUM, now), 'LIMIT', '0', fmt(NUM, PART))
  if #gone > 0 then
    call('ZREM', index, unpack(gone))
    call('ZREM', ends, unpack(gone))
  end
  return #gone < PART
end

local function last(names) return tonumber(call('ZREVRANGE', names, '0', '0', 'WITHSCORES')[2]) end

function ways.file()
  local fields, made, until_ = record()
  local anew, touched = not fields, {}
  fields = fields or {}
  for i = 4, #ARGV, 3 do
    local field = ARGV[i + 1]
    fields[field] = merged(ARGV[i], fields[field], ARGV[i + 2]) or nil
    touched[field] = true
  end
  if anew or given > until_ then until_ = given end
  if until_ <= now then return flat(fields) end
  swept()
  if anew then
    call('DEL', key)
    made = now
    local before = last(index)
    if before and made <= before then made = before + 1 end
  end
  for field in pairs(touched) do
    if fields[field] then call('HSET', key, field, fields[field]) else call('HDEL', key, field) end
  end
  call('HSET', key, HEAD, fmt(NUM2, made, until_))
  call('ZADD', index, fmt(NUM, made), name)
  call('ZADD', ends, fmt(NUM, until_), name)
  expire(key, until_ - now)
  local longest = last(ends) - now
  expire(index, longest)
  expire(ends, longest)
  return flat(fields)
end

function ways.pull()
  local fields = record()
  return fields and flat(fields)
end

function ways.listed()
  if not swept() then return 0 end
  local rank = name ~= '' and call('ZREVRANK', index, name)
  local first = rank and rank + 1 or 0
  return call('ZREVRANGE', index, fmt(NUM, first), fmt(NUM, first + given - 1))
end

function ways.shred()
  local fields = record()
  call('DEL', key)
  call('ZREM', index, name)
  call('ZREM', ends, name)
  return fields and 1 or 0
end

return ways[ARGV[2]]()
