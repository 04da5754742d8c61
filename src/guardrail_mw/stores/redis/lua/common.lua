-- Shared by the scripts, put before each. Times are whole microseconds; every number stays below 2^53.
-- ARGV[1] holds a bill's tokens, separated by spaces, so that a decision costs few bytes; the codec writes it.
local TTL = 30000000 -- of a lease or an open receipt
local SLACK = 1000000
local LARGEST = 4503599627370496 -- 2^52
local KEPT = 7779600000000 -- a standing lives 90 days and an hour after it was last touched
local HOUR = 3600000000
local NUM, NUM2, NUM3, NUM4 = '%.0f', '%.0f %.0f', '%.0f %.0f %.0f', '%.0f %.0f %.0f %.0f'
local fmt, floor, match, gmatch, find, sub = string.format, math.floor, string.match, string.gmatch, string.find, string.sub
local call = redis.call
local unpack = unpack or table.unpack
local token = gmatch(ARGV[1] or '', '%S+')
local function num() return tonumber(token()) end

-- The store's time; a test gives its own, and then nothing is collected within the hour.
local faked = false
local function time(given)
  if given > 0 then
    faked = true
    return given
  end
  local t = call('TIME')
  return t[1] * 1000000 + t[2]
end

local function divmod(x, y)
  local q = floor(x / y)
  local r = x - q * y
  if r < 0 then return q - 1, r + y end
  if r >= y then return q + 1, r - y end
  return q, r
end

local function plus(w, r, mw, mr, amount)
  r = r + mr
  if r >= amount then return w + mw + 1, r - amount end
  return w + mw, r
end

local function minus(w, r, lw, lr, amount)
  r = r - lr
  if r < 0 then return w - lw - 1, r + amount end
  return w - lw, r
end

local function less(w, r, ow, orem) return w < ow or (w == ow and r < orem) end

-- A home's own time neither goes back nor stands still: 'last offset expiry'.
-- Gives it, the offset, the expiry, and the last time as it would be written by whoever charges nothing.
local function own(stored, now)
  if not stored then return now, 0, 0, now end
  local last, offset, expiry = match(stored, '^(%d+) (%d+) (%d+)$')
  last, offset, expiry = tonumber(last), tonumber(offset), tonumber(expiry)
  local mine = now + offset
  if mine < last then return last, offset + last - mine, expiry, last, true end
  return mine, offset, expiry, last, false
end

local function expire(key, us)
  if faked and us < HOUR then us = HOUR end
  call('PEXPIRE', key, fmt(NUM, floor(us / 1000) + 1))
end

-- Write a home's fields, its last time first; `need` is when, in its own time, it equals a new subject's.
local function write(key, last, offset, expiry, now, need, args)
  local until_ = need - offset
  local extend = until_ > expiry
  if extend then expiry = floor(until_ + (until_ - now) / 4) + SLACK end
  args[1] = 't'
  args[2] = fmt('%.0f %.0f %.0f', last, offset, expiry)
  call('HSET', key, unpack(args))
  if extend then expire(key, expiry - now) end
end

-- A bucket: 'tat rem refunded rem', shortened where the rest is nothing.
local function bucket(stored)
  if not stored then return 0, 0, 0, 0 end
  local alone = tonumber(stored)
  if alone then return alone, 0, 0, 0 end
  local tat, rem, sum, sumrem = match(stored, '^(%d+) ?(%d*) ?(%d*) ?(%d*)$')
  return tonumber(tat), tonumber(rem) or 0, tonumber(sum) or 0, tonumber(sumrem) or 0
end

local function packed(tat, rem, sum, sumrem)
  if sum == 0 and sumrem == 0 then
    if rem == 0 then return fmt(NUM, tat) end
    return fmt(NUM2, tat, rem)
  end
  return fmt(NUM4, tat, rem, sum, sumrem)
end

