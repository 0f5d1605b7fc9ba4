-- Mark holds as ended against their owners' will. They stay in the way until their owners have heard, or are evicted,
-- since they do not count as beating any more. ARGV: ids (JSON), who and why
for _, id in ipairs(cjson.decode(ARGV[1])) do
  local request = load(id)
  if request and request.fence > 0 and request.forced == '' then
    request.forced = ARGV[2]
    save(request)
  end
end
return answer('forced')
