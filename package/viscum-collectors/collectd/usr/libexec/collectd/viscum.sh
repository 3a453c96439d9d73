#!/bin/sh
# Started by collectd's exec plugin: says of each service what it carries and uses, at collectd's interval.
# docs/metrics.md says how to set it up. It ends when nobody reads it any more.

host=${COLLECTD_HOSTNAME:-$(uname -n)}
interval=${COLLECTD_INTERVAL:-30}

while viscum metrics --text 2>/dev/null | awk -v host="$host" -v interval="$interval" '
	# name{service="NAME"} NUMBER; what has other labels is left out.
	/^viscum_service_[a-z_]+[{]service="[^"]+"[}] / {
		split($1, part, /[{"]/)
		value[part[1], part[3]] = $2
		services[part[3]]
	}
	function put(service, type, name, other, text) {
		if (!(("viscum_service_" name, service) in value)) return
		text = value["viscum_service_" name, service]
		if (other) text = text ":" value["viscum_service_" other, service]
		printf "PUTVAL \"%s/viscum-%s/%s\" interval=%s N:%s\n", host, service, type, interval, text
	}
	END {
		for (service in services) {
			put(service, "if_octets", "received_bytes_total", "sent_bytes_total")
			put(service, "if_packets", "received_packets_total", "sent_packets_total")
			put(service, "current_connections", "connections")
			put(service, "memory", "memory_bytes")
			put(service, "gauge-redirects", "redirects")
		}
	}'; do
	sleep "${interval%.*}"
done
