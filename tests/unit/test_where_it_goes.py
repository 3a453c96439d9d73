"""What "Where does it go" of CONTRIBUTING.md says of a datapath and of an option is so: each is put into a copy of the
agent, in the places that the table names and nowhere else, and is then known wherever it has to be.

What looks at it there runs under both interpreters, beside the helpers of tests/unit/shared.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from depends import INTERPRETERS
from lab import ROOT

CHANGED = ("viscum_agent", "tools", "docs", "package/luci-app-viscum")


@pytest.fixture
def copy(tmp_path):
    """A copy of the agent, and of what is made from its tables."""
    for name in CHANGED:
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


@pytest.fixture(params=["oldest", "micropython"])
def interpreter(request):
    words = INTERPRETERS[request.param]
    if not Path(words[0]).exists():
        pytest.skip("no such interpreter here: make setup")
    return words


def change(path, *pairs):
    """Replaces texts in a file; each has to be there once."""
    text = path.read_text()
    for old, new in pairs:
        assert text.count(old) == 1, (path, old)
        text = text.replace(old, new)
    path.write_text(text)


def run(interpreter, copy, code):
    """Runs code that raises nothing, with the agent of the copy."""
    (copy / "code.py").write_text(code)
    folders = [str(copy), str(ROOT / "tests/unit/shared")]
    environment = {**os.environ, "PYTHONPATH": ":".join(folders), "MICROPYPATH": ":".join([*folders, ".frozen"])}
    result = subprocess.run([*interpreter, "code.py"], cwd=copy, env=environment, capture_output=True, text=True)
    assert result.returncode == 0 and "Traceback" not in result.stderr, result.stderr + result.stdout


def make(copy, *tools):
    """Runs tools of `make manual`."""
    for tool in tools:
        subprocess.run([sys.executable, copy / "tools" / tool], check=True, cwd=copy)


# A datapath

DOUBLE = '''
"""A datapath that no kernel has."""

from ...records.facts import Feature
from ...records.objects import BpfLink, Filter, Qdisc
from . import classifier

NAME = "double"
FEATURES = (Feature("double", "act_double", "kmod-double", "datapath 'auto' takes %(others)s, at half the speed"),)
NEEDS = ("double", "mirred")
ROUTED = MACS = DECEIVED = BARE = VLANS = False


def lacks(features):
    return "" if features.double and features.mirred else "'double' needs act_double: install kmod-double"


def missing(features):
    return "" if features.double else "act_double (kmod-double)"


def mac_policy(service, devices, features, package):
    return classifier.MacPolicy((), "02:00:00:00:00:09", False)


def reply(dev, pair, features, vlan):
    return []


def filters(dev, match, level, mac, actions, watched=False, checked=False, vlan=0):
    keys = (("to", match.dst.packed),)
    return [Filter(dev=dev, prio=1, protocol="ip", kind=NAME, bucket=-1, keys=keys, actions=actions)]


def shared(device, made, features):
    return _at(device.name)


def is_own(item):
    return isinstance(item, Filter) and item.kind == NAME


def rests_on(item):
    return _at(item.dev)


def _at(dev):
    return [Qdisc(dev), BpfLink(dev, "second", "double")]
'''

USES_DATAPATH = """
import test_doctor as router  # a router, and a service on it

from viscum_agent.look import Looks
from viscum_agent.plan import datapath
from viscum_agent.plan.planner import plan
from viscum_agent.records import with_
from viscum_agent.records.facts import EVERYTHING
from viscum_agent.records.objects import BpfLink

WITHOUT = with_(EVERYTHING, double=False)


def planned(features, **options):
    read = router.configuration(options)
    assert read.problems == [], read.problems
    return plan(read.services, read.settings, with_(router.facts(), features=features))


def said(features, identity, **options):
    return [each for each in router.findings({"features": features}, options) if each.id == identity]


# The option takes its name.
assert router.configuration({"datapath": "double"}).services[0].datapath == "double"
message = router.configuration({"datapath": "treble"}).problems[0].message
assert message == "'treble' is not one of: auto, double, bpf, flower, u32", message

# The planner takes it, by itself and by its name, and knows its filters again.
for options in ({}, {"datapath": "double"}):
    (part,) = planned(EVERYTHING, **options).services
    assert part.datapath == "double" and part.gate.mac == "02:00:00:00:00:09"
    assert BpfLink("br-lan", "second", "double") in part.shared
    (made,) = [item for item in part.items if getattr(item, "kind", "") == "double"]
    assert datapath.of(made).NAME == "double" and datapath.of(made).rests_on(made) == part.shared

# Without its feature somebody else has its work, or the service is skipped with its words.
assert planned(WITHOUT).services[0].datapath == "bpf"
found = planned(WITHOUT, datapath="double")
assert found.skipped == ["echo"] and found.problems[0].where == "viscum.echo.datapath"
assert found.problems[0].message == "'double' needs act_double: install kmod-double"

