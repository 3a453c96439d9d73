"""What `viscum` takes of what is typed."""

from unit.shared.expect import raises

from viscum_agent.cli import agent_calls, verbs, words
from viscum_agent.cli.places import Usage
from viscum_agent.cli.words import (
    COMMANDS,
    EACH,
    FILE,
    FIRST_OF_AGENT,
    MAYBE_FILE,
    NONE,
    ONE,
    OPTIONS,
    PACKET,
    RECIPE,
    RULES,
    SOME,
    TENANT,
)
from viscum_agent.ubus_object.methods import METHODS

ALL = [option for option, _ in OPTIONS if " " not in option and option not in ("--help", "--version")]
# Words with which each command is right.
LEAST = {
    NONE: [],
    SOME: [],
    EACH: ["web"],
    ONE: ["web", "--", "ls"],
    PACKET: ["udp", "to"],
    FILE: ["web"],
    MAYBE_FILE: [],
    RECIPE: ["dns"],
    RULES: ["rules.json"],
    TENANT: ["acl", "acme"],
}


def refusal(*typed):
    return raises(Usage, words.parse, list(typed))


def test_every_command_has_its_work_or_is_a_method_of_the_agent():
    names = [row.name for row in COMMANDS]
    here, there = names[: names.index(FIRST_OF_AGENT)], names[names.index(FIRST_OF_AGENT) :]
    assert sorted(verbs.RUN) == sorted(here)
    methods = [entry.name for entry in METHODS]
    assert [name for name in there if name not in agent_calls.OWN and name not in methods] == []
    assert [name for name in agent_calls.OWN if name not in there] == []


def test_every_command_takes_its_own_options_and_no_others():
    for row in COMMANDS:
        for option in ALL:
            typed = [row.name, option] + LEAST[row.names]
            if option == "--all" and option in row.options:
                typed = [row.name, option]
            if option in row.options:
                assert words.parse(typed).options == [option]
            else:
                assert refusal(*typed) == "%s does not take %s" % (row.name, option)


def test_every_command_takes_names_or_none():
    for row in COMMANDS:
        if row.names == NONE:
            assert refusal(row.name, "web") == "%s takes no names, and 'web' is one" % row.name
        elif row.names == SOME:
            assert words.parse([row.name, "web", "db"]).names == ["web", "db"]
            assert words.parse([row.name]).names == []


def test_a_file_is_named_once():
    assert words.parse(["check", "--offline", "a"]).names == ["a"]
    assert refusal("check", "--offline", "a", "b") == "check takes one file"
    assert words.parse(["apply", "--confirm", "60", "a"]).number == 60
    for typed in (["apply"], ["apply", "a", "b"]):
        assert refusal(*typed) == "apply takes one file"


def test_a_packet_is_told_in_any_words():
    typed = ["udp", "from", "192.168.1.2", "to", "192.168.1.2", "port", "53", "sport", "53"]
    assert words.parse(["explain", "--json"] + typed).names == typed
    assert refusal("explain") == "explain takes a packet or a service's name"


def test_all_is_said_where_nobody_is_named():
    assert words.parse(["bypass", "--all", "--off"]).names == []
    assert words.parse(["bypass", "web", "--off"]).names == ["web"]
    for typed in (["bypass"], ["bypass", "--off"], ["bypass", "--all", "web"]):
        assert refusal(*typed) == "bypass takes names of services, or --all"


def test_a_number_of_lines_is_a_number():
    found = words.parse(["logs", "-n", "20", "web", "-f"])
    assert (found.number, found.follows, found.names, found.options) == (20, True, ["web"], ["-n", "-f"])
    assert (words.parse(["logs"]).number, words.parse(["logs"]).follows) == (0, False)
    for typed in (["-n"], ["-n", "web"], ["-n", "0"], ["-n", "-5"], ["-n", "1_0"], ["-n", ""], ["-n", "9" * 5000]):
        assert refusal("logs", *typed) == "-n needs a number of lines"
    assert refusal("logs", "-n 5") == "unknown option '-n 5'"
    assert refusal("logs", "-n", "5", "-n", "6") == "-n is given twice"
    assert refusal("status", "-n", "5") == "status does not take -n"


