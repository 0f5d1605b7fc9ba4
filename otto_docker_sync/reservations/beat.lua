-- Say that the owner of a request lives, and what it has observed.
-- ARGV: id, fence as its owner knows it, the life that the observations are of, the observations (JSON), a nonce
local id, fence = ARGV[1], tonumber(ARGV[2])
local request = load(id)
if life(ARGV[5]) == ARGV[3] and judge(cjson.decode(ARGV[4])) then
  schedule()
  request = load(id)
end
-- A grant that was lost, with the request still there as waiting: its owner has to submit it with its fence.
if not request or (request.fence == 0 and fence > 0) then return answer('unknown') end
if request.forced == '' then beat(id) end
return answer(nil, request)
