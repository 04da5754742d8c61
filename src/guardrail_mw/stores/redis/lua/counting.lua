-- What is counted beside limits; put between what all scripts share and those that count.

-- A count: 'pane total running', and a ring as a window's for the panes before; what comes in the running pane stands apart,
-- so that to count is to write one field. Gives the total, what of it came in the running pane, that pane, and `args` with the
-- slots that change because the pane does (nil where none was given and none does).
local function counted(key, field, stored, pane, args)
  if not stored then return 0, 0, pane, args end
  local head, total, running = match(stored, '^(%d+) (%d+) (%d+)$')
  head, total, running = tonumber(head), tonumber(total), tonumber(running)
  local passed = pane - head
  if passed <= 0 then return total, running, head, args end
  if passed > 21 then passed = 21 end
  args = args or {}
  if total > running then
    total = total - emptied(key, field, pane, passed, args)
  end
  if passed == 21 then
    total = total - running
  elseif running > 0 then
    args[#args + 1] = slot(field, head)
    args[#args + 1] = fmt(NUM, running)
  end
  return total, 0, pane, args
end

-- A sketch: 'pane count', and a HyperLogLog for the running pane and one for the pane before, which take turns. They are counted
-- only where the value was new to its pane.
local function sketch(key, step, peek)
  local first, pane, was = step[3], step.pane, step.was
  local running, before = KEYS[first + pane % 2], KEYS[first + (pane + 1) % 2]
  if peek then
    if was and was == pane - 1 then
      step.total = call('PFCOUNT', before)
    elseif was and was < pane then
      step.total = 0
    end
    return
  end
  if was ~= pane then
    if was == pane - 1 then call('DEL', running) else call('DEL', running, before) end
  end
  if call('PFADD', running, step[4]) == 1 then
    expire(running, 2 * step[5] + SLACK)
    step.total = call('PFCOUNT', running, before)
    call('HSET', key, step[2], fmt(NUM2, pane, step.total))
  end
end
