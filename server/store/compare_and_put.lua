-- KEYS: version, data. ARGV: expected version (-1 for none), new version, new
-- data, life in seconds (0 for ever). Returns 1, or 0 with what is there, nil
-- twice for nothing.
local v = redis.call('GET', KEYS[1])
local current = v or '-1'
if current ~= ARGV[1] then
  if not v then return {0, false, false} end
  return {0, v, redis.call('GET', KEYS[2]) or 'null'}
end
if ARGV[4] == '0' then
  redis.call('MSET', KEYS[1], ARGV[2], KEYS[2], ARGV[3])
else
  redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[4])
  redis.call('SET', KEYS[2], ARGV[3], 'EX', ARGV[4])
end
return {1, ARGV[2], ''}
