"""Golden cases: a file holds a configuration and the facts of a router, and what Viscum makes of them.

A case file begins with a few sentences that say what it proves. Then come sections, each under a line `-- NAME --`:

    Config            /etc/config/viscum
    Facts             JSON; only what differs from the usual router below, whose kernel has everything but eBPF
    Before            an earlier /etc/config/viscum: what its plan holds is what is in the kernel now
    Neighbours        JSON; what else is at our hooks: {"hooks": {"wan": "ingress"}, "strangers": ["wan"]}
    Show              words: of the commands only lines with one of them are held against the file
    Expect problems   what `viscum check` says, each line with its kind
    Expect stays      what stays with the cloud, and why
    Expect commands   what `viscum plan` says

A section that is not there is empty, so a case without "Expect problems" says that there are none.

Written for both interpreters: test_golden.py and tests/micropython/run.py run the same cases by this module.
"""

import os

from viscum_agent import address
from viscum_agent.apply import pending
from viscum_agent.config import uci
from viscum_agent.config.service import read
from viscum_agent.errors import problem_text
from viscum_agent.kernel import commands
from viscum_agent.kernel.tc import table_of
from viscum_agent.plan.actual import Found, Observed
from viscum_agent.plan.answers import Open
from viscum_agent.plan.planner import plan
from viscum_agent.records import with_
from viscum_agent.records.facts import EVERYTHING, Device, Facts, Host, Listener
from viscum_agent.records.objects import Prio
from viscum_agent.ujson import loads

EXPECTED = ("Expect problems", "Expect stays", "Expect commands")
SECTIONS = ("Config", "Facts", "Before", "Neighbours", "Show") + EXPECTED

# The usual router: a bridge with its Wi-Fi, a way to the cloud, a tunnel without Ethernet headers.
ROUTER = {
    "devices": [
        {"name": "br-lan", "mac": "02:00:5e:00:53:01"},
        {"name": "phy0-ap0", "mac": "02:00:5e:00:53:03", "takes_mac": "02:00:5e:00:53:01", "bridged": "br-lan"},
        {"name": "wan", "mac": "02:00:5e:00:53:02"},
        {"name": "wg0", "mtu": 1420, "ethernet": False, "bare": True},
    ],
    "networks": {
        "192.168.1.0/24": "address 192.168.1.1/24 of br-lan",
        "198.51.100.0/24": "address 198.51.100.2/24 of wan",
    },
    "addresses": ["192.168.1.1", "198.51.100.2"],
    "interfaces": {"lan": ["br-lan"], "wan": ["wan"]},
    "subnets": {},
    "taken": [],
    "rp_filter": 0,
    "ipv6": True,
    "ipv6_forwarding": True,
    "features": {},
    "opened": {},
    "firewall": {},
    "why": {},
    "neighbours": {},
    "hosts": {},
    "held": {},
    "leases": {},
}


def paths(folder):
    """The case files below a folder, sorted."""
    found = []
    for topic in sorted(os.listdir(folder)):
        if topic[:2].isdigit():
            found += ["%s/%s/%s" % (folder, topic, name) for name in sorted(os.listdir(folder + "/" + topic))]
    return [path for path in found if path.endswith(".txt")]


def load(path):
    """(introduction, {section: text}) of a case file; ValueError when it is none."""
    with open(path) as file:
        lines = file.read().split("\n")
    introduction, sections, name = [], {}, ""
    for line in lines:
        if line.startswith("-- ") and line.endswith(" --"):
            name = line[3:-3]
            if name not in SECTIONS or name in sections:
                raise ValueError("%s: there is no section '%s', or it is there twice" % (path, name))
            sections[name] = []
        elif name:
            sections[name].append(line)
        else:
            introduction.append(line)
    if not "".join(introduction).strip():
        raise ValueError("%s: does not say what it proves" % path)
    return "\n".join(introduction).strip(), {key: "\n".join(sections[key]).strip("\n") for key in sections}


def outcome(sections):
    """A list of lines for each of EXPECTED; AssertionError when a second run would not find it done."""
    facts = router_facts(sections.get("Facts", ""))
    before = observed(_planned(sections["Before"], facts)[1]) if "Before" in sections else Observed()
    _add_neighbours(before, sections.get("Neighbours", ""))
    configuration, wanted = _planned(sections.get("Config", ""), facts_with(facts, before))
    keep = configuration.bad + wanted.skipped
    steps = pending(wanted, before, keep)
    _assert_done(sections.get("Config", ""), facts, wanted)
    problems = ["[%s] %s" % (each.kind, problem_text(each)) for each in configuration.problems + wanted.problems]
    stays = ["%s: %s: %s" % ((part.service.name,) + pair) for part in wanted.services for pair in part.stays]
    return [problems, stays, _shown(steps, sections.get("Show", "").split("\n"))]


def expected(sections):
    """A list of lines for each of EXPECTED, as the case file says."""
    return [sections[name].split("\n") if sections.get(name) else [] for name in EXPECTED]


def rewritten(introduction, sections, found):
    """The text of a case file with these expectations."""
    sections = dict(sections)
    for name, lines in zip(EXPECTED, found):  # noqa: B905 (MicroPython)
        sections[name] = "\n".join(lines)
    text = introduction + "\n"
    for name in SECTIONS:
        if sections.get(name):
            text += "\n-- %s --\n%s\n" % (name, sections[name])
    return text


def _planned(text, facts):
    configuration = read(uci.parse(text.encode() + b"\n", "viscum"))
    return configuration, plan(configuration.services, configuration.settings, facts)


def _shown(steps, words):
    lines = []
    for heading, operations in steps:
        found = [line for line in commands.lines(operations) if any(word in line for word in words)]
        if found:
            lines += ["# " + heading] + found
    return lines


