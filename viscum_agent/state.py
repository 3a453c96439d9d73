"""The whole road as one object: configuration in, facts, plan, border. What the commands work on."""

import os

from . import compat, uci
from .apply import Applier, pending
from .errors import UnsupportedError
from .facts import EVERYTHING
from .kernel import open_border, probe
from .model import read
from .observe import facts, observe
from .plan import Plan, plan
from .process import Programs

PACKAGE = "viscum"


class State:
    """What is configured and what is there. Use as a context manager.

    `configuration` is a model.Configuration; `dump`, `observed` and `plan` are as of the last `look`. The plan is made
    when it is asked for: who only takes services down needs none. `names` are netifd's interfaces (netifd.names), asked
    for on the ubus socket `path` when the first plan needs them; without a path nobody is asked.
    """

    def __init__(self, confdir, path=None):
        self._confdir = confdir
        self.configuration = read(uci.load(confdir, PACKAGE), PACKAGE)
        compat.expect(len(self.configuration.services))
        self.border = None
        self.features = None
        self.lacks = ""  # what the eBPF datapath lacks here
        self.names = None
        self._path = path
        self._plan = None

    def __enter__(self):
        self.border = open_border(self.configuration.settings.netlink)
        return self

    def __exit__(self, *_):
        if self.border:
            self.border.close()

    def reload(self):
        """Reads the configuration anew; keeps the old one, and raises ConfigError, when that is not possible."""
        self.configuration = read(uci.load(self._confdir, PACKAGE), PACKAGE)
        compat.expect(len(self.configuration.services))

    def look(self, pools=()):
        """Reads the kernel; of the router's routes those that matter to the configuration's pools, and to these."""
        self.dump = self.border.dump(self.configuration.settings.pool + pools)
        self.observed = observe(self.dump)
        self._plan = None

    def forget(self):
        """What was read is worth its memory only while it is worked with."""
        self.dump = self.observed = self._plan = None

    @property
    def plan(self):
        if self._plan is None:
            self._plan = self.plan_of(self.configuration)
        return self._plan

    def plan_of(self, configuration):
        """The plan for a configuration on this router as it is."""
        if self.features is None:
            self.features = self._features()
        there = facts(self.dump, self.features, self.interfaces())
        return plan(configuration.services, configuration.settings, there, PACKAGE)

    def interfaces(self):
        """Logical interfaces with their devices: as netifd has them, else as /etc/config/network says."""
        if self.names is None:
            self.names = self._ask_netifd()
        found = interfaces(self._confdir)
        found.update(self.names)
        return found

    def _ask_netifd(self):
        if not self._path or not any(service.interfaces for service in self.configuration.services):
            return {}
        try:
            os.stat(self._path)
        except OSError:
            return {}  # no ubus here
        from . import netifd  # ubus costs time and memory: only for who needs it

        return netifd.ask(self._path)

    def _features(self):
        try:
            found, self.lacks = probe.ask()
            return found
        except UnsupportedError:
            return EVERYTHING  # not root: nothing can be tried, and nothing will be done either

    def problems(self):
        return self.configuration.problems + self.plan.problems

    def keep(self):
        """Services that can't be judged, because their configuration has a problem: they stay as they are."""
        return self.configuration.bad + self.plan.skipped

    def pending(self):
        """What `up` would do: [(heading, operations)]."""
        return pending(self.plan, self.observed, self.keep())

    def up(self, names, programs=True):
        """Brings the named services (all: none named) to the plan. Returns an apply.Result."""
        chosen = self.plan
        keep = self.keep()
        if names:
            chosen = type(chosen)([part for part in chosen.services if part.service.name in names], chosen.skipped, [])
            keep = keep + [name for name in self.observed.services if name not in names]
        return self._apply(chosen, keep, programs)

    def down(self, names, programs=True):
        """Takes the named services (all: none named) down."""
        nothing = Plan([], [], [])
        keep = [name for name in self.observed.services if names and name not in names]
        return self._apply(nothing, keep, programs)

    def _apply(self, chosen, keep, programs):
        timeouts = {service.name: service.program.term_timeout for service in self.configuration.services}
        applier = Applier(self.border, Programs(timeouts) if programs else None, PACKAGE)
        return applier.run(chosen, self.observed, keep)


def interfaces(confdir):
    """Logical interfaces and their devices, as /etc/config/network names them; {} where there is no such file."""
    try:
        sections = uci.load(confdir, "network")
    except uci.ConfigError:
        return {}
    found = {}
    for section in sections:
        if section.type != "interface":
            continue
        names = section.options.get("device") or section.options.get("ifname") or ""
        names = names.split() if isinstance(names, str) else names
        if section.options.get("type") == "bridge":
            names = ["br-" + section.name]  # before 21.02: the interface is the bridge
        if names:
            found[section.name] = names
    return found
