-- Decides for requests, one after the other: takes n tokens from every bucket
-- of a request, or none from any.
--
-- KEYS are the buckets of the first request, then those of the second, and so
-- on. ARGV[1] is of doubles: how long a lease lasts, and a number for tests; then
-- for each request n (0: take nothing, only settle), how many buckets it has and
-- whether it is about leases; for each bucket its limit (N, Per in ns, capacity)
-- and, if it is about leases, how many tokens are wanted ahead and the number of
-- the lease to make for them, the lease that is given back (0: none) and its
-- unspent tokens.
--
-- The answer is five doubles for each bucket of each request: whether n was
-- taken (-1: a name of the request holds something else), what is used then,
-- the tokens granted ahead, how long n is missing, and how long until the
-- bucket is full.
--
-- Times are microseconds by this server's clock. Tokens are counted in
-- millionths, in whole numbers below 2^53, and what flows in is rounded down,
-- so that rounding never gives anything.
--
-- A bucket is: used (its capacity less its level, so that a change of the
-- capacity moves the level and not what was spent), the time at which that was
-- right, N and Per; then for each lease its number, tokens and end, the last to
-- end first. Tokens in leases count as used and stay so: the bucket never fills
-- so far that it and the leases together hold more than its capacity.
local unpack, pack, floor, ceil, max, min = struct.unpack, struct.pack, math.floor, math.ceil, math.max, math.min
local call, pcall = redis.call, redis.pcall
local century = 100 * 365 * 86400 * 1e6
local keys, requests = KEYS, ARGV[1]
local lease_time = unpack('<d', requests)
local time = call('TIME')
local now = time[1] * 1000000 + time[2]
local none = {} -- leases of most buckets
local answers = {} -- each at the number of its key

local function flow(b, duration)
  return floor(duration * b.n * 1e9 / b.per)
end

-- advance ends the leases whose time has come and lets tokens flow in.
local function advance(b, to)
  local leases = b.leases
  for i = #leases, 1, -1 do
    local lease = leases[i]
    if lease[3] > to then break end
    b.used = max(b.out, b.used - flow(b, lease[3] - b.last))
    b.last = lease[3]
    b.out = b.out - lease[2]
    leases[i] = nil
    b.changed = true
  end
  b.used = max(b.out, b.used - flow(b, to - b.last))
  b.last = to
end

-- drop_lease drops a lease and returns its tokens, or 0.
local function drop_lease(b, id)
  for i = 1, #b.leases do
    local lease = b.leases[i]
    if lease[1] == id then
      table.remove(b.leases, i)
      b.out = b.out - lease[2]
      b.changed = true
      return lease[2]
    end
  end
  return 0
end

