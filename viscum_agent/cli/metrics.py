"""`viscum metrics`: what the ubus method `status` says of the agent and its services, as Prometheus reads it.

METRICS is the only list of metrics: docs/metrics.md and the collectors for the two node exporters of OpenWrt are made
from it (tools/metrics.py). Nothing is counted for it, and nothing kept: a value is what `status` says at that moment.
Each label has a bounded number of values: services, and those of `values`.
"""

from collections import namedtuple

from ..errors import ViscumError
from ..kernel.counters import DIRECT
from ..records.dump import PASSED
from ..service import inhibitors, states
from .agent_calls import whole
from .verbs import complain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from .words import Arguments

STATES: "tuple[str, ...]" = (states.HEALTHY, states.BYPASSED, states.STARTING, states.WAITING, states.BACKOFF)
STATES += (states.FAILED, states.STOPPING, states.STOPPED, states.DISABLED)
KINDS_OF_DIRECT = tuple([name for names in DIRECT for name in names if name])

COUNTER, GAUGE = "counter", "gauge"
AGENT, SERVICE = "agent", "service"  # whose: `key` is one of the answer, or of a service's row in it
# What the value of a key is.
NUMBER = "number"  # a number
MICRO = "micro"  # a number of millionths
WORD = "word"  # the value of the label; the metric is 1
ONE_OF = "one_of"  # one of `values`: the metric is 1 for that, and 0 for the others
SOME_OF = "some_of"  # a list of some of `values`, likewise
EACH = "each"  # a number for each of `values`

# `key` may lead into a value: "worth.rtt". `says` is the help: one line, without backslashes, which would need another
# one.
Metric = namedtuple("Metric", ("name", "kind", "whose", "key", "form", "label", "values", "says"))


def _metric(
    name: str,
    kind: str,
    whose: str,
    key: str,
    says: str,
    form: str = NUMBER,
    label: str = "",
    values: "tuple[str, ...]" = (),
) -> "Metric":
    return Metric(name=name, kind=kind, whose=whose, key=key, form=form, label=label, values=values, says=says)


METRICS = (
    _metric("viscum_agent_up", GAUGE, AGENT, "up", "Whether the agent answers on ubus."),
    _metric("viscum_agent_info", GAUGE, AGENT, "version", "The version of the agent; always 1.", WORD, "version"),
    _metric("viscum_agent_uptime_seconds", GAUGE, AGENT, "uptime", "Time since the agent began."),
    _metric("viscum_agent_memory_bytes", GAUGE, AGENT, "memory", "Memory that the agent's process has resident."),
    _metric(
        "viscum_agent_configuration_generation",
        GAUGE,
        AGENT,
        "generation",
        "How many configurations the agent has taken since it began, each another than the one before.",
    ),
    _metric(
        "viscum_service_state",
        GAUGE,
        SERVICE,
        "state",
        "The state of the service: 1 for the one that it is in, 0 for the others.",
        ONE_OF,
        "state",
        STATES,
    ),
    _metric(
        "viscum_service_inhibited",
        GAUGE,
        SERVICE,
        "inhibitors",
        "What keeps the redirect out, so that clients reach the cloud: 1 for each reason that there is.",
        SOME_OF,
        "reason",
        inhibitors.ORDER,
    ),
    _metric(
        "viscum_service_redirects",
        GAUGE,
        SERVICE,
        "from_count",
        "Devices whose traffic is redirected to the service now; 0 while clients reach the cloud.",
    ),
    _metric(
        "viscum_service_matches_taken", GAUGE, SERVICE, "takes_count", "Matches that the service takes over, or would."
    ),
    _metric(
        "viscum_service_matches_left",
        GAUGE,
        SERVICE,
        "stays_count",
        "Matches that stay with the cloud, in part or as a whole, although they are configured.",
    ),
    _metric("viscum_service_uptime_seconds", GAUGE, SERVICE, "uptime", "Time that the program has run; 0 without one."),
    _metric("viscum_service_restarts_total", COUNTER, SERVICE, "restarts", "Starts of the program after the first."),
    _metric("viscum_service_received_packets_total", COUNTER, SERVICE, "packets", "Packets redirected to the service."),
    _metric(
        "viscum_service_received_bytes_total",
        COUNTER,
        SERVICE,
        "bytes",
        "Bytes of the packets redirected to the service, as its datapath counts them.",
    ),
    _metric("viscum_service_sent_packets_total", COUNTER, SERVICE, "sent_packets", "Packets that the service sent."),
    _metric(
        "viscum_service_sent_bytes_total",
        COUNTER,
        SERVICE,
        "sent_bytes",
        "Bytes that the service sent, with Ethernet headers.",
    ),
    _metric(
        "viscum_service_dropped_packets_total",
        COUNTER,
        SERVICE,
        "drops",
        "Packets for the service that its redirect dropped.",
    ),
    _metric(
        "viscum_service_refused_packets_total",
        COUNTER,
        SERVICE,
        "overlimits",
        "Packets for the service that the device of its pair did not accept.",
    ),
    _metric(
        "viscum_service_passed_packets_total",
        COUNTER,
        SERVICE,
        "passed",
        "Packets that matched and that eBPF left with the cloud, by the reason.",
        EACH,
        "reason",
        PASSED,
    ),
    _metric(
        "viscum_service_direct_packets_total",
        COUNTER,
        SERVICE,
        "direct",
        "Packets that the filters of direct replies count, by what they are.",
        EACH,
        "kind",
        KINDS_OF_DIRECT,
    ),
    _metric("viscum_service_connections", GAUGE, SERVICE, "connections", "TCP connections that the program has open."),
    _metric(
        "viscum_service_memory_bytes",
        GAUGE,
        SERVICE,
        "memory",
        "Memory of the service's control group. Counted where a service has a memory_max.",
    ),
    _metric(
        "viscum_service_tasks",
        GAUGE,
        SERVICE,
        "tasks",
        "Processes and threads of the service. Counted where the kernel has the controller.",
    ),
    _metric(
        "viscum_service_cpu_seconds_total",
        COUNTER,
        SERVICE,
        "cpu_usec",
        "Processor time that the service has used.",
        MICRO,
    ),
    _metric(
        "viscum_service_oom_kills_total",
        COUNTER,
        SERVICE,
        "oom_kills",
        "Processes of the service that the kernel killed because of memory_max.",
    ),
    _metric(
        "viscum_service_refused_tasks_total",
        COUNTER,
        SERVICE,
        "tasks_refused",
        "Processes and threads that the service was refused because of pids_max.",
    ),
    _metric(
        "viscum_service_edge_rtt_seconds",
        GAUGE,
        SERVICE,
        "worth.rtt",
        "Round trip between the service and its clients: the median of those that were connected at the last look.",
        MICRO,
    ),
    _metric(
        "viscum_service_cloud_rtt_seconds",
        GAUGE,
        SERVICE,
        "worth.cloud_rtt",
        "Round trip between the router and the cloud that the service replaces. Measured with the option compare.",
        MICRO,
    ),
    _metric(
        "viscum_service_kept_bytes_total",
        COUNTER,
        SERVICE,
        "worth.kept_bytes",
        "Bytes kept off the uplink: those received and those sent.",
    ),
    _metric(
        "viscum_service_requests_total",
        COUNTER,
        SERVICE,
        "worth.requests",
        "TCP connections that the service accepted, and UDP datagrams that its program read.",
    ),
    _metric(
        "viscum_service_bypass_seconds_total",
        COUNTER,
        SERVICE,
        "worth.bypass_seconds",
        "Time in which clients reached the cloud although the service is enabled.",
    ),
)

