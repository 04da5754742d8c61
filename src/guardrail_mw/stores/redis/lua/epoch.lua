-- The epoch of a shard of tokens. KEYS[1]: its random key. ARGV[1]: what that shall be where there is none.
-- This always writes, so that no replica answers, nor a full server: neither could spend.
call('SET', KEYS[1], ARGV[1], 'NX')
local mine, refused = epoch(call('GET', KEYS[1]))
return mine or redis.error_reply(refused)
