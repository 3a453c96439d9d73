"""What services are as rules of ETSI MEC, and what rules make of a configuration."""

from unit.shared.expect import raises

from viscum_agent import ujson
from viscum_agent.cli.etsi import exported, imported, model, written
from viscum_agent.config import schema, service, uci
from viscum_agent.errors import ConfigError, problem_text

# What each object of the models has to have and may have, with its types: the tables of GS MEC 011 V2.1.1 (7.1.3, and
# 7.1.4 for names) and GS MEC 010-2 V2.1.1 (6.2.1.2, 6.2.1.9 to 6.2.1.13).
TEXTS = [str]
INTERFACE = {"interfaceType": ["TUNNEL", "MAC", "IP"]}
FILTER = {"srcAddress": TEXTS, "dstAddress": TEXTS, "srcPort": TEXTS, "dstPort": TEXTS, "protocol": TEXTS}
RULE = {
    "trafficRuleId": str,
    "filterType": ["FLOW", "PACKET"],
    "priority": int,
    "trafficFilter": list,
    "action": None,
    "dstInterface": None,
    "state": ["ACTIVE", "INACTIVE"],
}
NAME = {
    "dnsRuleId": str,
    "domainName": str,
    "ipAddressType": ["IP_V4", "IP_V6"],
    "ipAddress": str,
    "state": ["ACTIVE", "INACTIVE"],
}
ACTIONS_011 = ["DROP", "FORWARD_DECAPSULATED", "FORWARD_ENCAPSULATED", "PASSTHROUGH"]
ACTIONS_010 = ["DROP", "FORWARD_DECAPSULATED", "FORWARD_AS_IS", "PASSTHROUGH", "DUPLICATE_AS_IS"]
APPLICATION = {
    name: str for name in ["appDId", "appName", "appProvider", "appSoftVersion", "appDVersion", "appDescription"]
}
APPLICATION.update({"virtualComputeDescriptor": str, "swImageDescriptor": str, "mecVersion": TEXTS})
APPLICATION.update({"appTrafficRule": list, "appDNSRule": list})

ON = exported.State(True, False)
WEB = """config service 'web'
	option enabled '1'
	option command '/usr/sbin/nginx'
	list interface 'lan'
	list dest_ip '203.0.113.10'
	list dest_port '80'
	list proto 'tcp'
"""
EVERYTHING = (
    WEB
    + """	list dest_ip '2001:db8:1::/64'
	list dest_port '8000-8010'
	list src_ip '192.168.1.0/24'
	list src_ip 'fd00::/8'
	list dest_host 'www.example.com'
	list exclude_client '192.168.1.7'
	list exclude_client 'cameras'
	list exclude_dest '2001:db8:1::7'

config redirect
	option service 'web'
	list dest_ip '203.0.113.11'
	list proto 'udp'
	list dest_port '443'
	option target_port '8443'

config group 'cameras'
	list mac '02:00:5e:00:53:01'
"""
)


def export(text, state=ON, name="web"):
    """The Rules of a service."""
    sections = uci.parse(text.encode(), "viscum")
    configuration = service.read(sections, files=False)
    assert not configuration.problems, configuration.problems
    (section,) = [each for each in sections if each.type == "service" and each.name == name]
    (made,) = [each for each in configuration.services if each.name == name]
    problems = []
    found = exported.rules(section, sections, made, state, problems)
    return [problem_text(problem) for problem in problems] or found


def plan(text, document, name="", given=()):
    """(what a configuration is after rules, what was done)."""
    reader = imported.Reader("rules.json", name)
    said = reader.services(ujson.loads(ujson.dumps(document)))
    assert not reader.problems, [problem_text(each) for each in reader.problems]
    made = written.Plan("viscum", said, list(given))
    return made.make(text.encode()).decode(), made.done


def become(text, *documents):
    for document in documents:
        text = plan(text, document)[0]
    return text


def wrong(document, name=""):
    reader = imported.Reader("rules.json", name)
    assert reader.services(ujson.loads(ujson.dumps(document))) == [] or not reader.problems
    return [problem_text(each) for each in reader.problems]


