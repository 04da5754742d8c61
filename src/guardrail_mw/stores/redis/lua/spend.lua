-- Spend a token once within its time, where the epoch is still the one it was given. KEYS: its shard's random key, the token.
-- ARGV[1]: now and the µs it is remembered; ARGV[2]: the epoch.
local now, ttl = time(num()), num()
local random = call('GET', KEYS[1])
local mine, refused = epoch(random or '')
if not mine then return redis.error_reply(refused) end
if not random or mine ~= ARGV[2] then return 0 end
local until_ = call('GET', KEYS[2])
if until_ and tonumber(until_) > now then return 0 end
call('SET', KEYS[2], fmt(NUM, now + ttl))
expire(KEYS[2], ttl)
return 1