def test_what_follows_two_dashes_is_the_commands_own():
    found = words.parse(["-s", "x", "exec", "web", "--", "ls", "--help", "-c", "", "--"])
    assert (found.names, found.rest, found.help, found.socket) == (
        ["web"],
        ["ls", "--help", "-c", "", "--"],
        False,
        "x",
    )
    for typed in (["exec"], ["exec", "web"], ["exec", "web", "ls"], ["exec", "web", "--"], ["exec", "--", "ls"]):
        assert refusal(*typed) == "exec takes a service's name, --, and a command"
    assert refusal("exec", "web", "db", "--", "ls").startswith("exec takes")
    assert refusal("up", "--", "web") == "unknown option '--'"


def test_where_viscum_is_goes_with_every_command_and_anywhere():
    for typed in (["-c", "a", "-s", "b", "list"], ["list", "-s", "b", "-c", "a"]):
        found = words.parse(typed)
        assert (found.confdir, found.socket) == ("a", "b")
    found = words.parse(["list"])
    assert (found.confdir, found.socket, found.places) == ("/etc/config", "/var/run/ubus/ubus.sock", {})


def test_nothing_is_said_twice():
    assert refusal("-c", "a", "check", "-c", "a") == "-c is given twice"
    assert refusal("-s", "a", "-s", "b", "check") == "-s is given twice"
    assert refusal("check", "--json", "--json") == "--json is given twice"
    assert refusal("up", "web", "db", "web") == "'web' is named twice"


def test_a_place_is_no_option_and_not_empty():
    for typed in (["check", "-c"], ["-c", "", "check"], ["-c", "-s", "check"], ["check", "-c", "--json"]):
        assert refusal(*typed) == "-c needs a directory"
    assert refusal("check", "-s") == "-s needs a socket"


def test_a_word_is_not_empty():
    for typed in ([""], ["up", ""], ["up", "web", ""], ["", "up"]):
        assert refusal(*typed) == "one of the words is empty"


def test_a_word_is_shown_as_messages_show_it():
    assert refusal("\x1b[2J") == "unknown command '\\u001b[2J'"
    assert refusal("--\x1b[2J") == "unknown option '--\\u001b[2J'"
    assert refusal("plan", "x" * 100) == "plan takes no names, and '%s...' is one" % ("x" * 60)


def test_help_and_version_are_no_options_of_others():
    for typed in (["help"], ["--help"], ["-h"], ["-c", "x", "-h"]):
        assert words.parse(typed).help and words.parse(typed).command == ""
    for typed in (["help", "up"], ["up", "--help"], ["-h", "up"], ["up", "web", "-h"], ["bypass", "-h"]):
        assert words.parse(typed).help and words.parse(typed).command in ("up", "bypass")
    assert refusal("help", "fly") == refusal("fly", "--help") == "unknown command 'fly'"
    assert refusal("help", "up", "down") == "help is for one command"
    for typed in (["--version"], ["-V"], ["-c", "x", "-V"]):
        assert words.parse(typed).version
    for typed in (["--version", "up"], ["up", "-V"], ["-V", "--json"], ["-V", "-h"]):
        assert refusal(*typed) == "--version stands alone"


def test_a_command_is_needed():
    assert refusal() == refusal("-c", "x") == refusal("--json") == "a command is missing"


def test_the_help_has_every_command_and_every_option_and_fits_a_terminal():
    text = words.usage()
    for row in COMMANDS:
        assert "\n  %s" % row.name in text
        own = words.help_of(row.name)
        assert own.startswith("usage: viscum %s" % row.name) and row.more in own
        for option in ALL:
            assert (option + " " in own.split("\n\n")[-1]) == (option in row.options), (row.name, option)
    for option, _ in OPTIONS:
        assert "\n  %s " % option in text
    for line in text.split("\n"):
        assert len(line) < 120 and all(" " <= c <= "~" for c in line), line
