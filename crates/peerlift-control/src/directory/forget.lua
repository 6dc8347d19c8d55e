-- Removes members whose leases are over: KEYS holders by place, what peers said; ARGV members. One
-- that was renewed since is another member.
local removed = 0
for _, member in ipairs(ARGV) do
  if redis.call('ZREM', KEYS[1], member) == 1 then
    redis.call('HDEL', KEYS[2], string.sub(member, 17, 48))
    removed = removed + 1
  end
end
return removed
