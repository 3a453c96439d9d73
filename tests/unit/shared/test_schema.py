"""Every option's type: what it takes, and what it says of what it doesn't."""

from viscum_agent.config import schema
from viscum_agent.config.uci import Section, parse
from viscum_agent.shell import shown


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
    assert values["enabled"] is False and values["proto"] == ["tcp", "udp"] and values["user"] is None
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


def test_a_command_is_not_split_here():
    assert value("command", "/bin/sh -c 'exit 1'") == ["/bin/sh -c 'exit 1'"]


def test_variables_in_one_text_are_split_as_netifd_and_procd_split_them():
    assert value("env", "A=1 B=2") == ["A=1", "B=2"]
    assert value("env", ["A=1 B=2", "C=it's"]) == ["A=1 B=2", "C=it's"]
    assert value("env", "A='1'") == ["A='1'"]


def test_a_text_that_may_be_one_variable_or_several_is_refused_with_what_to_write():
    for text in ("A=dark blue", "A='dark blue'", 'A="b c=d"', "A=1 B='x'", "A 1"):
        said = complaint("env", text)
        assert said == "%s is split at blanks: write `list env` for each variable" % shown(text), said


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
        said = complaint("dest_port", [text])
        assert said == "%s is not a port or a range of ports (1-65535, 5000-5010)" % shown(text)


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
    assert "'TRUE' is not a boolean" in complaint("enabled", "TRUE")


def test_ipv4_addresses_in_the_notation_of_ipv6_are_refused_with_the_address_to_write():
    """No packet has them (RFC 4291, 2.5.5): a service that waits for one would wait for ever."""
    for name, kind in (("dest_ip", "service"), ("src_ip", "service"), ("dest_ip", "redirect")):
        for text, right in (
            ("::ffff:203.0.113.10", "203.0.113.10"),
            ("::ffff:cb00:710a/128", "203.0.113.10/32"),
            ("::ffff:203.0.113.0/120", "203.0.113.0/24"),
            ("::ffff:0:0/96", "0.0.0.0/0"),
            ("::203.0.113.10", "203.0.113.10"),
            ("::203.0.113.0/120", "203.0.113.0/24"),
        ):
            assert complaint(name, [text], kind).endswith(", and no packet has it: write " + right), text
    for text in ("::ffff:10.0.0.0/104", "::10.0.0.0/104"):
        assert "no packet has it: write 10.0.0.0/8" in complaint("pool", [text], "globals")


def test_addresses_of_translators_are_addresses_that_packets_have():
    """NAT64 (RFC 6052) and 6to4 (RFC 3056): clients do send there."""
    for text in ("64:ff9b::203.0.113.10", "64:ff9b:1::/48", "2002:cb00:710a::1"):
        assert len(value("dest_ip", text)) == len(value("src_ip", text)) == 1


def test_a_zone_is_refused_with_the_option_that_names_a_device():
    for name in ("dest_ip", "src_ip"):
        for text in ("fe80::1%br-lan", "2001:db8::1%1", "fe80::%lan/64"):
            assert "has a zone (%), " in complaint(name, text) and "option device" in complaint(name, text)


def test_clients_have_addresses_that_a_host_can_have():
    for text in ("127.0.0.1", "224.0.0.0/4", "0.0.0.0", "255.255.255.255", "::1", "::", "ff02::1"):
        assert "can't be a client's: " in complaint("src_ip", text), text
    for text in ("0.0.0.0/0", "::/0", "169.254.1.1", "fe80::/10", "192.168.1.0/24", "128.0.0.0/1"):
        assert len(value("src_ip", text)) == 1, text


def test_what_a_service_reaches_has_addresses_that_a_host_can_have():
    for text in ("127.0.0.1:53", "224.0.0.1", "255.255.255.255:67", "[::1]:53", "ff02::1"):
        assert "can't be reached: " in complaint("egress", text), text
    for text in ("0.0.0.0/0", "[::/0]:53", "169.254.1.1", "192.168.1.255", "128.0.0.0/1:53"):
        assert len(value("egress", text)) == 1, text


def test_an_interface_has_the_name_of_a_section_however_long():
    assert value("interface", "guest_wifi_radio1") == ["guest_wifi_radio1"]


