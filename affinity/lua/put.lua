-- Pins a session to a backend unless another one has it.
-- KEYS[1] the pin
-- ARGV[1] the backend, ARGV[2] the life in ms, ARGV[3] a backend it may be taken from, or ''
-- Returns the backend that has the session now. The value is "<life> <backend>".
local mine = ARGV[2] .. ' ' .. ARGV[1]
local held = redis.call('GET', KEYS[1])
local r
if held == mine then
  -- A renewal takes no memory: a full server still allows it.
  r = redis.pcall('PEXPIRE', KEYS[1], ARGV[2])
else
  if held then
    local backend = string.match(held, '^%d+ (.+)$')
    if backend and backend ~= ARGV[1] and backend ~= ARGV[3] then
      return backend
    end
  end
  r = redis.pcall('SET', KEYS[1], mine, 'PX', ARGV[2])
end
-- Passed on as a reply of its own, an error keeps its code on every version.
if type(r) == 'table' and r.err then
  return r
end
return ARGV[1]