def rule(**members):
    found = {
        "trafficRuleId": "web",
        "filterType": "FLOW",
        "priority": 1,
        "trafficFilter": [{"dstAddress": ["203.0.113.10"], "dstPort": ["80"], "protocol": ["TCP"]}],
        "action": "FORWARD_AS_IS",
        "state": "ACTIVE",
    }
    found.update(members)
    return {name: found[name] for name in found if found[name] is not None}


def check(item, table, required):
    for name in table:
        kind, value = table[name], item.get(name)
        if value is None:
            assert name not in required, name
        elif kind is TEXTS:
            assert value and all(isinstance(each, str) for each in value), (name, value)
        elif isinstance(kind, list):
            assert value in kind, (name, value)
        elif kind is not None:
            assert isinstance(value, kind) and not isinstance(value, bool), (name, value)
    assert [name for name in item if name not in table and name != model.EXTENSION] == []


def check_rules(traffic, dns, actions, state):
    for each in traffic:
        check(each, RULE, [name for name in RULE if name != "state" or state])
        assert each["action"] in actions and ("state" in each) == state
        assert each["trafficFilter"], "1..N"
        for one in [each["dstInterface"]] if state else each["dstInterface"]:
            check(one, INTERFACE, ("interfaceType",))
        for one in each["trafficFilter"]:
            check(one, FILTER, ())
    for each in dns:
        check(each, NAME, [name for name in NAME if name != "state" or state])
        assert ("state" in each) == state


# Out


def test_a_service_is_a_rule_with_a_filter_for_its_section_and_each_redirect_section():
    made = export(EVERYTHING)
    main, left_out = made.traffic
    assert [main[name] for name in ("trafficRuleId", "filterType", "action", "state")] == [
        "web",
        "FLOW",
        "FORWARD_ENCAPSULATED",
        "ACTIVE",
    ]
    first, second = main["trafficFilter"]
    assert first["dstAddress"] == ["203.0.113.10", "2001:db8:1::/64"]
    assert (first["srcAddress"], first["dstPort"]) == (["192.168.1.0/24", "fd00::/8"], ["80", "8000-8010"])
    assert (first["protocol"], second["protocol"]) == (["TCP"], ["UDP"])
    assert second[model.EXTENSION] == {"target_port": "8443"}
    assert main[model.EXTENSION] == {"interface": ["lan"], "exclude_client": ["cameras"]}
    assert left_out["trafficFilter"] == [{"srcAddress": ["192.168.1.7"]}, {"dstAddress": ["2001:db8:1::7"]}]
    assert left_out["action"] == "PASSTHROUGH" and left_out["priority"] < main["priority"]
    assert made.more == ["dest_host", "target_port", "exclude_client", "interface"]


def test_what_comes_out_has_the_members_and_types_of_both_models():
    for text in (WEB, EVERYTHING):
        for state in (ON, exported.State(False, False), exported.State(False, True)):
            found = [export(text, state)]
            answer = exported._answers(found)
            assert sorted(answer) == ["dns_rules", "traffic_rules"]
            check_rules(answer["traffic_rules"], answer["dns_rules"], ACTIONS_011, True)
            (application,) = exported._descriptors(found)
            check(application, APPLICATION, list(APPLICATION))
            check_rules(application["appTrafficRule"], application["appDNSRule"], ACTIONS_010, False)


def test_the_narrower_has_the_higher_priority_which_is_the_lower_number():
    exact = export(WEB).traffic[0]["priority"]
    wide = export(WEB.replace(".10", ".0/24")).traffic[0]["priority"]
    anybody = export(WEB.replace("\tlist dest_ip '203.0.113.10'\n", "")).traffic[0]["priority"]
    assert exact < wide < anybody


def test_state_is_that_of_the_redirect_and_enabled_is_kept_where_it_says_something_else():
    assert export(WEB).traffic[0][model.EXTENSION] == {"interface": ["lan"]}
    main = export(WEB, exported.State(False, False)).traffic[0]
    assert (main["state"], main[model.EXTENSION]["enabled"]) == ("INACTIVE", "1")
    main = export(WEB, exported.State(False, True)).traffic[0]
    assert (main["action"], main["state"], main[model.EXTENSION]["enabled"]) == ("PASSTHROUGH", "ACTIVE", "1")
    main = export(WEB.replace("'1'", "'0'"), exported.State(False, False)).traffic[0]
    assert (main["state"], "enabled" in main[model.EXTENSION]) == ("INACTIVE", False)


