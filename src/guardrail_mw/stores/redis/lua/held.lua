-- What is kept of accounts. KEYS: standings, then edges, where a plain command does not read those. ARGV[1]: now, and how many
-- standings. Answers for each 'since created cluster verdict budget counters' with what there is of it, colons between; then the
-- edges.
local now, count = time(num()), num()
local answer = {}
for i = 1, count do
  local known = call('HMGET', KEYS[i], 'since', 'created', 'cluster', 'verdict', 'budget', 'counters', 'u')
  if known[7] and now < tonumber(known[7]) + KEPT then
    for j = 1, 6 do known[j] = known[j] or '' end
    answer[i] = table.concat(known, ':', 1, 6)
  else
    answer[i] = ''
  end
end
for i = count + 1, #KEYS do answer[i] = call('GET', KEYS[i]) or '' end
return answer
