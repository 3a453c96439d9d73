"""What a tenant may have (config/tenants.py), and what his text becomes in the configuration."""

from unit.shared.expect import raises

from viscum_agent.config import schema, tenants, uci
from viscum_agent.config.service import read
from viscum_agent.errors import ConfigError, problem_text
from viscum_agent.ubus.client import Method
from viscum_agent.ubus_object.tenants import Objects

# Why the other options of a service are not for tenants. A new option is in one of three tables, by decision.
DENIED = {
    "what the router has: accounts, files, folders": "user group workdir root mount bundle visible writable view",
    "powers": "capability allow_syscalls seccomp",
    "limits that no bound counts": "nofile nproc core memlock fsize oom_score_adj nice tmp_size pids_max",
    "what leaves the router, by the program or by the agent": "egress compare",
    "how packets travel": "vlan datapath pair rewrite reply nexthop nexthop_mac mtu",
    "the owner's groups, and names in them": "client exclude_client",
    "costs each packet of others": "snoop",
    "runs besides the program": "health_command",
    "keeps the owner waiting": "term_timeout drain_timeout",
    "lets the agent start programs without a pause or without end": "respawn_threshold respawn_timeout respawn_retry",
}
TENANT = """
config tenant 'acme'
	list interface 'lan'
	list device 'lan0'
	list dest '203.0.113.0/24'
	list dest_host '*.acme.example'
	list tcp_port '443'
	list tcp_port '5000-6000'
	list udp_port '53'
	option memory '64m'
	option cpu '50'
	option rate '10mbit'
	option services '3'
"""
LIMITS = ("option memory_max '16m'", "option cpu_max '10'", "option rate '1mbit'")
WEB = ("option command '/bin/web'", "list device 'lan0'", "list dest_ip '203.0.113.7'", "list dest_port '443'")
WEB += ("list proto 'tcp'", "option enabled '1'") + LIMITS


def section(name, *lines):
    return "config service '%s'\n%s" % (name, "".join(["\t%s\n" % line for line in lines]))


def his(*lines, name="acme_web"):
    return section(name, "option tenant 'acme'", *lines)


def said(text, tenant=TENANT):
    """What is wrong in a configuration, in sentences."""
    return [problem_text(each) for each in read(uci.parse((tenant + text).encode(), "viscum")).problems]


def without(option, *lines):
    """The lines of WEB without an option, and others."""
    return [line for line in WEB if line.split()[1] != option] + list(lines)


def test_every_option_of_a_service_is_allowed_or_denied_by_decision():
    denied = " ".join(DENIED.values()).split(" ")
    decided = sorted(tenants.FREE + tenants.BOUNDED + denied)
    assert decided == sorted([option.name for option in schema.SERVICE])


def test_within_his_bounds_a_tenant_has_services():
    found = read(uci.parse((TENANT + his(*WEB)).encode(), "viscum"))
    assert found.problems == [] and [each.name for each in found.services] == ["acme_web"]
    assert found.services[0].tenant.name == "acme" and found.tenants["acme"].services == ["acme_web"]


def test_what_is_not_for_tenants_is_refused_by_name():
    values = {"capability": "net_raw", "view": "host", "writable": "/etc", "egress": "any", "mount": "/a:/b"}
    for name in " ".join(DENIED.values()).split(" "):
        lines = WEB + ("option %s '%s'" % (name, values.get(name, "1")),)
        assert "viscum.acme_web.%s: %s" % (name, tenants.NOT_HIS) in said(his(*lines)), name


def test_what_his_section_does_not_name_is_beyond_his_bounds():
    for lines, where, says in (
        (
            without("device", "list device 'wan0'"),
            "device",
            "'wan0' is beyond the bounds of tenant 'acme' (device: lan0)",
        ),
        (WEB + ("list interface 'wan'",), "interface", "'wan' is beyond"),
        (without("dest_ip", "list dest_ip '198.51.100.1'"), "dest_ip", "198.51.100.1/32 is beyond"),
        (without("dest_ip", "list dest_ip '203.0.0.0/16'"), "dest_ip", "203.0.0.0/16 is beyond"),
        (without("dest_ip"), "dest_ip", "any IPv4 address is beyond"),
        (without("dest_ip"), "dest_ip", "any IPv6 address is beyond"),
        (without("dest_port", "list dest_port '444'"), "dest_port", "TCP port 444 is beyond"),
        (without("dest_port", "list dest_port '4999-5001'"), "dest_port", "TCP ports 4999-5001 is beyond"),
        (without("dest_port"), "dest_port", "TCP ports 1-65535 is beyond"),
        (without("proto", "list proto 'udp'"), "dest_port", "UDP port 443 is beyond"),
        ([line for line in without("proto", "list proto 'any'") if "dest_port" not in line], "proto", "'any' has no"),
        (without("dest_ip", "list dest_host 'acme.example'"), "dest_host", "'acme.example' is beyond"),
        (without("dest_ip", "list dest_host 'xacme.example'"), "dest_host", "'xacme.example' is beyond"),
    ):
        found = said(his(*lines))
        assert any(each.startswith("viscum.acme_web.%s: " % where) and says in each for each in found), (lines, found)
    assert said(his(*without("dest_ip", "list dest_host 'www.acme.example'"))) == []


