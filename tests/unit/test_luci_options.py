"""The LuCI form has the agent's options, and its types take what the agent's take."""

import json
import shutil
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lab import ROOT

sys.path.insert(0, str(ROOT / "tools"))

import luci_options  # noqa: E402

from viscum_agent.config import schema, service  # noqa: E402

NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(not NODE, reason="needs Node.js (tools/setup.sh node)")

# Answers lines of JSON ([module, method, arguments...]) with lines of JSON. `_` marks what a translator gets.
SERVE = """
const fs = require('fs');
const folder = process.argv[1];
String.prototype.format = function(...values) { return this.replace(/%[sd]/g, () => values.shift()); };
const baseclass = { extend: (fields) => fields };
const load = (name) => new Function('baseclass', '_', fs.readFileSync(folder + '/' + name + '.js', 'utf8'))(
    baseclass, (text) => text);
const modules = { options: load('options'), types: load('types') };
const answer = ([ module, name, ...values ]) =>
    typeof modules[module][name] === 'function' ? modules[module][name](...values) : modules[module][name];
require('readline').createInterface({ input: process.stdin }).on('line', (line) =>
    process.stdout.write(JSON.stringify(answer(JSON.parse(line)) ?? null) + '\\n'));
"""


class Browser:
    """The application's modules, in a Node.js of their own."""

    def __init__(self):
        words = [NODE, "-e", SERVE, luci_options.RESOURCES / "viscum"]
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, *words):
        self._process.stdin.write(json.dumps(words) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self):
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


@pytest.fixture(scope="module")
def browser():
    made = Browser()
    yield made
    made.close()


@pytest.fixture(scope="module")
def tables(browser):
    return {name: {row["name"]: row for row in browser.ask("options", name)} for name in schema.SECTIONS}


def test_the_options_and_the_translators_template_are_what_the_generator_makes(capsys):
    assert luci_options.main(["--check"]) == 0, capsys.readouterr().err


def test_a_stale_table_is_told(monkeypatch, tmp_path, capsys):
    stale = tmp_path / "options.js"
    stale.write_text(luci_options.OPTIONS.read_text().replace("'dest_ip'", "'dest_up'"))
    monkeypatch.setattr(luci_options, "OPTIONS", stale)
    monkeypatch.setattr(luci_options, "ROOT", tmp_path)
    monkeypatch.setattr(luci_options, "template", lambda _: luci_options.TEMPLATE.read_text())
    monkeypatch.setattr(luci_options, "TEMPLATE", tmp_path / "viscum.pot")
    (tmp_path / "viscum.pot").write_text("")
    assert luci_options.main(["--check"]) == 1
    assert "options.js is not up to date" in capsys.readouterr().err


def test_every_option_is_in_the_form_with_its_default_its_help_and_what_it_takes(tables):
    for name, table in schema.SECTIONS.items():
        assert list(tables[name]) == [option.name for option in table]
        for option in table:
            row = tables[name][option.name]
            default = list(option.default) if option.many else option.default
            assert (row["fallback"], row["help"], row["many"]) == (default, option.help, option.many)
            assert row["expected"] == option.type.expected


def test_the_application_asks_for_every_option_in_a_translatable_way():
    template = luci_options.TEMPLATE.read_text()
    for table in schema.SECTIONS.values():
        for option in table:
            assert "msgid %s\n" % json.dumps(option.help) in template


# The same values for both


