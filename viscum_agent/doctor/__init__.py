"""`viscum doctor`: what on this router helps or hinders services, and the command that fixes it.

Two steps: `machine` reads everything and judges nothing; the other files are pure functions from that reading to
findings. Loaded only when asked for: nothing else imports it.
"""

from ..config import service, uci
from ..errors import CONFIG, FOREIGN, ConfigError, problem_text
from ..kernel.native import Native
from ..plan import actual
from ..reconcile import PACKAGE, Reconciler
from ..records.facts import EVERYTHING
from ..service import process
from . import filters, kernel, neighbour, offload, program, resources, router
from .finding import dicts, error, note, ordered, text, trouble, warning
from .machine import gather
from .target import targets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..config.service import Settings
    from ..errors import Problem
    from ..plan.actual import Observed
    from ..reconcile import Snapshot
    from ..records.dump import Dump
    from .finding import Finding
    from .machine import Machine
    from .target import Target

__all__ = ("dicts", "examine", "judge", "look", "text", "trouble")


def look(confdir: str, path: "str | None" = None) -> "list[Finding]":
    """The findings for the configuration in a directory, with the ubus socket `path`: what the command line asks.

    The native back end reads the kernel, whatever is configured: the doctor has to work where the other one is missing.
    """
    try:
        reconciler = Reconciler(confdir, path)
    except ConfigError as broken:
        with Native() as backend:
            return _without_configuration(backend.dump(), confdir, str(broken))
    with Native() as backend:
        reconciler.backend = backend
        return examine(reconciler, reconciler.look(), confdir)


def examine(reconciler: "Reconciler", snapshot: "Snapshot", confdir: str) -> "list[Finding]":
    """The findings, worst first, for what a Reconciler has found (a Snapshot)."""
    configuration, (names, _) = snapshot.configuration, reconciler.interfaces()
    facts = actual.facts(snapshot.dump, EVERYTHING, names)
    chosen = targets(configuration, facts)
    machine = gather(chosen, snapshot.dump, confdir)
    problems = snapshot.problems() + process.problems(configuration, PACKAGE)
    return judge(machine, chosen, configuration.settings, snapshot.observed, names, problems)


def judge(
    machine: "Machine",
    chosen: "list[Target]",
    settings: "Settings",
    observed: "Observed",
    names: "dict[str, list[str]]",
    problems: "list[Problem]",
) -> "list[Finding]":
    """The findings from plain data."""
    found = _account(machine)
    found += kernel.findings(machine, chosen, settings) + kernel.back_end(machine, settings)
    found += filters.findings(machine, chosen, settings)
    found += program.findings(machine, chosen, problems)
    found += router.findings(machine, chosen, settings)
    found += offload.findings(machine, chosen)
    found += neighbour.findings(machine, chosen, observed, names)
    found += resources.findings(machine) + [kernel.interpreter(machine)]
    return ordered(_configuration(settings, chosen, problems, found) + found)


def _account(machine: "Machine") -> "list[Finding]":
    if machine.root:
        return []
    means = "the kernel's features and the firewall could not be read"
    return [warning("root", "viscum does not run as root", means, (), "run it as root")]


def _configuration(
    settings: "Settings", chosen: "list[Target]", problems: "list[Problem]", found: "list[Finding]"
) -> "list[Finding]":
    """What `viscum check` says, except what the doctor has found already."""
    said = []
    if not settings.enabled:
        said.append(note("configuration", "option enabled '0' in globals", "no service runs"))
    elif not chosen and not problems:
        said.append(note("configuration", "no service is enabled"))
    known = {name for each in found for name in each.services if each.severity == "error"}
    for problem in problems:
        if problem.kind not in (CONFIG, FOREIGN) and (problem.service in known or not problem.service):
            continue
        means = "is skipped" if problem.service else "the other services are not affected"
        kind = error if problem.service else warning
        services = (problem.service,) if problem.service else ()
        said.append(kind("configuration", problem_text(problem), means, services))
    return said


def _without_configuration(dump: "Dump", confdir: str, why: str) -> "list[Finding]":
    """The findings about a router whose configuration can't be read."""
    configuration = service.read(uci.parse(b"", PACKAGE), PACKAGE)
    machine = gather([], dump, confdir)
    found = judge(machine, [], configuration.settings, actual.observe(dump), {}, [])
    found = [each for each in found if each.id != "configuration"]
    return ordered([error("configuration", why, "no service can run")] + found)
