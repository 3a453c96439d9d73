"""One more of each thing that is added now and then: a row and what it does, in the places that CONTRIBUTING names.

Each test adds a double of it there and nowhere else, in a process of its own, and looks where a user would meet it.
"""

import subprocess
import sys

from lab import ROOT


def says(program):
    """What a Python program prints that has the agent and the tools to import."""
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def test_a_ubus_method_is_a_row_with_its_rights_and_its_work():
    found = says(
        """
import sys
sys.path[:0] = ["tools"]
import json, ubus_rights
from viscum_agent.ubus_object import methods
from viscum_agent.ubus_object.methods import Entry, NAME, READ

methods.METHODS += (Entry(name="uptime", args=NAME, who=READ),)
class Bus(methods.Bus):
    def __init__(self): pass
    def _uptime(self, request, args): return 0
made = ubus_rights.made()
rights = json.loads(made[ubus_rights.RPCD])["luci-app-viscum"]
print(dict(Bus()._methods())["uptime"].policy == NAME)
print("uptime" in rights["read"]["ubus"]["viscum"], "uptime" in rights["write"]["ubus"]["viscum"])
print("uptime" in made[ubus_rights.UBUSD], "`uptime`" in made[ubus_rights.LUCI])
"""
    )
    assert found == ["True", "True False", "False True"]


CHECK = """
from viscum_agent.plan import checks
ping = checks.named("none")._replace(name="ping", does="ping", option="health_host", help="`ping` pings.")
checks.KINDS += (ping,)
checks.NAMES += ("ping",)
from types import SimpleNamespace
from viscum_agent.config import schema, service, uci
from viscum_agent.loop import Loop
from viscum_agent.service import health

"""


def test_a_health_check_is_a_row_and_what_it_does():
    found = says(
        CHECK
        + '''
TEXT = """
config service 'a'
\\toption command '/bin/a'
\\tlist device 'lan0'
\\tlist dest_port '7000'
\\toption healthcheck 'ping'
\\toption health_port '1'
"""
read = service.read(uci.parse(TEXT.encode(), "viscum"), "viscum")
print([problem.where + " " + problem.message for problem in read.problems])
read = service.read(uci.parse(TEXT.replace("\\toption health_port '1'\\n", "").encode(), "viscum"), "viscum")
print(read.services[0].health.healthcheck)

class Check(health.Check):
    def _ping(self): self._end_soon("no echo")

part = SimpleNamespace(service=read.services[0], answers=[])
loop, told = Loop(), []
Check(loop, None, part, 0, 0, told.append)
loop.step()
print(told[0].reason, health.asks_ways(part))
print([option.help for option in schema.SERVICE if option.name == "healthcheck"][0].endswith(" `ping` pings."))
'''
    )
    assert "healthcheck 'ping' checks no port" in found[0] and "viscum.a.health_port" in found[0]
    assert found[1:] == ["ping", "no echo False", "True"]


def test_a_finding_is_a_function_of_its_topic():
    found = says(
        """
import sys
sys.path[:0] = ["tests"]
from unit.shared.test_doctor import findings
from viscum_agent import doctor
from viscum_agent.doctor import resources
from viscum_agent.doctor.finding import warning

before = resources.findings
resources.findings = lambda machine: before(machine) + [
    warning("flash", "the flash is full", "no package can be installed", (), "opkg remove something")
]
said = findings()
print([each["id"] for each in doctor.dicts(said) if each["severity"] == "warning"])
print("opkg remove something" in doctor.text(said), doctor.trouble(said))
"""
    )
    assert found == ["['flash']", "True True"]


def test_a_kernel_object_is_a_record_with_its_row_its_commands_and_its_carrier():
    """The planner wants it and plan/actual finds it: those two are what the double does here by hand."""
    found = says(
        """
from collections import namedtuple
from viscum_agent.kernel import backend, commands
from viscum_agent.plan.actual import Found
from viscum_agent.plan.diff import diff, removal
from viscum_agent.records import objects

Neighbour = namedtuple("Neighbour", ("ns", "address", "mac"))
objects._kind(Neighbour, key=lambda item: (item.ns, item.address), outlives=True)
commands.RENDER["Neighbour"] = lambda operation: [
    "ip -n %s neigh replace %s lladdr %s dev eth0" % tuple(operation.new) if operation.new else "ip neigh del"
]
class Backend(backend.Backend):
    def __init__(self): self.carried = []
    def flush(self): pass
    def _tidy(self): pass
    def _neighbour(self, operation): self.carried.append(operation.verb)
    _SHARED = dict(backend.Backend._SHARED, Neighbour=_neighbour)
    visit = type("Visit", (), {"home": lambda self: None, "names": lambda self: []})()
    def _release(self): pass

one = Neighbour("viscum-a", "10.0.0.1", "02:00:00:00:00:01")
other = one._replace(mac="02:00:00:00:00:02")
space = objects.Namespace("viscum-a")
made = diff([one, space], [])
print([line for operation in made for line in commands.lines([operation])])
changed = diff([other, space], [Found(one, 0), Found(space, 0)])
print([operation.verb for operation in changed])
carrier = Backend()
carrier._apply(changed + removal([Found(other, 0)]))
print(carrier.carried)
"""
    )
    assert found[0].endswith("'ip -n viscum-a neigh replace 10.0.0.1 lladdr 02:00:00:00:00:01 dev eth0']")
    assert found[1:] == ["['change']", "['change', 'del']"]