UNITS = ("bytes", "seconds")  # that a name may have, at its end or before _total
TOTAL = "_total"


def show(arguments: "Arguments") -> int:
    try:
        answer, result = dict(whole(arguments.socket, "status"), up=1), 0
    except ViscumError as error:
        complain(str(error))
        answer, result = {"up": 0, "services": {}}, 1
    print(text(answer, older="--text" in arguments.options), end="")
    return result


def text(answer: "dict[str, Any]", older: bool) -> str:
    """What Prometheus reads, of an answer of `status`: OpenMetrics, or the older text format."""
    lines = []
    for metric in METRICS:
        samples = list(_samples(metric, answer))
        if samples:
            lines += (_older_head if older else _head)(metric) + samples
    return "\n".join(lines if older else lines + ["# EOF"]) + "\n"


def _older_head(metric: "Metric") -> "list[str]":
    return ["# HELP %s %s" % (metric.name, metric.says), "# TYPE %s %s" % (metric.name, metric.kind)]


def _head(metric: "Metric") -> "list[str]":
    """In OpenMetrics `_total` belongs to the samples of a counter alone."""
    family = metric.name[: -len(TOTAL)] if metric.kind == COUNTER else metric.name
    lines = ["# TYPE %s %s" % (family, metric.kind)]
    lines += ["# UNIT %s %s" % (family, unit) for unit in UNITS if family.endswith("_" + unit)]
    return lines + ["# HELP %s %s" % (family, metric.says)]


def _samples(metric: "Metric", answer: "dict[str, Any]") -> "Iterable[str]":
    """Lines. A value that is not there, or null, makes none."""
    services = answer["services"]
    rows = [("", answer)] if metric.whose == AGENT else [(name, services[name]) for name in sorted(services)]
    for name, row in rows:
        value = value_of(row, metric.key)
        if value is not None:
            for word, number in _values(metric, value):
                # Names of services are letters, digits and underscores: nothing in a label needs a backslash.
                labels = ['service="%s"' % name] * bool(name) + ['%s="%s"' % (metric.label, word)] * bool(word)
                yield metric.name + ("{%s}" % ",".join(labels) if labels else "") + " " + number


def value_of(row: "dict[str, Any]", key: str) -> "Any":
    """The value of a key, None where it or what it is in is missing."""
    value: Any = row
    for part in key.split("."):
        value = value.get(part) if value is not None else None
    return value


def _values(metric: "Metric", value: "Any") -> "list[tuple[str, str]]":
    """[(value of the label, number)]."""
    if metric.form == NUMBER:
        return [("", "%d" % value)]
    if metric.form == MICRO:
        return [("", "%d.%06d" % divmod(value, 1000000))]
    if metric.form == WORD:
        return [(value, "1")]
    if metric.form == EACH:
        return [(word, "%d" % value[word]) for word in metric.values if word in value]
    there = [value] if metric.form == ONE_OF else value
    return [(word, "%d" % (word in there)) for word in metric.values]