def test_a_family_without_an_address_is_all_of_its_addresses():
    text = WEB.replace("list dest_ip '203.0.113.10'", "option family 'ipv6'")
    assert export(text).traffic[0]["trafficFilter"][0]["dstAddress"] == ["::/0"]


def test_addresses_of_a_family_that_is_not_taken_are_not_in_the_filter():
    text = WEB + "\tlist dest_ip '2001:db8::1'\n\tlist src_ip 'fd00::/8'\n\tlist src_ip '192.168.1.7'\n"
    (found,) = export(text + "\toption family 'ipv4'\n").traffic[0]["trafficFilter"]
    assert (found["dstAddress"], found["srcAddress"]) == (["203.0.113.10"], ["192.168.1.7"])


def test_every_protocol_is_none_that_is_named():
    text = WEB.replace("\tlist dest_port '80'\n\tlist proto 'tcp'", "\tlist proto any")
    assert export(text).traffic[0]["trafficFilter"] == [{"dstAddress": ["203.0.113.10"]}]


def test_the_only_clients_are_source_addresses_if_none_is_named_otherwise():
    text = WEB + "\tlist client '192.168.1.7'\n"
    main = export(text).traffic[0]
    assert main["trafficFilter"][0]["srcAddress"] == ["192.168.1.7"] and "client" not in main[model.EXTENSION]
    for more in ("\tlist client '02:00:5e:00:53:01'\n", "\tlist src_ip '192.168.1.0/24'\n"):
        main = export(text + more).traffic[0]
        assert "192.168.1.7" not in main["trafficFilter"][0].get("srcAddress", ())
        assert "192.168.1.7" in main[model.EXTENSION]["client"]


def test_a_name_is_a_dns_rule_for_each_family_in_which_the_filter_has_an_address():
    text = WEB + "\tlist dest_ip '2001:db8::1'\n\tlist dest_host 'a.example'\n\tlist dest_host 'b.example'\n"
    found = [(each["domainName"], each["ipAddressType"], each["ipAddress"]) for each in export(text).dns]
    assert found == [
        ("a.example", "IP_V4", "203.0.113.10"),
        ("b.example", "IP_V4", "203.0.113.10"),
        ("a.example", "IP_V6", "2001:db8::1"),
        ("b.example", "IP_V6", "2001:db8::1"),
    ]


def test_names_alone_are_refused_since_a_filter_without_address_is_for_every_one():
    text = WEB.replace("dest_ip '203.0.113.10'", "dest_host 'www.example.com'")
    (said,) = export(text)
    assert said.startswith("viscum.web.dest_host: is no filter of these models")


def test_the_text_has_members_in_the_models_order_on_both_interpreters():
    text = model.text_of({"state": "ACTIVE", "trafficRuleId": "x", "x-viscum": {"b": "1", "a": ["2"]}, "dns_rules": []})
    assert [line.strip().split('"')[1] for line in text.split("\n") if ":" in line] == [
        "dns_rules",
        "trafficRuleId",
        "state",
        "x-viscum",
        "a",
        "b",
    ]
    assert ujson.loads(text)["x-viscum"] == {"a": ["2"], "b": "1"}


# In


def both(made):
    return [exported._answers([made]), exported._descriptors([made])]


def test_what_came_out_changes_nothing_however_it_is_written():
    text = EVERYTHING.replace("\tlist interface 'lan'\n", "# ours\n\toption interface 'lan' # here\n")
    for document in both(export(text)):
        assert plan(text, document) == (text, {"web": "is so already"})


def test_what_is_not_traffic_stays_where_it_is_byte_by_byte():
    after, done = plan(EVERYTHING, exported._answers([export(WEB.replace("'80'", "'81'"))]))
    assert done == {"web": "other traffic"}
    lines = EVERYTHING.split("\n")
    left = [line for line in lines if line in after.split("\n")]
    assert [line for line in after.split("\n") if line in left] == left
    assert "command '/usr/sbin/nginx'" in after and "config group 'cameras'" in after and "redirect" not in after
    assert taken("web", read(after)) == taken("web", read(WEB.replace("'80'", "'81'")))


