-- Add a request, or find it again. One with a fence was granted before data was lost: it is restored, if that can be.
-- ARGV: the request (JSON), a nonce
local request = cjson.decode(ARGV[1])
life(ARGV[2])
local known = load(request.id)
if known and (known.fence > 0 or request.fence == 0) then
  beat(known.id)
  return answer(nil, known)
end
if request.fence == 0 then
  -- After data was lost, a waiting request keeps its place before those that came later.
  local sequence = counter('sequence')
  if request.sequence == 0 then request.sequence = sequence + 1 end
  redis.call('HSET', state_key, 'sequence', string.format('%.0f', math.max(sequence, request.sequence)))
else
  if not in_quarantine() then return answer('gone') end
  local exclusive, any = {}, {}
  for _, other in ipairs(load_all()) do
    if other.fence > 0 then
      for _, index in ipairs(other.taken) do
        claim(other.choices[index + 1], any)
        if not other.shared then claim(other.choices[index + 1], exclusive) end
      end
    end
  end
  for _, index in ipairs(request.taken) do
    if not all_free(request.choices[index + 1], request.shared and exclusive or any) then return answer('gone') end
  end
  redis.call('HSET', state_key, 'fence', string.format('%.0f', math.max(counter('fence'), request.fence)))
end
save(request)
beat(request.id)
schedule()
return answer(nil, load(request.id))
