-- Take from a budget of members. ARGV[1]: now, how many there may be, and until when (µs); ARGV[2]: who.
local now, most, until_ = time(num()), num(), num()
local key, member = KEYS[1], ARGV[2]
call('ZREMRANGEBYSCORE', key, '-inf', fmt(NUM, now))
if call('ZSCORE', key, member) then return 1 end
if until_ <= now or call('ZCARD', key) >= most then return 0 end
call('ZADD', key, fmt(NUM, until_), member)
local last = call('ZREVRANGE', key, '0', '0', 'WITHSCORES')
expire(key, tonumber(last[2]) - now)
return 1
