-- One of the five routes of bench/node after the other.
require "done"

local calls = {}

function init(args)
  local post = { ["Content-Type"] = "application/json", ["Hera-Token"] = wrk.headers["Hera-Token"] }
  calls = {
    wrk.format("GET", "/0/health"),
    wrk.format("GET", "/0/users/42"),
    wrk.format("GET", "/0/users/42/orders?first=1"),
    wrk.format("POST", "/0/users", post, '{"name":"Ada Lovelace"}'),
    wrk.format("DELETE", "/0/users/42"),
  }
end

local at = 0
function request()
  at = at % #calls + 1
  return calls[at]
end
