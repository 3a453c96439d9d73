"""The whole road as one object: configuration in, facts, plan, back end. The agent and the commands work on it.

A Reconciler holds what lasts (the configuration, the back end, what the kernel and netifd were asked). Each look makes
a Snapshot: what was there at one moment, and what is planned for it. A Snapshot is never changed.
"""

from collections import namedtuple

from . import address, compat, optional
from .apply import Applier, pending
from .config import network, uci
from .config.service import read
from .errors import ConfigError, UnsupportedError, section_of
from .kernel import altnames, open_backend, probe, ruleset
from .kernel.neighbours import Hops
from .paths import CONFDIR
from .plan import datapath, direct, groups, hosts
from .plan.actual import facts, observe
from .plan.answers import asked_ports
from .plan.diff import redirects_of
from .plan.planner import Plan, plan
from .records import with_
from .records.facts import EVERYTHING
from .records.objects import ns_name
from .shell import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from typing import Any

    from .apply import Result
    from .config.service import Configuration, Service, Settings
    from .errors import Problem
    from .kernel.backend import Backend
    from .loop import Loop
    from .names.leases import Leases
    from .plan.actual import Observed
    from .plan.answers import Open
    from .plan.planner import ServicePlan
    from .records.dump import Dump
    from .records.facts import Host
    from .records.objects import Operation

PACKAGE = "viscum"
PROGRAMS, NO_PROGRAMS = "with eBPF", "without eBPF"  # what the kernel is asked


class Snapshot(namedtuple("Snapshot", ("configuration", "dump", "observed", "plan"))):
    """What was there at one moment, and what is planned for it.

    `configuration` is a config.service.Configuration, `dump` a records.dump.Dump (None once it is no longer needed),
    `observed` what of it is ours (plan.actual.Observed), `plan` a plan.planner.Plan.
    """

    def problems(self) -> "list[Problem]":
        """errors.Problem of each thing that can't be as configured."""
        return self.configuration.problems + self.plan.problems

    def keep(self) -> "list[str]":
        """Services that can't be judged, because their configuration has a problem: they stay as they are."""
        return self.configuration.bad + self.plan.skipped

    def pending(self) -> "list[tuple[str, list[Operation]]]":
        """What is left to do: [(heading, operations)]."""
        return pending(self.plan, self.observed, self.keep())

    def is_redirected(self, name: str) -> bool:
        """Whether a redirect of the service is in."""
        return bool(redirects_of(self.observed.of(name)))

    def with_services(self, parts: "list[ServicePlan]") -> "Snapshot":
        """With these plan.planner.ServicePlans in place of its own."""
        return with_(self, plan=with_(self.plan, services=parts))

    def without_redirects(self, names: "Sequence[str]") -> "Snapshot":
        """After the redirects of these services were removed."""
        return with_(self, observed=self.observed.without_redirects(names)) if names else self

    def without_dump(self) -> "Snapshot":
        """For callers that no longer need the dump: it is a fifth of all memory in use at a look."""
        return with_(self, dump=None)


def _nobody() -> dict:
    """What is known of services' sockets if programs are not asked."""
    return {}


