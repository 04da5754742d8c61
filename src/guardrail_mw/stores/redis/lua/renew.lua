-- Keep an open receipt and its leases alive; what was lost is put back. Tokens: member now open homes, then for each home:
-- key, steps, and its leases and buckets. Answers, in order, each bucket's new mark.
local member, now, open, homes = token(), time(num()), num(), num()
local id = match(member, '^[^|]+')
local out = {}
for h = 1, homes do
  local key, count = KEYS[num()], num()
  local steps, names = {}, { 't' }
  for i = 1, count do
    local kind, field = token(), token()
    if kind == 'g' then
      steps[i] = { kind, field, num(), mark() }
    else
      steps[i] = { kind, field, num() }
    end
    names[i + 1] = field
  end
  local stored = call('HMGET', key, unpack(names))
  local mine, offset, expiry = own(stored[1], now)
  if h == 1 and open > 0 then
    call('PEXPIRE', KEYS[open], fmt(NUM, (TTL + SLACK) / 1000))
    local until_ = call('ZSCORE', KEYS[open], member)
    local alive = until_ and tonumber(until_) > mine
    if until_ and not alive then
      call('ZREM', KEYS[open], member)
      release(key, member)
    end
    sweep(key, KEYS[open], mine)
    hold(key, member, mine, alive)
    call('ZADD', KEYS[open], fmt(NUM, mine + TTL), member)
    expire(KEYS[open], TTL + SLACK)
  end
  local args = { 't', '' }
  for i = 1, count do
    if steps[i][1] == 'l' and not stored[i + 1] then
      args[#args + 1] = steps[i][2] -- see charge.lua: the hash knows of every field that has a key of its own
      args[#args + 1] = '1'
    end
  end
  write(key, mine, offset, expiry, now, mine + TTL, args)
  for i = 1, count do
    local step = steps[i]
    if step[1] == 'g' then
      local tat, rem, sum, sumrem = bucket(stored[i + 1])
      local amount, m = step[3], step[4]
      local w, r = bound(tat, rem, sum, sumrem, mine, m, amount)
      local cw, cr = plus(sum, sumrem, w, r, amount)
      if less(m[5], m[6], w, r) then w, r = m[5], m[6] end
      out[#out + 1] = fmt('%.0f %.0f %.0f %.0f %.0f %.0f %.0f %.0f', tat, rem, sum, sumrem, w, r, cw, cr)
    else
      local lease = KEYS[step[3]]
      call('ZADD', lease, fmt(NUM, mine + TTL), id)
      expire(lease, TTL + SLACK)
    end
  end
end
return table.concat(out, ' ')
