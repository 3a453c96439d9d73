"""Objects for those who have a part of a router: `viscum.NAME` for each service, as netifd has
`network.interface.lan`, and `viscum.tenant.NAME` for each tenant. So the lists of ubusd and rpcd, which name objects,
say exactly who may do what with which service.

A service's object has the methods of `viscum` that take a name, without that argument. All of them share one table and,
at ubusd, one type. A service that a tenant would reach by its name alone has no object (config/tenants.py).
"""

from .. import compat, tenancy
from ..config import tenants, uci
from ..errors import ForeignError, ViscumError
from ..reconcile import PACKAGE
from ..ubus import blob
from ..ubus import codes as code
from ..ubus.budget import Budget
from ..ubus.client import Method
from .methods import METHODS, NAME, ROOT, SHARE, WRITE
from .names import OBJECT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..agent import Agent
    from ..config.tenants import Tenant
    from ..ubus.client import Client, Object, Request

TENANT = OBJECT + ".tenant."
CONFIGURATION = (("config", blob.STRING),)
ROW = ("status", "stats")  # methods whose answer is a service's row
# Seconds that are counted for a call which leads to a look, besides its own: looks may take half of the agent's time.
LOOK = 0.1
UNREADABLE = "the router's configuration can't be read or written now: its owner can find out why (viscum check)"
# Methods of a tenant's object; the code is in Objects, under that name.
OF_TENANT = (("list", ()), ("status", ()), ("config", ()), ("check", CONFIGURATION), ("configure", CONFIGURATION))


def of_service() -> "list[tuple[str, tuple]]":
    """[(method, arguments)] of a service's object."""
    found = []
    for entry in METHODS:
        if NAME[0] in entry.args and entry.who != ROOT:
            args = [arg for arg in entry.args if arg not in NAME and entry.name not in ROW]
            found.append((entry.name, tuple(args)))
    return found


