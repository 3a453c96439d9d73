"""`viscum export` and `viscum import`: what comes back is what went out, whatever the configuration, under both
interpreters; and what they do to files."""

import json
import os
import subprocess

import pytest
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st
from lab import MICROPYTHON, ROOT
from unit.shared import test_etsi as shared

from viscum_agent.cli import sections, verbs
from viscum_agent.cli.etsi import exported, imported, model, written
from viscum_agent.config import schema, service, uci
from viscum_agent.shell import quote

CONFIGURATIONS = 150

ADDRESSES = ["203.0.113.10", "203.0.113.11", "198.51.100.0/24", "2001:db8::1", "2001:db8:7::/48"]
PORTS = ["80", "443", "5000-5010", "65535"]
CLIENTS = ["192.168.1.7", "192.168.1.0/24", "fd00::/8"]
MACS = ["02:00:5e:00:53:01", "02:00:5e:00:53:02"]
# For each option of traffic what is right: a new one has to be added, and so to come back.
RIGHT = {
    "family": ["any", "ipv4", "ipv6"],
    "proto": ["tcp", "udp", "any"],
    "dest_ip": ADDRESSES,
    "dest_host": ["speed.example.com", "a.example", "*.b.example"],
    "dest_port": PORTS,
    "src_ip": [*CLIENTS, "0.0.0.0/0"],
    "target_port": ["8080", "443"],
    "interface": ["lan", "guest"],
    "device": ["br-lan", "phy*-ap0"],
    "src_mac": MACS,
    "client": [*CLIENTS, *MACS, "cameras", "phones"],
    "exclude_client": ["192.168.1.9", "fd00::9", *MACS, "cameras"],
    "exclude_dest": ["203.0.113.11", "2001:db8::/64"],
    "snoop": ["0", "1", "yes"],
    "dynamic_ports": ["0", "1"],
    "vlan": ["7"],
}
GROUPS = "config group 'cameras'\n\tlist ip '192.168.1.64/26'\n\nconfig group 'phones'\n\tlist name 'pixel'\n"


def test_every_option_of_traffic_is_tried():
    assert sorted(RIGHT) == sorted(model.TRAFFIC)


def option(row):
    one = st.sampled_from(RIGHT[row.name])
    return st.lists(one, min_size=1, max_size=3, unique=True) if row.many else one


def options(rows, least):
    """Some of these options, more often than not such as belong together."""
    made = {row.name: option(row) for row in rows}
    return st.fixed_dictionaries(
        {name: made[name] for name in least}, optional={name: made[name] for name in made if name not in least}
    )


ROWS = [schema.option_named("service", name) for name in model.TRAFFIC]
LEAST = (("interface", "dest_ip", "dest_port"), ("device", "dest_ip"), ("interface", "dest_port"), ("interface",))
SERVICE = st.tuples(
    st.sampled_from(LEAST).flatmap(lambda least: options(ROWS, least)),
    st.lists(options(schema.MATCH, ("dest_ip", "dest_port")), max_size=2),
    st.booleans(),
    st.booleans(),
)


def lines(options):
    for name, value in options.items():
        if isinstance(value, str):
            yield "\toption %s %s" % (name, quote(value))
        else:
            yield from ("\tlist %s %s" % (name, quote(each)) for each in value)


def text_of(made):
    """A file with these services, each with its redirect sections."""
    parts = []
    for number, (taken, redirects, enabled, _) in enumerate(made):
        head = ["config service 's%d'" % number, "\toption command '/bin/x'  # ours", "\toption enabled '%d'" % enabled]
        parts.append("\n".join([*head, *lines(taken)]) + "\n")
        for each in redirects:
            parts.append("\n".join(["config redirect", "\toption service 's%d'" % number, *lines(each)]) + "\n")
    return "\n".join([*parts, GROUPS])


def read(text):
    return service.read(uci.parse(text.encode(), "viscum"), files=False)


def document(text, made, which):
    """What is exported of a file, as text; `made` says by its last whether the redirect is in."""
    found = uci.parse(text.encode(), "viscum")
    configuration = service.read(found, files=False)
    problems, rules = [], []
    for section, each, (_, _, enabled, live) in zip(
        [each for each in found if each.type == "service"], configuration.services, made, strict=True
    ):
        state = exported.State(enabled and live, enabled and live and each.name == "s1")
        rules.append(exported.rules(section, found, each, state, problems))
    return None if problems else model.text_of(which(rules))


