-- Notes what holders of one object say: KEYS as of the question; ARGV the lease in seconds, the
-- node, a random number, then a peer and its record each, which is empty when it is taken back.
local by_place, records, spread_key = KEYS[1], KEYS[2], KEYS[3]
local lease, node, draw = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local now = tonumber(redis.call('TIME')[1])
local expires = struct.pack('>I4', now + lease)

-- A record: when its lease is over (4 bytes), the node (8), the place (16), the rest.
for at = 4, #ARGV, 2 do
  local peer, record = ARGV[at], ARGV[at + 1]
  local old = redis.call('HGET', records, peer)
  if record == '' then
    -- Unless the client has moved to another node.
    if old and string.sub(old, 5, 12) == node then
      redis.call('ZREM', by_place, string.sub(old, 13, 28) .. peer)
      redis.call('HDEL', records, peer)
    end
  else
    local place = string.sub(record, 9, 24)
    if old and string.sub(old, 13, 28) ~= place then
      redis.call('ZREM', by_place, string.sub(old, 13, 28) .. peer)
    end
    redis.call('HSET', records, peer, expires .. record)
    redis.call('ZADD', by_place, 0, place .. peer)
  end
end

-- Two others for each that was said are looked at, so that those whose lease is over go.
local count = redis.call('ZCARD', by_place)
for step = 1, math.min(#ARGV - 3, count) do
  local rank = (draw + step * 7919) % count
  local member = redis.call('ZRANGE', by_place, rank, rank)[1]
  if member then
    local peer = string.sub(member, 17)
    local old = redis.call('HGET', records, peer)
    if not old or struct.unpack('>I4', old) <= now then
      redis.call('ZREM', by_place, member)
      redis.call('HDEL', records, peer)
    end
  end
end
for _, key in ipairs({by_place, records, spread_key}) do redis.call('EXPIRE', key, lease) end
return redis.call('ZCARD', by_place)
