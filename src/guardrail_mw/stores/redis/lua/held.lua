-- What is kept of accounts. KEYS: standings, then edges, where a plain command does not read those. ARGV[1]: now, and how many
-- standings. Answers for each 'since created cluster verdict' with what there is of it, a colon behind each; then the edges.
local now, count = time(num()), num()
local answer = {}
for i = 1, count do
  local known = call('HMGET', KEYS[i], 'since', 'created', 'cluster', 'verdict', 'u')
  if known[5] and now < tonumber(known[5]) + KEPT then
    answer[i] = (known[1] or '') .. ':' .. (known[2] or '') .. ':' .. (known[3] or '') .. ':' .. (known[4] or '')
  else
    answer[i] = ''
  end
end
for i = count + 1, #KEYS do answer[i] = call('GET', KEYS[i]) or '' end
return answer
