-- Charge all of a bill or none of it. Tokens: id standing version seen proved not_after now open peek homes, then for each home:
-- its first key, open, steps, and its steps; further keys are counted from the first. `open` is the key of the receipts where this
-- home holds them, else 0. A bucket whose rate is one unit in a whole number of microseconds, as most are, is written `u`, with
-- no remainders. Tokens are read by patterns, several at once: one at a time they took a third of the script.
local text, at = ARGV[1], 1
local PATTERNS = {
  g = '^g (%S+) (%d+) (%d+) (%d+) (%d+) (%d+) (%d) *',
  u = '^u (%S+) (%d+) (%d+) (%d) *',
  w = '^w (%S+) (%d+) (%d+) (%d+) (%d) *',
  b = '^b (%S+) (%d+) (%d+) (%l) (%d) *',
  l = '^l (%S+) (%d+) (%d+) (%d) *',
  s = '^s (%S+) (%d+) (%d+) (%d) *',
  d = '^d (%S+) (%d+) (%S+) (%d+) *',
  k = '^k (%S+) (%d+) (%S+) (%d+) *',
  c = '^c (%S+) (%d+) (%l) (%d+) *',
}
local _, stop, id, standing, version, seen, proved, not_after, now, leaves, peek, homes =
  find(text, '^(%S+) (%d+) (%-?%d+) (%-?%d+) (%d) (%d+) (%d+) (%d) (%d) (%d+) *')
at = stop + 1
standing, not_after, homes = tonumber(standing), tonumber(not_after), tonumber(homes)
now = time(tonumber(now))
leaves, peek, proved = leaves == '1', peek == '1', proved == '1'
if not_after > 0 and now > not_after then return fmt('L %.0f', now) end

local known
local told = peek -- whether the answer brings the standing along
if standing > 0 then
  known = call('HMGET', KEYS[standing], 'v', 'u', 'since', 'w')
  if known[2] and now >= tonumber(known[2]) + KEPT then
    known = { false, false, false, false, gone = true }
  end
  told = peek or (known[4] or '0') ~= seen
  if not peek and (known[1] or '0') ~= version then
    return { fmt('S %.0f', now), known.gone and {} or call('HGETALL', KEYS[standing]) }
  end
end

-- A step, read: its kind, field and numbers. A bucket's has room for what it held and what it will hold.
local function read(base)
  local kind = sub(text, at, at)
  local _, last, field, p, q, r, x, y, z = find(text, PATTERNS[kind], at)
  at = last + 1
  if kind == 'u' then
    return { 'u', field, tonumber(p), 0, 1, tonumber(q), 0, r == '1', 0, 0, 0, 0, 0, 0 }
  elseif kind == 'g' then
    return { 'g', field, tonumber(p), tonumber(q), tonumber(r), tonumber(x), tonumber(y), z == '1', 0, 0, 0, 0, 0, 0 }
  elseif kind == 'w' then
    return { 'w', field, tonumber(p), tonumber(q), tonumber(r), x == '1' }
  elseif kind == 'b' then
    return { 'b', field, tonumber(p), tonumber(q), r, x == '1' }
  elseif kind == 'l' then
    return { 'l', field, base + tonumber(p), tonumber(q), r == '1' }
  elseif kind == 's' then
    return { 's', field, tonumber(p), tonumber(q), r == '1' }
  elseif kind == 'c' then
    return { 'c', field, tonumber(p), q, tonumber(r) }
  end
  return { kind, field, base + tonumber(p), q, tonumber(r) } -- d and k: a value, and the length of its pane
end

