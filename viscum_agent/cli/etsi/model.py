"""The words of ETSI's models, which of our options are what in them, and their text."""

from ...config import schema
from ...config.schema import words_of
from ...ujson import dumps

EXTENSION = "x-viscum"  # a member of ours, for what the models have no word for
FLOW = "FLOW"  # replies belong to what the filter matches
# What the two models call it when packets go to the application as they are.
AS_IS, ENCAPSULATED = "FORWARD_AS_IS", "FORWARD_ENCAPSULATED"
PASSTHROUGH = "PASSTHROUGH"
ACTIVE, INACTIVE = "ACTIVE", "INACTIVE"
INTERFACE = {"interfaceType": "MAC"}  # a rule has to name one: that of the application, by nothing but its kind
TYPES = {4: "IP_V4", 6: "IP_V6"}
ANY = {4: "0.0.0.0/0", 6: "::/0"}

# The options that the models have words for, and those of a filter and of a rule for which EXTENSION is.
SAID = ("proto", "dest_ip", "dest_port", "src_ip", "exclude_dest")
MATCH = tuple([row.name for row in schema.MATCH])
OF_FILTER = tuple([name for name in MATCH if name not in SAID])
_ROWS = schema.SOURCES + schema.WHOSE + schema.TAKEN
OF_RULE = tuple([row.name for row in _ROWS if row.name not in SAID]) + ("vlan",)
# All that rules say of a service.
TRAFFIC = MATCH + OF_RULE + ("exclude_dest",)

ORDER = words_of(
    "traffic_rules dns_rules appDId appName appProvider appSoftVersion appDVersion mecVersion appDescription "
    "virtualComputeDescriptor swImageDescriptor appTrafficRule appDNSRule trafficRuleId filterType priority "
    "trafficFilter srcAddress dstAddress dstPort protocol action dstInterface interfaceType dnsRuleId domainName "
    "ipAddressType ipAddress state"
)


def text_of(value: object, indent: str = "") -> str:
    """JSON in lines. Members are in the models' order, ours behind them by name: MicroPython's dicts have none."""
    if isinstance(value, list) and not any(isinstance(each, dict) for each in value):
        return dumps(value)
    deeper = indent + "  "
    if isinstance(value, dict):
        keys = [key for key in ORDER if key in value] + sorted([key for key in value if key not in ORDER])
        lines = ["%s: %s" % (dumps(key), text_of(value[key], deeper)) for key in keys]
    elif isinstance(value, list):
        lines = [text_of(each, deeper) for each in value]
    else:
        return dumps(value)
    left, right = "{}" if isinstance(value, dict) else "[]"
    if not lines:
        return left + right
    return left + "\n" + deeper + (",\n" + deeper).join(lines) + "\n" + indent + right