def brought(before, text):
    """A configuration after what was exported is imported, and what that did."""
    reader = imported.Reader("rules.json", "")
    said = reader.services(json.loads(text))
    assert reader.problems == []
    plan = written.Plan("viscum", said, [])
    return plan.make(before.encode()).decode(), plan.done


def without_traffic(text):
    """All that rules do not say, as an independent reader finds it."""
    found = []
    for each in uci.parse(text.encode(), "viscum"):
        if each.type != "redirect":
            kept = {name: each.options[name] for name in each.options if name not in (*model.TRAFFIC, "enabled")}
            found.append((each.type, each.name, kept))
    return found


STUB = "config service 's%d'\n\toption enabled '%d'\n\toption command '/bin/x'\n"
STUB += "\tlist interface 'wan'\n\tlist dest_port '9'\n"


@settings(max_examples=CONFIGURATIONS, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.lists(SERVICE, min_size=1, max_size=2), st.sampled_from((exported._answers, exported._descriptors)))
def test_what_comes_back_is_what_went_out(made, which):
    text = text_of(made)
    configuration = read(text)
    assume(not configuration.problems)
    rules = document(text, made, which)
    event("names alone" if rules is None else "rules")
    if rules is None:
        return
    assert brought(text, rules)[0] == text, "where it is, not a byte changes"
    names = ["s%d" % number for number in range(len(made))]
    stubs = "".join(STUB % (number, not made[number][2]) for number in range(len(made))) + GROUPS
    after, _ = brought(stubs, rules)
    back = read(after)
    assert back.problems == []
    for name, each in zip(names, configuration.services, strict=True):
        assert shared.taken(name, back) == shared.taken(name, configuration), (rules, after)
        if which is exported._descriptors or not made[names.index(name)][3] or name != "s1":
            assert [one.enabled for one in back.services if one.name == name] == [each.enabled]
    assert without_traffic(after) == without_traffic(stubs)
    assert brought(after, rules)[0] == after, "and it stays so"


# The same with MicroPython: the program that people run.


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(sections, "STAGED", str(tmp_path / "staged"))
    made = tmp_path / "config"
    made.mkdir(mode=0o755)
    (made / "viscum").write_text(shared.EVERYTHING)
    return made


def viscum(folder, *words):
    return verbs.main(["-c", str(folder), "-s", "/nonexistent/ubus.sock", *words])