def test_ports_by_which_routers_are_reached_are_named_alone_or_not_at_all():
    wide = TENANT.replace("'5000-6000'", "'1-65535'")
    for port, allowed in (("22", False), ("53", False), ("20-25", False), ("23", True)):
        found = said(his(*without("dest_port", "list dest_port '%s'" % port)), wide)
        assert bool(found) != allowed and all("for alone" in each for each in found), found
    named = wide.replace("'443'", "'22'")
    assert said(his(*without("dest_port", "list dest_port '22'")), named) == []
    udp = without("dest_port", "list dest_port '53'")
    assert said(his(*[line.replace("'tcp'", "'udp'") for line in udp])) == []


def test_any_address_only_where_the_owner_says_so():
    anywhere = TENANT + "	list dest '0.0.0.0/0'\n"
    assert said(his(*without("dest_ip", "option family 'ipv4'")), anywhere) == []
    assert "any IPv6 address" in said(his(*without("dest_ip")), anywhere)[0]


def test_all_of_his_services_share_what_he_has():
    for option, value, most in (("memory_max", "40m", "64m"), ("cpu_max", "30", "50"), ("rate", "6mbit", "10mbit")):
        lines = without(option, "option %s '%s'" % (option, value))
        other = [line.replace("203.0.113.7", "203.0.113.8") for line in lines]
        found = said(his(*lines) + his(*other, name="acme_mail"))
        assert len(found) == 1 and found[0].startswith("viscum.acme_mail.%s: is more than" % option), found
        assert most in found[0]
        off = [line.replace("enabled '1'", "enabled '0'") for line in other]
        assert said(his(*lines) + his(*off, name="acme_mail")) == []
        assert said(his(*without(option)))[0].startswith("viscum.acme_web.%s: is missing" % option)


def test_and_there_are_no_more_than_he_may_have():
    off = without("enabled")
    texts = [his(*off, name="acme_%d" % number) for number in range(4)]
    assert said("".join(texts[:3])) == []
    assert [each.split(":")[0] for each in said("".join(texts))] == ["viscum.acme_3"]


def test_a_name_says_whose_service_it_is():
    for name in ("web", "acme_", "other_web"):
        assert "name it 'acme_NAME'" in said(his(*WEB, name=name))[0], name
    found = read(uci.parse((TENANT + section("acme_cam", *WEB)).encode(), "viscum"))
    assert "is named as the services of tenant 'acme'" in problem_text(found.problems[0])
    assert [each.name for each in found.services] == ["acme_cam"], "it is the owner's, and runs"
    assert found.tenants["acme"].services == []


def test_a_tenants_own_name_leaves_no_doubt():
    for head in ("config tenant 'ac_me'", "config tenant"):
        text = TENANT.replace("config tenant 'acme'", head)
        assert "needs a name without `_`" in said("", text)[0], head
    assert "is no tenant section" in said(his(*WEB), "")[0]


def test_what_is_beyond_its_bounds_does_not_go_on_with_earlier_settings():
    before = read(uci.parse((TENANT + his(*WEB)).encode(), "viscum"))
    less = TENANT.replace("'443'", "'444'")
    after = read(uci.parse((less + his(*WEB)).encode(), "viscum"), "viscum", before)
    assert after.bad == ["acme_web"] and after.services == after.kept == []
    mistake = his(*without("dest_port", "list dest_port '0'"))
    after = read(uci.parse((TENANT + mistake).encode(), "viscum"), "viscum", before)
    assert after.bad == ["acme_web"] and after.kept == []


# His text in the configuration

OWNER = (
    """# mine
config globals
	option bypass_load '90'

config service 'shop'
	option command "/bin/shop --name='O''Neill'"
	list device 'lan0'
	list dest_port '80'

config redirect
	option service 'shop'
	list dest_port '81'
"""
    + TENANT
)


def sections(data):
    return [(each.type, each.name, each.options) for each in uci.parse(data, "viscum")]


def merged(text, data=OWNER):
    return tenants.merged(uci.parse(data.encode(), "viscum"), "acme", text.encode())[0]


def test_his_services_are_written_behind_those_of_the_owner_and_nothing_else_changes():
    made = merged(section("acme_web", *WEB))
    assert sections(made)[: len(sections(OWNER.encode()))] == sections(OWNER.encode())
    assert sections(made)[-1][:2] == ("service", "acme_web") and sections(made)[-1][2]["tenant"] == "acme"
    assert sections(merged("", made.decode())) == sections(OWNER.encode())


def test_a_changed_service_goes_behind_those_that_others_had():
    made = merged(section("acme_a", *WEB) + section("acme_b", *WEB)).decode()
    made += section("corp_x", "option tenant 'corp'", *WEB)
    again = merged(section("acme_b", *WEB, "option umask '077'") + section("acme_a", *WEB), made)
    assert [name for kind, name, _ in sections(again) if kind == "service"] == ["shop", "acme_a", "corp_x", "acme_b"]


