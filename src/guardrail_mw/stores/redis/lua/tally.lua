-- Take from a budget of members. ARGV[1]: now, how many there may be, and until when (µs); ARGV[2]: who.
local now, most, until_ = time(num()), num(), num()
local key, member = KEYS[1], ARGV[2]
local there = call('ZSCORE', key, member)
if there and tonumber(there) > now then return 1 end
if until_ <= now or call('ZCOUNT', key, fmt('(%.0f', now), '+inf') >= most then return 0 end
call('ZADD', key, fmt(NUM, until_), member)
call('ZREMRANGEBYSCORE', key, '-inf', fmt(NUM, now))
local last = call('ZREVRANGE', key, '0', '0', 'WITHSCORES')
expire(key, tonumber(last[2]) - now)
return 1