class Objects:
    """`handlers` are the methods of `viscum`, (name, Method)."""

    def __init__(self, agent: "Agent", client: "Client", handlers: "list[tuple[str, Method]]") -> None:
        self._agent = agent
        self._client = client
        self._handlers = {name: method.handler for name, method in handlers}
        # Whoever calls: rpcd and uhttpd are root for all who log in.
        self._budget = Budget(*SHARE)
        own = [(name, Method(self._of_service, args)) for name, args in of_service()]
        theirs = [(name, Method(self._of_tenant, args)) for name, args in OF_TENANT]
        self._kinds = [client.add_object(None, methods) for methods in (own, theirs)]
        self._objects: dict[str, Object] = {}

    def follow(self) -> None:
        """Publishes what is configured now, and nothing else."""
        configuration = self._agent.reconciler.configuration
        wanted = {TENANT + name: self._kinds[1] for name in configuration.tenants if configuration.tenants[name]}
        for name in tenancy.names(configuration):
            first = name.split("_")[0]
            if first == name or first not in configuration.tenants or self._owner(name):
                wanted["%s.%s" % (OBJECT, name)] = self._kinds[0]
        for path in [path for path in self._objects if path not in wanted]:
            self._objects.pop(path).remove()
        for path in sorted(wanted):
            if path not in self._objects:
                self._objects[path] = self._client.add_object(path, (), wanted[path])

    def _owner(self, service: str) -> "Tenant | None":
        there = self._agent.reconciler.configuration.tenants
        found = there.get(service.split("_")[0])
        return found if found and service in found.services else None

    # A service

    def _of_service(self, method: str, args: "dict[str, Any]", request: "Request") -> "Any":
        name = str(request.path)[len(OBJECT) + 1 :]
        tenant = self._owner(name)
        if not tenant:
            return self._ask(method, name, args, request)
        price = LOOK if [each for each in METHODS if each.name == method and each.who == WRITE] else 0
        return self._counted(tenant, lambda: self._told(self._ask(method, name, args, request), tenant.name), price)

    def _ask(self, method: str, name: str, args: "dict[str, Any]", request: "Request") -> "Any":
        given = dict(args)
        given["name"] = name
        answer = self._handlers[method](method, given, request)
        return answer["services"][name] if method in ROW else answer

    def _told(self, answer: "Any", tenant: str) -> "Any":
        """An answer without what its texts tell of others' services."""
        names = tenancy.names(self._agent.reconciler.configuration)
        return _each_text(answer, lambda text: tenants.discreet(text, tenant, names))

    def _counted(self, tenant: "Tenant", work: "Callable[[], Any]", price: float = 0) -> "Any":
        """What `work` returns, unless the tenant has used up his share of the agent's time. Raises UbusStatus."""
        wait = self._budget.wait(tenant.name)
        if wait:
            text = "tenant '%s' has used more than his share of the agent's time: try again in %d s"
            raise code.UbusStatus(code.TIMEOUT, text % (tenant.name, int(wait) + 1))
        began = compat.monotonic()
        try:
            return work()
        finally:
            self._budget.spend(tenant.name, compat.monotonic() - began + price)

    # A tenant

    def _of_tenant(self, method: str, args: "dict[str, Any]", request: "Request") -> "Any":
        tenant = self._agent.reconciler.configuration.tenants.get(str(request.path)[len(TENANT) :])
        if not tenant:
            raise code.UbusStatus(code.NOT_FOUND)
        try:
            return self._counted(tenant, lambda: getattr(self, "_" + method)(tenant, args, request))
        except code.UbusError:
            raise
        except tenancy.Refused as error:
            raise code.UbusStatus(code.INVALID_ARGUMENT, str(error))
        except ForeignError as error:
            raise code.UbusStatus(code.UNKNOWN_ERROR, str(error))
        except ViscumError:  # which may quote the file
            raise code.UbusStatus(code.UNKNOWN_ERROR, UNREADABLE)

    def _list(self, tenant: "Tenant", _args: "dict[str, Any]", _request: "Request") -> "dict[str, Any]":
        return {"services": sorted(tenant.services), "bounds": tenant.bounds}

    def _status(self, tenant: "Tenant", _args: "dict[str, Any]", request: "Request") -> "dict[str, Any]":
        found = {}
        for name in sorted(tenant.services):
            if name in self._agent.instances:
                found[name] = self._told(self._ask("status", name, {}, request), tenant.name)
        return {"services": found}

    def _config(self, tenant: "Tenant", _args: "dict[str, Any]", _request: "Request") -> "dict[str, Any]":
        sections = tenants.of_tenant(uci.load(self._agent.confdir, PACKAGE), tenant.name)
        return {"config": tenants.text_of(sections)}

    def _check(self, tenant: "Tenant", args: "dict[str, Any]", _request: "Request") -> "dict[str, Any]":
        try:
            self._judged(tenant, args)
        except tenancy.Refused as error:
            return {"problems": error.reasons}
        return {"problems": []}

    def _configure(self, tenant: "Tenant", args: "dict[str, Any]", _request: "Request") -> "dict[str, Any]":
        """Puts what is right in the place of what he had, and in force."""
        before, after = self._judged(tenant, args)
        if after != before:
            tenancy.put(self._agent.confdir, before, after)
            self._agent.reload()
        return {}

    def _judged(self, tenant: "Tenant", args: "dict[str, Any]") -> "tuple[bytes, bytes]":
        text = args.get("config", "")
        if len(text) > tenants.LARGEST:  # characters: bytes are not fewer
            raise tenancy.Refused(["it is larger than %d bytes: leave something out" % tenants.LARGEST])
        return tenancy.judge(self._agent.reconciler, self._agent.confdir, tenant.name, text.encode())


def _each_text(value: "Any", change: "Callable[[str], str]") -> "Any":
    """The same value with other texts."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [_each_text(each, change) for each in value]
    if isinstance(value, dict):
        return {key: _each_text(value[key], change) for key in value}
    return value