local H, out, admitted = {}, {}, true
for h = 1, homes do
  local _, last_, base, open, count = find(text, '^(%d+) (%d+) (%d+) *', at)
  at = last_ + 1
  base, open, count = tonumber(base), tonumber(open), tonumber(count)
  local steps, oks, names = {}, {}, { 't' }
  local home = { key = KEYS[base], open = open > 0 and base + open or 0, steps = steps, oks = oks }
  H[h] = home
  for i = 1, count do
    local step = read(base)
    steps[i] = step
    names[i + 1] = step[2]
  end
  local stored = call('HMGET', home.key, unpack(names))
  local mine, offset, expiry, last, behind = own(stored[1], now)
  home.mine, home.offset, home.expiry, home.last, home.behind = mine, offset, expiry, last, behind

  for i = 1, count do
    local step = steps[i]
    local kind, field, value = step[1], step[2], stored[i + 1]
    local ok, shadow = true, false
    if kind == 'u' or kind == 'g' then
      local tat, rem, sum, sumrem = bucket(value)
      step[9], step[10], step[11], step[12] = tat, rem, sum, sumrem
      if tat < mine then tat, rem = mine, 0 end
      tat, rem = tat + step[3], rem + step[4]
      if rem >= step[5] then tat, rem = tat + 1, rem - step[5] end
      local ahead = tat - mine
      ok = ahead < step[6] or (ahead == step[6] and rem <= step[7])
      step[13], step[14] = tat, rem
      shadow = step[8]
    elseif kind == 'w' then
      step.pane = floor(mine / step[5])
      step.args = {}
      step.total = advance(home.key, field, value, step.pane, step.args)
      ok = step.total + step[3] <= step[4]
      shadow = step[6]
    elseif kind == 'b' then
      step.start, step.finish = calendar(mine, step[5])
      step.total = budget(value, step.start)
      ok = step.total + step[3] <= step[4]
      shadow = step[6]
    elseif kind == 'l' then
      step.out = call('ZCOUNT', KEYS[step[3]], fmt('(%.0f', mine), '+inf')
      if step.out >= step[4] then
        local mineuntil = call('ZSCORE', KEYS[step[3]], id)
        ok = mineuntil and tonumber(mineuntil) > mine
        if ok then step.out = step.out - 1 end
      end
      step.noted = value
      shadow = step[5]
    elseif kind == 's' then
      step.total = held(value, mine)
      if step.total > 0 and home.open > 0 then
        -- what a dead process held may be more than is left, where the field was made new since
        for _, member in ipairs(call('ZRANGEBYSCORE', KEYS[home.open], '-inf', fmt(NUM, mine))) do
          for name, cost in gmatch(member, '|([^=|]+)=(%d+)') do
            if name == field then step.total = math.max(0, step.total - tonumber(cost)) end
          end
        end
      end
      ok = step.total + step[3] <= step[4]
      shadow = step[5]
    elseif kind == 'k' then
      step.pane, step.total = floor(mine / step[5]), 0
      if value then
        local was, total = match(value, '^(%d+) (%d+)$')
        step.was, step.total = tonumber(was), tonumber(total)
        if step.was > step.pane then step.pane = step.was end
      end
    elseif kind == 'c' then
      step.total, step.running, step.pane, step.args = counted(home.key, field, value, floor(mine / step[5]))
    else
      local seen, pane = KEYS[step[3]], floor(mine / step[5])
      local oldest, over = fmt(NUM, pane - 60), tonumber(value or -1)
      local count, seenlast = call('ZCOUNT', seen, oldest, '+inf'), call('ZSCORE', seen, step[4])
      if not seenlast or tonumber(seenlast) < pane - 60 then count = count + 1 end
      step.there, step.noted = seenlast and tonumber(seenlast) >= pane, value
      step.pane, step.total = pane, count
      if count > 64 then
        local first = call('ZRANGEBYSCORE', seen, oldest, '+inf', 'WITHSCORES', 'LIMIT', '0', '1')
        step.total, step.over = 64, math.max(over, tonumber(first[2]))
        over = step.over
      end
      ok, shadow = over < 0 or over < pane - 60, true
    end
    oks[i] = ok
    if not ok and not shadow then admitted = false end
  end
end
local charging = admitted and not peek

