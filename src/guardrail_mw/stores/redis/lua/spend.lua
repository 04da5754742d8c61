-- Spend a token once within its time. ARGV[1]: now and the µs it is remembered.
local now, ttl = time(num()), num()
local until_ = call('GET', KEYS[1])
if until_ and tonumber(until_) > now then return 0 end
call('SET', KEYS[1], fmt(NUM, now + ttl))
expire(KEYS[1], ttl)
return 1
