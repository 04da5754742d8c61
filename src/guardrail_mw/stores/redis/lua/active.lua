-- Add up what accounts did, as `algorithms/activity.py` does. KEYS: edges, before which it stands. ARGV[1]: for each the hour, and
-- requests, tokens, fresh and windowed requests in it.
for _, name in ipairs(KEYS) do
  local hour, requests, tokens, fresh, windowed = num(), num(), num(), num(), num()
  local kept = call('GET', name) or NOTHING
  local bytes = { byte(kept, 1, DONE) }
  local function get(at, size)
    local n = 0
    for i = at + 1, at + size do n = n * 256 + bytes[i] end
    return n
  end
  local function put(at, size, n)
    for i = at + size, at + 1, -1 do
      local rest = n % 256
      bytes[i] = rest
      n = (n - rest) / 256
    end
  end
  local function add(at, size, more, full) put(at, size, math.min(get(at, size) + more, full)) end

  local first, last, days = get(0, 2), get(2, 2), get(4, 2)
  local day, newest = floor(hour / 24), floor(last / 24)
  if days == 0 then
    first, last, days, newest = hour, hour, 1, day
  elseif day > newest then
    days = math.min(days + 1, 65535)
    for each = math.max(newest + 1, day - 7), day do put(70 + each % 8 * 3, 3, 0) end
    newest = day
  end
  if day > newest - 8 then add(70 + day % 8 * 3, 3, requests, 16777215) end
  local at = 22 + hour % 24 * 2
  local after = get(at, 2) + requests
  while after > 65535 do
    after = floor(after / 2)
    for each = 22, 68, 2 do put(each, 2, floor(get(each, 2) / 2)) end
  end
  put(at, 2, after)
  local during, anew = get(16, 3) + windowed, get(19, 3) + fresh
  while during > 16777215 or anew > 16777215 do during, anew = floor(during / 2), floor(anew / 2) end
  put(0, 2, math.min(first, hour))
  put(2, 2, math.max(last, hour))
  put(4, 2, days)
  add(6, 4, requests, 4294967295)
  add(10, 6, tokens, 281474976710655)
  put(16, 3, during)
  put(19, 3, anew)
  call('SET', name, char(unpack(bytes)) .. sub(kept, DONE + 1))
end
return 1
