-- In front of every script: the table of requests, as table.py has it, and the rule of scheduler.py.
--
-- KEYS[1]  hash: id -> request (JSON)
-- KEYS[2]  sorted set: id -> the logical time of its last beat
-- KEYS[3]  hash: counters, and which life of the data this is
-- KEYS[4]  prefix of the bells, one list for each request that waits
--
-- The logical time is a counter that rises with every beat. No key that carries a lease has a Redis TTL, and no clock
-- decides who holds what: neither the server's nor a client's can be trusted not to jump.

-- A request is evicted after this part of its ttl without a beat, by the clock of somebody who watched that long.
local EVICT = 0.4
-- Nothing is granted, and nobody evicted, for this part of the longest ttl after data may have been lost.
local QUARANTINE = 0.5

local requests_key, beats_key, state_key, bell_prefix = KEYS[1], KEYS[2], KEYS[3], KEYS[4]

local function counter(name)
  return tonumber(redis.call('HGET', state_key, name) or '0')
end

local function load(id)
  local text = redis.call('HGET', requests_key, id)
  return text and cjson.decode(text)
end

local function load_all()
  local all = {}
  for _, text in ipairs(redis.call('HVALS', requests_key)) do
    all[#all + 1] = cjson.decode(text)
  end
  return all
end

local function save(request)
  redis.call('HSET', requests_key, request.id, cjson.encode(request))
  -- The shortest ttl of all requests: who was seen more recently than it allows need not be looked at.
  local shortest = redis.call('HGET', state_key, 'shortest')
  if not shortest or request.ttl < tonumber(shortest) then
    redis.call('HSET', state_key, 'shortest', tostring(request.ttl))
  end
end

local function remove(id)
  redis.call('HDEL', requests_key, id)
  redis.call('ZREM', beats_key, id)
  redis.call('DEL', bell_prefix .. id)
  if redis.call('HLEN', requests_key) == 0 then redis.call('HDEL', state_key, 'shortest') end
end

-- Wake whoever waits for `request`. A bell that gets lost costs time, and nothing else.
local function ring(request)
  local bell = bell_prefix .. request.id
  redis.call('RPUSH', bell, '1')
  redis.call('PEXPIRE', bell, math.ceil(request.ttl * 1000))
end

local function beat(id)
  redis.call('ZADD', beats_key, redis.call('HINCRBY', state_key, 'time', 1), id)
end

-- Which life of the data this is. A restart, a failover and a FLUSHALL begin a new one: then grants may be lost that
-- their holders still believe in, so there is a quarantine, in which they have the time to say so.
local function life(nonce)
  local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
  if redis.call('HGET', state_key, 'run') ~= run then
    redis.call('HSET', state_key, 'run', run, 'life', nonce, 'quarantine', '1', 'begun', counter('time'))
  end
  return redis.call('HGET', state_key, 'life')
end

local function in_quarantine()
  return redis.call('HGET', state_key, 'quarantine') == '1'
end

local function all_free(tags, taken)
  for _, tag in ipairs(tags) do
    if taken[tag] then return false end
  end
  return true
end

local function claim(tags, claims)
  for _, tag in ipairs(tags) do claims[tag] = true end
end

-- scheduler.py explains the rule.
local function grants(all)
  local exclusive, any, waiting, made = {}, {}, {}, {}
  local function claim_both(request, tags)
    claim(tags, any)
    if not request.shared then claim(tags, exclusive) end
  end
  for _, request in ipairs(all) do
    if request.fence > 0 then
      for _, index in ipairs(request.taken) do claim_both(request, request.choices[index + 1]) end
    else
      waiting[#waiting + 1] = request
    end
  end
  table.sort(waiting, function(one, other)
    if one.priority ~= other.priority then return one.priority > other.priority end
    return one.sequence < other.sequence
  end)
  for _, request in ipairs(waiting) do
    local free = {}
    local in_the_way = request.shared and exclusive or any
    for index, tags in ipairs(request.choices) do
      if #free < request.count and all_free(tags, in_the_way) then free[#free + 1] = index - 1 end
    end
    if #free >= request.count then
      request.taken = free
      made[#made + 1] = request
      for _, index in ipairs(free) do claim_both(request, request.choices[index + 1]) end
    else
      for _, tags in ipairs(request.choices) do claim_both(request, tags) end
    end
  end
  return made
end

local function schedule()
  if in_quarantine() then return end
  local made = grants(load_all())
  if #made == 0 then return end
  local now = redis.call('TIME')
  for _, request in ipairs(made) do
    -- The clock only makes fences rise after all data was lost. It cannot make them fall.
    local fence = math.max(counter('fence') + 1, now[1] * 1000 + math.floor(now[2] / 1000))
    redis.call('HSET', state_key, 'fence', string.format('%.0f', fence))
    request.fence = fence
    request.since = now[1] + now[2] / 1000000
    save(request)
    ring(request)
  end
end

-- End the quarantine, and evict who is dead, by what a client has observed: `observed` lists logical times, each with
-- the seconds for which that client, by its own clock, has known that the time had come. Who has not beaten since
-- before such a time has been silent for at least as many seconds. Returns whether anything has changed.
local function judge(observed)
  if in_quarantine() then
    local longest, begun = 0, counter('begun')
    for _, request in ipairs(load_all()) do longest = math.max(longest, request.ttl) end
    for _, sample in ipairs(observed) do
      if sample[1] >= begun and sample[2] >= QUARANTINE * longest then
        redis.call('HSET', state_key, 'quarantine', '0')
        return true
      end
    end
    return false
  end
  local changed = false
  local shortest = tonumber(redis.call('HGET', state_key, 'shortest') or 'inf')
  for _, sample in ipairs(observed) do
    if sample[2] >= EVICT * shortest then
      for _, id in ipairs(redis.call('ZRANGEBYSCORE', beats_key, '-inf', sample[1])) do
        local request = load(id)
        if not request or sample[2] >= EVICT * request.ttl then
          remove(id)
          changed = true
        end
      end
    end
  end
  return changed
end

local function answer(state, request)
  local reply = {
    state = state,
    time = counter('time'),
    life = redis.call('HGET', state_key, 'life'),
    quarantine = in_quarantine(),
  }
  if request then
    reply.request = request
    if request.forced ~= '' then
      reply.state = 'forced'
    elseif request.fence > 0 then
      reply.state = 'granted'
    else
      reply.state = 'waiting'
    end
  end
  return cjson.encode(reply)
end
