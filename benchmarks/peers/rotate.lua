-- For wrk: requests from a file, each after its length in bytes, in turn; and one line of figures at the end.
-- With a number as second argument, each request is another document: the digits 00000000 in it are counted up from it.
local requests, number, counted = {}, 0, nil

function init(args)
  local file = assert(io.open(args[1], "rb"))
  local length = file:read("*n")
  while length do
    file:read(1)
    requests[#requests + 1] = file:read(length)
    length = file:read("*n")
  end
  file:close()
  counted = tonumber(args[2])
end

function request()
  number = number + 1
  local text = requests[number % #requests + 1]
  if counted then
    text = text:gsub("00000000", string.format("%08d", counted + number), 1)
  end
  return text
end

function done(summary, latency)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  io.write(string.format("figures %d %d %d %d %d\n", summary.requests, summary.duration, failed,
    latency:percentile(50), latency:percentile(99)))
end