VALUES = """
1 0 on yes no true maybe tcp udp any ipv4 ipv6 auto dst none flower u32 native
0 00 01 1 65535 65536 -1 +1 1.5 1e3 ١ 80 5000-5010 5010-5000 5000- -5000 5000-5010-5020 99999999999
203.0.113.10 203.0.113.10/32 203.0.113.0/24 203.0.113.10/24 203.0.113.0/ 203.0.113.0/33 203.0.113.0/024 203.0.113
203.0.113.010 203.0.113.256 1.2.3.4.5 1.2.3.4/8 0.0.0.0 0.0.0.0/0 0.0.0.0/8 10.0.0.0/8 10.0.0.0/7 127.0.0.1 126.0.0.0/7
169.254.1.1 224.0.0.1 239.255.255.255 255.255.255.255 192.0.0.0/2 128.0.0.0/1 10.213.0.0/16 10.213.0.0/13 10.213.0.0/29
2001:db8:: 2001:db8::1 2001:db8::1/64 2001:db8::/64 2001:db8::/129 2001:db8::/0064 :: ::/0 ::1 ::2 ::/127 ::/126 fe80::1
fe80::/9 fe80::/10 ff02::1 fd76:7363:756d::/64 fd76::/15 fd76::/16 fd00::/8 fd76::/110 fd76::/111 ::ffff:1.2.3.4
::1.2.3.4 1::2::3 1:2:3:4:5:6:7:8 1:2:3:4:5:6:7:8:9 1:2:3:4:5:6:7:: 1:2:3:4:5:6:7::8 ::2:3:4:5:6:7:8
::1:2:3:4:5:6:7:8 :1 1: ::: 12345:: g:: 1.2.3.4:: ::1.2.3.4:5 1:2:3:4:5:6:1.2.3.4 1:2:3:4:5:6:7:1.2.3.4 fe80::1%lan
::1%1 fe80::1%br-lan ::ffff:0:0/96 ::ffff:0:0/95 ::ffff:1.2.3.0/120 ::1.2.3.0/120 ::/96 ::/95 ::1/128 ::2/128 ::3:0:0
64:ff9b::1.2.3.4 2002:102:304::1 ::fffe:1.2.3.4 224.0.0.0/2 127.0.0.0/7
A=b A= =b 1A=b A_1=b=c A-B=c VISCUM_PROGRAM=x VISCUM=x VISCUM_=x
nobody 4294967294 4294967295 4294967296 00000000000 0000000000 65534x no:body no/body -nobody n root www-data
/ /tmp tmp /tmp/ö
unlimited Unlimited 022 0022 1022 22 088 000 -0 -20 -21 19 20 --1 - -1000 -1001 1001 9999999999
lan wan lan,wan 203.0.113.7:53 203.0.113.7:0 203.0.113.0/24:80-90 203.0.113.0/24:90-80 203.0.113.7: :53 [::1]:53
[::1] [2001:db8::/61]:53 [2001:db8::/33]:53-x [2001:db8::7]53 [2001:db8::7 2001:db8::7]:53
02:00:5e:00:53:01 E4:D3:F0:B1:B4:83 03:00:5e:00:53:01 00:00:00:00:00:00 2:0:5e:0:53:1 02-00-5e-00-53-01 0200.5e00.5301
ab:cd:ef:gh:ij:kl 02:00:5e:00:53:10/48 ab:cd:ef:ab:cd:: ::1:2:3:4:5
02:00:5e:00:53:0g 02:00:5e:00:53:01:02 02:00:5e:00:53 02:00:5e:00:53:0\u212a ff:ff:ff:ff:ff:ff
[203.0.113.7]:53 [2001:db8::7]: []:53 127.0.0.1:53 224.0.0.1:67 [ff02::1]:53 [::/0]:53
net_raw CAP_NET_RAW cap_sys_nice cap_cap_kill cap_all all ALL checkpoint_restore net
64m 64M 2048k 2048K 1023k 1024k 1g 1G 4294967295g 4294967296g 9999999999g 64mb 6\u212a m k 1048576 1048575 0.5g 64km
br-lan phy*-ap0 eth? . .. *. ** * .* ?. a123456789012345 a12345678901234 eth0.10 wan@eth0 a,b+c=d%e#f br/lan
speed.example.com Speed.Example.COM. speed.example.com.. .example.com *.example.com a-b.example -a.example a-.example -
_x.y xn--bcher-kva.example b\u00fccher.example \u212a.example a.1 1.a a.1a example.1. 0x1 a*b.example a/b
lan @wifi @wan @ a@b lan_2 guest_wifi_radio1 iperf-2 iperf 100 101 576 575 86400 86401 3600 600 601
"""
LONG = ["a" * 63, "a" * 64, ".".join(["a" * 63] * 3 + ["a" * 61]), ".".join(["a" * 63] * 3 + ["a" * 62])]
BLANKS = ["a b", "a\tb", "/a b", "/a\nb", "A=b c", "A=b\nc", " ", " 1", "1 ", "1\n", "lan ", "lan\n", "\u00a0"]
ODD = ["/a\x7f", "/a\x80", "é", "a\u2028", "1\u2028"]


def verdict(option, text):
    try:
        option.type.parse(text)
        return True
    except ValueError:
        return False


def test_a_number_of_something_says_in_its_title_of_what(tables):
    assert tables["service"]["health_interval"]["title"] == "Check interval (seconds)"
    for table in tables.values():
        for row in table.values():
            assert "number of seconds" not in row["expected"] or row["title"].endswith(" (seconds)")


@pytest.mark.parametrize("section", sorted(schema.SECTIONS))
def test_a_value_passes_in_the_form_if_and_only_if_the_agent_takes_it(browser, tables, section):
    for option in schema.SECTIONS[section]:
        if option.name in luci_options.COMMANDS:
            continue
        for text in VALUES.split() + BLANKS + ODD + LONG:
            taken = browser.ask("types", "check", tables[section][option.name], text)
            assert (taken is True) == verdict(option, text), (option.name, text, taken)


ADDRESS = st.text("0123456789abcf.:/", min_size=1, max_size=24)
NUMBERS = st.text("0123456789-", min_size=1, max_size=12)
WORDS = st.text(" abA=\\\"'_.-@*?/%:\t\n", min_size=1, max_size=17)


@settings(max_examples=300, deadline=None)
@given(text=ADDRESS | NUMBERS | WORDS)
def test_made_up_values_pass_in_both_or_neither(browser, tables, text):
    for option in schema.SERVICE + schema.GLOBALS:
        if option.name not in luci_options.COMMANDS:
            table = "service" if option in schema.SERVICE else "globals"
            taken = browser.ask("types", "check", tables[table][option.name], text)
            assert (taken is True) == verdict(option, text), (option.name, text, taken)


def split(text):
    try:
        return service.split_words(text)
    except ValueError:
        return None


@settings(max_examples=300, deadline=None)
@given(text=WORDS)
def test_a_command_is_split_as_the_agent_splits_it(browser, tables, text):
    assert browser.ask("types", "words", text) == split(text)
    taken = browser.ask("types", "check", tables["service"]["command"], text)
    assert (taken is True) == (split(text) is not None)


@settings(max_examples=200, deadline=None)
@given(words=st.lists(st.text(" ab\\\"'\t\n/", max_size=6), min_size=1, max_size=4))
def test_a_list_of_words_shown_as_one_text_is_the_same_command(browser, words):
    assert split(browser.ask("types", "joined", words)) == words


@pytest.mark.parametrize("text", ["203.0.113.10/24", "2001:db8::1/64", "1::1/8", "0:0:1::1/100", "1:0:0:2:0:0:0:3/120"])
def test_a_prefix_with_bits_past_its_length_is_refused_in_the_agents_words(browser, tables, text):
    with pytest.raises(schema.Refused) as refused:
        schema.DESTINATION.parse(text)
    network = str(refused.value).split("; ")[1].split(",")[0]
    assert network in browser.ask("types", "check", tables["service"]["dest_ip"], text)