def test_an_interface_is_named_without_netifds_sign_for_one():
    assert value("interface", ["@wifi", "wan@eth0"]) == ["@wifi", "wan@eth0"]
    assert complaint("interface", "@wan") == "'@wan' is how a device section of netifd names an interface: write 'wan'"


def test_variables_of_viscums_own_are_refused():
    for text in ("VISCUM_PROGRAM=x", "VISCUM_SERVICE=other", "VISCUM_=", "VISCUM_X=1"):
        assert "is a variable that Viscum sets itself" in complaint("env", [text])
    assert value("env", ["VISCUM=1", "PATH=/bin"]) == ["VISCUM=1", "PATH=/bin"]


def test_an_option_that_is_set_twice_is_named_with_the_line_that_would_count():
    data = b"config service s\noption mtu 1400\noption dest_port 80\noption dest_port 443\noption mtu 1300\n"
    _, problems = schema.check(parse(data, "viscum")[0])
    assert [(problem.where, problem.message) for problem in problems] == [
        (
            "viscum.s.dest_port",
            "is set more than once, and only the value in line 4 would count: write `list dest_port` for each of them",
        ),
        ("viscum.s.mtu", "is set more than once, and only the value in line 5 would count: leave one"),
    ]


def test_an_option_of_another_section_type_is_sent_there():
    assert complaint("command", "/bin/x", "redirect") == "is not an option of a redirect section, but of config service"
    assert complaint("dest_ip", "1.2.3.4", "globals") == (
        "is not an option of a globals section, but of config redirect and config service"
    )


def test_variables():
    assert value("env", ["A=", "_a1=x=y"]) == ["A=", "_a1=x=y"]
    for text in ("A", "=x", "1A=x", "A-B=x", "\u00c4=x", ""):
        assert "is not a variable" in complaint("env", [text]), text


def test_accounts():
    assert value("user", "www-data") == "www-data" and value("user", "65534") == "65534"
    for text in ("-u", "-1", "a b", "a:b", "a/b", "a\nb", "\x1b[2J", "j\u00fcrgen"):
        assert "is not the name or number of an account" in complaint("user", text), text


def test_numbers_of_accounts_end_where_the_kernels_do():
    """2**32 is 0 to setuid(2), which takes 32 bits, and 2**32 - 1 means "leave it as it is"."""
    for name in ("user", "group"):
        assert value(name, "4294967294") == "4294967294" and value(name, "0") == "0"
        for text in ("4294967295", "4294967296", "8589934592", "18446744073709551616", "00000000000"):
            said = complaint(name, text)
            assert said == "'%s' is not an account number; they go from 0 to 4294967294" % text


def test_capabilities_are_named_as_setpriv_and_procd_name_them():
    assert value("capability", ["net_raw", "all"]) == ["net_raw", "all"]
    assert value("capability", "chown checkpoint_restore") == ["chown", "checkpoint_restore"]
    for text in ("CAP_NET_RAW", "cap_net_raw", "NET_RAW"):
        assert complaint("capability", text) == "'%s' is how a C program writes it: write net_raw" % text
    assert complaint("capability", "net").startswith("'net' is not a capability (net_raw")


def test_limits_are_numbers_or_none_at_all():
    assert value("nofile", "0") == 0 and value("fsize", "9999999999") == 9999999999
    assert value("core", "unlimited") == schema.UNLIMITED
    for text in ("-1", "1k", "Unlimited", "99999999999", ""):
        assert "is not a number, or unlimited" in complaint("nproc", text), text


def test_memory_is_written_as_elsewhere():
    texts = {"1048576": 1 << 20, "64m": 64 << 20, "64M": 64 << 20, "2048k": 2 << 20, "1g": 1 << 30}
    assert {text: value("memory_max", text) for text in texts} == texts
    for text in ("", "0", "64", "1048575", "1023k", "64mb", "64 m", "m", "-1m", "0.5g", "unlimited", "9999999999g"):
        assert "is not a number of bytes of at least 1m" in complaint("memory_max", text), text


