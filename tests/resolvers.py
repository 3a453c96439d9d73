"""Resolvers that a test has a say in (Debian's dnsmasq), and an agent that asks often."""

import signal

from agent import Agent, wrapped
from lab import kill, listens, wait_for
from others import dnsmasq

HOST = "speed.example.com"


class Resolver:
    """dnsmasq in a namespace, the router's if none is given. It says NXDOMAIN for what is not in its file."""

    def __init__(self, lab, ns=None, address="127.0.0.1"):
        self._lab, self._ns, self._address = lab, ns or lab.router, address
        self._file = lab.tmp / ("names-" + self._ns)
        self._file.write_text("")
        self._process = None

    def start(self):
        words = "--no-resolv --no-hosts --local=/example.com/ --bind-interfaces --listen-address=%s --addn-hosts=%s"
        self._process = dnsmasq(self._lab, self._ns, *(words % (self._address, self._file)).split())
        wait_for(lambda: listens(self._ns, 53))

    def has(self, *addresses):
        """From now on HOST has these addresses, and no other name has any."""
        self.has_all([(HOST, address) for address in addresses])

    def has_all(self, pairs):
        """From now on these names have these addresses."""
        self._file.write_text("".join("%s %s\n" % (address, host) for host, address in pairs))
        if self._process:
            self._process.send_signal(signal.SIGHUP)

    def stop(self):
        kill(self._process)


class Asking(Agent):
    """An agent that asks often; `grace` is for how many seconds old addresses count."""

    def __init__(self, lab, config, grace=60):
        self._grace = grace
        super().__init__(lab, config)

    def env(self):
        return {**super().env(), "VISCUM_GRACE": str(self._grace)}

    def words(self):
        return wrapped(self.lab, super().words(), "names_agent.py")