def test_another_source_or_exclusion_alone_changes_one_line():
    other = "\tlist interface 'lan'\n", "\tlist interface 'guest'\n"
    assert plan(WEB, exported._answers([export(WEB.replace(*other))])) == (
        WEB.replace(*other),
        {"web": "other traffic"},
    )
    more = WEB + "\tlist exclude_dest '203.0.113.0/24'\n"
    after = plan(more, exported._answers([export(more.replace("/24", "/25"))]))[0]
    assert after == more.replace("/24", "/25")


def read(text):
    return service.read(uci.parse(text.encode(), "viscum"), files=False)


def taken(name, configuration):
    """All that a service takes, however it is written."""
    (made,) = [each for each in configuration.services if each.name == name]
    left_out = [set(each) for each in (made.exclude_clients, made.exclude_dests, made.exclude_hosts)]
    sources = [set(made.interfaces), set(made.devices), made.vlan, made.snoop, made.dynamic_ports]
    return written.traffic(name, configuration), left_out, sources


def test_inactive_takes_a_service_out_and_active_puts_it_back_with_one_line_changed():
    off = plan(WEB, rule(state="INACTIVE"))
    assert off == (WEB.replace("enabled '1'", "enabled '0'"), {"web": "enabled '0'"})
    assert plan(off[0], rule()) == (WEB, {"web": "enabled '1'"})
    assert plan(off[0], rule(state=None))[1] == {"web": "is so already"}


def test_a_rule_that_passes_everything_takes_a_service_out():
    assert plan(WEB, rule(action="PASSTHROUGH"))[1] == {"web": "enabled '0'"}


def test_a_state_that_enabled_does_not_say_is_no_change():
    for state in (exported.State(False, False), exported.State(False, True)):
        for text in (WEB, EVERYTHING):
            assert plan(text, exported._answers([export(text, state)])) == (text, {"web": "is so already"})


def test_rules_of_somebody_else_change_only_what_they_have_words_for():
    text = EVERYTHING.replace("config redirect", "\tlist client 'cameras'\n\toption vlan 7\n\nconfig redirect")
    filters = [{"dstAddress": ["203.0.113.10"], "dstPort": ["81"], "protocol": ["6"]}]
    filters += [{"dstAddress": ["203.0.113.11"], "dstPort": ["444"], "protocol": ["17"]}]
    after = plan(text, rule(trafficFilter=filters))[0]
    (web,) = [each for each in uci.parse(after.encode(), "viscum") if each.name == "web"]
    (extra,) = [each for each in uci.parse(after.encode(), "viscum") if each.type == "redirect"]
    assert web.options["dest_port"] == ["81"] and "exclude_dest" not in web.options and "src_ip" not in web.options
    assert (web.options["client"], web.options["vlan"], web.options["exclude_client"]) == (
        ["cameras"],
        "7",
        ["cameras"],
    )
    assert web.options["dest_host"] == ["www.example.com"]
    assert (extra.options["dest_port"], extra.options["target_port"]) == (["444"], "8443")


def test_a_new_service_needs_a_program_and_is_below_all_others():
    text = raises(ConfigError, plan, "# ours", rule())
    assert text == "is new here (web), " + written.NEW.split("), ")[1] and "with command='/usr/bin/...'" in text
    after, done = plan("# ours\n", rule(), given=(("command", "/bin/x -y"), ("pids_max", "7")))
    assert after == "# ours\n\n" + (
        "config service 'web'\n\toption enabled '1'\n\toption command '/bin/x -y'\n\toption pids_max '7'\n"
        "\tlist proto 'tcp'\n\tlist dest_ip '203.0.113.10'\n\tlist dest_port '80'\n\tlist interface 'lan'\n"
    )
    assert done == {"web": "is new, enabled '1'"}
    given = (("command", "/bin/x"), ("interface", "guest"))
    assert "\tlist interface 'guest'\n" in plan("", rule(state="INACTIVE"), given=given)[0]
    two = [rule(), rule(trafficRuleId="dns")]
    assert "is new here (dns, web), " in raises(ConfigError, plan, "", two, "", given)
    assert "leave it out" in raises(ConfigError, plan, WEB, rule(), "", given)