# The doctor knows its feature, who needs it and what the others do.
assert "has act_double, eBPF programs" in said(EVERYTHING, "kernel")[0].found
(note,) = said(WITHOUT, "kernel-double")
assert (note.severity, note.found) == ("note", "has no act_double: lacks act_double (kmod-double)")
assert note.means == "datapath 'auto' takes bpf or flower or u32, at half the speed"
assert note.fix == "opkg update && opkg install kmod-double"
(error,) = said(WITHOUT, "kernel-double", datapath="double")
assert (error.severity, error.services, error.means) == ("error", ("echo",), "needs it and is skipped")
(note,) = said(with_(EVERYTHING, flower=False), "kernel-flower")
assert note.means == "datapath 'auto' takes double or bpf or u32"
(note,) = said(with_(EVERYTHING, mirred=False), "kernel-mirred")
assert note.means == "services with datapath 'double' or 'flower' or 'u32' can't run"


# The agent says what it lacks: it is the first.
class Talker:  # the agent, here
    _said_datapath = ""
    said = ""

    def say(self, level, text):
        self.said += text


class Router:
    features = WITHOUT


talker = Talker()
talker._agent, talker.reconciler = talker, Router()
Looks._say_datapath(talker, planned(WITHOUT).services)
text = "datapath 'bpf' instead of 'double', for which this router lacks act_double (kmod-double)"
assert talker.said == text, talker.said
"""


def test_a_datapath_is_its_file_and_a_place_in_the_table(copy, interpreter):
    agent = copy / "viscum_agent"
    (agent / "plan/datapath/double.py").write_text(DOUBLE)
    table = ("from . import ebpf, flower, u32", "from . import double, ebpf, flower, u32")
    place = ("= (ebpf, flower, u32)", "= (double, ebpf, flower, u32)")
    change(agent / "plan/datapath/__init__.py", table, place)
    # A feature that nobody has asked the kernel for; how it is tried would be in kernel/probe.py.
    change(agent / "records/facts.py", ('"netkit", "lacks")', '"netkit", "lacks", "double")'), ('[""]', '["", True]'))
    run(interpreter, copy, USES_DATAPATH)
    make(copy, "manual.py", "luci_options.py")
    manual = (copy / "docs/manual.md").read_text()
    assert "| `datapath` | one of: auto, double, bpf, flower, u32 |" in manual
    assert "takes `double`, else `bpf`, else `flower`, else `u32`." in manual
    assert "Datapath `double` or `bpf` ignores this option" in manual
    assert "words: [ 'auto', 'double', 'bpf', 'flower', 'u32' ]" in _options(copy)


def _options(copy):
    return (copy / "package/luci-app-viscum/htdocs/luci-static/resources/viscum/options.js").read_text()


# An option

# A table of schema.py, a row for it, and where its value is then. Its default is 3.
ROWS = {
    "GLOBALS": ("pace", "settings.pace"),
    "PROGRAM": ("scheduler", "service.program.scheduler"),
    "TIMEOUTS": ("kill_timeout", "service.program.kill_timeout"),
    "WAY": ("hops", "service.hops"),
    "TAKEN": ("depth", "service.depth"),
    "HEALTH": ("health_jitter", "service.health.jitter"),
    "RESPAWN": ("respawn_jitter", "service.respawn.jitter"),
}

USES_OPTION = """
from viscum_agent.config import service as model
from viscum_agent.config import uci
from viscum_agent.service import process

NAME, TABLE = %r, %r
TEXT = '''
config globals g
config service s
    option enabled 1
    option command /bin/x
    option user nobody
    list interface lan
    list dest_port 1
'''


def read(text):
    if TABLE == "GLOBALS":
        return model.read(uci.parse(TEXT.replace("globals g", "globals g\\n" + text).encode(), "viscum"))
    return model.read(uci.parse((TEXT + text + "\\n").encode(), "viscum"))


def value(found):
    settings, (service,) = found.settings, found.services
    return %s


def tag(found):
    return process.tag(found.services[0].program)


usual, other, wrong = read(""), read("option %%s 5" %% NAME), read("option %%s 21" %% NAME)
assert (value(usual), value(other), usual.problems + other.problems) == (3, 5, [])
assert [problem.message for problem in wrong.problems] == ["'21' is not a number of steps from 0 to 20"]
# Only what the program is started with makes it another one, and not its default: the agent before had none.
assert tag(usual) == "4a93e0f4"
assert (tag(other) != tag(usual)) == (TABLE == "PROGRAM")
"""


@pytest.mark.parametrize("table", ROWS)
def test_an_option_is_a_row_of_the_schema(copy, table):
    name, place = ROWS[table]
    row = '    Option("%s", number(0, 20, "steps"), False, "3", "A double."),\n)\n' % name
    schema = copy / "viscum_agent/config/schema.py"
    text = schema.read_text()
    start = text.index("\n%s" % table)
    end = text.index("\n)\n", start) + 1
    schema.write_text(text[:end] + row + text[end + 2 :])
    for interpreter in INTERPRETERS.values():
        if Path(interpreter[0]).exists():
            run(interpreter, copy, USES_OPTION % (name, table, place))
    make(copy, "manual.py", "luci_options.py", "option_types.py")
    line = "| `%s` | a number of steps from 0 to 20 | `3` | A double. |" % name
    assert line in (copy / "docs/manual.md").read_text()
    assert "title: _('%s')" % name.replace("_", " ").capitalize() in _options(copy)
    field = "    %s: int\n" % place.split(".")[-1]
    assert field in (copy / "viscum_agent/config/fields.pyi").read_text()
