# Made by tools/option_types.py from viscum_agent/config/schema.py: change that.

from typing import Any, NamedTuple, TypeVar

from ..address import Prefix
from .bundle import Bundle
from .calls import Policy
from .schema import Destination, Mount, Option
from .service import Match, Named
from .tenants import Tenant

Record = TypeVar("Record", bound=tuple)

OPTIONS: dict[Any, list[tuple[str, Option]]]

def make(record: type[Record], values: dict, **judged: Any) -> Record: ...

class Settings(NamedTuple):
    enabled: bool
    datapath: str
    pair: str
    pool: tuple[Prefix, ...]
    netlink: str
    bypass_load: int
    watch_timeout: int

class Program(NamedTuple):
    account: str
    command: tuple[str, ...]
    env: tuple[str, ...]
    user: str | None
    group: str | None
    workdir: str
    capability: tuple[str, ...]
    nofile: int | None
    nproc: int | None
    core: int
    memlock: int | None
    fsize: int | None
    umask: int
    oom_score_adj: int
    allow_syscalls: tuple[str, ...]
    nice: int | None
    view: str
    visible: tuple[str, ...]
    writable: tuple[str, ...]
    tmp_size: int
    memory_max: int | None
    cpu_max: int | None
    pids_max: int
    root: str | None
    mount: tuple[Mount, ...]
    bundle: Bundle | None
    seccomp: Policy | None
    start_timeout: int
    term_timeout: int
    drain_timeout: int

class Health(NamedTuple):
    healthcheck: str
    port: int | None
    command: tuple[str, ...]
    interval: int
    timeout: int
    rise: int
    fall: int

class Respawn(NamedTuple):
    threshold: int
    timeout: int
    retry: int

class Service(NamedTuple):
    name: str
    program: Program
    interfaces: tuple[str, ...]
    devices: tuple[str, ...]
    matches: tuple[Match, ...]
    named: tuple[Named, ...]
    clients: tuple[str | Prefix, ...] | None
    exclude_clients: tuple[str | Prefix, ...]
    client_hosts: tuple[str, ...]
    exclude_hosts: tuple[str, ...]
    exclude_dests: tuple[Prefix, ...]
    health: Health
    respawn: Respawn
    tenant: Tenant | None
    enabled: bool
    vlan: int | None
    datapath: str | None
    pair: str | None
    rewrite: str
    reply: str
    nexthop: str | None
    nexthop_mac: str | None
    egress: tuple[Destination, ...]
    rate: int | None
    burst: int | None
    mtu: int | None
    snoop: bool
    dynamic_ports: bool
    compare: bool
