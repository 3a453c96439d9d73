-- Viscum's services for prometheus-node-exporter-lua: what its agent says on ubus at the moment that somebody asks.
-- docs/metrics.md lists the metrics.
local ubus = require "ubus"

local metrics = {
-- Made by tools/metrics.py from METRICS in viscum_agent/cli/metrics.py: change that.
  { name = "viscum_agent_up", kind = "gauge", whose = "agent", key = "up", form = "number",
    help = "Whether the agent answers on ubus." },
  { name = "viscum_agent_info", kind = "gauge", whose = "agent", key = "version", form = "word", label = "version",
    help = "The version of the agent; always 1." },
  { name = "viscum_agent_uptime_seconds", kind = "gauge", whose = "agent", key = "uptime", form = "number",
    help = "Time since the agent began." },
  { name = "viscum_agent_memory_bytes", kind = "gauge", whose = "agent", key = "memory", form = "number",
    help = "Memory that the agent's process has resident." },
  { name = "viscum_agent_configuration_generation", kind = "gauge", whose = "agent", key = "generation", form = "number",
    help = "How many configurations the agent has taken since it began, each another than the one before." },
  { name = "viscum_service_state", kind = "gauge", whose = "service", key = "state", form = "one_of", label = "state",
    values = { "healthy", "bypassed", "starting", "waiting", "backoff", "failed", "stopping", "stopped", "disabled" },
    help = "The state of the service: 1 for the one that it is in, 0 for the others." },
  { name = "viscum_service_inhibited", kind = "gauge", whose = "service", key = "inhibitors", form = "some_of", label = "reason",
    values = { "asked", "overload", "checks", "meddled", "rejected", "flapping" },
    help = "What keeps the redirect out, so that clients reach the cloud: 1 for each reason that there is." },
  { name = "viscum_service_redirects", kind = "gauge", whose = "service", key = "from_count", form = "number",
    help = "Devices whose traffic is redirected to the service now; 0 while clients reach the cloud." },
  { name = "viscum_service_matches_taken", kind = "gauge", whose = "service", key = "takes_count", form = "number",
    help = "Matches that the service takes over, or would." },
  { name = "viscum_service_matches_left", kind = "gauge", whose = "service", key = "stays_count", form = "number",
    help = "Matches that stay with the cloud, in part or as a whole, although they are configured." },
  { name = "viscum_service_uptime_seconds", kind = "gauge", whose = "service", key = "uptime", form = "number",
    help = "Time that the program has run; 0 without one." },
  { name = "viscum_service_restarts_total", kind = "counter", whose = "service", key = "restarts", form = "number",
    help = "Starts of the program after the first." },
  { name = "viscum_service_received_packets_total", kind = "counter", whose = "service", key = "packets", form = "number",
    help = "Packets redirected to the service." },
  { name = "viscum_service_received_bytes_total", kind = "counter", whose = "service", key = "bytes", form = "number",
    help = "Bytes of the packets redirected to the service, as its datapath counts them." },
  { name = "viscum_service_sent_packets_total", kind = "counter", whose = "service", key = "sent_packets", form = "number",
    help = "Packets that the service sent." },
  { name = "viscum_service_sent_bytes_total", kind = "counter", whose = "service", key = "sent_bytes", form = "number",
    help = "Bytes that the service sent, with Ethernet headers." },
  { name = "viscum_service_dropped_packets_total", kind = "counter", whose = "service", key = "drops", form = "number",
    help = "Packets for the service that its redirect dropped." },
  { name = "viscum_service_refused_packets_total", kind = "counter", whose = "service", key = "overlimits", form = "number",
    help = "Packets for the service that the device of its pair did not accept." },
  { name = "viscum_service_passed_packets_total", kind = "counter", whose = "service", key = "passed", form = "each", label = "reason",
    values = { "cloud", "late", "closed", "elsewhere" },
    help = "Packets that matched and that eBPF left with the cloud, by the reason." },
  { name = "viscum_service_direct_packets_total", kind = "counter", whose = "service", key = "direct", form = "each", label = "kind",
    values = { "syn", "ack", "other", "syn_ack", "replies" },
    help = "Packets that the filters of direct replies count, by what they are." },
  { name = "viscum_service_connections", kind = "gauge", whose = "service", key = "connections", form = "number",
    help = "TCP connections that the program has open." },
  { name = "viscum_service_memory_bytes", kind = "gauge", whose = "service", key = "memory", form = "number",
    help = "Memory of the service's control group. Counted where a service has a memory_max." },
  { name = "viscum_service_tasks", kind = "gauge", whose = "service", key = "tasks", form = "number",
    help = "Processes and threads of the service. Counted where the kernel has the controller." },
  { name = "viscum_service_cpu_seconds_total", kind = "counter", whose = "service", key = "cpu_usec", form = "micro",
    help = "Processor time that the service has used." },
  { name = "viscum_service_oom_kills_total", kind = "counter", whose = "service", key = "oom_kills", form = "number",
    help = "Processes of the service that the kernel killed because of memory_max." },
  { name = "viscum_service_refused_tasks_total", kind = "counter", whose = "service", key = "tasks_refused", form = "number",
    help = "Processes and threads that the service was refused because of pids_max." },
  { name = "viscum_service_edge_rtt_seconds", kind = "gauge", whose = "service", key = "worth.rtt", form = "micro",
    help = "Round trip between the service and its clients: the median of those that were connected at the last look." },
  { name = "viscum_service_cloud_rtt_seconds", kind = "gauge", whose = "service", key = "worth.cloud_rtt", form = "micro",
    help = "Round trip between the router and the cloud that the service replaces. Measured with the option compare." },
  { name = "viscum_service_kept_bytes_total", kind = "counter", whose = "service", key = "worth.kept_bytes", form = "number",
    help = "Bytes kept off the uplink: those received and those sent." },
  { name = "viscum_service_requests_total", kind = "counter", whose = "service", key = "worth.requests", form = "number",
    help = "TCP connections that the service accepted, and UDP datagrams that its program read." },
  { name = "viscum_service_bypass_seconds_total", kind = "counter", whose = "service", key = "worth.bypass_seconds", form = "number",
    help = "Time in which clients reached the cloud although the service is enabled." },
-- End of what is made.
}