def micropython(folder, *words):
    environment = {**os.environ, "MICROPYPATH": "%s:.frozen" % ROOT}
    command = [*MICROPYTHON, "-m", "viscum_agent", "-c", folder, "-s", "/nonexistent/ubus.sock", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("words", [(), ("--mec010",)])
def test_both_interpreters_write_the_same(folder, capsys, words):
    assert viscum(folder, "export", *words) == 0
    told = capsys.readouterr()
    result = micropython(folder, "export", *words)
    assert json.loads(told.out) == json.loads(result.stdout) and told.err == result.stderr
    assert [line.split(":")[0] for line in told.out.splitlines()] == [
        line.split(":")[0] for line in result.stdout.splitlines()
    ]
    assert "viscum.web: not in its rules: command\n" in told.err
    (folder / "rules.json").write_text(result.stdout.replace("203.0.113.10", "203.0.113.77"))
    files = []
    for run in (viscum, micropython):
        (folder / "viscum").write_text(shared.EVERYTHING)
        run(folder, "import", str(folder / "rules.json"))
        files.append((folder / "viscum").read_text())
    assert files[0] == files[1] and "203.0.113.77" in files[0]


def test_one_service_is_exported_and_one_that_is_not_there_is_refused(folder, capsys):
    (folder / "viscum").write_text(shared.WEB + shared.WEB.replace("'web'", "'dns'"))
    assert viscum(folder, "export", "dns") == 0
    assert [each["trafficRuleId"] for each in json.loads(capsys.readouterr().out)["traffic_rules"]] == ["dns"]
    assert viscum(folder, "export", "mail") == 1
    assert "there is no service 'mail'; there are: dns, web" in capsys.readouterr().err


def test_nothing_is_exported_where_one_service_can_not_be(folder, capsys):
    names = shared.WEB.replace("dest_ip '203.0.113.10'", "dest_host 'a.example'")
    wrong = shared.WEB.replace("'web'", "'bad'").replace("'80'", "'70000'")
    for text, said in ((names, "viscum.web.dest_host: is no filter"), (wrong, "viscum.bad.dest_port: '70000' is not")):
        (folder / "viscum").write_text(text + shared.WEB.replace("'web'", "'dns'"))
        assert viscum(folder, "export") == 1
        told = capsys.readouterr()
        assert told.out == "" and said in told.err
        assert viscum(folder, "export", "dns") == 0
        capsys.readouterr()


def test_import_says_what_it_did_and_changes_one_line(folder, capsys):
    os.chmod(folder / "viscum", 0o600)
    rules = exported._answers([shared.export(shared.EVERYTHING, exported.State(False, False))])
    del rules["traffic_rules"][0]["x-viscum"]["enabled"]
    (folder / "rules.json").write_text(json.dumps(rules))
    assert viscum(folder, "import", str(folder / "rules.json")) == 0
    assert capsys.readouterr().out == "viscum.web: enabled '0'\n"
    assert (folder / "viscum").read_text() == shared.EVERYTHING.replace("enabled '1'", "enabled '0'")
    assert os.stat(folder / "viscum").st_mode & 0o777 == 0o600
    assert sorted(os.listdir(folder)) == ["rules.json", "viscum"]


@pytest.fixture
def refused(folder, capsys):
    """What `viscum import` says when it refuses a file, and changes nothing."""

    def ask(content, *words, code=1):
        path = folder.parent / "rules.json"
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(json.dumps(content))
        before = (folder / "viscum").read_bytes()
        assert viscum(folder, "import", str(path), *words) == code
        assert (folder / "viscum").read_bytes() == before and os.listdir(folder) == ["viscum"]
        told = capsys.readouterr()
        assert told.out == "" and "Traceback" not in told.err
        return told.err

    return ask


def test_a_refusal_names_file_rule_field_and_remedy_and_leaves_good_rules_out_as_well(refused, folder):
    good = shared.rule(state="INACTIVE")
    bad = shared.rule(trafficRuleId="web.2", action="DROP", trafficFilter=[{"dstPort": ["80"], "dSCP": 46}])
    assert refused([good, bad]).splitlines() == [
        "%s: traffic rule 'web.2' trafficFilter: dSCP: a service takes packets of every class: take it out"
        % (folder.parent / "rules.json"),
        "%s: traffic rule 'web.2': action: 'DROP': Viscum drops nothing: write a rule for the firewall "
        "(/etc/config/firewall)" % (folder.parent / "rules.json"),
    ]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[",
        b"[" * 50000,
        b'{"trafficRuleId": "web"',
        b'[{"trafficRuleId": "w\xff"}]',
        b'[{"trafficRuleId": "web", "priority": 1e999}]',
        b'[{"trafficRuleId": "web", "priority": ' + b"9" * 5000 + b"}]",
        b'[{"trafficRuleId": "\\ud800", "x": 1}]',
        b'[{"trafficRuleId": "a\\u0000b"}]',
        b" " * (imported.MOST + 1),
        json.dumps([shared.rule(x=["[" * 20000])]).encode(),
    ],
    ids=lambda data: "%d %r" % (len(data), data[:30]),
)
def test_a_file_that_is_no_rules_changes_nothing_under_either_interpreter(refused, folder, data):
    said = refused(data)
    result = micropython(folder, "import", str(folder.parent / "rules.json"))
    assert said and result.returncode == 1 and result.stdout == ""
    assert "Traceback" not in result.stderr and result.stderr.startswith(("viscum: ", str(folder.parent)))
    assert (folder / "viscum").read_text() == shared.EVERYTHING


def test_what_would_be_a_wrong_section_is_refused_before_it_is_written(refused):
    for said, problem in (
        ({"client": ["nobody"], "interface": ["lan"]}, "viscum.web.client: 'nobody' is no group section"),
        ({"vlan": "0", "interface": "lan"}, "viscum.web.vlan: '0' is not"),
        ({}, "viscum.web.interface: is missing"),
    ):
        assert problem in refused([shared.rule(**{"x-viscum": said})])
    new = shared.rule(trafficRuleId="new")
    assert "is new here (new), and rules name no program" in refused(new)
    assert "viscum.new.pids: is not an option; did you mean 'pids_max'?" in refused(new, "command=/bin/x", "pids=7")


def test_a_section_with_staged_changes_is_refused(refused, folder):
    (folder.parent / "staged").write_text("viscum.web.enabled='0'\n")
    assert "viscum.web: has changes that are not committed: `uci commit viscum` first" in refused(shared.rule())


def test_a_file_that_is_not_there_is_said(folder, capsys):
    assert viscum(folder, "import", "/nonexistent/rules.json") == 1
    assert capsys.readouterr().err == "viscum: /nonexistent/rules.json can't be read: No such file or directory\n"