def test_a_rule_is_its_applications_or_that_of_its_name_up_to_a_dot_or_the_one_that_is_told():
    other = WEB.replace("'web'", "'other'")
    for document in (rule(trafficRuleId="web.1"), [rule(trafficRuleId="web")], {"traffic_rules": [rule()]}):
        assert plan(WEB, document)[1] == {"web": "is so already"}
    application = {"appName": "My App", "appDId": "1", "appTrafficRule": [rule(state=None, trafficRuleId="a-b")]}
    (said,) = wrong(application)
    assert "appName: 'My App' is no section's name" in said and "import FILE NAME" in said
    assert plan(other, application, "other")[1] == {"other": "is so already"}
    two = [application, dict(application, appName="b", appTrafficRule=[rule(state=None, trafficRuleId="b")])]
    assert wrong(two, "other") == [
        "rules.json: appName: there are several, and a name is for one: import one at a time"
    ]


def test_several_rules_of_a_service_are_one_with_all_their_filters():
    filters = [{"dstAddress": ["203.0.113.11"], "dstPort": ["443"]}]
    after = plan(WEB, [rule(), rule(trafficRuleId="web.more", trafficFilter=filters)])[0]
    assert "config redirect\n\toption service 'web'\n\tlist dest_ip '203.0.113.11'\n\tlist dest_port '443'\n" in after


def test_statements_that_share_a_line_are_refused_where_only_some_of_them_change():
    text = WEB.replace("\toption command", "\tlist dest_port '82'; option command")
    assert "viscum:3: has more than one statement" in raises(ConfigError, plan, text, rule())
    text = "config service web\n" + WEB.split("\n", 1)[1].replace("80", "81\\\n1")
    assert "'80'" in plan(text, rule())[0], "a value on two lines goes with both"


def test_ranges_are_prefixes_and_all_of_a_family_is_the_family():
    filters = [{"srcAddress": ["192.168.1.4-192.168.1.9", "fd00::1-fd00::3"], "dstPort": ["80"]}]
    after = plan(WEB, rule(trafficFilter=filters))[0]
    for text in ("192.168.1.4/30", "192.168.1.8/31", "fd00::1/128", "fd00::2/127"):
        assert "list src_ip '%s'" % text in after
    after = plan(WEB, rule(trafficFilter=[{"dstAddress": ["0.0.0.0/0"], "dstPort": ["53"]}]))[0]
    assert "option family 'ipv4'" in after and "dest_ip" not in after
    after = plan(WEB, rule(trafficFilter=[{"dstAddress": ["0.0.0.0/0", "::/0"], "dstPort": ["53"]}]))[0]
    assert "family" not in after and "dest_ip" not in after


def test_no_protocol_is_every_one_and_with_ports_both_that_have_them():
    after = plan(WEB, rule(trafficFilter=[{"dstAddress": ["203.0.113.10"]}]))[0]
    assert "list proto 'any'" in after
    after = plan(after, rule(trafficFilter=[{"dstAddress": ["203.0.113.10"], "dstPort": ["80"], "protocol": ["ANY"]}]))
    assert "proto" not in after[0]


def test_a_name_counts_where_its_address_is_taken():
    dns = {"dnsRuleId": "d", "domainName": "www.Example.com", "ipAddressType": "IP_V4", "ipAddress": "203.0.113.10"}
    application = {"appName": "web", "appTrafficRule": [rule(state=None)], "appDNSRule": [dns]}
    assert "list dest_host 'www.example.com'" in plan(WEB, application)[0]
    (said,) = wrong(dict(application, appDNSRule=[dict(dns, ipAddress="203.0.113.99")]))
    assert said.startswith("rules.json: DNS rule 'd': ipAddress: Viscum answers no DNS:") and "dhcp domain" in said
    (said,) = wrong(dict(dns, dnsRuleId="x.d"))
    assert "dnsRuleId: is of 'x', which has no traffic rule" in said


# What can't be

