"""The whole road as one object: configuration in, facts, plan, border. What the commands work on."""

from . import compat
from .apply import Applier, pending
from .config import network, uci
from .config.schema import shown
from .config.service import read
from .errors import ConfigError, UnsupportedError
from .kernel import altnames, open_backend, probe, ruleset
from .paths import CONFDIR
from .plan.actual import facts, observe
from .plan.answers import asked_ports
from .plan.planner import Plan, plan
from .records.facts import EVERYTHING
from .records.objects import ns_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .kernel.backend import Backend

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
        self.backend: Backend = compat.LATER
        self.features = EVERYTHING
        self._asked = False  # what the kernel has, since the configuration was read
        self.names = None
        self.opened: Callable[[], dict] = (
            lambda: {}
        )  # what somebody knows of services' sockets better than a dump (observe.facts)
        self._path = path
        self._rules = None
        self._plan = None
        self._why = {}  # what network.interfaces says of those without a device

    def __enter__(self):
        self.backend = open_backend(self.configuration.settings.netlink)
        return self

    def __exit__(self, *_):
        if self.backend:
            self.backend.close()

    def reload(self):
        """Reads the configuration again, and the next plan asks the kernel again what it has. Keeps the old one, and
        raises ConfigError, when that is not possible or when its back end can't be had."""
        new = read(uci.load(self._confdir, PACKAGE), PACKAGE)
        if new.settings.netlink != self.backend.name:
            self._change_backend(new.settings.netlink)
        self.configuration = new
        self._asked = False
        compat.expect(len(new.services))

    def _change_backend(self, netlink):
        try:
            backend = open_backend(netlink)
        except UnsupportedError as error:
            raise ConfigError(str(error))
        self.backend.close()
        self.backend = backend

    def look(self, pools=(), breathe=None):
        """Reads the kernel; of the router's routes those that matter to the configuration's pools, and to these.
        `breathe` is called now and then meanwhile."""
        known = self.opened()
        services = [service for service in self.configuration.services if service.name not in known]
        ports = {ns_name(each.name): asked_ports(each.matches) for each in services}
        self.dump = self.backend.dump(self.configuration.settings.pool + pools, ports, breathe)
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
        self._ask_kernel()
        opened = dict(self.opened())
        for service in configuration.services:
            if service not in self.configuration.services:
                opened[service.name] = None  # what a program that runs by other settings answers says nothing
        names = self.interfaces()
        missing = network.missing(configuration.services, names, self.dump.links)
        why = network.other_names(altnames.own_names(missing))
        why.update(self._why)
        there = facts(self.dump, self.features, names, opened, self._firewall(), why)
        return plan(configuration.services, configuration.settings, there, PACKAGE)

    def interfaces(self):
        """Logical interfaces with their devices: as netifd has them, else as /etc/config/network says."""
        if self.names is None:
            self.names = self._ask_netifd()
        found, self._why = network.interfaces(self._confdir, self.names)
        return found

    def forget_firewall(self):
        """It has changed."""
        self._rules = None

    def _firewall(self):
        """Why replies that the router routes are rejected, by family; as of the last time that the firewall changed."""
        if self._rules is None:
            try:
                self._rules = ruleset.rejects(ruleset.read())
            except OSError:
                self._rules = {}  # no nf_tables in this kernel, or no rights
        return self._rules

    def _ask_netifd(self):
        if not self._path or not any(service.interfaces for service in self.configuration.services):
            return {}
        if not compat.exists(self._path):
            return {}  # no ubus here
        from .ubus import netifd  # ubus costs time and memory: only for who needs it

        return netifd.ask(self._path)

    def _ask_kernel(self):
        """What it has, once for each reading of the configuration: modules and file systems come and go."""
        if self._asked:
            return
        try:
            self.features = probe.features()
            self._asked = True
        except UnsupportedError:
            pass  # not root, and nothing will be done either; or no descriptor is left, and what was known counts

    def problems(self):
        return self.configuration.problems + self.plan.problems

    def keep(self):
        """Services that can't be judged, because their configuration has a problem: they stay as they are."""
        return self.configuration.bad + self.plan.skipped

    def require(self, names, to_run=False):
        """After a look. Raises ConfigError for a service that is neither in the configuration nor in the kernel; and
        with `to_run` for one that is not enabled: `up` would take down what it is asked to bring up."""
        known = [service.name for service in self.configuration.services] + self.configuration.bad
        for name in names:
            if name not in known and name not in self.observed.services:
                there = ", ".join(sorted(known)) or "none"
                raise ConfigError("there is no service %s; there are: %s" % (shown(name), there))
            if to_run and name not in self.configuration.bad:  # whose problems say more
                self._require_enabled(name)

    def _require_enabled(self, name):
        command = "uci" if self._confdir == CONFDIR else "uci -c " + self._confdir
        remedy = "%s set viscum.%%s.enabled='1' && %s commit viscum" % (command, command)
        enabled = {service.name: service.enabled for service in self.configuration.services}
        if name not in enabled:
            raise ConfigError("'%s' is in no configuration any more: `viscum down %s` takes it down" % (name, name))
        if not enabled[name]:
            raise ConfigError("'%s' is disabled (option enabled '0'): %s" % (name, remedy % name))
        if not self.configuration.settings.enabled:
            text = "all services are disabled (option enabled '0' in config globals): %s"
            raise ConfigError(text % (remedy % "@globals[0]"))

    def pending(self, may_ask=True):
        """What `up` would do: [(heading, operations)]. Where a redirect is to be changed, the program is asked what it
        answers, if it may be (and we are root)."""
        found = pending(self.plan, self.observed, self.keep())
        if not (found and may_ask) or compat.geteuid() != 0:
            return found
        from .service import asked  # hardly ever needed

        known = asked.opened(self, found)
        if not known:
            return found
        self.opened = lambda: known
        self._plan = None
        return pending(self.plan, self.observed, self.keep())

    def up(self, names):
        """Makes the kernel objects of the named services (all: none named) as planned. Returns an apply.Result."""
        chosen = self.plan
        keep = self.keep()
        if names:
            chosen = type(chosen)([part for part in chosen.services if part.service.name in names], chosen.skipped, [])
            keep = keep + [name for name in self.observed.services if name not in names]
        return Applier(self.backend, PACKAGE).run(chosen, self.observed, keep)

    def down(self, names):
        """Removes the kernel objects of the named services (all: none named)."""
        keep = [name for name in self.observed.services if names and name not in names]
        return Applier(self.backend, PACKAGE).run(Plan([], [], []), self.observed, keep)
