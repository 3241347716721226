-- The endpoints of `bench crowd SESSIONS ENDPOINTS`, all of them in turn, so that no few of them stay in the caches.
require "done"

local calls = {}

function init(args)
  for n = 0, tonumber(args[2]) - 1 do
    for worker = 0, tonumber(args[1]) - 1 do
      calls[#calls + 1] = wrk.format("GET", "/0/crowd/" .. worker .. "/" .. n .. "/7")
    end
  end
end

local at = 0
function request()
  at = at % #calls + 1
  return calls[at]
end