TUNNEL = {"interfaceType": "TUNNEL", "tunnelInfo": {"tunnelType": "GTP_U"}}
REFUSED = (
    ({"action": "DROP"}, "action: 'DROP': Viscum drops nothing: write a rule for the firewall"),
    ({"action": "FORWARD_DECAPSULATED"}, "action: 'FORWARD_DECAPSULATED': there are no tunnels here"),
    ({"action": "DUPLICATE_DECAPSULATED"}, "action: 'DUPLICATE_DECAPSULATED': Viscum makes no copies"),
    ({"action": "DUPLICATED_AS_IS"}, "action: 'DUPLICATED_AS_IS': Viscum makes no copies"),
    ({"action": "FLY"}, "action: 'FLY': is none: write FORWARD_AS_IS or PASSTHROUGH"),
    ({"action": None}, "action: is none"),
    ({"filterType": "PACKET"}, "filterType: 'PACKET': replies always belong to a service: write FLOW"),
    ({"priority": None}, "priority: is no number from 0 on"),
    ({"priority": -1}, "priority: is no number from 0 on"),
    ({"priority": True}, "priority: has a wrong type"),
    ({"state": "ON"}, "state: 'ON' is neither ACTIVE nor INACTIVE"),
    ({"state": 1}, "state: has a wrong type"),
    ({"trafficFilter": []}, "trafficFilter: is missing"),
    ({"trafficFilter": [7]}, "trafficFilter: has an entry of a wrong type"),
    ({"dstInterface": TUNNEL}, "dstInterface.interfaceType: 'TUNNEL': there are no tunnels here"),
    ({"dstInterface": [TUNNEL]}, "dstInterface: tunnelInfo: there are no tunnels here"),
    (
        {"dstInterface": {"interfaceType": "MAC", "dstMacAddress": "02-00-00-00-00-00"}},
        "dstMacAddress: a service has an",
    ),
    ({"dstInterface": [{"interfaceType": "IP", "dstIPAddress": "192.0.2.1"}]}, "dstIPAddress: a service has an"),
    ({"wings": 2}, "wings: is nothing that Viscum knows: take it out"),
    ({"trafficRuleId": "a-b"}, "'a-b' is no section's name"),
    ({"trafficRuleId": "x" * 65}, "is no section's name"),
    ({"trafficRuleId": ""}, "trafficRuleId: is missing"),
    ({"x-viscum": {"command": "/bin/sh"}}, "x-viscum.command: is no option that it may have"),
    ({"x-viscum": {"vlan": ["1", "2"]}}, "x-viscum.vlan: has more than one value"),
    ({"x-viscum": {"vlan": 7}}, "x-viscum.vlan: has a wrong type"),
)
FILTERS = (
    ({"srcPort": ["1000"]}, "srcPort: a service takes whatever port a client has"),
    ({"dSCP": 0}, "dSCP: a service takes packets of every class"),
    ({"tC": 1}, "tC: a service takes packets of every class"),
    ({"qCI": 1}, "qCI: no packet has that on Wi-Fi or Ethernet"),
    ({"token": ["a"]}, "token: Viscum has no tokens"),
    ({"tag": ["a"]}, "tag: Viscum has no tags"),
    ({"srcTunnelAddress": ["192.0.2.1"]}, "srcTunnelAddress: there are no tunnels here"),
    ({"tgtTunnelAddress": ["192.0.2.1"]}, "tgtTunnelAddress: there are no tunnels here"),
    ({"srcTunnelPort": ["1"]}, "srcTunnelPort: there are no tunnels here"),
    ({"dstTunnelPort": ["1"]}, "dstTunnelPort: there are no tunnels here"),
    ({"protocol": ["ICMP"]}, "protocol: 'ICMP' is not TCP, UDP or ANY"),
    ({"protocol": ["132"]}, "protocol: '132' is not TCP, UDP or ANY"),
    ({"dstPort": ["70000"]}, "dstPort: '70000' is not a port or a range of ports"),
    ({"dstAddress": ["127.0.0.1"]}, "dstAddress: '127.0.0.1' can't be redirected"),
    ({"dstAddress": ["0.0.0.0/0", "2001:db8::/32"]}, "dstAddress: has all of a family and others"),
    ({"srcAddress": ["nobody"]}, "srcAddress: 'nobody' is not an address or prefix"),
    ({"dstAddress": [], "dstPort": []}, "is for all packets: name dstAddress or dstPort"),
    ({"dstPort": "80"}, "dstPort: has a wrong type"),
    ({"x-viscum": {"dest_ip": ["203.0.113.1"]}}, "x-viscum.dest_ip: is no option that it may have"),
)