-- The most that may still come back because of a mark (T, S, U, C) at the home's time: max(0, T - now) less all that was
-- refunded since, and no more than the ceiling C leaves.
local function bound(tat, rem, sum, sumrem, mine, m, amount)
  local dw, dr = minus(sum, sumrem, m[3], m[4], amount)
  if dw < 0 then return 0, 0 end
  local lw, lr = minus(m[1], m[2], dw, dr, amount)
  if less(tat, rem, lw, lr) then return 0, 0 end
  lw = lw - mine
  local uw, ur = minus(m[7], m[8], sum, sumrem, amount)
  if less(uw, ur, lw, lr) then lw, lr = uw, ur end
  if lw < 0 then return 0, 0 end
  return lw, lr
end
local function mark() return { num(), num(), num(), num(), num(), num(), num(), num() } end

-- A window: 'pane total' and a ring of 21 counts in fields of their own.
local function slot(field, pane)
  local _, at = divmod(pane, 21)
  return field .. ':' .. fmt(NUM, at)
end

local function ring(key, field, head)
  local names = {}
  for i = 1, 21 do names[i] = slot(field, head - 21 + i) end
  local counts = call('HMGET', key, unpack(names))
  for i = 1, 21 do counts[i] = tonumber(counts[i] or 0) end
  return counts, names -- oldest first; the last is head's
end

