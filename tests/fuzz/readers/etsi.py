"""Rules of ETSI MEC: whatever is in them, sections that the agent reads, in the place of the old ones; or sentences."""

from fuzz import documents

from viscum_agent.cli.etsi import imported, model, written
from viscum_agent.config import uci
from viscum_agent.errors import ConfigError, problem_text

ALLOWED = ()
COUNT = 200
BEFORE = """config service 'web' # ours
	option enabled '1'
	option command '/bin/x'
	option interface 'lan wan'
	list dest_ip '203.0.113.10'
	list dest_port '80'

config redirect
	option service 'web'
	list dest_port '443'

config service 'dns'
	list dest_port '53'
"""
RIGHT = {
    "traffic_rules": [
        {
            "trafficRuleId": "web",
            "filterType": "FLOW",
            "priority": 5,
            "trafficFilter": [
                {"srcAddress": ["192.168.1.0/24"], "dstAddress": ["203.0.113.11"], "dstPort": ["80"]},
                {"dstAddress": ["203.0.113.12-203.0.113.17"], "protocol": ["UDP"], "x-viscum": {"target_port": "8"}},
            ],
            "action": "FORWARD_AS_IS",
            "dstInterface": [{"interfaceType": "MAC"}],
            "state": "INACTIVE",
            "x-viscum": {"interface": ["lan"], "vlan": "7"},
        },
        {
            "trafficRuleId": "web.except",
            "priority": 1,
            "trafficFilter": [{"srcAddress": ["192.168.1.7"]}],
            "action": "PASSTHROUGH",
            "state": "INACTIVE",
        },
    ],
    "dns_rules": [
        {
            "dnsRuleId": "web.dns",
            "domainName": "a.example",
            "ipAddressType": "IP_V4",
            "ipAddress": "203.0.113.11",
            "ttl": 60,
            "state": "INACTIVE",
        }
    ],
}
WORDS = "trafficRuleId filterType priority trafficFilter srcAddress dstAddress dstPort srcPort protocol action state "
WORDS += "dstInterface interfaceType TUNNEL x-viscum interface client exclude_client vlan enabled snoop dest_host dSCP "
WORDS += "DROP PASSTHROUGH FORWARD_ENCAPSULATED ACTIVE FLOW PACKET TCP ANY 17 80-90 0.0.0.0/0 ::/0 fd00::/8 ::1-::ff "
WORDS += "appName appDId appTrafficRule appDNSRule web dns web.x other *.b.example 1 cameras it's \0 \n ; # ' \\"
WORDS = tuple(WORDS.split(" "))
TOKENS = [bytes([one, two]) for one in range(8) for two in (0, 1, 5)] + [b'{"traffic_rules":', b"[", b'"', b"\\ud800"]


def read(data):
    document = documents.changed(data, RIGHT, WORDS)
    if isinstance(document, bytes):
        document = documents.parsed(document)
        took(document)
        return None
    return took(document)


def took(document):
    """(what is wrong, what the configuration is then)"""
    reader = imported.Reader("rules.json", "")
    said = reader.services(document)
    wrong = [problem_text(problem) for problem in reader.problems]
    documents.check(wrong)
    if wrong:
        return wrong, ""
    plan = written.Plan("viscum", said, [])
    try:
        after = plan.make(BEFORE.encode())
    except ConfigError as error:
        documents.check([str(error)])
        return [str(error)], ""
    check(after)
    return [], str(after, "utf-8")


def check(after):
    """What rules have no word for is as it was, and nothing that they have not is there."""
    kept = []
    for text in (BEFORE.encode(), after):
        found = uci.parse(text, "viscum")
        assert {each.type for each in found} <= {"service", "redirect"}
        names = sorted([each.name for each in found if each.type == "service"])
        others = [
            (each.name, name, each.options[name])
            for each in found
            if each.type == "service"
            for name in sorted(each.options)
            if name not in model.TRAFFIC and name != "enabled"
        ]
        kept.append((names, others))
    assert kept[0] == kept[1], after


def seeds():
    return documents.seeds(RIGHT)


def slow(size):
    for piece in (b"[", b'{"a":', b'"a",', b'["a"],', b"{},"):
        yield b"\0" + piece * (size // len(piece))
    yield (
        b'\0[{"trafficRuleId": "web", "trafficFilter": [{"dstAddress": ['
        + b'"::1-ffff::",' * (size // 13)
        + b'"::1"]}]}]'
    )
