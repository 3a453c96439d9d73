"""The recipes (files/usr/share/viscum/recipes) as their tests need them: where the package puts them, added by `viscum
add` and served by an agent, with Debian's own servers for programs."""

import contextlib
import os
import signal

from agent import Served
from lab import ROOT, pids_in, run, wait_for
from others import OTHERS, copied

INSTALLED = "/usr/share"
FOLDER = ROOT / "files/usr/share/viscum/recipes"
NAMES = sorted(path.name for path in FOLDER.iterdir() if "." not in path.name)
CLOUD = "203.0.113.10"


@contextlib.contextmanager
def installed():
    """The package's files are where it puts them, for this process (whose mounts are its own) and what it starts."""
    run("mount", "-t", "overlay", "none", "-o", "lowerdir=%s:%s" % (ROOT / "files/usr/share", INSTALLED), INSTALLED)
    try:
        yield
    finally:
        run("umount", "--lazy", INSTALLED)


class Kitchen:
    """A lab whose router has an agent, the recipes and the programs of others; so has the cloud."""

    def __init__(self, lab):
        self.library = copied()
        self.lab = lab
        lab.configure("config interface 'lan'\n\toption device 'lan0'\n", "network")
        self.agent = Served(lab, "")
        wait_for(lambda: not self.agent.viscum("list", check=False).returncode)
        self.name = ""

    def add(self, recipe, *given):
        """The section as the recipe has it, but where the programs of this machine are elsewhere. A program that ends
        stays away until it is started: who answers then is no matter of time."""
        self.name = recipe
        places = ("env=" + self.library, "visible=%s" % OTHERS, "respawn_timeout=3600")
        self.lab.viscum("add", recipe, *given, *places)
        assert self.lab.viscum("check").stdout == ""
        self.agent.viscum("reload")
        self.is_back()

    def is_back(self):
        self.agent.redirects(device="vsc-" + self.name)
        self.agent.has_done_all()

    def kill(self):
        """Ends the program as a crash would; clients reach the cloud after that."""
        for pid in pids_in("viscum-" + self.name):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.agent.redirects(False, "vsc-" + self.name)

    def start_again(self):
        self.agent.viscum("restart", self.name)
        self.is_back()

    def edge_cloud_edge(self, who):
        """Whoever answers a client is the edge; after its program was killed the cloud; and then the edge again."""
        assert who() == "edge"
        self.kill()
        assert who() == "cloud"
        self.start_again()
        assert who() == "edge"

    def start(self, ns, *words, **options):
        """A program of others that is no service."""
        return self.lab.start(ns, "env", self.library, *words, **options)

    def ask(self, *words):
        """What a client's program prints."""
        return self.lab.run(self.lab.client, "env", self.library, *words).stdout

    def log(self):
        return self.agent.log.read_text()
