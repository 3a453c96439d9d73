"""Resolvers that a test has a say in (Debian's dnsmasq), and an agent that asks often."""

import os
import signal
import time

from agent import Agent
from lab import HANG, ROOT, run, wait_for
from others import LIBRARIES, PACKAGES

HOST = "speed.example.com"


class Resolver:
    """dnsmasq in a namespace, the router's if none is given. It says NXDOMAIN for what is not in its file."""

    def __init__(self, lab, ns=None, address="127.0.0.1"):
        self._lab, self._ns, self._address = lab, ns or lab.router, address
        self._file = lab.tmp / ("names-" + self._ns)
        self._file.write_text("")
        self._process = None

    def start(self):
        words = "-k -u root -C /dev/null --no-resolv --no-hosts --local=/example.com/ --listen-address=%s "
        words += "--bind-interfaces --pid-file= --addn-hosts=%s"
        words %= (self._address, self._file)
        program = PACKAGES / "usr/sbin/dnsmasq"
        env = {**os.environ, "LD_LIBRARY_PATH": LIBRARIES}
        self._process = self._lab.start(self._ns, program, *words.split(), env=env)
        wait_for(lambda: run(*self._lab.command(self._ns, "ss", "-Hlnu", "sport = 53")).stdout)

    def has(self, *addresses):
        """From now on HOST has these addresses, and no other name has any."""
        self.has_all([(HOST, address) for address in addresses])

    def has_all(self, pairs):
        """From now on these names have these addresses."""
        self._file.write_text("".join("%s %s\n" % (address, host) for host, address in pairs))
        if self._process:
            self._process.send_signal(signal.SIGHUP)

    def stop(self):
        self._process.kill()
        self._process.wait(HANG)


class Asking(Agent):
    """An agent that asks often; `grace` is for how many seconds old addresses count."""

    def __init__(self, lab, config, grace=60):
        self._grace = grace
        super().__init__(lab, config)

    def start(self):
        with self.log.open("a") as stream:
            env = {**self.lab.env(), "VISCUM_GRACE": str(self._grace)}
            self.process = self.lab.start(self.lab.router, *self.words(), cwd=ROOT, env=env, stderr=stream)

    def words(self):
        program = (*self.lab.interpreter, ROOT / "tests/names_agent.py")
        return (*program, "-c", self.lab.confdir, "-s", self.socket)

    def at(self, address, proto="tcp"):
        return self.lab.ask(proto, address, 7000)[0]

    def becomes_at(self, who, address, seconds=HANG, proto="tcp"):
        begin = time.monotonic()
        self._wait_for(lambda: self.at(address, proto) == who, seconds, "%s is not %s" % (address, who))
        return time.monotonic() - begin