local function read_leases(b, value)
  b.leases = {}
  for p = 33, #value, 24 do
    local lease = {unpack('<ddd', value, p)}
    b.out = b.out + lease[2]
    b.leases[#b.leases + 1] = lease
  end
end

-- expiry is when a bucket is dropped: once it is full, at the end of a span of
-- an eighth of Per and at least a second. So it is mostly what it was before.
local function expiry(used, last, n, per)
  local full, span = used * per / (n * 1e9) + last, per / 8e3
  if full > now + century then full = now + century end
  if span < 1e6 then span = 1e6 end
  return full - full % span + span
end

-- settled_at is when no lease holds what is used any more.
local function settled_at(b)
  local longest = b.leases[1]
  return longest and max(b.last, longest[3]) or b.last
end

-- load returns a bucket as it is now, or nil for what is none.
local function load(key, n, per, capacity, ahead, id)
  local b = {key = key, n = n, per = per, capacity = capacity * 1e6, ahead = ahead, id = id, used = 0, last = now,
    stored_used = 0, stored_last = now, expires = 0, size = 0, out = 0, leases = none, changed = false, missing = false}
  local value = pcall('GET', key)
  if not value then return b end
  if type(value) == 'table' or #value % 24 ~= 8 or #value < 32 then return nil end
  b.used, b.last, b.n, b.per = unpack('<dddd', value)
  b.stored_used, b.stored_last, b.size = b.used, b.last, #value
  if #value > 32 then read_leases(b, value) end
  b.expires = expiry(b.used, settled_at(b), b.n, b.per)
  advance(b, max(now, b.last)) -- a clock that goes back gives nothing
  return b
end

-- fill is how long from now it takes until what was missing at a time has
-- flowed in, to the microsecond in which a later call will find it.
local function fill(missing, at, n, per)
  if missing > 0 then
    local wait, step = ceil(missing * per / (n * 1e9)), 1
    while wait < century and floor(wait * n * 1e9 / per) < missing do
      wait = wait + step
      step = step * 2
    end
    at = at + wait
  end
  if at < now then return 0 end
  return min(at - now, century)
end

-- hold_until is how long from now it takes until no more than used is used.
-- It counts as a later call will, from what is stored.
local function hold_until(b, used)
  local out, is, last = b.out, b.used, b.last
  if not b.changed then is, last = b.stored_used, b.stored_last end
  for i = #b.leases, 1, -1 do
    if used >= out then break end
    local lease = b.leases[i]
    is, last = max(out, is - flow(b, lease[3] - last)) + 1, lease[3] -- 1: it is rounded once more
    out = out - lease[2]
  end
  local missing = is - used
  if missing > 0 then missing = missing + #b.leases end -- each rounds once more
  return fill(missing, last, b.n, b.per)
end

-- store writes a bucket, over what was stored of it if its expiry and size
-- were the same.
local function store(key, value, expires, old_expires, old_size)
  if expires ~= old_expires then
    call('SET', key, value, 'PXAT', string.format('%.0f', ceil(expires / 1000) + 1))
  elseif #value ~= old_size then
    call('SET', key, value, 'KEEPTTL')
  else
    call('SETRANGE', key, '0', value)
  end
end

local function save(b)
  if b.used <= 0 and #b.leases == 0 then
    call('DEL', b.key)
    return
  end
  local value = pack('<dddd', b.used, b.last, b.n, b.per)
  for i = 1, #b.leases do
    local lease = b.leases[i]
    value = value .. pack('<ddd', lease[1], lease[2], lease[3])
  end
  store(b.key, value, expiry(b.used, settled_at(b), b.n, b.per), b.expires, b.size)
end

-- grant makes a lease of what is wanted ahead, and of no more than a quarter
-- of what is there.
local function grant(b)
  local tokens = min(b.ahead * 1e6, floor((b.capacity - b.used) / 4e6) * 1e6)
  if tokens <= 0 then return 0 end
  if b.leases == none then b.leases = {} end
  drop_lease(b, b.id) -- of a call that is repeated: nobody heard of it
  b.used, b.out = b.used + tokens, b.out + tokens
  local ends, i = b.last + lease_time, #b.leases
  while i > 0 and b.leases[i][3] < ends do
    b.leases[i + 1], i = b.leases[i], i - 1
  end
  b.leases[i + 1] = {b.id, tokens, ends}
  return tokens / 1e6
end

-- settle loads the bucket of a request at pos, gives back its lease and has
-- its limit be the request's.
local function settle(pos, key, about_leases)
  local n, per, capacity = unpack('<ddd', requests, pos)
  local ahead, id, old, back = 0, 0, 0, 0
  if about_leases > 0 then ahead, id, old, back = unpack('<dddd', requests, pos + 24) end
  local b = load(key, n, per, capacity, ahead, id)
  if not b then return nil end
  if old > 0 then b.used = b.used - min(back * 1e6, drop_lease(b, old)) end
  if b.n ~= n or b.per ~= per then
    b.n, b.per, b.changed = n, per, true
  end
  return b
end

-- decide answers a request for n. Its buckets are at pos, of size bytes each, and
-- have the keys after first.
local function decide(n, count, about_leases, pos, size, first)
  local buckets, allowed = {}, 1
  for i = 1, count do
    local b = settle(pos + (i - 1) * size, keys[first + i], about_leases)
    if not b then
      allowed = -1
    elseif n > 0 and b.used + n > b.capacity then
      b.missing = true
      allowed = min(allowed, 0)
    end
    buckets[i] = b
  end
  for i = 1, count do
    local b, granted, wait, full = buckets[i], 0, 0, 0
    if allowed < 0 then
      answers[first + i] = pack('<ddddd', allowed, 0, 0, 0, 0)
    else
      if b.missing then wait = max(1, hold_until(b, b.capacity - n)) end
      if allowed == 1 and n > 0 then
        b.used, b.changed = b.used + n, true
        full = hold_until(b, 0) -- what is granted is there for who asks
        granted = grant(b)
      else
        full = hold_until(b, 0)
      end
      if b.changed then save(b) end
      answers[first + i] = pack('<ddddd', allowed, b.used, granted, wait, full)
    end
  end
end

local values, expires, old_expires = {}, {}, {}

-- quick is decide for what most requests are: they pass, and there are no
-- leases. It makes no tables, and returns false where it is not for it.
local function quick(n, count, pos, size, first)
  for i = 1, count do
    local rate, per, capacity = unpack('<ddd', requests, pos)
    local used, last, expired = 0, now, 0
    local value = pcall('GET', keys[first + i])
    if value then
      if #value ~= 32 then return false end
      local old_rate, old_per
      used, last, old_rate, old_per = unpack('<dddd', value)
      expired = expiry(used, last, old_rate, old_per)
      if last < now then
        used, last = used - floor((now - last) * old_rate * 1e9 / old_per), now
        if used < 0 then used = 0 end
      end
    end
    used, pos = used + n, pos + size
    if used > capacity * 1e6 then return false end
    values[i], expires[i], old_expires[i] = pack('<dddd', used, last, rate, per), expiry(used, last, rate, per), expired
    answers[first + i] = pack('<ddddd', 1, used, 0, 0, fill(used, last, rate, per))
  end
  for i = 1, count do store(keys[first + i], values[i], expires[i], old_expires[i], 32) end
  return true
end

local pos, first = 17, 0
while first < #keys do
  local n, count, about_leases = unpack('<ddd', requests, pos)
  local size = about_leases > 0 and 56 or 24
  n, pos = n * 1e6, pos + 24
  if about_leases > 0 or not quick(n, count, pos, size, first) then
    decide(n, count, about_leases, pos, size, first)
  end
  pos, first = pos + count * size, first + count
end
return table.concat(answers)