def test_what_cannot_be_is_refused_by_file_rule_and_field_with_a_remedy():
    for members, said in REFUSED:
        found = wrong(rule(**members))
        assert [text for text in found if said in text and text.startswith("rules.json: traffic rule")], (found, said)
    for members, said in FILTERS:
        found = wrong(rule(trafficFilter=[dict(rule()["trafficFilter"][0], **members)]))
        assert [text for text in found if said in text and " 'web' trafficFilter: " in text], (found, said)


def test_all_that_is_wrong_is_told_at_once_and_at_most_fifty_times():
    found = wrong([rule(action="DROP", filterType="PACKET"), rule(trafficRuleId="x", state="ON")])
    assert len(found) == 3
    many = [rule(trafficRuleId="web.%d" % number, action="DROP", state="x") for number in range(60)]
    found = wrong(many)
    assert len(found) == 51 and found[-1] == "rules.json: has more problems than these"


def test_what_an_application_requires_of_a_platform_is_refused_and_what_it_tells_is_read_over():
    application = {"appName": "web", "appTrafficRule": [rule(state=None)], "swImageDescriptor": {"id": "x"}}
    assert plan(WEB, application)[1] == {"web": "is so already"}
    for field in ("appServiceRequired", "appFeatureRequired", "transportDependencies"):
        (said,) = wrong(dict(application, **{field: [{"serName": "RNIS"}]}))
        assert said.startswith("rules.json: application 'web': %s: a router " % field)


def test_too_many_and_twice_the_same_are_refused():
    assert "is there twice" in wrong([rule(), rule()])[0]
    assert "has 65 entries" in wrong([rule(trafficRuleId="web.%d" % number) for number in range(65)])[0]
    assert "has 257 entries" in wrong(rule(trafficFilter=[{"dstPort": ["80"] * 257}]))[0]
    texts = ["::1-ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe"] * 9
    found = wrong(rule(trafficFilter=[{"srcAddress": texts, "dstPort": ["80"]}]))
    assert [text for text in found if "too many prefixes" in text]
    assert "no plain text" in wrong(rule(trafficRuleId="x" * 300))[0]
    assert wrong([]) == ["rules.json: has no rules"] and wrong(7) == ["rules.json: has an entry of a wrong type"]
    assert wrong({"a": 1}) == ["rules.json: has what is no rule and no application descriptor"]


def test_what_is_left_out_has_to_go_first_and_to_be_of_a_client_or_destination_alone():
    left_out = rule(
        trafficRuleId="web.no", action="PASSTHROUGH", priority=0, trafficFilter=[{"srcAddress": ["192.168.1.7"]}]
    )
    assert "list exclude_client '192.168.1.7'" in plan(WEB, [rule(), left_out])[0]
    assert "is for a rule that takes packets" in wrong([rule(), dict(left_out, **{"x-viscum": {"vlan": "7"}})])[0]
    assert "never counts behind" in wrong([rule(), dict(left_out, priority=1)])[0]
    for more in ({"dstPort": ["80"]}, {"dstAddress": ["203.0.113.10"]}):
        filters = [dict(left_out["trafficFilter"][0], **more)]
        assert "can leave out only all" in wrong([rule(), dict(left_out, trafficFilter=filters)])[0]
    assert "state: is not that of the service's other rules" in wrong([rule(), dict(left_out, state="INACTIVE")])[0]


def test_the_extension_has_every_option_of_traffic_that_the_models_have_no_word_for():
    assert model.OF_FILTER == ("family", "dest_host", "target_port")
    rows = schema.MATCH + schema.SOURCES + schema.WHOSE + schema.TAKEN
    assert sorted(model.OF_FILTER + model.OF_RULE + model.SAID) == sorted([row.name for row in rows] + ["vlan"])
