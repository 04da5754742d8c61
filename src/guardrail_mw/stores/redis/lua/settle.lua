-- Correct a charge to what was used, give slots back, note what was learned. Tokens: member now open standing homes, then for
-- each home: key, steps, and of each step only what changes. The first write is one that a full server allows.
local member, now, open, standing, homes = token(), time(num()), num(), num(), num()
local id = match(member, '^[^|]+')
for h = 1, homes do
  local key, count = KEYS[num()], num()
  local steps, names = {}, { 't' }
  for i = 1, count do
    local kind, field = token(), token()
    local step
    if kind == 'g' then step = { kind, field, num(), num(), num(), num(), mark() }
    elseif kind == 'w' then step = { kind, field, num(), num(), num() }
    elseif kind == 'c' then step = { kind, field, num(), num() }
    elseif kind == 'b' then step = { kind, field, num(), token(), num() }
    else step = { kind, field, num() } end
    steps[i] = step
    names[i + 1] = field
  end
  local stored = call('HMGET', key, unpack(names))
  local mine, offset, expiry = own(stored[1], now)
  if h == 1 and open > 0 then
    if call('PEXPIRE', KEYS[open], fmt(NUM, (TTL + SLACK) / 1000)) == 0 then return 0 end
    local until_ = call('ZSCORE', KEYS[open], member)
    if not until_ then return 0 end
    call('ZREM', KEYS[open], member)
    if faked then expire(KEYS[open], HOUR) end
    release(key, member)
    if tonumber(until_) <= mine then return 0 end
  end
  local args, need, add, gone = { 't', '' }, mine, {}, {}
  for i = 1, count do
    local step, value = steps[i], stored[i + 1]
    local kind, field = step[1], step[2]
    if kind == 'g' then
      -- amount, +1 owes a span or -1 gives it back, the span, and the mark
      local amount, sign, w, r = step[3], step[4], step[5], step[6]
      local tat, rem, sum, sumrem = bucket(value)
      if sign > 0 then
        if tat < mine then tat, rem = mine, 0 end
        tat, rem = plus(tat, rem, w, r, amount)
        if tat - mine > LARGEST then tat, rem = mine + LARGEST, 0 end
      else
        local m = step[7]
        local bw, br = bound(tat, rem, sum, sumrem, mine, m, amount)
        if less(m[5], m[6], bw, br) then bw, br = m[5], m[6] end
        if less(w, r, bw, br) then bw, br = w, r end
        tat, rem = minus(tat, rem, bw, br, amount)
        sum, sumrem = plus(sum, sumrem, bw, br, amount)
        if sum > LARGEST then sum, sumrem = 0, 0 end
      end
      args[#args + 1] = field
      args[#args + 1] = packed(tat, rem, sum, sumrem)
      need = math.max(need, tat + 1)
    elseif kind == 'w' then
      -- pane length, the pane that was charged, and what to add to it (owed: to the running one)
      local length, charged, more = step[3], step[4], step[5]
      local pane = floor(mine / length)
      local before = #args
      local total = advance(key, field, value, pane, args)
      local target = more > 0 and pane or charged
      if more > 0 then more = math.min(more, LARGEST - total) end
      if more > 0 or (charged > pane - 21 and charged <= pane) then
        local name = slot(field, target)
        local emptied = false
        for j = before + 1, #args, 2 do emptied = emptied or args[j] == name end
        local there = emptied and 0 or tonumber(call('HGET', key, name) or 0)
        if there + more < 0 then more = -there end
        if more ~= 0 then add[#add + 1] = { name, more } end
        total = total + more
      end
      args[#args + 1] = field
      args[#args + 1] = fmt(NUM2, pane, total)
      need = math.max(need, (pane + 21) * length)
    elseif kind == 'b' then
      local start, finish = calendar(mine, step[4])
      local total, more = budget(value, start), step[5]
      if more > 0 or step[3] == start then
        total = math.min(LARGEST, math.max(0, total + more))
        args[#args + 1] = field
        args[#args + 1] = fmt(NUM2, start, total)
        need = math.max(need, finish)
      end
    elseif kind == 'c' then
      -- pane length, and what to add: the bill became something else than its part in this home
      local total, running, pane = counted(key, field, value, floor(mine / step[3]), args)
      local more = math.max(step[4], -running)
      args[#args + 1] = field
      args[#args + 1] = fmt(NUM3, pane, total + more, running + more)
      need = math.max(need, (pane + 21) * step[3])
    else
      gone[#gone + 1] = KEYS[step[3]]
    end
  end
  if #args > 2 then
    -- Allowed on a full server, and harmless; what follows is then allowed too.
    if stored[1] then expire(key, math.max(expiry - now, SLACK)) end
    write(key, mine, offset, expiry, now, need, args)
    for _, each in ipairs(add) do call('HINCRBY', key, each[1], fmt(NUM, each[2])) end
  end
  for _, lease in ipairs(gone) do call('ZREM', lease, id) end
end
if standing > 0 then change(KEYS[standing], now, 2) end
return 1
