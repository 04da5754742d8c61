-- What is kept of accounts. KEYS: standings, then edges, where a plain command does not read those. ARGV[1]: now, and how many
-- standings. Answers for each 'since created cluster verdict budget' with what there is of it, a colon between; then the edges.
local now, count = time(num()), num()
local answer = {}
for i = 1, count do
  local known = call('HMGET', KEYS[i], 'since', 'created', 'cluster', 'verdict', 'budget', 'u')
  if known[6] and now < tonumber(known[6]) + KEPT then
    for j = 1, 5 do known[j] = known[j] or '' end
    answer[i] = table.concat(known, ':', 1, 5)
  else
    answer[i] = ''
  end
end
for i = count + 1, #KEYS do answer[i] = call('GET', KEYS[i]) or '' end
return answer
