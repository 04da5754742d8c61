-- Note what an account shows. KEYS: its edges, its standing, then of each value the bucket and the records, unless they are on
-- other servers. ARGV[1]: now, whether the bill's time and version are to be looked at, and these; ARGV[2]: its short name;
-- ARGV[3]: keys, 8 bytes each. Answers nothing where the bill is late or stale; else which keys are new to the account ('0' or
-- '1' each), the keys that made room, and what is known of each value that is here.
local now, checked, not_after, version = time(num()), num(), num(), token()
if checked == 1 then
  if not_after > 0 and now > not_after then return {} end
  local known = call('HMGET', KEYS[2], 'v', 'u')
  if known[2] and now >= tonumber(known[2]) + KEPT then known[1] = false end
  if (known[1] or '0') ~= version then return {} end
end
local who, given = ARGV[2], ARGV[3]
local edges = call('GET', KEYS[1]) or NOTHING
local hour = hour_of(now)
local today = floor(hour / 24) % 256
local changed, news, gone = false, {}, {}

local function make_room()
  local count = (#edges - DONE) / EDGE
  local going, oldest, longest = {}, nil, -1
  for i = 1, count do
    local age = (today - byte(edges, DONE + i * EDGE)) % 256
    if age > 90 then going[#going + 1] = i end
    -- what anybody can send goes before what costs something: codes 4, 5, 7 and 9 to 31
    local code = floor(byte(edges, DONE + (i - 1) * EDGE + 1) / 2)
    if code == 4 or code == 5 or code == 7 or (code >= 9 and code < 32) then age = age + 256 end
    if age > longest then oldest, longest = i, age end
  end
  if #going == 0 then going[1] = oldest end
  for j = #going, 1, -1 do
    local at = DONE + (going[j] - 1) * EDGE + 1
    gone[#gone + 1] = sub(edges, at, at + 7)
    edges = sub(edges, 1, at - 1) .. sub(edges, at + EDGE)
  end
end

for i = 1, #given, 8 do
  local at = place(edges, sub(given, i, i + 7), DONE, EDGE)
  if at and byte(edges, at + 10) ~= today then
    edges = sub(edges, 1, at + 9) .. char(today) .. sub(edges, at + EDGE)
    changed = true
  end
  news[#news + 1] = not at
end
for i = 1, #news do
  local key = sub(given, 8 * i - 7, 8 * i)
  news[i] = news[i] and not place(edges, key, DONE, EDGE)
  if news[i] then
    if #edges >= DONE + 64 * EDGE then make_room() end
    edges = edges .. key .. big(hour, 2) .. char(today)
    changed = true
  end
end
if changed then call('SET', KEYS[1], edges) end

local answer = { '', table.concat(gone) }
for i = 1, #news do
  local bucket, records = KEYS[2 * i + 1], KEYS[2 * i + 2]
  if bucket then
    local key = sub(given, 8 * i - 7, 8 * i)
    answer[i + 2] = news[i] and hold(bucket, records, key, who) or look(records, key, who)
  end
  news[i] = news[i] and '1' or '0'
end
answer[1] = table.concat(news)
return answer