def test_what_a_text_must_not_have_is_refused_and_said():
    web = section("acme_web", *WEB)
    for text, says in (
        ("config tenant 'acme'\n\tlist dest '0.0.0.0/0'\n", "config tenant is not for tenants"),
        ("config globals\n\toption enabled '0'\n", "config globals is not for tenants"),
        ("config redirect 'x'\n\toption service 'shop'\n", "config redirect is not for tenants"),
        ("config group 'acme_g'\n", "config group is not for tenants"),
        ("config service\n\toption command '/bin/x'\n", "has no name"),
        (section("shop", *WEB), "the name is in use"),
        (web + "\toption tenant 'corp'\n", "acme_web.tenant: is another one"),
        (web + "\tlist tenant 'acme'\n", "acme_web.tenant: is another one"),
        (web + "\toption user 'root'\n", "acme_web.user: is not for tenants"),
        (web + "\toption command '/bin/y'\n", "acme_web.command: is set more than once"),
        (section("acme_web", "option command '/bin/x\n\tconfig globals'"), "line break"),
        ("option command '/bin/x'\n", "before the first 'config'"),
        ("config service 'acme_web", "never closed"),
        ("config service 'acme_web'; config globals\n", "config globals is not for tenants"),
        ("config service '../x'\n", "is no section name"),
        ("config service 'acme_\0'\n", "NUL byte"),
        ("package network\nconfig interface 'lan'\n", "config interface is not for tenants"),
        ("#" * (tenants.LARGEST + 1), "larger than"),
    ):
        found = raises(ConfigError, merged, text)
        assert says in found, (text[:80], found)


def test_quotes_stay_what_they_are():
    odd = "a'b \"c\" \\ # ; '' $(x) `y`"
    made = merged("config service 'acme_web'\n\tlist command '/bin/x'\n\tlist command %s\n" % quoted(odd))
    assert sections(made)[-1][2]["command"] == ["/bin/x", odd]
    assert sections(made)[:-1] == sections(OWNER.encode())


def quoted(text):
    return "'%s'" % text.replace("'", "'\\''")


def test_an_unnamed_service_of_the_owner_keeps_its_generated_name_or_nothing_is_written():
    data = OWNER + his(*WEB) + "config service\n\toption command '/bin/z'\n"
    assert "need names" in raises(ConfigError, merged, "", data)


def test_a_message_tells_nothing_of_others():
    names = ["shop", "corp_x", "acme_web"]
    text = "viscum.acme_web.dest_ip: takes the same traffic on lan0 as service 'shop': tcp 203.0.113.9/32"
    assert tenants.discreet(text, "acme", names) == "viscum.acme_web.dest_ip: " + tenants.TAKEN
    assert tenants.discreet("is kept from it by 'corp_x': why", "acme", names) == tenants.TAKEN
    assert tenants.discreet("service 'acme_web' hangs", "acme", names) == "service 'acme_web' hangs"


# His objects


class Stand:
    """What an object asks of the agent and of ubus."""

    def __init__(self, text, answer):
        self.reconciler = self
        self.configuration = read(uci.parse(text.encode(), "viscum"))
        self.answer = answer
        self.path = ""
        self.removed = []

    def add_object(self, path, _methods, _kind=None):
        return Published(path, self.removed)

    def asked(self, *_):
        return {"services": {"acme_web": self.answer, "shop": self.answer}}

    def objects(self):
        return Objects(self, self, [("status", Method(self.asked, ()))])

    def ask(self, name):
        self.path = "viscum." + name
        return self.objects()._of_service("status", {}, self)


class Published:
    def __init__(self, path, removed):
        self.path, self._removed = path, removed

    def remove(self):
        self._removed.append(self.path)


def test_what_he_is_answered_names_nobody_else_and_the_owner_is_told_all():
    row = {
        "reason": "is what service 'shop' has",
        "stays": ["tcp: service 'shop'"],
        "pid": 7,
        "takes": ["tcp port 443"],
    }
    there = Stand(TENANT + section("shop", *WEB[:4]) + his(*WEB), row)
    told = {"reason": tenants.TAKEN, "stays": [tenants.TAKEN], "pid": 7, "takes": ["tcp port 443"]}
    assert there.ask("acme_web") == told
    assert there.ask("shop") == row


def test_each_service_has_an_object_but_one_that_only_has_a_tenants_name():
    there = Stand(TENANT + his(*WEB) + section("shop", *WEB[:4]) + section("acme_cam", *WEB[:4]), {})
    made = there.objects()
    made.follow()
    assert sorted(made._objects) == ["viscum.acme_web", "viscum.shop", "viscum.tenant.acme"]
    there.configuration = read(
        uci.parse((TENANT.replace("option cpu '50'", "option cpu 'x'") + his(*WEB)).encode(), "viscum")
    )
    made.follow()
    assert sorted(there.removed) == ["viscum.acme_web", "viscum.shop", "viscum.tenant.acme"], (
        "nobody's, until it is right"
    )
