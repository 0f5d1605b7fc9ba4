-- Remove a request, whether it waits or holds. ARGV: id, a nonce
life(ARGV[2])
remove(ARGV[1])
schedule()
return answer('released')
