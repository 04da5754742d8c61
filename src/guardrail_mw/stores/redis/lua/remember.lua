-- Change a standing. ARGV[1]: now; then triples of op, field, value. Answers the version.
return fmt(NUM, change(KEYS[1], time(num()), 2))
