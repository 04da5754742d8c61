-- What a rebuild says of the values of sixteen buckets. KEYS: their records, then the buckets. ARGV[2]: for each value its key (8
-- bytes), a length (1) and so many bytes to stand at the end of its record; the others' records end where that begins.
local given, said, at = ARGV[2], {}, 1
while at <= #given do
  local length = byte(given, at + 8)
  said[sub(given, at, at + 6)] = { sub(given, at, at + 7), sub(given, at + 9, at + 8 + length) }
  at = at + 9 + length
end
local fields = call('HKEYS', KEYS[1])
for from = 1, #fields, 500 do
  local some, args = { unpack(fields, from, math.min(from + 499, #fields)) }, {}
  for i, record in ipairs(call('HMGET', KEYS[1], unpack(some))) do
    local ends = said[some[i]] and said[some[i]][2] or ''
    said[some[i]] = nil
    if sub(record, BARE + 1) ~= ends then
      args[#args + 1] = some[i]
      args[#args + 1] = sub(record, 1, BARE) .. ends
    end
  end
  if #args > 0 then call('HSET', KEYS[1], unpack(args)) end
end
for field, each in pairs(said) do
  local key, ends = each[1], each[2]
  if #ends > 4 then -- a value held once has a record only for its clusters
    local bucket = KEYS[2 + floor(byte(key, 7) / 16)]
    local singles = call('GET', bucket) or ''
    local found = place(singles, sub(key, 1, 6), 0, SINGLE)
    if found then
      call('HSET', KEYS[1], field, sub(singles, found + 6, found + SINGLE - 1) .. big(1, 4) .. ends)
      cut(bucket, singles, found)
    end
  end
end
return 1
