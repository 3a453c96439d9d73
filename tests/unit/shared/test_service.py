"""What sections mean together."""

from unit.shared.expect import raises

from viscum_agent.config import service as model
from viscum_agent.config import uci
from viscum_agent.config.service import split_words
from viscum_agent.records import with_

HEAD = "config service 's'\noption enabled 1\noption command /bin/x\nlist interface lan\n"


def read(text):
    return model.read(uci.parse(text.encode(), "viscum"))


def test_an_option_of_globals_with_a_mistake_keeps_the_value_that_it_had():
    """Its default would be one more change: other subnets, another datapath, services that were off."""
    before = read(
        "config globals\nlist pool 10.99.0.0/16\noption datapath u32\noption enabled 0\noption netlink native\n"
    )
    text = "config globals\nlist pool 10.99.0.0/33\noption datapath ebpf\noption enabled no.\noption watch_timeout 20\n"
    found = model.read(uci.parse(text.encode(), "viscum"), "viscum", before)
    assert len(found.problems) == 3
    assert found.settings == with_(before.settings, watch_timeout=20)
    assert read(text).settings == with_(read("").settings, watch_timeout=20), "where there was none"
    assert model.read([], "viscum", before).settings == read("").settings, "it is not there any more, on purpose"


def test_a_service_with_a_mistake_has_the_settings_from_before_beside_it_as_long_as_it_is_wanted():
    def kept(text, before):
        found = model.read(uci.parse(text.encode(), "viscum"), "viscum", before)
        return found, [each.matches[0].dport for each in found.kept]

    good, off = HEAD + "list dest_port 80\n", HEAD.replace("enabled 1", "enabled 0") + "list dest_port 80\n"
    bad = HEAD + "list dest_port 80x\n"
    first = read(good)
    second, ports = kept(bad, first)
    assert (second.bad, second.services, ports) == (["s"], [], [(80, 80)])
    assert kept(bad, second)[1] == [(80, 80)], "as often as the file is read"
    assert kept(good, second)[1] == kept("", second)[1] == kept(bad.replace("enabled 1", "enabled 0"), second)[1] == []
    assert kept(bad, read(off))[1] == kept(bad, read("config globals\noption enabled 0\n" + good))[1] == []
    assert read(bad).kept == []


def service(*lines):
    """The only service of a configuration without problems."""
    found = read(HEAD + "\n".join(lines) + "\n")
    assert found.problems == [] and found.bad == [], found.problems
    return found.services[0]


def problems(text):
    return ["%s: %s" % (problem.where, problem.message) for problem in read(text).problems]


def test_without_files_only_the_text_counts():
    """What they say is up to the router; that a bundle has a command and a root is not."""
    section = "config service s\nlist interface l\nlist dest_port 1\noption bundle /srv/none\nlist mount /srv:/data\n"
    section += "option seccomp /none.json\n"

    def found(text):
        return [each.where for each in model.read(uci.parse(text.encode(), "viscum"), files=False).problems]

    assert found(section) == [] and len(problems(section)) == 3
    assert found(section + "option root /srv\noption view host\n") == ["viscum.s.root", "viscum.s.view"]
    assert found(section + "list allow_syscalls mount\n") == ["viscum.s.allow_syscalls"]
    assert found(section.replace("bundle /srv/none", "tmp_size 20")) == ["viscum.s.command", "viscum.s.mount"]


def test_a_rate_that_the_program_can_get_around_is_refused():
    section = "config service s\noption command /bin/x\nlist interface l\nlist dest_port 1\noption rate 20mbit\n"
    assert problems(section + "list capability net_bind_service\n") == []
    for name in ("net_raw", "net_admin", "all"):
        said = "viscum.s.rate: can't be kept: a program with capability '%s' gets around it; take out one of the two"
        assert problems(section + "list capability %s\n" % name) == [said % name]


def test_a_burst_needs_a_rate():
    section = "config service s\noption command /bin/x\nlist interface l\nlist dest_port 1\noption burst 64k\n"
    assert problems(section) == ["viscum.s.burst: is not used, because there is no rate: take it out"]
    assert len(problems(section + "option rate quick\n")) == 1, "it is not used because of the other mistake"


# Commands


def test_a_command_is_split_at_blanks():
    assert split_words("/usr/bin/iperf3  -s\t-p 5201\n") == ["/usr/bin/iperf3", "-s", "-p", "5201"]


def test_quotes_keep_blanks_and_are_gone():
    assert split_words("/bin/sh -c 'exec a b' \"c d\"") == ["/bin/sh", "-c", "exec a b", "c d"]
    assert split_words("a'b c'd''e") == ["ab cde"]
    assert split_words("'' \"\"") == ["", ""]


