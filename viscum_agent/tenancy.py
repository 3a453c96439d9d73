"""What a tenant wants to configure, judged before anything is taken: by his bounds, by this router, and by what others
have. `viscum tenant check` and the ubus object `viscum.tenant.NAME` ask it; what is right can be put in place.

The measure for others is simple: whatever a tenant's text does, their services, their problems and what they take over
have to be the same as before.
"""

from . import compat, replace
from .config import service, tenants, uci
from .errors import ConfigError, ForeignError, ViscumError, problem_text, section_of
from .paths import ON_TRIAL
from .plan import hosts
from .reconcile import PACKAGE
from .service import process
from .shell import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .config.service import Configuration, Service
    from .config.tenants import Tenant
    from .errors import Problem
    from .reconcile import Reconciler, Snapshot

OTHERS = "it would take something away from another service: choose other addresses, ports or names"
MOST = 20  # problems that are told


class Refused(ConfigError):
    """What a tenant wants is not done; `reasons` are sentences that he may read."""

    def __init__(self, reasons: "list[str]") -> None:
        super().__init__("; ".join(reasons[:MOST]))
        self.reasons = reasons[:MOST]


def tenant_of(configuration: "Configuration", name: str) -> "Tenant":
    """Raises ConfigError."""
    found = configuration.tenants.get(name)
    if found is None:
        text = "there is no tenant %s, or its section has a mistake (`viscum check`): config tenant makes one"
        raise ConfigError(text % shown(name))
    return found


def names(configuration: "Configuration") -> "list[str]":
    """Of all services, also of those with mistakes."""
    return sorted({each.name for each in configuration.services}.union(configuration.bad))


def judge(reconciler: "Reconciler", confdir: str, tenant: str, text: bytes) -> "tuple[bytes, bytes]":
    """(the configuration as it is, as it would be). Raises Refused, and ConfigError and UciError of the file itself."""
    path = "%s/%s" % (confdir, PACKAGE)
    before = uci.content(path)
    if compat.sha256(before) != reconciler.hash:
        raise Refused(["the configuration has changes that are not in force yet: the owner has to reload it first"])
    now = reconciler.configuration
    tenant_of(now, tenant)
    try:
        after, made = tenants.merged(uci.parse(before, path), tenant, text)
    except ConfigError as error:
        raise Refused([str(error)])
    new = service.read(made, PACKAGE)
    his = {each.name for each in tenants.of_tenant(made, tenant)}
    own = [each for each in new.problems if section_of(each) in his]
    harms = [each for each in new.problems if each not in own and each not in now.problems]
    _refuse(own, bool(harms) or _of_others(new.services, tenant) != _of_others(now.services, tenant), tenant, now)
    there, planned = reconciler.look(), reconciler.look(new)
    here = hosts.lasting(planned.plan.problems) + process.problems(new, PACKAGE)
    own = [each for each in here if each.service in his]
    _refuse(own, _taken(planned, tenant) != _taken(there, tenant), tenant, now)
    return before, after


def _refuse(own: "list[Problem]", harms: bool, tenant: str, configuration: "Configuration") -> None:
    others = names(configuration) if own else []
    found = [tenants.discreet(problem_text(each), tenant, others) for each in own]
    if found or harms:
        raise Refused(found or [OTHERS])


def _of_others(services: "list[Service]", tenant: str) -> "list[Service]":
    return [each for each in services if not each.tenant or each.tenant.name != tenant]


def _taken(snapshot: "Snapshot", tenant: str) -> "list[tuple]":
    """What others have of this router."""
    others = [each.name for each in _of_others(snapshot.configuration.services, tenant)]
    parts = [each for each in snapshot.plan.services if each.service.name in others]
    return sorted([(each.service.name, sorted(each.devices), sorted(map(repr, each.takes))) for each in parts])


def put(confdir: str, before: bytes, after: bytes) -> None:
    """Puts what was judged in the place of the configuration, all of it or nothing. Raises ViscumError."""
    path = "%s/%s" % (confdir, PACKAGE)
    folder, fd = compat.fd_open(confdir, 0), compat.fd_open(path, compat.O_NONBLOCK)
    try:
        # As trial.py does while a trial begins or ends, and libuci while it writes.
        if not compat.try_flock(folder) or not compat.try_flock(fd):
            raise ForeignError("the configuration is being written by somebody else: try again")
        if compat.exists(confdir + ON_TRIAL):
            raise ForeignError("a configuration is on trial, which the owner confirms or takes back: try again then")
        if uci.content(path) != before:
            raise ForeignError("the configuration has changed meanwhile: try again")
        replace.put_over(fd, after)
    except OSError as error:
        raise ViscumError("it can't be written (%s): nothing has changed" % compat.strerror(error.args[0]))
    finally:
        compat.fd_close(fd)
        compat.fd_close(folder)
