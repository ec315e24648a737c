-- Decides for requests, one after the other: takes n tokens from every bucket
-- of a request, or none from any.
--
-- KEYS are the buckets of the first request, then those of the second, and so
-- on. Each ARGV is a request, as doubles: n (0: take nothing, only settle), how
-- long a lease lasts, a number for tests; then for each bucket its limit (N,
-- Per in ns, capacity), how many tokens are wanted ahead and the number of the
-- lease to make for them, and the lease that is given back (0: none) with its
-- unspent tokens.
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
local time = call('TIME')
local now = time[1] * 1000000 + time[2]
local none = {} -- leases of most buckets

local function flow(b, duration)
  return floor(duration * b.n * 1e9 / b.per)
end

-- advance ends the leases whose time has come and lets tokens flow in.
local function advance(b)
  local leases = b.leases
  for i = #leases, 1, -1 do
    local lease = leases[i]
    if lease[3] > b.at then break end
    b.used = max(b.out, b.used - flow(b, lease[3] - b.last))
    b.last = lease[3]
    b.out = b.out - lease[2]
    leases[i] = nil
    b.changed = true
  end
  b.used = max(b.out, b.used - flow(b, b.at - b.last))
  b.last = b.at
end

-- drop_lease drops a lease and returns its tokens, or 0.
local function drop_lease(b, id)
  for i, lease in ipairs(b.leases) do
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

-- load returns a bucket as it is now, or nil for what is none.
local function load(key, request, pos)
  local n, per, capacity, ahead, id, old, back = unpack('<ddddddd', request, pos)
  local b = {key = key, n = n, per = per, capacity = capacity * 1e6, ahead = ahead, id = id,
    used = 0, last = now, at = now, stored_used = 0, stored_last = now, out = 0, leases = none, changed = false, missing = false}
  local value = pcall('GET', key)
  if not value then return b end
  if type(value) == 'table' or #value % 24 ~= 8 or #value < 32 then return nil end
  b.used, b.last, b.n, b.per = unpack('<dddd', value)
  b.stored_used, b.stored_last = b.used, b.last
  b.at = max(now, b.last) -- a clock that goes back gives nothing
  if #value > 32 then read_leases(b, value) end
  advance(b)
  if old > 0 then b.used = b.used - min(back * 1e6, drop_lease(b, old)) end
  if b.n ~= n or b.per ~= per then
    b.n, b.per, b.changed = n, per, true
  end
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
  return max(0, min(at - now, century))
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

local function save(b)
  if b.used <= 0 and #b.leases == 0 then
    call('DEL', b.key)
    return
  end
  local value = pack('<dddd', b.used, b.last, b.n, b.per)
  local full = b.used * b.per / (b.n * 1e9) + b.last - now
  if #b.leases > 0 then
    for _, lease in ipairs(b.leases) do
      value = value .. pack('<ddd', lease[1], lease[2], lease[3])
    end
    full = full + b.leases[1][3] - b.last -- at the latest
  end
  call('SET', b.key, value, 'PX', ceil(min(full, century) / 1000) + 1)
end

-- grant makes a lease of what is wanted ahead, and of no more than a quarter
-- of what is there.
local function grant(b, lease_time)
  local tokens = min(b.ahead * 1e6, floor((b.capacity - b.used) / 4e6) * 1e6)
  if tokens <= 0 then return 0 end
  if b.leases == none then b.leases = {} end
  drop_lease(b, b.id) -- of a call that is repeated: nobody heard of it
  b.used, b.out = b.used + tokens, b.out + tokens
  local lease, i = {b.id, tokens, b.at + lease_time}, 1
  while b.leases[i] and b.leases[i][3] > lease[3] do i = i + 1 end
  table.insert(b.leases, i, lease)
  return tokens / 1e6
end

-- decide answers one request, whose buckets are KEYS from the one after first;
-- nothing where one of them is none.
local function decide(request, first)
  local n, lease_time = unpack('<dd', request)
  local buckets, allowed = {}, 1
  for i = 1, (#request - 24) / 56 do
    local b = load(KEYS[first + i], request, i * 56 - 31)
    if not b then return '' end
    buckets[i] = b
    b.missing = n > 0 and b.used + n * 1e6 > b.capacity
    if b.missing then allowed = 0 end
  end
  local answer = pack('<d', allowed)
  for _, b in ipairs(buckets) do
    local granted, wait, full = 0, 0
    if b.missing then wait = max(1, hold_until(b, b.capacity - n * 1e6)) end
    if allowed == 1 and n > 0 then
      b.used, b.changed = b.used + n * 1e6, true
      full = hold_until(b, 0) -- what is granted is there for who asks
      if b.ahead > 0 then granted = grant(b, lease_time) end
    else
      full = hold_until(b, 0)
    end
    if b.changed then save(b) end
    answer = answer .. pack('<dddd', b.used, granted, wait, full)
  end
  return answer
end

-- What quick knows of the buckets of a request; made once for all requests.
local used, last, stored, stored_at, rates, pers, levels, changed = {}, {}, {}, {}, {}, {}, {}, {}

-- quick is decide for buckets that have no leases and want none, which are
-- most: it makes no tables. It returns nil where it is not for it.
local function quick(request, first, count)
  local n, allowed = unpack('<d', request) * 1e6, 1
  for i = 1, count do
    local rate, per, capacity, ahead, _, old = unpack('<dddddd', request, i * 56 - 31)
    if ahead > 0 or old > 0 then return nil end
    local value = pcall('GET', KEYS[first + i])
    local is, at, was, was_at = 0, now, 0, now
    changed[i] = false
    if value then
      if type(value) == 'table' or #value ~= 32 then return nil end
      local old_rate, old_per
      was, was_at, old_rate, old_per = unpack('<dddd', value)
      at = max(now, was_at)
      is = max(0, was - floor((at - was_at) * old_rate * 1e9 / old_per))
      if rate ~= old_rate or per ~= old_per then
        changed[i], was, was_at = true, is, at
      end
    end
    used[i], last[i], stored[i], stored_at[i] = is, at, was, was_at
    rates[i], pers[i], levels[i] = rate, per, capacity * 1e6 - is
    if levels[i] < n then allowed = 0 end
  end
  local answer = pack('<d', allowed)
  for i = 1, count do
    local rate, per, wait = rates[i], pers[i], 0
    if allowed == 1 then
      used[i] = used[i] + n
      stored[i], stored_at[i], changed[i] = used[i], last[i], true
    elseif levels[i] < n then
      wait = max(1, fill(stored[i] - used[i] + n - levels[i], stored_at[i], rate, per))
    end
    local full = fill(stored[i], stored_at[i], rate, per)
    if changed[i] then
      call('SET', KEYS[first + i], pack('<dddd', used[i], last[i], rate, per), 'PX', ceil(full / 1000) + 1)
    end
    answer = answer .. pack('<dddd', used[i], 0, wait, full)
  end
  return answer
end

local answers, first = {}, 0
for i, request in ipairs(ARGV) do
  local count = (#request - 24) / 56
  answers[i] = quick(request, first, count) or decide(request, first)
  first = first + count
end
return answers
