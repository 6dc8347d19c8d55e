-- Notes what holders of one object say: KEYS holders by place, what peers said, spread number; ARGV
-- the lease in seconds, the node, a random number, then a peer and its record each, which is empty
-- when it is taken back.
local by_place, said, spread_key = KEYS[1], KEYS[2], KEYS[3]
local lease, node, draw = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local now = tonumber(redis.call('TIME')[1])
local expires = struct.pack('>I4', now + lease)
local highest = string.rep('\255', 9)

-- A record: the place (16), the peer (32), the node (8), the rest. Said is the place and the node.
local function remove(peer, old)
  local head = string.sub(old, 1, 16) .. peer
  redis.call('ZREMRANGEBYLEX', by_place, '[' .. head, '(' .. head .. highest)
end
for at = 4, #ARGV, 2 do
  local peer, record = ARGV[at], ARGV[at + 1]
  local old = redis.call('HGET', said, peer)
  if record == '' then
    -- Unless the client has moved to another node.
    if old and string.sub(old, 17, 24) == node then
      remove(peer, old)
      redis.call('HDEL', said, peer)
    end
  else
    if old then remove(peer, old) end
    redis.call('HSET', said, peer, string.sub(record, 1, 16) .. node)
    redis.call('ZADD', by_place, 0, record .. expires)
  end
end

-- Two others for each that was said are looked at, so that those whose lease is over go.
local count = redis.call('ZCARD', by_place)
for step = 1, math.min(#ARGV - 3, count) do
  local rank = (draw + step * 7919) % count
  local member = redis.call('ZRANGE', by_place, rank, rank)[1]
  if member and struct.unpack('>I4', member, #member - 3) <= now then
    redis.call('ZREM', by_place, member)
    redis.call('HDEL', said, string.sub(member, 17, 48))
  end
end
for _, key in ipairs({by_place, said, spread_key}) do redis.call('EXPIRE', key, lease) end
return redis.call('ZCARD', by_place)
