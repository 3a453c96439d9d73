"""Every option's type: what it takes, and what it says of what it doesn't."""

from viscum_agent import schema
from viscum_agent.uci import Section


def check(kind="service", **options):
    return schema.check(Section(kind, "s", False, options, 1))


def value(name, text, kind="service"):
    """The value of an option; it has to be right."""
    values, problems = check(kind, **{name: text})
    assert problems == [], problems
    return values[name]


def complaint(name, text, kind="service"):
    """What is said of one wrong option."""
    _, problems = check(kind, **{name: text})
    assert len(problems) == 1, problems
    assert problems[0].where == "viscum.s." + name
    return problems[0].message


def test_a_section_that_sets_nothing_has_the_defaults():
    values, problems = check()
    assert problems == []
    assert values["enabled"] is False and values["proto"] == ["tcp", "udp"] and values["user"] == "nobody"
    assert values["dest_ip"] == [] and values["mtu"] is None and values["term_timeout"] == 5


def test_every_default_is_a_value_of_its_option():
    for kind in schema.SECTIONS:
        assert sorted(schema.defaults(kind)) == sorted([option.name for option in schema.SECTIONS[kind]])


def test_one_text_is_split_for_a_list_of_values_without_blanks():
    assert value("dest_port", "80 443\t5000-5010") == [(80, 80), (443, 443), (5000, 5010)]
    assert value("interface", ["lan", "guest"]) == ["lan", "guest"]


def test_blanks_that_only_look_like_some_do_not_split():
    """str.split() would split here, under CPython only."""
    for blank in ("\u00a0", "\u2003", "\x1c", "\x85"):
        assert "is not a port" in complaint("dest_port", "80%s443" % blank)


def test_a_command_and_a_variable_are_not_split():
    assert value("command", "/bin/sh -c 'exit 1'") == ["/bin/sh -c 'exit 1'"]
    assert value("env", "A=b c") == ["A=b c"]


def test_a_list_for_one_value_is_refused():
    assert complaint("mtu", ["1400", "1500"]).startswith("is a list; it takes one value: a number of bytes")


def test_a_list_without_a_value_is_refused():
    assert complaint("dest_ip", "  ").startswith("is empty; it takes an address")


def test_every_wrong_value_of_a_list_is_named():
    _, problems = check(dest_port=["80", "0", "http", "99999"])
    assert [problem.message.split()[0] for problem in problems] == ["'0'", "'http'", "'99999'"]


def test_ports():
    assert value("dest_port", ["1", "65535", "1-65535", "80-80"]) == [(1, 1), (65535, 65535), (1, 65535), (80, 80)]
    for text in ("0", "65536", "-1", "80-", "-80", "1-2-3", "80,81", "+80", "0x50", "99999999999999999999", "\u0661"):
        assert complaint(
            "dest_port", [text]
        ) == "%s is not a port or a range of ports (1-65535, 5000-5010)" % schema.shown(text)


def test_a_range_that_runs_backwards_is_turned_round():
    assert complaint("dest_port", "20-10") == "'20-10' runs backwards; the range is 10-20"


def test_destinations_that_do_not_leave_the_link_are_refused_however_they_are_written():
    refused = (
        "127.0.0.1 127.0.0.0/8 126.0.0.0/7 0.0.0.0 169.254.169.254 224.0.0.1 192.0.0.0/2 240.0.0.1 255.255.255.255 "
        "::1 :: ::/64 fe80::1 fe80::/10 fe00::/7 febf::1 ff02::1 8000::/1"
    )
    for text in refused.split():
        assert "can't be redirected: " in complaint("dest_ip", text), text


def test_private_and_documentation_addresses_can_be_redirected():
    for text in ("10.0.0.1", "192.168.0.0/16", "203.0.113.10", "223.255.255.255", "fec0::1", "fd00::/8", "2000::/3"):
        assert len(value("dest_ip", text)) == 1, text


def test_any_address_is_no_destination_but_none():
    for text in ("0.0.0.0/0", "::/0"):
        assert "leave the option out" in complaint("dest_ip", text)


