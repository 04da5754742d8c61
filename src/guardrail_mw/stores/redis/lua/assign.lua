-- Change many standings. KEYS: they. ARGV[1]: now, and how many changes each has; then triples of op, field, value.
local now, first = time(num()), 2
for _, name in ipairs(KEYS) do
  local after_ = first + 3 * num()
  change(name, now, first, after_ - 1)
  first = after_
end
return 1