-- What the value of a key is: each function calls put(value of the label, number) for each sample.
local forms = {
  number = function(value, _, put) put(nil, value) end,
  micro = function(value, _, put) put(nil, string.format("%.6f", value / 1e6)) end,
  word = function(value, _, put) put(value, 1) end,
  one_of = function(value, values, put)
    for _, word in ipairs(values) do put(word, word == value and 1 or 0) end
  end,
  some_of = function(value, values, put)
    local there = {}
    for _, word in ipairs(value) do there[word] = true end
    for _, word in ipairs(values) do put(word, there[word] and 1 or 0) end
  end,
  each = function(value, values, put)
    for _, word in ipairs(values) do
      if value[word] then put(word, value[word]) end
    end
  end,
}

-- The agent's answer, with the services of all its pages.
local function status(bus)
  local services, answer = {}, {}
  repeat
    answer = bus:call("viscum", "status", { after = answer.next })
    if not answer then return { up = 0, services = {} } end
    for name, row in pairs(answer.services) do services[name] = row end
  until not answer.next
  answer.up, answer.services = 1, services
  return answer
end

-- The value of a key, which may lead into a value: "worth.rtt".
local function found(row, key)
  for part in key:gmatch("[^.]+") do row = row and row[part] end
  return row
end

local function write(one, rows)
  local sample -- of the exporter; its head is written with the first sample
  for _, name in ipairs(rows.names) do
    local value = found(rows[name], one.key)
    if value ~= nil then
      forms[one.form](value, one.values, function(word, number)
        if not sample then
          out:write("# HELP ", one.name, " ", one.help, "\n")
          sample = metric(one.name, one.kind)
        end
        local labels = { service = name ~= "" and name or nil }
        if word then labels[one.label] = word end
        sample(next(labels) and labels, number)
      end)
    end
  end
end

local function scrape()
  local bus = ubus.connect()
  if not bus then error("ubus does not answer") end
  local answer = status(bus)
  bus:close()
  local services = answer.services
  local names = {}
  for name in pairs(services) do names[#names + 1] = name end
  table.sort(names)
  services.names = names
  for _, one in ipairs(metrics) do
    write(one, one.whose == "agent" and { names = { "" }, [""] = answer } or services)
  end
end

return { scrape = scrape }