def test_a_backslash_takes_the_next_letter_but_not_in_single_quotes():
    assert split_words("a\\ b \"c\\\"d\" 'e\\f' \\'") == ["a b", 'c"d', "e\\f", "'"]


def test_nothing_here_is_a_shell():
    assert split_words("/bin/echo $HOME *.c ~ ; | & > x") == ["/bin/echo", "$HOME", "*.c", "~", ";", "|", "&", ">", "x"]


def test_a_quote_that_is_not_closed_is_named():
    assert raises(ValueError, split_words, 'a "b') == "'a \"b' has a quote (\") that is not closed"


def test_a_backslash_with_nothing_behind_it_is_named():
    text = raises(ValueError, split_words, "/bin/x a\\")
    assert text == "'/bin/x a\\' ends in a backslash, and nothing follows it: write two for one"
    assert split_words("/bin/x 'a\\' \\\\") == ["/bin/x", "a\\", "\\"]


def test_an_empty_command_has_no_words():
    assert split_words(" \t") == []
    assert "command: ' ' is not an absolute path" in problems("config service s\noption command ' '\n")[0]


def test_a_list_is_one_word_each():
    found = read(
        "config service s\nlist command '/bin/my program'\nlist command 'a b'\nlist interface l\nlist dest_port 1\n"
    )
    assert found.services[0].program.command == ("/bin/my program", "a b")


# Matches


def test_lists_multiply():
    found = service("option dest_ip '203.0.113.1 203.0.113.2'", "option dest_port '80 443'").matches
    assert ["%s %d %d" % (m.proto, m.dst.packed[3], m.dport[0]) for m in found] == (
        ["tcp 1 80", "tcp 1 443", "udp 1 80", "udp 1 443", "tcp 2 80", "tcp 2 443", "udp 2 80", "udp 2 443"]
    )


def test_what_is_there_twice_is_one_match():
    assert (
        len(service("list dest_ip 203.0.113.1", "list dest_ip 203.0.113.1/32", "option dest_port '80 80-80'").matches)
        == 2
    )


def test_a_port_alone_is_any_address_of_both_families():
    assert [(m.family, m.proto, m.dst) for m in service("list dest_port 80", "list proto tcp").matches] == [
        (4, "tcp", None),
        (6, "tcp", None),
    ]


def test_addresses_say_the_family():
    assert {m.family for m in service("list dest_ip 2001:db8::1").matches} == {6}
    assert {m.family for m in service("list dest_port 80", "list src_ip 192.168.1.0/24").matches} == {4}
    assert {m.family for m in service("list dest_port 80", "option family ipv6").matches} == {6}


def test_clients_that_are_all_of_a_family_are_the_family_and_nothing_to_match():
    """Written down, they would be one match, and read back from the kernel another."""
    for text, family in (("0.0.0.0/0", 4), ("::/0", 6)):
        found = service("list dest_port 80", "list src_ip " + text).matches
        assert {(m.family, m.src) for m in found} == {(family, None)}


def test_clients_of_one_family_only_leave_out_the_other_familys_addresses():
    found = service("option dest_ip '203.0.113.1 2001:db8::1'", "list src_ip 192.168.1.0/24").matches
    assert {m.family for m in found} == {4}


def test_any_protocol_is_tcp_and_udp_for_ipv6():
    found = service("option dest_ip '203.0.113.1 2001:db8::1'", "list proto any").matches
    assert [(m.family, m.proto) for m in found] == [(4, ""), (6, "tcp"), (6, "udp")]


