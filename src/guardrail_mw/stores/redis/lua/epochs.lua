-- The epoch of a place where tokens are spent: which process keeps it, in which of its terms as a master, since which flush.
-- Replication is asynchronous, so a promoted replica may lack tokens that were spent, as a server does that was restarted from a
-- snapshot: both have another run_id. A master that was a replica for a while took another's data, and has another master_replid.
-- A flush changes neither, but takes the random key away. It is worked out where and when a token is spent, so none of these can
-- come between.
local SHOWN = 20 -- hex digits of either: 80 bits
local function shown(section, name)
  local _, before = find(section, '\n' .. name .. ':', 1, true)
  return before and match(section, '^' .. string.rep('%x', SHOWN), before + 1)
end

-- The epoch; or nil, and an error to be answered.
local function epoch(random)
  local server, replication = redis.pcall('INFO', 'server'), redis.pcall('INFO', 'replication')
  if type(server) ~= 'string' or type(replication) ~= 'string' then
    local refused = type(server) == 'table' and server.err or type(replication) == 'table' and replication.err or 'no text'
    return nil, 'NOEPOCH A script must read INFO, or a token could be spent twice. Allow it (ACL SETUSER ... +info). ' .. refused
  end
  if not find(replication, '\nrole:master', 1, true) then return nil, 'READONLY This server is no master.' end
  local process, term = shown(server, 'run_id'), shown(replication, 'master_replid')
  if not process or not term then
    return nil, 'NOEPOCH INFO tells no run_id or no master_replid, so a token could be spent twice. Use a Redis or a Valkey.'
  end
  return process .. '.' .. term .. '.' .. random
end
