-- Values and one who holds them. KEYS: of each value the bucket and the records. ARGV[1]: `hold`, `drop`, or `look`, which only
-- reads; ARGV[2]: short name; ARGV[3]: keys, 8 bytes each. Answers what is known of each.
local ways = { hold = hold, drop = drop, look = stored }
local way, who, given, answer = ways[ARGV[1]], ARGV[2], ARGV[3], {}
for i = 1, #given / 8 do
  answer[i] = way(KEYS[2 * i - 1], KEYS[2 * i], sub(given, 8 * i - 7, 8 * i), who)
end
return answer
