-- What prometheus-node-exporter-lua gives a collector, and what ubus answers it. It starts a collector for each request.
-- exporter.lua COLLECTOR ANSWERS: a collector's file, and one that returns the answers to `status` by their `after`.
local answers = dofile(arg[2])
out = io.output()

function metric(name, kind)
  out:write("# TYPE ", name, " ", kind, "\n")
  return function(labels, value)
    local words = {}
    for label, text in pairs(labels or {}) do words[#words + 1] = label .. '="' .. text .. '"' end
    out:write(name, #words > 0 and "{" .. table.concat(words, ",") .. "}" or "", " ", value, "\n")
  end
end

local open = 0
package.preload.ubus = function()
  return {
    connect = function()
      open = open + 1
      return {
        call = function(_, object, method, args)
          assert(object == "viscum" and method == "status")
          return answers[args.after or ""]
        end,
        close = function() open = open - 1 end,
      }
    end,
  }
end

dofile(arg[1]).scrape()
assert(open == 0, "a connection is left")
