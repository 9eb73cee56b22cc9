-- Names the contents of this server, and shows that it can be written.
-- KEYS[1] the name
-- ARGV[1] the name to give if there is none, ARGV[2] its life in ms
-- Returns the name.
local name = redis.call('GET', KEYS[1]) or ARGV[1]
local r = redis.pcall('SET', KEYS[1], name, 'PX', ARGV[2])
if type(r) == 'table' and r.err then
  return r
end
return name