-- What the last `passed` slots up to `pane` hold from the turn of the ring before; in `args` they become empty.
local function emptied(key, field, pane, passed, args)
  local names, held = {}, 0
  for i = 1, passed do names[i] = slot(field, pane - passed + i) end
  local counts = call('HMGET', key, unpack(names))
  for i = 1, passed do
    local count = tonumber(counts[i] or 0)
    if count > 0 then
      held = held + count
      args[#args + 1] = names[i]
      args[#args + 1] = '0'
    end
  end
  return held
end

-- Advance to `pane`: the total, and in `args` the slots that become empty.
local function advance(key, field, stored, pane, args)
  local head, total = 0, 0
  if stored then
    head, total = match(stored, '^(%d+) (%d+)$')
    head, total = tonumber(head), tonumber(total)
  end
  local passed = pane - head
  if not stored or passed <= 0 then return total end
  if passed > 21 then passed = 21 end
  if total == 0 then passed = 0 end
  if passed == 0 then return total end
  return total - emptied(key, field, pane, passed, args)
end

-- The calendar period that runs: start and end, UTC. Civil dates after Howard Hinnant's algorithms.
local DAY = 86400000000
local function days(year, month)
  if month <= 2 then year = year - 1 end
  local era = floor(year / 400)
  local yoe = year - era * 400
  local m = month > 2 and month - 3 or month + 9
  local doy = floor((153 * m + 2) / 5)
  return era * 146097 + yoe * 365 + floor(yoe / 4) - floor(yoe / 100) + doy - 719468
end
local function calendar(mine, unit)
  local length = unit == 'i' and 60000000 or unit == 'h' and HOUR or unit == 'd' and DAY
  if length then
    local _, rest = divmod(mine, length)
    return mine - rest, mine - rest + length
  end
  local day = floor(mine / DAY)
  if unit == 'w' then
    local monday = day - (day + 3) % 7
    return monday * DAY, (monday + 7) * DAY
  end
  local z = day + 719468
  local era = floor(z / 146097)
  local doe = z - era * 146097
  local yoe = floor((doe - floor(doe / 1460) + floor(doe / 36524) - floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + floor(yoe / 4) - floor(yoe / 100))
  local mp = floor((5 * doy + 2) / 153)
  local month = mp < 10 and mp + 3 or mp - 9
  local year = yoe + era * 400 + (month <= 2 and 1 or 0)
  if unit == 'y' then return days(year, 1) * DAY, days(year + 1, 1) * DAY end
  return days(year, month) * DAY, days(year + floor(month / 12), month % 12 + 1) * DAY
end

local function budget(stored, start)
  if not stored then return 0 end
  local begun, total = match(stored, '^(%d+) (%d+)$')
  return tonumber(begun) == start and tonumber(total) or 0
end

-- A share: 'sum until', what open receipts hold of it. From `until` on none of them is open, though the server has collected
-- the receipts and kept the sum. A receipt is 'id|field=cost|field=cost'.
local function held(stored, mine)
  if not stored then return 0 end
  local sum, until_ = match(stored, '^(%d+) (%d+)$')
  return tonumber(until_) > mine and tonumber(sum) or 0
end
local function hold(key, member, mine, already)
  for field, cost in gmatch(member, '|([^=|]+)=(%d+)') do
    local sum = held(call('HGET', key, field), mine)
    call('HSET', key, field, fmt(NUM2, already and sum or sum + cost, mine + TTL))
  end
end
local function release(key, member)
  for field, cost in gmatch(member, '|([^=|]+)=(%d+)') do
    local stored = call('HGET', key, field)
    if stored then
      local sum, until_ = match(stored, '^(%d+) (%d+)$')
      local left = sum - cost
      if left > 0 then call('HSET', key, field, fmt('%.0f %s', left, until_)) else call('HDEL', key, field) end
    end
  end
end
-- What receipts that nobody renewed still hold goes back.
local function sweep(key, open, mine)
  local dead = call('ZRANGEBYSCORE', open, '-inf', fmt(NUM, mine))
  if #dead == 0 then return end
  for _, member in ipairs(dead) do release(key, member) end
  call('ZREMRANGEBYSCORE', open, '-inf', fmt(NUM, mine))
end

-- What a change makes of a field; false where it goes.
local function merged(op, before, value)
  if op == 'unset' then return false end
  if op == 'first' then return before or value end
  if op == 'add' then return fmt(NUM, tonumber(before or 0) + tonumber(value)) end
  if op == 'max' and before and tonumber(before) > tonumber(value) then return before end
  return value
end

-- Change a standing: triples of op, field, value from ARGV[first] to ARGV[last], or to the end. A new version where a plan can
-- tell the difference.
-- What a version becomes: it only grows.
local function after(before, now)
  before = tonumber(before or 0)
  return fmt(NUM, now > before and now or before + 1)
end
local PLANNED = {
  proved = 1, cluster = 1, verdict = 1, tier = 1, override = 1, budget = 1, counters = 1,
  cases = 1,
}
local function change(key, now, first, last)
  local stored = call('HMGET', key, 'v', 'u', 'w')
  local version = tonumber(stored[1] or 0)
  if stored[2] and now >= tonumber(stored[2]) + KEPT then
    call('DEL', key)
    version, stored[3] = 0, false
  end
  local anew, other = false, false
  local args = { 'u', fmt(NUM, now) }
  local written = {}
  for i = first, last or #ARGV, 3 do
    local op, field, value = ARGV[i], ARGV[i + 1], ARGV[i + 2]
    local before = written[field]
    if before == nil then before = call('HGET', key, field) end
    local becomes = before -- nothing overwrites since when
    if field ~= 'since' or not before then becomes = merged(op, before, value) end
    if becomes ~= before then
      other = true
      if PLANNED[field] then anew = true end
    end
    written[field] = becomes
  end
  if anew then version = tonumber(after(version, now)) end
  if version > 0 then
    args[3] = 'v'
    args[4] = fmt(NUM, version)
  end
  if other then
    args[#args + 1] = 'w'
    args[#args + 1] = after(stored[3], now)
  end
  local gone = {}
  for field, value in pairs(written) do
    if value then
      args[#args + 1] = field
      args[#args + 1] = value
    else
      gone[#gone + 1] = field
    end
  end
  call('HSET', key, unpack(args))
  if #gone > 0 then call('HDEL', key, unpack(gone)) end
  expire(key, KEPT)
  return version
end
