"""`viscum export` and `viscum import`: what services take, as platforms of ETSI's multi-access edge computing (MEC)
write it down, so that an orchestrator for those can read a router and steer it.

Two models, in which most is the same: the run-time one of GS MEC 011, TrafficRule and DnsRule, which have a state, and
the on-boarding one of GS MEC 010-2, an application descriptor (AppD) with appTrafficRule and appDNSRule. Names and
types are those of ETSI's OpenAPI files, both of version 2.1.1: MecAppSupportApi.yaml of
forge.etsi.org/rep/mec/gs011-app-enablement-api and MEC010-2_AppPkgMgmt.yaml of
forge.etsi.org/rep/mec/gs010-2-app-pkg-lcm-api. That 0 is the highest priority is said in later versions.

A service is one rule that forwards, with a filter for its section and for each of its redirect sections. What it leaves
out is a rule that passes through, in front of it. `exported` makes rules of sections, `imported` reads rules, and
`written` changes the configuration. docs/etsi.md says what becomes of what.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..words import Arguments


def _export(arguments: "Arguments") -> int:
    from . import exported

    return exported.show(arguments)


def _import(arguments: "Arguments") -> int:
    from . import written

    return written.take(arguments)


RUN = {"export": _export, "import": _import}
