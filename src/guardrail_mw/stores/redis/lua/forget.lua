-- Take edges of accounts away. KEYS: their edges. ARGV[1]: now; the day before which one must have been seen last, -1 for any;
-- whether all else goes too. ARGV[2]: keys, 8 bytes each; none for all. Answers for each account nothing where there was
-- nothing, else '+' and the keys that went.
local now, before, whole = time(num()), num(), num() == 1
local given, answer = ARGV[2], {}
local today = floor(hour_of(now) / 24)
for i, name in ipairs(KEYS) do
  local edges = call('GET', name)
  local left, gone = {}, { '+' }
  for at = DONE + 1, edges and #edges or 0, EDGE do
    local edge = sub(edges, at, at + EDGE - 1)
    local key = sub(edge, 1, 8)
    local seen = today - (today - byte(edge, EDGE)) % 256
    if (given == '' or place(given, key, 0, 8)) and (before < 0 or seen < before) then
      gone[#gone + 1] = key
    else
      left[#left + 1] = edge
    end
  end
  if edges then
    local done = sub(edges, 1, DONE)
    local high, low = byte(done, 3, 4)
    local over = whole or done == NOTHING or floor((high * 256 + low) / 24) < before
    if over and #left == 0 then
      call('DEL', name)
    elseif #gone > 1 then
      call('SET', name, done .. table.concat(left))
    end
  end
  answer[i] = edges and table.concat(gone) or ''
end
return answer
