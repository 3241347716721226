-- One request again and again: GET, or POST of as many bytes as the argument says. wrk writes it itself, without asking Lua.
require "done"

function init(args)
  if args[1] then
    wrk.method = "POST"
    wrk.headers["Content-Type"] = "application/octet-stream"
    wrk.body = string.rep("x", tonumber(args[1]))
  end
end
