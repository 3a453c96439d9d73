"""viscum_openwisp, in netjsonconfig as the controller has it: takes what the agent takes, and writes what was meant."""

import io
import json
import sys
import tarfile

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from lab import MICROPYTHON, ROOT, run

from viscum_agent.cli.words import parse
from viscum_agent.config import offline, schema
from viscum_agent.config import uci as agents

sys.path.append(str(next(ROOT.glob(".cache/openwisp/lib/python3*/site-packages"), "")))
sys.path.append(str(ROOT / "fleet/openwisp"))

try:
    from jsonschema import Draft4Validator
    from netjsonconfig.exceptions import ValidationError
    from viscum_openwisp import OpenWrt, commands, uci
    from viscum_openwisp.commands import COMMANDS
except ImportError:
    pytest.skip("needs tools/setup.sh openwisp (make test-fleet)", allow_module_level=True)

CONFIGURATIONS = 1000
ECHO = {
    "config_name": "service",
    "config_value": "echo",
    "enabled": True,
    "command": "/usr/bin/iperf3 -s",
    "interface": ["lan"],
    "dest_ip": ["203.0.113.10"],
    "dest_port": ["5201"],
}


def is_taken(*sections, **options):
    try:
        OpenWrt({"viscum": list(sections)}, **options).validate()
    except ValidationError:
        return False
    return True


def in_archive(backend):
    with tarfile.open(fileobj=io.BytesIO(backend.generate().getvalue())) as archive:
        return {member.name: archive.extractfile(member).read().decode() for member in archive.getmembers()}


# What the form can send: for each option what is right more often than not, and what is in a place where it is wrong.
RIGHT = {
    "bool": [True, False],
    "port": ["1", "80", "65535"],
    "ports": ["80", "5000-5010", "443"],
    "destination": ["203.0.113.10", "198.51.100.0/24", "2001:db8::/64"],
    "clients": ["192.168.1.0/24", "fd00::/8"],
    "reached": ["lan", "203.0.113.7:443", "[2001:db8::7]:53", "none"],
    "pool": ["10.213.0.0/16", "fd76:7363::/64"],
    "host": ["speed.example.com", "xn--bcher-kva.example"],
    "variable": ["A=1", 'B=it\'s "so"', "C=ä b", "D=", "E=two\nlines", "F=package x", "G=a    b", "H=\\"],
    "account": ["nobody", "65534"],
    "capability": ["net_raw", "all"],
    "limit": ["unlimited", "100"],
    "bytes": ["64m", "1g"],
    "rate": ["20mbit", "1.5mbit"],
    "burst": ["64k"],
    "umask": ["022", "0077"],
    "nexthop": ["192.0.2.1", "fe80::1"],
    "mac": ["02:00:5e:00:53:01"],
    "path": ["/tmp", "/srv/data"],
    "place": ["/srv/data", "/it's"],
    "mount": ["/srv/data:/data", "tmpfs:/cache", "/etc/ssl:/etc/ssl:ro"],
    "device": ["br-lan", "phy*-ap0"],
    "interface": ["lan", "@wifi"],
    "section": ["echo", "other"],
    "text": ["/usr/bin/iperf3 -s", "/bin/sh -c 'echo hi'", '/bin/echo "it\'s" ä'],
    "signed": ["0", "-500", "500"],
}
WRONG = ["", "x y", "70000", "0", "-1", "'", '"', "\\", "ä", "a\nb", "a\tb", "  ", "it's", "::1", "../x", "\r"]


def value(kind):
    if kind is schema.BOOL:
        return st.booleans()
    if kind.name == "choice":
        return st.sampled_from(kind.expected[len("one of: ") :].split(", ") * 3 + ["nothing"])
    right = st.sampled_from(RIGHT.get(kind.name, ["1", "10", "100"]))
    return st.one_of(right, right, right, right, right, right, right, st.sampled_from(WRONG), st.text(max_size=8))


def option(row):
    one = value(row.type)
    if row.type is schema.TEXT and row.many:
        return st.one_of(one, st.lists(one, max_size=3))
    return st.lists(one, max_size=3) if row.many else one


NAMES = ["echo", "echo", "echo", "echo", "other", "x" * 64, "x" * 65, "a-b", "ü"]


