-- Give somebody a post that nobody else has. ARGV[1]: now and for how many µs; ARGV[2]: whom.
local now, ttl = time(num()), num()
local known = call('GET', KEYS[1])
if known then
  local until_, holder = match(known, '^(%d+) (.*)$')
  if holder ~= ARGV[2] and tonumber(until_) > now then return 0 end
end
call('SET', KEYS[1], fmt('%.0f %s', now + ttl, ARGV[2]))
expire(KEYS[1], ttl)
return 1
