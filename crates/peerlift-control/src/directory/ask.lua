-- Draws holders of one object: KEYS holders by place, spread number; ARGV wanted, reserve, draw,
-- whether a spread number is wanted, then the first and the last member of each ring but the world.
-- Answers with the spread number (-1: none), the time, and members one after another: whose lease
-- is over is for the node to see, as a look at each would be a good part of the price.
local by_place, spread_key = KEYS[1], KEYS[2]
local wanted, reserve, draw = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local size = redis.call('ZCARD', by_place)
if size == 0 then
  return {-1, 0, ''}
end
local spread = -1
if ARGV[4] == '1' then
  -- A server that is full or a replica counts no further; holders can be drawn all the same.
  -- Who asked while there were none has taken 0.
  local count = redis.pcall('INCR', spread_key)
  if type(count) == 'number' then spread = count % 4294967296 end
end

-- The ranks of each ring, without those of the ring within it.
local rings, inner_from, inner_to = {}, nil, nil
local function add_ring(from, to)
  local hole_from, hole_to = inner_from or from, inner_to or from
  local count = (to - from) - (hole_to - hole_from)
  rings[#rings + 1] = {from = from, hole_from = hole_from, hole_to = hole_to, count = count, take = 0}
  inner_from, inner_to = from, to
end
for at = 5, #ARGV, 2 do
  local from = redis.call('ZLEXCOUNT', by_place, '-', '(' .. ARGV[at])
  add_ring(from, redis.call('ZLEXCOUNT', by_place, '-', '[' .. ARGV[at + 1]))
end
add_ring(0, size)

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
    local run = redis.call('ZRANGE', by_place, rank, rank + most - 1)
    for at = 1, #run do members[#members + 1] = run[at] end
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
return {spread, tonumber(redis.call('TIME')[1]), table.concat(members)}
