-- Draws holders of one object: KEYS holders by place, records, spread number; ARGV wanted, reserve,
-- draw, whether a spread number is wanted, then the first and the last member of each ring.
-- Answers with the spread number (-1: none) and records.
local by_place, records, spread_key = KEYS[1], KEYS[2], KEYS[3]
local wanted, reserve, draw = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local answer = {-1}
if redis.call('ZCARD', by_place) == 0 then
  return answer
end
if ARGV[4] == '1' then
  -- A server that is full or a replica counts no further; holders can be drawn all the same.
  local count = redis.pcall('INCR', spread_key)
  if type(count) == 'number' then answer[1] = (count - 1) % 4294967296 end
end

-- The ranks of each ring, without those of the ring within it.
local rings, inner_from, inner_to = {}, nil, nil
for at = 5, #ARGV, 2 do
  local from = redis.call('ZLEXCOUNT', by_place, '-', '(' .. ARGV[at])
  local to = redis.call('ZLEXCOUNT', by_place, '-', '[' .. ARGV[at + 1])
  local hole_from, hole_to = inner_from or from, inner_to or from
  local count = (to - from) - (hole_to - hole_from)
  rings[#rings + 1] = {from = from, hole_from = hole_from, hole_to = hole_to, count = count, take = 0}
  inner_from, inner_to = from, to
end

-- Near rings first, up to what the reserve leaves them; then the world; then the near ones again.
local left = wanted
local function allot(ring, most)
  local more = math.max(0, math.min(ring.count - ring.take, most))
  ring.take = ring.take + more
  left = left - more
end
for at = 1, #rings - 1 do allot(rings[at], left - reserve) end
allot(rings[#rings], left)
for at = 1, #rings - 1 do allot(rings[at], left) end

-- Every so-many-th from a random one on: each holder is as likely as any other. By fours, as a call
-- for each one would be most of the price; a small ring is taken as a whole.
local members = {}
local function take(ring, offset, count)
  while count > 0 do
    local hole = ring.hole_from - ring.from
    local rank, most = ring.from + offset, ring.count - offset
    if offset < hole then most = hole - offset
    else rank = rank + (ring.hole_to - ring.hole_from) end
    most = math.min(most, count)
    for _, member in ipairs(redis.call('ZRANGE', by_place, rank, rank + most - 1)) do
      members[#members + 1] = member
    end
    count, offset = count - most, (offset + most) % ring.count
  end
end
for _, ring in ipairs(rings) do
  if ring.take > 0 then
    local stride = math.floor(ring.count / ring.take)
    local run = stride == 1 and ring.take or 4
    for step = 0, ring.take - 1, run do
      take(ring, (draw + step * stride) % ring.count, math.min(run, ring.take - step))
    end
  end
end
if #members == 0 then
  return answer
end

local peers = {}
for at, member in ipairs(members) do peers[at] = string.sub(member, 17) end
local found = redis.call('HMGET', records, unpack(peers))
local now = tonumber(redis.call('TIME')[1])
for at, record in ipairs(found) do
  if record and struct.unpack('>I4', record) > now then
    answer[#answer + 1] = string.sub(record, 5)
  else
    redis.pcall('ZREM', by_place, members[at])
    if record then redis.pcall('HDEL', records, peers[at]) end
  end
end
return answer
