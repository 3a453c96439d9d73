"""The kinds of health check: one table. service/health.py carries them out.

`does` names the method of health.Check that does it. `asks` are the protocols whose ports it asks; one of another
protocol only has to be open; None for a check that says nothing of single ports. `needs` are the protocols of which the
service must take one. `looks` says whether it finds out which ports are open: without that, all is taken over.
`option` is the option that only this kind uses.
"""

from collections import namedtuple

from ..records import with_

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..config.service import Service
    from .answers import Answers

Kind = namedtuple("Kind", ("name", "does", "asks", "needs", "looks", "option", "help"))

NOTHING = "nothing"
_ASKS_ALL = Kind(name="auto", does="sockets", asks=("tcp", "udp"), needs=(), looks=True, option="", help="")
KINDS = (
    with_(_ASKS_ALL, help="`auto` is `tcp` for the TCP ports and `udp` for the others."),
    with_(
        _ASKS_ALL,
        name="tcp",
        asks=("tcp",),
        needs=("tcp",),
        help="`tcp` opens a connection and waits until the program accepts it.",
    ),
    with_(
        _ASKS_ALL,
        name="udp",
        asks=("udp",),
        needs=("udp",),
        help="`udp` sends an empty datagram and waits until the program reads it.",
    ),
    with_(
        _ASKS_ALL,
        name="listen",
        asks=(),
        needs=("tcp", "udp"),
        help="`listen` only checks that the port is open and that no client waits there for long: for programs that "
        "act on every connection (iperf3).",
    ),
    with_(
        _ASKS_ALL,
        name="exec",
        does="command",
        asks=None,
        option="health_command",
        help="`exec` runs `health_command`.",
    ),
    with_(
        _ASKS_ALL,
        name="none",
        does=NOTHING,
        asks=None,
        looks=False,
        help="`none`: a running program counts as healthy, and all of its traffic is taken over.",
    ),
)
NAMES = tuple([kind.name for kind in KINDS])


def named(name: str) -> "Kind":
    """The kind that an option `healthcheck` names."""
    return KINDS[NAMES.index(name)]


def of(service: "Service", found: "Answers") -> "Kind":
    """The kind of a service's check: as configured, but `auto` has nothing to ask where it takes over no ports
    (`found`, answers.Answer)."""
    if service.health.healthcheck == "auto" and not any(answer.high for answer in found):
        return named("none")
    return named(service.health.healthcheck)