-- Writes: a home's HSET first, which a full server refuses before anything else has happened.
for h = 1, homes do
  local home = H[h]
  local key, mine, args, n, need = home.key, home.mine, { 't', '' }, 2, home.mine
  local steps, oks = home.steps, home.oks
  local member, longer = id, false
  for i = 1, #steps do
    local step = steps[i]
    local kind, field = step[1], step[2]
    if kind == 'd' then
      -- The hash knows of every field that has a key of its own, as long as that has.
      if not peek and (step.over or not step.noted) then
        args[n + 1], args[n + 2] = field, fmt(NUM, step.over or -1)
        n = n + 2
      end
      if not peek and not step.there then
        need = math.max(need, (step.pane + 61) * step[5])
        longer = true
      end
    elseif kind == 'k' then
      if not peek and step.was ~= step.pane then
        args[n + 1], args[n + 2] = field, fmt(NUM2, step.pane, 0)
        n = n + 2
        need = math.max(need, (step.pane + 2) * step[5])
      end
    elseif kind == 'c' then
      if not peek and (step[4] == 'a' or (step[4] == 'y') == admitted) then
        for _, arg in ipairs(step.args or {}) do
          n = n + 1
          args[n] = arg
        end
        step.total = step.total + step[3]
        args[n + 1], args[n + 2] = field, fmt(NUM3, step.pane, step.total, step.running + step[3])
        n = n + 2
        need = math.max(need, (step.pane + 21) * step[5])
      end
    elseif charging and oks[i] then
      if kind == 'u' or kind == 'g' then
        args[n + 1], args[n + 2] = field, packed(step[13], step[14], step[11], step[12])
        n = n + 2
        if step[13] >= need then need = step[13] + 1 end
      elseif kind == 'w' then
        for _, arg in ipairs(step.args) do
          n = n + 1
          args[n] = arg
        end
        step.total = step.total + step[3]
        args[n + 1], args[n + 2] = field, fmt(NUM2, step.pane, step.total)
        n = n + 2
        need = math.max(need, (step.pane + 21) * step[5])
      elseif kind == 'b' then
        step.total = step.total + step[3]
        args[n + 1], args[n + 2] = field, fmt(NUM2, step.start, step.total)
        n = n + 2
        need = math.max(need, step.finish)
      elseif kind == 'l' then
        if not step.noted then
          args[n + 1], args[n + 2] = field, '1'
          n = n + 2
        end
        need = math.max(need, mine + TTL)
      elseif kind == 's' then
        step.total = step.total + step[3]
        member = member .. '|' .. field .. '=' .. fmt(NUM, step[3])
      end
    end
  end
  if charging then
    if home.open > 0 and leaves then need = math.max(need, mine + TTL) end
    write(key, mine, home.offset, home.expiry, now, need, args)
    for i = 1, #steps do
      local step = steps[i]
      local kind = oks[i] and step[1]
      if kind == 'w' then
        if step[3] > 0 then call('HINCRBY', key, slot(step[2], step.pane), fmt(NUM, step[3])) end
      elseif kind == 'l' then
        local lease = KEYS[step[3]]
        call('ZADD', lease, fmt(NUM, mine + TTL), id)
        call('ZREMRANGEBYSCORE', lease, '-inf', fmt(NUM, mine))
        expire(lease, TTL + SLACK)
        step.out = step.out + 1
      end
    end
    if home.open > 0 and leaves then
      local open = KEYS[home.open]
      sweep(key, open, mine)
      hold(key, member, mine)
      call('ZADD', open, fmt(NUM, mine + TTL), member)
      expire(open, TTL + SLACK)
    end
  elseif not peek and (home.behind or n > 2 or longer and need - home.offset > home.expiry) then
    write(key, home.last, home.offset, home.expiry, now, need, args)
  end

  out[#out + 1] = fmt(NUM, mine - now)
  for i = 1, #steps do
    local step = steps[i]
    local kind, ok = step[1], oks[i] and 1 or 0
    if kind == 'u' or kind == 'g' then
      local tat, rem = step[9], step[10]
      if charging and oks[i] then tat, rem = step[13], step[14] end
      local ahead, sum, sumrem = tat - mine, step[11], step[12]
      if ahead < 0 then ahead, rem, sum, sumrem = -1, 0, 0, 0 end
      if kind == 'u' then out[#out + 1] = fmt('%d %.0f %.0f', ok, ahead, sum)
      else out[#out + 1] = fmt('%d %.0f %.0f %.0f %.0f', ok, ahead, rem, sum, sumrem) end
    elseif kind == 'w' then
      local wait, reset = 0, (step.pane + 21) * step[5] - mine
      if not (charging and oks[i] and step[3] > 0) then
        -- The ring as it stands; what left it meanwhile counts no more.
        local head = step.pane
        local stored = call('HGET', key, step[2])
        if stored then head = tonumber(match(stored, '^%d+')) end
        local counts = ring(key, step[2], head)
        local short, seen = step.total + step[3] - step[4], 0
        reset = 0
        for j = 1, 21 do
          local pane = head - 21 + j
          if pane > step.pane - 21 and counts[j] > 0 then
            reset = (pane + 21) * step[5] - mine
            if not oks[i] and short > 0 then
              short = short - counts[j]
              if short <= 0 then wait = reset end
            end
          end
        end
        if not oks[i] and short > 0 then wait = (step.pane + 21) * step[5] - mine end
      end
      out[#out + 1] = fmt('%d %.0f %.0f %.0f', ok, step.total, reset, wait)
    elseif kind == 'b' or kind == 's' then
      out[#out + 1] = fmt('%d %.0f', ok, step.total)
    elseif kind == 'l' then
      local wait = 0
      if not oks[i] then
        local first = call('ZRANGEBYSCORE', KEYS[step[3]], fmt('(%.0f', mine), '+inf', 'WITHSCORES', 'LIMIT', '0', '1')
        if first[2] then wait = tonumber(first[2]) - mine end
      end
      out[#out + 1] = fmt('%d %.0f %.0f', ok, step.out, wait)
    elseif kind == 'k' then
      sketch(key, step, peek)
      out[#out + 1] = fmt(NUM, step.total)
    elseif kind == 'c' then
      out[#out + 1] = fmt(NUM, step.total)
    else
      local seen = KEYS[step[3]]
      if not peek and not step.there then
        call('ZADD', seen, 'GT', fmt(NUM, step.pane), step[4])
        call('ZREMRANGEBYSCORE', seen, '-inf', fmt('(%.0f', step.pane - 60))
        if step.over then call('ZPOPMIN', seen) end
        expire(seen, 61 * step[5] + SLACK)
      end
      out[#out + 1] = fmt('%d %.0f', ok, step.total)
    end
  end
end

if charging and standing > 0 and proved then
  local key = KEYS[standing]
  if known.gone then
    call('DEL', key)
    known.gone = false
  end
  if not known[3] then
    call('HSET', key, 'since', fmt(NUM, now), 'u', fmt(NUM, now), 'w', after(known[4], now))
    expire(key, KEPT)
  elseif not known[2] or now - tonumber(known[2]) >= HOUR then
    call('HSET', key, 'u', fmt(NUM, now))
    expire(key, KEPT)
  end
end
local reply = fmt('%s %.0f %s', admitted and 'A' or 'D', now, table.concat(out, ' '))
if told and standing > 0 then return { reply, known.gone and {} or call('HGETALL', KEYS[standing]) } end
return reply