def section(kind, base):
    rows = {row.name: option(row) for row in schema.SECTIONS[kind]}
    names = st.sampled_from(["globals"] if kind == "globals" else NAMES)
    extra = st.dictionaries(st.sampled_from(sorted(rows)), st.none(), max_size=3)
    return st.tuples(names, extra.flatmap(lambda keys: st.fixed_dictionaries({key: rows[key] for key in keys}))).map(
        lambda made: {**base, "config_name": kind, **made[1], "config_value": made[0]}
    )


SECTION = st.one_of(
    section("service", {key: ECHO[key] for key in ECHO if key != "config_value"}),
    section("service", {}),
    section("redirect", {"service": "echo", "dest_port": ["80"]}),
    section("globals", {}),
)


def set_options(sections):
    """What is set, as text: {(type, name): {option: value}}, as an independent reader has to find it."""

    def text(each):
        return str(int(each)) if isinstance(each, bool) else str(each)

    return [
        (
            each["config_name"],
            each["config_value"],
            {
                name: [text(one) for one in value] if isinstance(value, list) else text(value)
                for name, value in each.items()
                if not name.startswith("config_") and value not in ("", [])
            },
        )
        for each in sections
    ]


@settings(max_examples=CONFIGURATIONS, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.lists(SECTION, min_size=1, max_size=2))
def test_the_controller_takes_what_the_agent_takes_and_the_router_gets_what_was_meant(sections):
    try:
        verdict = offline.mistakes(uci(sections).encode(), "viscum")
    except UnicodeEncodeError:
        verdict = ["no text"]
    event("right" if not verdict else "wrong")
    assert is_taken(*sections) == (not verdict), verdict
    if verdict:
        return
    written = in_archive(OpenWrt({"viscum": sections}))["etc/config/viscum"]
    found = [(each.type, each.name, each.options) for each in agents.parse(written.encode(), "viscum")]
    if len({each["config_value"] for each in sections}) == len(sections):  # else UCI joins them
        assert found == set_options(sections)


def test_both_interpreters_say_the_same_of_the_file(tmp_path):
    for number, (more, code) in enumerate((({}, 0), ({"env": ["A=it's\n'\"\\ä"]}, 0), ({"dest_port": ["70000"]}, 1))):
        file = tmp_path / str(number)
        file.write_text(uci([{**ECHO, **more}]))
        for interpreter in ((sys.executable,), MICROPYTHON):
            env = {"MICROPYPATH": "%s:.frozen" % ROOT, "PYTHONPATH": str(ROOT)}
            words = (*interpreter, "-m", "viscum_agent", "check", "--offline", file)
            assert run(*words, check=False, cwd=ROOT, env=env).returncode == code


HARD = ["A=it's", 'B="', "C=\\'", "D=two\nlines", "E=\npackage evil\n\nconfig x 'y'", "F=a     b", "G=\n\n\n\n"]
HARD.append("H=" + "äß漢字🦠" * 50)


def test_quotes_blanks_lines_and_letters_arrive_as_they_are():
    """netjsonconfig's own writer has a file that is wrong, changed or cut short, for each of them."""
    written = in_archive(OpenWrt({"viscum": [{**ECHO, "env": HARD}], "general": {"hostname": "router"}}))
    assert set(written) == {"etc/config/viscum", "etc/config/system"}
    (section,) = agents.parse(written["etc/config/viscum"].encode(), "viscum")
    assert section.options["env"] == HARD


def test_the_rest_of_the_configuration_is_as_netjsonconfig_has_it():
    from netjsonconfig import OpenWrt as Stock

    rest = {"general": {"hostname": "router"}, "interfaces": [{"name": "eth0", "type": "ethernet"}]}
    assert OpenWrt(rest).render() == Stock(rest).render()
    assert OpenWrt({**rest, "viscum": [ECHO]}).render().endswith(Stock(rest).render())
    assert in_archive(OpenWrt(rest)) == in_archive(Stock(rest))


def test_a_list_of_a_device_takes_the_place_of_its_templates():
    template = {"viscum": [ECHO]}
    device = {"viscum": [{"config_name": "service", "config_value": "echo", "dest_ip": ["203.0.113.99"]}]}
    (section,) = OpenWrt(device, templates=[template]).config["viscum"]
    assert section == {**ECHO, "dest_ip": ["203.0.113.99"]}


