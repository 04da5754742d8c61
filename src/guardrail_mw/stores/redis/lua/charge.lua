-- Charge all of a bill or none of it. Tokens: id standing version proved not_after now open peek homes,
-- then for each home: its first key, open, steps, and its steps; further keys are counted from the first. `open` is the key
-- of the receipts where this home holds them, else 0.
local id, standing, version, proved = token(), num(), num(), num() == 1
local not_after, now, leaves, peek, homes = num(), time(num()), num() == 1, num() == 1, num()
if not_after > 0 and now > not_after then return fmt('L %.0f', now) end

local known
if standing > 0 then
  known = call('HMGET', KEYS[standing], 'v', 'u', 'since')
  if known[2] and now >= tonumber(known[2]) + KEPT then
    known = { false, false, false, gone = true }
  end
  if not peek and tonumber(known[1] or 0) ~= version then
    return { fmt('S %.0f', now), known.gone and {} or call('HGETALL', KEYS[standing]) }
  end
end

local H, out, admitted = {}, {}, true
for h = 1, homes do
  local base = num()
  local home = { key = KEYS[base], open = num(), steps = {}, args = { 't', '' } }
  if home.open > 0 then home.open = base + home.open end
  H[h] = home
  local steps, count, names, at = home.steps, num(), { 't' }, {}
  for i = 1, count do
    local kind, field = token(), token()
    local step
    if kind == 'g' then step = { kind, field, num(), num(), num(), num(), num(), num() }
    elseif kind == 'w' then step = { kind, field, num(), num(), num(), num() }
    elseif kind == 'b' then step = { kind, field, num(), num(), token(), num() }
    elseif kind == 'l' then step = { kind, field, base + num(), num(), num() }
    elseif kind == 's' then step = { kind, field, num(), num(), num() }
    else step = { kind, field, base + num(), token(), num() } end
    steps[i] = step
    if kind ~= 'l' then
      names[#names + 1] = field
      at[i] = #names
    end
  end
  local stored = call('HMGET', home.key, unpack(names))
  local mine, offset, expiry, last, behind = own(stored[1], now)
  home.mine, home.offset, home.expiry, home.last, home.behind = mine, offset, expiry, last, behind

  for i = 1, count do
    local step = steps[i]
    local kind, field, value = step[1], step[2], stored[at[i] or 1]
    local ok, shadow = true, false
    if kind == 'g' then
      local tat, rem, sum, sumrem = bucket(value)
      local amount = step[5]
      step.old = { tat, rem, sum, sumrem }
      if tat < mine then tat, rem = mine, 0 end
      tat, rem = plus(tat, rem, step[3], step[4], amount)
      ok = not less(step[6], step[7], tat - mine, rem)
      step.new = { tat, rem, sum, sumrem }
      shadow = step[8] == 1
    elseif kind == 'w' then
      step.pane = floor(mine / step[5])
      step.args = {}
      step.total = advance(home.key, field, value, step.pane, step.args)
      ok = step.total + step[3] <= step[4]
      shadow = step[6] == 1
    elseif kind == 'b' then
      step.start, step.finish = calendar(mine, step[5])
      step.total = budget(value, step.start)
      ok = step.total + step[3] <= step[4]
      shadow = step[6] == 1
    elseif kind == 'l' then
      step.out = call('ZCOUNT', KEYS[step[3]], fmt('(%.0f', mine), '+inf')
      if step.out >= step[4] then
        local mineuntil = call('ZSCORE', KEYS[step[3]], id)
        ok = mineuntil and tonumber(mineuntil) > mine
        if ok then step.out = step.out - 1 end
      end
      shadow = step[5] == 1
    elseif kind == 's' then
      step.total = tonumber(value or 0)
      if step.total > 0 and home.open > 0 then
        for _, member in ipairs(call('ZRANGEBYSCORE', KEYS[home.open], '-inf', fmt(NUM, mine))) do
          for held, cost in gmatch(member, '|([^=|]+)=(%d+)') do
            if held == field then step.total = step.total - tonumber(cost) end
          end
        end
      end
      ok = step.total + step[3] <= step[4]
      shadow = step[5] == 1
    else
      local seen, pane = KEYS[step[3]], floor(mine / step[5])
      local oldest, over = fmt(NUM, pane - 60), tonumber(value or -1)
      local count, seenlast = call('ZCOUNT', seen, oldest, '+inf'), call('ZSCORE', seen, step[4])
      if not seenlast or tonumber(seenlast) < pane - 60 then count = count + 1 end
      step.pane, step.total = pane, count
      if count > 64 then
        local first = call('ZRANGEBYSCORE', seen, oldest, '+inf', 'WITHSCORES', 'LIMIT', '0', '1')
        step.total, step.over = 64, math.max(over, tonumber(first[2]))
        over = step.over
      end
      ok, shadow = over < pane - 60, true
    end
    step.ok = ok
    if not ok and not shadow then admitted = false end
  end
end
local charging = admitted and not peek

-- Writes: a home's HSET first, which a full server refuses before anything else has happened.
for h = 1, homes do
  local home = H[h]
  local key, mine, args, need = home.key, home.mine, home.args, home.mine
  local member = id
  for _, step in ipairs(home.steps) do
    local kind, field = step[1], step[2]
    if step.over then
      args[#args + 1] = field
      args[#args + 1] = fmt(NUM, step.over)
      need = math.max(need, (step.pane + 61) * step[5])
    elseif charging and step.ok then
      if kind == 'g' then
        local new = step.new
        args[#args + 1] = field
        args[#args + 1] = packed(new[1], new[2], new[3], new[4])
        if new[1] >= need then need = new[1] + 1 end
      elseif kind == 'w' then
        for _, arg in ipairs(step.args) do args[#args + 1] = arg end
        step.total = step.total + step[3]
        args[#args + 1] = field
        args[#args + 1] = fmt(NUM2, step.pane, step.total)
        need = math.max(need, (step.pane + 21) * step[5])
      elseif kind == 'b' then
        step.total = step.total + step[3]
        args[#args + 1] = field
        args[#args + 1] = fmt(NUM2, step.start, step.total)
        need = math.max(need, step.finish)
      elseif kind == 's' then
        step.total = step.total + step[3]
        member = member .. '|' .. field .. '=' .. fmt(NUM, step[3])
      end
    end
  end
  if charging then
    if home.open > 0 and leaves then need = math.max(need, mine + TTL) end
    write(key, mine, home.offset, home.expiry, now, need, args)
    for _, step in ipairs(home.steps) do
      local kind = step[1]
      if kind == 'w' and step.ok then
        if step[3] > 0 then call('HINCRBY', key, slot(step[2], step.pane), fmt(NUM, step[3])) end
      elseif kind == 'l' and step.ok then
        local lease = KEYS[step[3]]
        call('ZADD', lease, fmt(NUM, mine + TTL), id)
        call('ZREMRANGEBYSCORE', lease, '-inf', fmt(NUM, mine))
        expire(lease, TTL + SLACK)
        step.out = step.out + 1
      end
    end
    if home.open > 0 and leaves then
      local open = KEYS[home.open]
      for field, cost in gmatch(member, '|([^=|]+)=(%d+)') do call('HINCRBY', key, field, cost) end
      sweep(key, open, mine)
      call('ZADD', open, fmt(NUM, mine + TTL), member)
      expire(open, TTL + SLACK)
    end
  elseif not peek and (home.behind or #args > 2) then
    write(key, home.last, home.offset, home.expiry, now, need, args)
  end

  out[#out + 1] = fmt(NUM, mine - now)
  for _, step in ipairs(home.steps) do
    local kind, ok = step[1], step.ok and 1 or 0
    if kind == 'g' then
      local b = (charging and step.ok) and step.new or step.old
      local ahead = b[1] - mine
      if ahead < 0 then out[#out + 1] = fmt('%d -1 0 0 0', ok)
      else out[#out + 1] = fmt('%d %.0f %.0f %.0f %.0f', ok, ahead, b[2], b[3], b[4]) end
    elseif kind == 'w' then
      local wait, reset = 0, (step.pane + 21) * step[5] - mine
      if not (charging and step.ok and step[3] > 0) then
        -- The ring as it stands; what left it meanwhile counts no more.
        local head = step.pane
        local stored = call('HGET', key, step[2])
        if stored then head = tonumber(match(stored, '^%d+')) end
        local counts = ring(key, step[2], head)
        local short, seen = step.total + step[3] - step[4], 0
        reset = 0
        for i = 1, 21 do
          local pane = head - 21 + i
          if pane > step.pane - 21 and counts[i] > 0 then
            reset = (pane + 21) * step[5] - mine
            if not step.ok and short > 0 then
              short = short - counts[i]
              if short <= 0 then wait = reset end
            end
          end
        end
        if not step.ok and short > 0 then wait = (step.pane + 21) * step[5] - mine end
      end
      out[#out + 1] = fmt('%d %.0f %.0f %.0f', ok, step.total, reset, wait)
    elseif kind == 'b' or kind == 's' then
      out[#out + 1] = fmt('%d %.0f', ok, step.total)
    elseif kind == 'l' then
      local wait = 0
      if not step.ok then
        local first = call('ZRANGEBYSCORE', KEYS[step[3]], fmt('(%.0f', mine), '+inf', 'WITHSCORES', 'LIMIT', '0', '1')
        if first[2] then wait = tonumber(first[2]) - mine end
      end
      out[#out + 1] = fmt('%d %.0f %.0f', ok, step.out, wait)
    else
      local seen = KEYS[step[3]]
      if not peek then
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
  if known.gone then call('DEL', key) end
  if not known[3] or not known[2] or now - tonumber(known[2]) >= HOUR then
    call('HSETNX', key, 'since', fmt(NUM, now))
    call('HSET', key, 'u', fmt(NUM, now))
    expire(key, KEPT)
  end
end
local reply = fmt('%s %.0f %s', admitted and 'A' or 'D', now, table.concat(out, ' '))
if peek and standing > 0 then return { reply, known.gone and {} or call('HGETALL', KEYS[standing]) } end
return reply