class Reconciler:
    """Use as a context manager.

    `path` is the ubus socket for asking netifd about its interfaces, when the first plan needs them; without one it is
    not asked. `opened()` returns what the caller knows of services' sockets better than a dump (plan.actual.facts).
    `loads` is whether the kernel is to check the eBPF programs themselves (probe.features), and names are asked.
    `names(services, observed, links, interfaces)` returns what is known of the services' names: (hosts, held) as in
    facts.Facts; without it they are asked once. `follow` is (loop, changed), for who wants to be told that leases mean
    other clients.
    """

    def __init__(
        self,
        confdir: str,
        path: "str | None" = None,
        opened: "Callable[[], dict]" = _nobody,
        loads: bool = True,
        names: "Callable | None" = None,
        follow: "tuple[Loop, Callable[[], object]] | tuple[()]" = (),
    ) -> None:
        self._confdir = confdir
        self._loads = loads
        self.generation = 0  # counts the configurations that were taken, each a file with another
        self.hash = ""  # the SHA-256 of the file
        self.configuration, taken = self._read()
        self._took(taken)
        compat.expect(len(self.configuration.services))
        self.backend: Backend = compat.LATER
        self.features = EVERYTHING
        self._asked = ""  # what the kernel was asked since the configuration was read
        self._opened = opened
        self._named = names or self._asked_once
        self._hosts: dict[str, Host] = {}
        self._before: dict[str, ServicePlan] = {}  # the last plans of services with names, without their objects
        self._follow = follow
        self._leases: Leases | None = None  # where a group has names of hosts
        self._names: dict[str, list[str]] | None = None  # netifd's interfaces
        self._path = path
        self._rules: dict | None = None
        self.hops = Hops()
        self.macs: dict[tuple[int, bytes], str | None] = {}  # those of next hops at the last look (Hops.macs)

    def __enter__(self) -> "Reconciler":
        self.backend = open_backend(self.configuration.settings.netlink)
        return self

    def __exit__(self, *_: object) -> None:
        if self.backend:
            self.backend.close()

    def all_services(self) -> "list[Service]":
        """Those that are configured, and those with mistakes that go on with earlier settings."""
        return self.configuration.services + self.configuration.kept

    def reload(self) -> None:
        """Reloads the configuration; the next plan probes the kernel again. If that is not possible or the back end is
        not available, keeps the old one and raises ConfigError."""
        new, taken = self._read(self.configuration)
        if new.settings.netlink != self.backend.name:
            self._change_backend(new.settings.netlink)
        self.configuration = new
        self._took(taken)
        self._asked = ""
        self.forget_firewall()
        compat.expect(len(new.services))

    def _read(self, before: "Configuration | None" = None) -> "tuple[Configuration, str]":
        """(what the file has, its hash)"""
        path = "%s/%s" % (self._confdir, PACKAGE)
        data = uci.content(path)
        return read(uci.parse(data, path), PACKAGE, before), compat.sha256(data)

    def _took(self, taken: str) -> None:
        self.generation += taken != self.hash
        self.hash = taken

    def _change_backend(self, netlink: str) -> None:
        try:
            backend = open_backend(netlink)
        except UnsupportedError as error:
            raise ConfigError(str(error))
        self.backend.close()
        self.backend = backend

    def take_names(self, names: "dict[str, list[str]]") -> None:
        """Takes which devices netifd's interfaces are now (ubus.netifd.names)."""
        self._names = names

    def forget_firewall(self) -> None:
        """The firewall has changed."""
        self._rules = None

    # Looking

    def look(
        self,
        configuration: "Configuration | None" = None,
        breathe: "Callable[[], object] | None" = None,
        torn: "Callable[[], object] | None" = None,
    ) -> "Snapshot":
        """Reads the kernel and plans: a Snapshot. `configuration` is judged in place of the current one. `breathe()` is
        called now and then meanwhile; None is returned if `torn()` says that what was read is not of one moment."""
        configuration = configuration or self.configuration
        known = self._opened()
        services = [service for service in self.all_services() if service.name not in known]
        ports = {ns_name(each.name): asked_ports(each.matches + hosts.templates(each)) for each in services}
        # Of the router's routes, only those that matter to a pool.
        pools = self.configuration.settings.pool
        if configuration is not self.configuration:
            pools += configuration.settings.pool
        dump = self.backend.dump(pools, ports, breathe)
        if torn and torn():
            return None  # type: ignore[return-value]  # only callers that give `torn` get it
        observed = observe(dump)
        dump.forget_inside()
        return self._planned(configuration, dump, observed, known)

    def _planned(
        self, configuration: "Configuration", dump: "Dump", observed: "Observed", known: "dict[str, Open]"
    ) -> "Snapshot":
        # First those that are left as they are: whatever others want, their traffic is theirs.
        services = [service for service in configuration.kept if service.name in observed.services]
        services += configuration.services
        self._ask_kernel(configuration.settings, services)
        opened: dict[str, Open | None] = dict(known)
        mine = self.all_services()
        for service in services if configuration is not self.configuration else ():
            if service not in mine:
                opened[service.name] = None  # answers of a program with other settings say nothing
        names, why = self.interfaces()
        missing = network.missing(services, names, dump.links)
        why.update(network.other_names(altnames.own_names(missing)))
        known_hosts, held = self._of_names(services, observed, dump.links, names)
        there = facts(
            dump, self.features, names, opened, self._firewall(), why, known_hosts, held, self._leased(services)
        )
        places = direct.places(services, configuration.settings, there, PACKAGE)
        there = with_(there, neighbours=self._neighbours(places, dump, observed))
        made = plan(
            services,
            configuration.settings,
            there,
            PACKAGE,
            lambda name: (self._before.get(name), observed.of(name)),
        )
        if configuration is self.configuration:
            named = [each for each in made.services if each.service.named]
            self._before = {each.service.name: with_(each, items=(), shared=()) for each in named}
        return Snapshot(configuration=configuration, dump=dump, observed=observed, plan=made)

    def _neighbours(
        self, places: "dict[tuple[str, str], list[str]]", dump: "Dump", observed: "Observed"
    ) -> "dict[tuple[str, str], str]":
        """The MAC addresses of next hops (Facts.neighbours). While it is not known whether one answers, a redirect that
        is in keeps the one that its replies go to."""
        self.backend.visit.home()
        indexes = {link.name: link.index for link in dump.links if link.ns == ""} if places else {}
        packed = {place: (indexes[place[0]], address.parse_address(place[1])) for place in places}
        self.macs = self.hops.macs(packed.values())
        found = {}
        for place in places:
            mac = self.macs[packed[place]]
            if mac is None:
                there = [observed.of(name) for name in places[place]]
                kept = [direct.mac_of([each.item for each in items]) for items in there if redirects_of(items)]
                mac = max(kept + [""])
            found[place] = mac
        return found

    def _of_names(self, services: "list[Service]", *there: "Any") -> "tuple[dict, dict]":
        """What is known of the names of these services. Where the package for them is missing, nothing: the plan says
        so."""
        try:
            named = [service for service in services if service.named]
            return self._named(named, *there) if named else ({}, {})
        except UnsupportedError:
            return {}, {}

    def _asked_once(self, services: "list[Service]", observed: "Observed", *_: object) -> "tuple[dict, dict]":
        """Who only shows what there is asks nobody: what is in the kernel counts."""
        if self._loads:
            return self.ask_names(services), {}
        byname = optional.load("plan.byname")
        return {}, {each.name: byname.held(observed.of(each.name)) for each in services}

    def ask_names(self, services: "list[Service]") -> "dict[str, Host]":
        """What the names of these services have, asked now if they were not asked before (names/)."""
        wanted = hosts.wanted(services, self.configuration.settings)
        new = {name: wanted[name] for name in wanted if name not in self._hosts}
        if new:
            self._hosts.update(optional.load("names.ask").at_once(new))
        return self._hosts

    def _leased(self, services: "list[Service]") -> "dict[str, Host]":
        """Who has the names of hosts in the groups of these services (names/leases.py)."""
        wanted = groups.wanted(self.all_services() + services)
        if not wanted and not self._leases:
            return {}
        try:
            if not self._leases:
                self._leases = optional.load("names.leases").Leases(self._confdir, *self._follow)
            return self._leases.find(wanted)
        except UnsupportedError:
            return {}  # the plan says so

    def interfaces(self) -> "tuple[dict[str, list[str]], dict[tuple[str, str], str]]":
        """(devices, why): logical interfaces with their devices, as netifd has them, else as in /etc/config/network;
        and sentences about those without one (network.interfaces)."""
        if self._names is None:
            self._names = self._ask_netifd()
        return network.interfaces(self._confdir, self._names)

    def _firewall(self) -> "dict[int, tuple[str, bool]]":
        """Why the firewall rejects replies that the router routes, by family; as of its last change."""
        if self._rules is None:
            try:
                past = [each.NAME for each in datapath.ALL if not each.ROUTED]
                self._rules = ruleset.rejects(ruleset.read(), past)
            except OSError as error:
                compat.unless_spent(error)
                self._rules = {}  # no nf_tables in this kernel, or no rights
        return self._rules

    def _ask_netifd(self) -> "dict[str, list[str]]":
        if not self._path or not any(service.interfaces for service in self.configuration.services):
            return {}
        if not compat.exists(self._path):
            return {}  # no ubus here
        from .ubus import netifd  # ubus costs time and memory: only if needed

        return netifd.ask(self._path)

    def _ask_kernel(self, settings: "Settings", services: "list[Service]") -> None:
        """Probes the kernel, once for each reading of the configuration: modules and file systems come and go. eBPF is
        asked for only where a service may have it."""
        programs = datapath.may_be(datapath.ebpf.NAME, settings, services)
        wanted = PROGRAMS if programs else NO_PROGRAMS
        if self._asked in (PROGRAMS, wanted):
            return
        try:
            self.features = probe.features(programs, self.backend.spare, self._loads)
            self._asked = wanted
        except UnsupportedError:
            pass  # not root, so nothing will be done either; or no descriptor is left: the last result counts

    # What commands ask for

    def found(self) -> "Snapshot":
        """A Snapshot of what is there, with nothing planned: all that `down` needs, for a fraction of the work."""
        dump = self.backend.dump_marks()
        nothing = Plan([], [], [])
        return Snapshot(configuration=self.configuration, dump=dump, observed=observe(dump), plan=nothing)

    def problems_of(self, snapshot: "Snapshot", names: "Collection[str]") -> "list[Problem]":
        """The configuration's problems; without those of other services than `names`, if there are any."""
        known = {service.name for service in self.configuration.services}.union(self.configuration.bad)
        others = known.difference(names) if names else ()
        return [each for each in snapshot.problems() if section_of(each) not in others]

    def require(self, snapshot: "Snapshot", names: "Collection[str]", to_run: bool = False) -> None:
        """Raises ConfigError for a service that is neither in the configuration nor in the kernel, and with `to_run`
        also for one that is not enabled: `up` would take down what it is asked to bring up."""
        known = [service.name for service in self.configuration.services] + self.configuration.bad
        for name in names:
            if name not in known and name not in snapshot.observed.services:
                there = ", ".join(sorted(known)) or "none"
                raise ConfigError("there is no service %s; there are: %s" % (shown(name), there))
            if to_run and name not in self.configuration.bad:  # its problems say more
                self._require_enabled(name)

    def _require_enabled(self, name: str) -> None:
        command = "uci" if self._confdir == CONFDIR else "uci -c " + self._confdir
        remedy = "%s set viscum.%%s.enabled='1' && %s commit viscum" % (command, command)
        enabled = {service.name: service.enabled for service in self.configuration.services}
        if name not in enabled:
            raise ConfigError("'%s' is no longer configured: `viscum down %s` takes it down" % (name, name))
        if not enabled[name]:
            raise ConfigError("'%s' is disabled (option enabled '0'): %s" % (name, remedy % name))
        if not self.configuration.settings.enabled:
            text = "all services are disabled (option enabled '0' in config globals): %s"
            raise ConfigError(text % (remedy % "@globals[0]"))

    def sure(self, snapshot: "Snapshot") -> "Snapshot":
        """A Snapshot whose plan knows what programs answer, also without an agent: if a redirect is to be changed, they
        are asked now (if we are root)."""
        steps = snapshot.pending()
        if not steps or compat.geteuid() != 0:
            return snapshot
        from .service import asked  # rarely needed

        known = asked.opened(snapshot, steps)
        if not known:
            return snapshot
        return self._planned(snapshot.configuration, snapshot.dump, snapshot.observed, known)

    def up(self, snapshot: "Snapshot", names: "Collection[str]" = ()) -> "Result":
        """Makes the kernel objects of the named services (no names: all) as planned. Returns an apply.Result."""
        chosen, keep = snapshot.plan, snapshot.keep()
        if names:
            chosen = Plan([part for part in chosen.services if part.service.name in names], chosen.skipped, [])
            keep = keep + [name for name in snapshot.observed.services if name not in names]
        return Applier(self.backend, PACKAGE).run(chosen, snapshot.observed, keep)

    def down(self, snapshot: "Snapshot", names: "Collection[str]" = ()) -> "Result":
        """Removes the kernel objects of the named services (no names: all)."""
        keep = [name for name in snapshot.observed.services if names and name not in names]
        return Applier(self.backend, PACKAGE).run(Plan([], [], []), snapshot.observed, keep)