def test_a_variable_is_judged_when_it_has_its_value():
    """Without one, the router refuses it by a sentence of its own."""
    template = {**ECHO, "dest_port": ["{{ port }}"]}
    assert is_taken(template)
    assert is_taken(template, context={"port": "5201"})
    assert not is_taken(template, context={"port": "70000"})
    assert not is_taken({**template, "dest_ip": ["nowhere"]}), "the others are judged at once"
    text = OpenWrt({"viscum": [template]}).render()
    problems = offline.mistakes(text[text.index("config") :].encode(), "viscum")
    assert [problem for problem in problems if "nothing has filled in" in str(problem)]


def test_what_is_wrong_is_said_in_the_agents_words():
    with pytest.raises(ValidationError, match=r"viscum.echo.dest_port: '70000' is not a port") as caught:
        OpenWrt({"viscum": [{**ECHO, "dest_port": ["70000"]}]}).validate()
    assert caught.value.message.startswith("viscum.echo.dest_port")


@pytest.mark.parametrize("value", [5201, [5201], 1.5])
def test_a_number_has_to_be_a_text_as_the_form_has_it(value):
    """A form that finds a number has no section that fits, and would save another one."""
    with pytest.raises(ValidationError, match=r'viscum.echo.dest_port: write it as a text, "(5201|1.5)"'):
        OpenWrt({"viscum": [{**ECHO, "dest_port": value}]}).validate()


def test_the_form_has_one_kind_of_value_in_each_field_but_for_a_command():
    """The controller's form lays the choice of a type over the value."""
    for section in OpenWrt.schema["properties"]["viscum"]["items"]["oneOf"]:
        for name, option in section["properties"].items():
            assert isinstance(option.get("items", option).get("type", "-"), str)
            assert ("anyOf" in option) == name.endswith("command")


RECIPES = json.loads((ROOT / "fleet/openwisp/viscum_openwisp/templates.json").read_text())


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_is_a_template_that_is_right_once_its_variables_have_values(name):
    context = {"dest_ip": "203.0.113.10", "interface": "guest"}
    OpenWrt(RECIPES[name]).validate()
    OpenWrt({"viscum": []}, templates=[RECIPES[name]], context=context).validate()
    assert "{{" not in OpenWrt(RECIPES[name], context=context).render()


NAMES_OF_NOBODY = [
    "x; touch /tmp/run",
    "$(id)",
    "`id`",
    "a b",
    "--all",
    "x'y",
    'x"y',
    "x\ny",
    "echo\n",
    "\\",
    "a*",
    "ä",
    "x" * 65,
]


@pytest.mark.parametrize("kind, asked", [("viscum_status", {}), ("viscum_bypass", {"clients_reach": "the cloud"})])
def test_a_command_takes_names_of_services_only_and_quotes_them_all_the_same(kind, asked):
    command = dict(COMMANDS)[kind]
    judge = Draft4Validator(command["schema"])
    for name in ("", "echo", "plate_reader", "x" * 64):
        assert judge.is_valid({**asked, "service": name})
    for name in (*NAMES_OF_NOBODY, None, 1, ["echo"]):
        assert not judge.is_valid({**asked, "service": name}), name
    assert not judge.is_valid({**asked, "other": "echo"})
    for name in NAMES_OF_NOBODY:
        script = "viscum() { printf '%s\\0' \"$@\"; }; " + command["callable"](**asked, service=name)
        assert run("sh", "-c", script).stdout.split("\0")[1:-1] == [name]


def test_the_commands_are_ones_that_viscum_has():
    words = [
        (commands.status(), ["status"]),
        (commands.status("echo"), ["status", "echo"]),
        (commands.bypass("the cloud"), ["bypass", "--all"]),
        (commands.bypass("the service", "echo"), ["bypass", "--off", "echo"]),
        (commands.doctor(), ["doctor"]),
    ]
    for text, wanted in words:
        assert text.split() == ["viscum", *wanted]
        assert parse(wanted).command == wanted[0]
    for name, command in COMMANDS:
        Draft4Validator.check_schema(command["schema"])
        assert len(name) <= 16, "as many letters as the controller keeps"
