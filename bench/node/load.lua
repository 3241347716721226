-- One of the five routes after the other.
local calls = {}

function init(args)
  local json = { ["Content-Type"] = "application/json" }
  calls = {
    wrk.format("GET", "/0/health"),
    wrk.format("GET", "/0/users/42"),
    wrk.format("GET", "/0/users/42/orders?first=1"),
    wrk.format("POST", "/0/users", { ["Content-Type"] = "application/json", ["Hera-Token"] = wrk.headers["Hera-Token"] }, '{"name":"Ada Lovelace"}'),
    wrk.format("DELETE", "/0/users/42"),
  }
end

local at = 0
function request()
  at = at % #calls + 1
  return calls[at]
end