def test_a_list_that_multiplies_beyond_reason_is_refused_before_it_is_made():
    many = "option dest_ip '%s'" % " ".join(["10.%d.%d.1" % (i // 200, i % 200) for i in range(1000)])
    ports = "option dest_port '%s'" % " ".join([str(i) for i in range(1, 1001)])
    said = problems(HEAD + many + "\n" + ports + "\n")
    assert said == [
        "viscum.s.dest_ip: the lists make 2000000 matches, and at most 256 fit a service: use prefixes or ranges"
    ]


# Checks, and words that nothing is done with

PORTS = HEAD + "option dest_port '5000-5010'\n"


def test_a_check_that_can_never_be_made_is_refused():
    for kind, other in (("tcp", "udp"), ("udp", "tcp")):
        text = PORTS + "option healthcheck %s\n" % kind
        assert problems(text) == [] and problems(text + "list proto any\nlist dest_ip 203.0.113.1\n")[:1] != []
        (said,) = problems(text + "list proto %s\n" % other)
        assert said.startswith("viscum.s.healthcheck: '%s' has no port to check, because the service takes no" % kind)
        assert problems(text + "list proto %s\noption health_port 80\n" % other) == []


def test_every_protocol_has_no_port_to_check():
    """It would count as healthy for ever, also while its program hangs."""
    text = HEAD + "list dest_ip 203.0.113.1\nlist proto any\noption healthcheck "
    for kind in ("tcp", "udp", "listen"):
        assert problems(text + kind + "\n") == [
            "viscum.s.healthcheck: '%s' has no port to check, because proto 'any' has none: name a health_port, or say "
            "'exec' or 'none'" % kind
        ]
        assert problems(text + kind + "\noption health_port 80\n") == []
        assert problems(text + kind + "\nlist dest_ip 2001:db8::1\n") == [], "over IPv6 it is TCP and UDP"
    assert problems(text + "auto\n") == problems(text + "none\n") == []


def test_words_that_the_check_has_no_use_for_are_refused():
    for kind in ("exec", "none"):
        text = PORTS + "option healthcheck %s\noption health_port 80\n" % kind
        text += "option health_command /bin/x\n" if kind == "exec" else ""
        assert problems(text) == [
            "viscum.s.health_port: is not used, because healthcheck '%s' checks no port: take it out" % kind
        ]
    for kind in ("auto", "tcp", "none"):
        assert problems(PORTS + "option healthcheck %s\noption health_command /bin/x\n" % kind) == [
            "viscum.s.health_command: is not used, because only healthcheck 'exec' runs it: take it out"
        ]


def test_a_check_that_can_not_be_read_is_one_mistake():
    assert len(problems(PORTS + "option healthcheck http\noption health_port 80\n")) == 1


def test_a_variable_that_is_set_twice_is_named():
    text = PORTS + "list env A=1\nlist env B=1\nlist env A=2\n"
    assert problems(text) == ["viscum.s.env: 'A' is set more than once: leave one"]


def test_a_place_that_has_two_things_mounted_on_it_is_named():
    text = PORTS + "option root /srv/app\nlist mount /srv/a:/data\nlist mount tmpfs:/b\nlist mount /srv/c:/data:ro\n"
    assert problems(text) == ["viscum.s.mount: '/data' has something mounted on it more than once: leave one"]


def test_a_program_that_sees_all_needs_nothing_opened():
    lines = "list visible /run\nlist writable /srv\noption tmp_size 8\n"
    assert problems(PORTS + lines) == []
    assert problems(PORTS + "option view host\n" + lines) == [
        "viscum.s.%s: is not used, because with view 'host' it sees everything: take it out" % name
        for name in ("visible", "writable", "tmp_size")
    ]


def test_a_root_of_its_own_shows_nothing_else_of_the_router():
    mount = "list mount /srv/data:/data\n"
    assert problems(PORTS + "option root /srv/app\nlist writable /data\noption tmp_size 8\n" + mount) == []
    for name, line in (("view", "option view host"), ("visible", "list visible /run")):
        text = "is not used, because with a root of its own it sees that and what `mount` names: take it out"
        assert problems(PORTS + "option root /srv/app\n" + line + "\n") == ["viscum.s.%s: %s" % (name, text)]
    (said,) = problems(PORTS + mount)
    assert said.startswith("viscum.s.mount: is not used, because only a `root` of its own has that: see `visible` and")


# Redirect sections

MORE = "config redirect 'more'\noption service s\nlist proto tcp\n"


def test_a_redirect_section_adds_matches():
    found = read(HEAD + "list dest_port 80\nlist proto tcp\noption family ipv4\n" + MORE + "list dest_ip 203.0.113.1\n")
    assert [m.dst is None for m in found.services[0].matches] == [True, False]


def test_a_service_may_have_its_matches_in_redirect_sections_only():
    assert len(read(HEAD + MORE + "list dest_ip 203.0.113.1\n").services[0].matches) == 1


def test_what_a_service_says_of_traffic_that_only_its_redirect_sections_name_is_refused():
    text = HEAD + "option target_port 80\nlist proto udp\noption family ipv4\n" + MORE + "list dest_ip 203.0.113.1\n"
    assert problems(text) == [
        "viscum.s.%s: is not used, because its redirect sections have their own: take it out" % name
        for name in ("family", "proto", "target_port")
    ]


def test_a_mistake_in_a_redirect_section_is_named_there_and_skips_the_service():
    found = read(HEAD + MORE + "list proto any\nlist dest_port 80\n")
    assert [p.where for p in found.problems] == ["viscum.more.proto"]
    assert found.bad == ["s"] and found.services == []


def test_the_same_traffic_can_not_go_to_two_ports():
    text = HEAD + "list dest_port 80\noption target_port 8080\n" + MORE + "list dest_port 80\n"
    assert problems(text) == ["viscum.more.target_port: the same traffic can't go to two ports (8080 and the client's)"]


def test_nor_can_a_part_of_it_whoever_asks():
    """In the namespace a rule would lead all of it to the port of the narrower one, where perhaps nobody listens."""
    wide = HEAD + "list proto tcp\nlist dest_ip 203.0.113.0/24\nlist dest_port 80-90\noption target_port 8080\n"
    own = ", whatever its src_ip: make a separate service for those clients"
    for lines, more in (
        ("list dest_port 85\noption target_port 8081\n", ""),
        ("list dest_ip 203.0.113.10\nlist dest_port 80-90\noption target_port 8081\n", ""),
        ("list dest_port 90-99\noption target_port 8081\n", ""),
        ("list dest_port 80-90\nlist src_ip 192.168.1.3\noption target_port 8081\n", own),
    ):
        text = "viscum.more.target_port: the same traffic can't go to two ports (8080 and 8081)"
        assert problems(wide + MORE + lines) == [text + more], lines
    for lines in (
        "list dest_port 85\noption target_port 8080\n",
        "list dest_port 91\noption target_port 8081\n",
        "list dest_ip 198.51.100.1\nlist dest_port 85\noption target_port 8081\n",
        "list dest_ip 2001:db8::1\nlist dest_port 85\noption target_port 8081\n",
    ):
        assert problems(wide + MORE + lines) == [], lines


def test_a_target_port_that_is_the_clients_own_is_no_other_one():
    text = HEAD + "list dest_port 80-90\nlist proto tcp\n" + MORE + "list dest_port 85\noption target_port 85\n"
    assert problems(text) == []
    assert problems(text.replace("80-90", "80-90\noption target_port 80")) != []


# Sections


def test_services_are_in_file_order_and_a_bad_one_is_left_out():
    good = "option command /bin/x\nlist interface lan\nlist dest_port 1\n"
    found = read(
        "".join(["config service '%s'\noption enabled 1\n%s" % (name, good) for name in ("z", "b", "a")])
        + "option mtu x\n"
    )
    assert [s.name for s in found.services] == ["z", "b"] and found.bad == ["a"]


# Accounts


def accounts(*sections):
    """The account of each of these (name, line)."""
    text = "config service %s\n" + HEAD[19:].replace("option enabled 1\n", "") + "list dest_port 1\n%s\n"
    return {each.name: each.program.account for each in read("".join([text % each for each in sections])).services}


def test_each_service_has_an_account_of_its_own_that_follows_from_its_name():
    assert accounts(("echo", ""), ("web", "option user www")) == {"echo": "53348", "web": "www"}
    names = ["s%d" % number for number in range(500)]
    found = accounts(*[(name, "") for name in names])
    assert len(set(found.values())) == 500 and all(40000 <= int(each) <= 59999 for each in found.values())
    assert found["s7"] == accounts(("s7", ""))["s7"], "whoever else is there"


def test_two_names_with_one_number_have_two_accounts_in_the_order_of_the_file():
    """Also while one of them is off: it may be switched on."""
    one, other = ("s478", "option enabled 1"), ("s1886", "option enabled 0")
    number = int(accounts(one)["s478"])
    assert accounts(other)["s1886"] == str(number), "as chosen for this test"
    assert accounts(one, other) == {"s478": str(number), "s1886": str(number + 1)}
    assert accounts(other, one) == {"s1886": str(number), "s478": str(number + 1)}
    assert accounts(one, ("a", "option user 0%d" % number)) == {"s478": str(number + 1), "a": "0%d" % number}


def test_a_mistake_in_a_service_that_is_off_does_not_keep_it_on():
    for text in ("config service s\noption mtu x\n", "config globals\noption enabled 0\n" + HEAD + "option mtu x\n"):
        found = read(text)
        assert found.problems and found.bad == [] and [s.name for s in found.services] == ["s"]


def test_a_service_whose_switch_can_not_be_read_is_bad():
    found = read(HEAD.replace("enabled 1", "enabled maybe") + "list dest_port 1\n")
    assert found.bad == ["s"] and found.services == []


def test_without_globals_the_defaults_count():
    found = read("")
    assert found.settings.enabled and found.settings.datapath == "auto" and len(found.settings.pool) == 2


def test_of_two_globals_the_first_counts_and_the_second_is_named():
    found = read("config globals g\noption datapath u32\nconfig globals h\noption datapath flower\n")
    assert found.settings.datapath == "u32"
    assert problems("config globals g\nconfig globals h\n") == [
        "viscum.h: is a second globals section, and only the first one counts"
    ]


def test_two_sections_of_one_name_are_both_skipped():
    text = "config service cfg025996\n%sconfig service\n%s" % (HEAD[19:], HEAD[19:] + "list dest_port 1\n")
    assert any("is the name of two sections" in said for said in problems(text))
    assert read(text).services == []


def test_a_name_that_is_too_long_for_a_file_is_refused():
    assert read("config service %s\n%slist dest_port 1\n" % ("n" * 64, HEAD[19:])).problems == []
    assert "longer than 64" in problems("config service %s\n%slist dest_port 1\n" % ("n" * 65, HEAD[19:]))[0]