def _assert_done(text, facts, wanted):
    """What was planned, once it is there, is what is planned again: nothing is left to do."""
    there = observed(wanted)
    again = _planned(text, facts_with(facts, there))[1]
    left = pending(again, there, again.skipped)
    assert not left, "a second run would do: %s" % "; ".join(_shown(left, [""]))


# Facts


def router_facts(text):
    """Facts of the usual router, with what the JSON text says instead."""
    values = dict(ROUTER)
    given = loads(text) if text.strip() else {}
    for name in given:
        if name not in values:
            raise ValueError("there is no fact '%s'" % name)
    values.update(given)
    features = {"bpf": False}  # the others are there
    features.update(values["features"])
    return Facts(
        devices=sorted([_device(given) for given in values["devices"]]),
        networks=sorted([(network, values["networks"][network]) for network in values["networks"]]),
        addresses=sorted(values["addresses"]),
        interfaces=values["interfaces"],
        subnets=values["subnets"],
        taken=sorted(values["taken"]),
        rp_filter=values["rp_filter"],
        ipv6=values["ipv6"],
        ipv6_forwarding=values["ipv6_forwarding"],
        features=with_(EVERYTHING, **features),
        opened={
            name: Open([_listener(text) for text in values["opened"][name]], None, {}) for name in values["opened"]
        },
        firewall={int(family): values["firewall"][family] for family in values["firewall"]},
        why={tuple(key.split(" ")): values["why"][key] for key in values["why"]},
        neighbours={tuple(key.split(" ")): values["neighbours"][key] for key in values["neighbours"]},
        hosts={name: _host(values["hosts"][name]) for name in values["hosts"]},
        leases={name: lease(values["leases"][name]) for name in values["leases"]},
        held={name: [_held(text) for text in values["held"][name]] for name in values["held"]},
    )


def _host(given):
    """A Host from a list of addresses, or from why there is none."""
    if isinstance(given, str):
        return Host((), given)
    return Host(tuple([address.parse_address(text) for text in given]), "")


def lease(given):
    """A Host from a list of MAC addresses and addresses, or from why there is none."""
    if isinstance(given, str):
        return Host((), given)
    return Host(tuple([text if text.count(":") == 5 else address.parse_prefix(text) for text in given]), "")


def _held(text):
    """What datapath.taken has, as `tcp 203.0.113.10 443 from 192.168.1.0/24`."""
    words = text.split(" ") + ["", ""]
    low, high = (words[2].split("-") * 2)[:2]
    src = address.parse_prefix(words[4]) if words[3] == "from" else None
    return words[0], address.parse_prefix(words[1]), (int(low), int(high)), src, ""


def _listener(text):
    """A socket as `tcp 0.0.0.0:80` or `udp [::]:53`."""
    proto, _, place = text.partition(" ")
    at = place.rfind(":")
    packed = address.parse_address(place[:at].strip("[]"))
    version = 4 if len(packed) == 4 else 6
    return Listener(
        proto=proto, version=version, address=packed if any(packed) else b"", port=int(place[at + 1 :]), waiting=0
    )


def _device(given):
    ethernet = given.get("ethernet", True)
    mac = given.get("mac", "02:00:5e:00:53:ff" if ethernet else "")
    return Device(
        name=given["name"],
        up=given.get("up", True),
        mtu=given.get("mtu", 1500),
        mac=mac,
        ethernet=ethernet,
        takes_mac=given.get("takes_mac", mac),
        bridged=given.get("bridged", ""),
        families=tuple(given.get("families", (4, 6))),
        bare=given.get("bare", False),
    )


def facts_with(facts, before):
    """The facts of the same router with services in its kernel: it knows which subnets they have."""
    subnets = dict(facts.subnets)
    for name in before.services:
        found = [each.item for each in before.services[name] if type(each.item).__name__ == "Address"]
        subnets.setdefault(name, [item.address for item in found if item.ns == ""])
    return with_(facts, subnets=subnets)


# What is in the kernel


def observed(planned):
    """An Observed in which a plan is what the kernel holds.

    This is no imitation of the kernel: nothing is carried out here, nothing can be refused or done otherwise. `diff` is
    a function of two lists of records, and this writes down the second one; that a real kernel, read by a real
    `observe`, gives these very records after a real `apply` is what tests/netns proves with `viscum plan` after
    `viscum up`. The handles are of the form that the kernel gives out.
    """
    there = Observed()
    for part in planned.services:
        for item in part.items:
            there.services.setdefault(part.service.name, []).append(Found(item, _handle(item, there)))
        for item in part.shared:
            if item not in [found.item for found in there.shared]:
                there.shared.append(Found(item, 0x80000800 if type(item).__name__ == "HashTable" else 0))
            if type(item).__name__ == "Qdisc":
                there.hooks[item.dev] = "clsact"
    return there


def _handle(item, there):
    if type(item).__name__ != "Filter":
        return 0
    found = [each.item for name in there.services for each in there.services[name]]
    place = (item.dev, item.prio, item.bucket)
    number = len([each for each in found if type(each).__name__ == "Filter" and each[:2] + (each.bucket,) == place])
    if item.kind == "flower":
        return 1 + number
    table = table_of(item.prio) if item.bucket >= 0 else 0x800 + item.prio
    return table << 20 | max(item.bucket, 0) << 12 | 0x800 + number


def _add_neighbours(there, text):
    given = loads(text) if text.strip() else {}
    there.hooks.update(given.get("hooks", {}))
    there.strangers.update(given.get("strangers", []))
    there.foreign_prios.update([tuple(place) for place in given.get("foreign_prios", [])])
    there.empty.update([Prio(*each) for each in given.get("empty", [])])
