"""Pure functions `(state, now, arguments) -> (state, result)` over integers.

The memory store calls them; `stores/redis/lua/` speaks of the same fields in the same words, and one contract suite holds the
two equal. All times are whole microseconds. Every number stays below 2^53, so that Lua's doubles are exact; the policy loader
refuses what could reach it.
"""
