-- Removes a pin that is still on a backend.
-- KEYS[1] the pin
-- ARGV[1] the backend, or '' for any
-- Returns how many pins were removed.
if ARGV[1] ~= '' then
  local held = redis.call('GET', KEYS[1])
  if not held or string.match(held, '^%d+ (.+)$') ~= ARGV[1] then
    return 0
  end
end
return redis.pcall('DEL', KEYS[1])