def test_rates_are_written_as_tc_writes_them():
    texts = {"20mbit": 2500000, "20Mbit": 2500000, "1.5mbit": 187500, "64000": 8000, "1gbit": 125000000}
    texts.update({"2mbps": 2000000, "8000bps": 8000, "64kibit": 8192, "1mibps": 1048576, "32gbit": 4000000000})
    assert {text: value("rate", text) for text in texts} == texts
    wrong = ("", "mbit", "20mb", "20 mbit", "-1mbit", "63kbit", "33gbit", "1tbit", "1.mbit", ".5mbit", "1.5.2mbit")
    for text in wrong + ("20%", "20mbits", "0x10mbit", "1e6", "unlimited", "bit20", "1.0000001mbit", "99999999999"):
        assert "is not a rate as tc(8) writes it" in complaint("rate", text), text


def test_a_burst_has_bounds():
    assert (value("burst", "2k"), value("burst", "20000"), value("burst", "2m")) == (2048, 20000, 2 << 20)
    for text in ("2047", "2097153", "3m", "1g", "10kb", ""):
        assert "is not a number of bytes from 2k to 2m" in complaint("burst", text), text


def test_cpu_is_a_percentage_of_one():
    assert (value("cpu_max", "1"), value("cpu_max", "250")) == (1, 250)
    for text in ("0", "50%", "0.5", "50000 100000", "unlimited"):
        assert "is not a percentage from 1 to 25600" in complaint("cpu_max", text), text


def test_a_umask_is_octal():
    assert (value("umask", "022"), value("umask", "0077"), value("umask", "000")) == (0o22, 0o77, 0)
    for text in ("22", "088", "1022", "00022", "0o22", "-022"):
        assert "is not a umask of three octal digits" in complaint("umask", text), text


def test_priorities_go_both_ways():
    assert [value("nice", text) for text in ("-20", "0", "-0", "19")] == [-20, 0, 0, 19]
    assert [value("oom_score_adj", text) for text in ("-1000", "1000")] == [-1000, 1000]
    for text in ("-21", "20", "--1", "+1", "-", "1.5"):
        assert complaint("nice", text) == "'%s' is not a number from -20 to 19" % text


def test_what_a_program_may_see_or_change_is_written_plainly():
    """It is compared with the folders that are the program's own."""
    assert value("writable", ["/srv/with blank", "/", "/..a/.b"]) == ["/srv/with blank", "/", "/..a/.b"]
    for text in ("/srv/", "/srv//data", "/srv/./data", "/srv/../data", "//", "/.."):
        assert complaint("visible", text).startswith("'%s' is not the plain way to write it" % text), text
    assert "is not an absolute path (/srv/data)" in complaint("visible", "srv")
    assert complaint("tmp_size", "0") == "'0' is not a number of megabytes from 1 to 65536"
    assert complaint("view", "own") == "'own' is not one of: private, host"


def test_a_mount_says_what_and_where():
    texts = ["/srv/data:/data", "/etc/ssl:/ssl:ro", "/a:/b:noexec,ro", "tmpfs:/cache", "tmpfs:/cache:noexec"]
    assert [tuple(each) for each in value("mount", texts)] == [
        ("/srv/data", "/data", True, True),
        ("/etc/ssl", "/ssl", False, True),
        ("/a", "/b", False, False),
        ("", "/cache", True, True),
        ("", "/cache", True, False),
    ]
    wrong = (
        "/srv",
        "/srv:",
        ":/srv",
        "srv:/srv",
        "/a:/b:",
        "/a:/b:rw",
        "/a:/b:ro:",
        "/a:/b:ro,",
        "tmpfs:/c:ro",
        "tmpfs",
    )
    for text in wrong:
        assert "is not two absolute paths (/srv/data:/data" in complaint("mount", text), text
    assert complaint("mount", "/a:/b/../c").startswith("'/a:/b/../c' is not the plain way to write it")
    assert complaint("mount", "/a:/") == "'/a:/' can't be mounted on the root itself: name a folder in it"


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
    assert shown("it's") == "'it's'"
    assert shown("a\n\x1b[2J\x7f\u202e\u00e4") == "'a\\u000a\\u001b[2J\\u007f\\u202e\\u00e4'"
    assert shown("x" * 60) == "'%s'" % ("x" * 60)
    assert shown("x" * 61) == "'%s...'" % ("x" * 60)


def test_all_texts_of_the_table_fit_one_line_of_ascii():
    """They go into messages, the manual and the LuCI form."""
    for kind in schema.SECTIONS:
        for option in schema.SECTIONS[kind]:
            for text in (option.name, option.help, option.type.expected):
                assert text and all(" " <= c <= "~" for c in text), option.name