def test_bits_past_the_length_are_shown_with_both_remedies():
    said = "'192.168.1.1/24' has bits set past its length; the network is 192.168.1.0/24, the address alone 192.168.1.1"
    assert complaint("dest_ip", "192.168.1.1/24") == said
    assert complaint("src_ip", "192.168.1.1/24") == said


def test_a_prefix_length_is_a_number_of_bits():
    for text in ("10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.0/255.0.0.0", "10.0.0.0/00000000000000000008"):
        assert "has a wrong prefix length" in complaint("src_ip", text)


def test_a_pool_has_room_and_private_addresses():
    assert len(value("pool", ["10.213.0.0/28", "172.16.0.0/14", "fd00::/110", "fd00::/16"], "globals")) == 4
    for text, part in (
        ("10.0.0.0/29", "too small"),
        ("10.0.0.0/8", "too large"),
        ("fd00::/111", "too small"),
        ("fc00::/7", "too large"),
        ("224.0.0.0/16", "can't be a pool"),
        ("127.1.0.0/16", "can't be a pool"),
        ("fe80::/64", "can't be a pool"),
        ("10.213.0.0", "too small"),
        ("fd00::1/64", "bits set past its length"),
        ("lan", "is not a private prefix"),
    ):
        assert part in complaint("pool", text, "globals"), text


def test_booleans_are_those_of_openwrt():
    assert value("enabled", "on") is True and value("enabled", "disabled") is False
    assert "'TRUE' is not a yes or no" in complaint("enabled", "TRUE")


def test_variables():
    assert value("env", ["A=", "_a1=x=y"]) == ["A=", "_a1=x=y"]
    for text in ("A", "=x", "1A=x", "A-B=x", "\u00c4=x", ""):
        assert "is not a variable" in complaint("env", [text]), text


def test_accounts():
    assert value("user", "www-data") == "www-data" and value("user", "65534") == "65534"
    for text in ("-u", "a b", "a:b", "a/b", "a\nb", "\x1b[2J", "j\u00fcrgen"):
        assert "is not the name of an account" in complaint("user", text), text


def test_paths_are_absolute():
    assert value("workdir", "/srv/with blank") == "/srv/with blank"
    for text in ("srv", "./srv", "/a\nb", "/a\x1bb"):
        assert "is not an absolute path" in complaint("workdir", text), text


def test_devices_are_names_or_patterns_that_a_device_can_have():
    assert value("device", ["br-lan", "phy*-ap?", "eth0.10", "wan@eth0"]) == [
        "br-lan",
        "phy*-ap?",
        "eth0.10",
        "wan@eth0",
    ]
    for text in ("", "sixteen-letters-", "a/b", "a:1", "a b", "..", ".", "caf\u00e9"):
        assert "is not a device name" in complaint("device", [text]), text


def test_a_near_miss_gets_a_hint_and_a_far_one_the_list():
    assert complaint("dest_prot", "80") == "is not an option; did you mean 'dest_port'?"
    assert complaint("workd", "/") == "is not an option; did you mean 'workdir'?"
    assert complaint("port", "80").startswith("is not an option; did you mean 'dest_port' or 'target_port'")
    assert complaint("bandwidth", "80").startswith("is not an option of a service section; there are: enabled, command")


def test_a_value_is_shown_on_one_line_and_not_endlessly():
    assert schema.shown("it's") == "'it's'"
    assert schema.shown("a\n\x1b[2J\x7f\u202e\u00e4") == "'a\\u000a\\u001b[2J\\u007f\\u202e\\u00e4'"
    assert schema.shown("x" * 60) == "'%s'" % ("x" * 60)
    assert schema.shown("x" * 61) == "'%s...'" % ("x" * 60)


def test_all_texts_of_the_table_fit_one_line_of_ascii():
    """They go into messages, the manual and the LuCI form."""
    for kind in schema.SECTIONS:
        for option in schema.SECTIONS[kind]:
            for text in (option.name, option.help, option.type.expected):
                assert text and all(" " <= c <= "~" for c in text), option.name
