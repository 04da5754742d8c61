import pytest
from guardrail_mw.stores.redis.store import RedisStore
from guardrail_mw.testing.bills import *
@pytest.mark.anyio
async def test_x(guardrail_redis, guardrail_prefix):
    store=RedisStore(guardrail_redis.url,deadline=10_000_000,prefix=guardrail_prefix)
    await take(store, share(70), budget(1,calendar="year"))
    c=guardrail_redis.client()
    for k in c.keys(guardrail_prefix+"*"): print(k,c.pttl(k), c.type(k))
    c.delete(guardrail_prefix+"{a:0001}:r")   # what its TTL does 31 s after the process died
    print(await look(store, share(0)))
    print((await take(store, share(70))).code)
    await store.close()
