-- What wrk sends and tells for `bench/load.py`. Its arguments: a file with the body of the request
-- and, in open loop, requests a second.

local ffi = require("ffi")
ffi.cdef([[
  struct instant { long seconds; long nanoseconds; };
  int clock_gettime(int clock, struct instant *now);
]])
local MONOTONIC = 1
local instant = ffi.new("struct instant")

local function milliseconds()
  ffi.C.clock_gettime(MONOTONIC, instant)
  return tonumber(instant.seconds) * 1000 + tonumber(instant.nanoseconds) / 1e6
end

-- Returns what tells a connection how many milliseconds to wait before its next request. Each takes
-- the next turn of one schedule, with exponential times between the turns: as from callers who know
-- nothing of each other. wrk sleeps for whole milliseconds, so that turns of the same one coincide.
local function schedule(mean)
  local due = milliseconds()
  return function()
    due = due - mean * math.log(1 - math.random())
    return math.max(0, due - milliseconds())
  end
end

function init(arguments)
  local file = assert(io.open(arguments[1], "rb"))
  wrk.method = "POST"
  wrk.headers["content-type"] = "application/json"
  wrk.body = file:read("*a")
  file:close()
  if arguments[2] then
    delay = schedule(1000 / tonumber(arguments[2]))
  end
end

function done(summary, latency)
  local errors = summary.errors
  local failures = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  local line = '\n{"seconds": %f, "requests": %d, "failures": %d, "p50": %f, "p99": %f, "p99_9": %f}'
  io.write(line:format(
    summary.duration / 1e6, summary.requests, failures,
    latency:percentile(50) / 1e6, latency:percentile(99) / 1e6, latency:percentile(99.9) / 1e6
  ))
end
