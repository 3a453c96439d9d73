"""Licence plates in one screen: a traffic camera's pictures are read in the cloud, on the router, and in the cloud
while the router's reader is dead.

`make demo-plates` runs it. It is a story as demo.py tells one: it needs root, makes namespaces of its own and takes
them away again, and the lines after a prompt are run as they are shown. With --page it goes on, sends pictures, and
shows the reader's page at an address of this machine until Ctrl-C. Exit code: 0; 1 when a plate was read wrong, or by
somebody who should not have; 2 when it can't run here.
"""

import contextlib
import os
import re
import select
import shutil
import socket
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from lab import HANG, listens, pids_in, wait_for  # noqa: E402
from plates import EXAMPLE, PACKAGES, PYTHON, environment, install, render, section  # noqa: E402

from demo import DIM, DRAWING, GREEN, RED, YELLOW, obstacle, parser, play  # noqa: E402
from viscum_agent.kernel.netns import Visit  # noqa: E402

ROUND_TRIP, RATE = 60, 20  # how far the cloud is: the paper's milliseconds; the Mbit/s of an uplink
CLOUD = "203.0.113.10"
PICTURES = 6
SEED = 4711
COLOURS = {"cloud": YELLOW, "edge": GREEN}
RESPAWN = "\toption respawn_timeout '5'\n"  # seconds that the killed reader stays away: enough to see who answers then
PAGE = ("127.0.0.1", 8080)


class Demo:
    def __init__(self, lab, story):
        self._lab = lab
        self._story = story
        self._env = {**lab.env(), "PATH": "%s:%s" % (lab.tmp / "bin", os.environ["PATH"])}
        self._socket = lab.tmp / "ubus.sock"
        self.good = True

    def prepare(self):
        """Pictures, a reader in the cloud, and the commands of the story."""
        lab = self._lab
        render(lab.tmp / "pictures", SEED, PICTURES)
        words = (EXAMPLE / "server.py", "--name", "cloud", "--web", "8080")
        lab.start(lab.cloud, PYTHON, *words, env=environment())
        wait_for(lambda: listens(lab.cloud, 12345))
        # This kernel may not be able to limit memory; the manual says which are.
        text = "".join(line for line in section(install()).splitlines(True) if "memory_max" not in line)
        lab.configure(text + RESPAWN)
        (lab.tmp / "bin").mkdir()
        self._command("camera", PYTHON, EXAMPLE / "camera.py")
        for name, module in (("viscum", "viscum_agent"), ("viscumd", "viscum_agent.viscumd")):
            self._command(name, *lab.agent(module), "-s", self._socket)

    def _command(self, name, *words):
        path = self._lab.tmp / "bin" / name
        path.write_text('#!/bin/sh\nexec %s "$@"\n' % " ".join(map(str, words)))
        path.chmod(0o755)

    def type(self, where, command):
        """Shows a command, runs it in a namespace, and shows and returns what it says."""
        self._story.typed(where, command)
        words = ("sh", "-c", command)
        ns = getattr(self._lab, where)
        result = self._lab.run(ns, *words, check=False, timeout=HANG, cwd=self._lab.tmp, env=self._env)
        text = (result.stdout + result.stderr).rstrip()
        self._story.say(text.expandtabs(4))
        return text

    def send(self, who, command="camera %s pictures --rate 5" % CLOUD):
        """The camera's pictures, which `who` has to read, all of them right."""
        text = self.type("client", command)
        (told,) = re.findall(r"(\d+) answered \((.*)\); (\d+) right", text)
        self.judge(told == (str(PICTURES), "%d by %s" % (PICTURES, who), str(PICTURES)), who)

    def judge(self, good, who):
        self.good = self.good and good
        text = "=> read by the %s" % who if good else "=> that is not what should have happened"
        self._story.say(self._story.paint(text, COLOURS.get(who, DIM) if good else RED))

    def serve(self):
        """The agent, which starts the reader."""
        self._story.typed("router", "viscumd -c config -b &")
        words = ("viscumd", "-c", self._lab.confdir, "-b")
        with (self._lab.tmp / "agent.log").open("w") as log:
            path = self._lab.tmp / "bin" / words[0]
            self._lab.start(self._lab.router, path, *words[1:], env=self._env, stderr=log)
        self.is_healthy()

    def is_healthy(self):
        """Waits until the reader answers and its redirect is in."""
        log = self._lab.tmp / "agent.log"
        wait_for(lambda: log.read_text().rstrip().split("\n")[-1].startswith("viscumd: alpr: healthy"))
        wait_for(lambda: self._lab.viscum("-s", self._socket, "plan").stdout == "# nothing to do\n")

    def kill(self):
        """The reader dies while the camera sends on: a picture on its way is lost, the next one goes to the cloud."""
        command = "camera %s pictures --rate 2 --count 10" % CLOUD
        self._story.typed("client", command)
        log = self._lab.tmp / "camera.log"
        with log.open("w") as stream:
            words = ("sh", "-c", command)
            camera = self._lab.start(self._lab.client, *words, cwd=self._lab.tmp, env=self._env, stdout=stream)
        wait_for(lambda: log.read_text().count("\n") >= 3)
        self.type("router", "kill -9 %s" % " ".join(map(str, pids_in("viscum-alpr"))))
        camera.wait(HANG)
        text = log.read_text()
        self._story.say(text.rstrip())
        readers = re.findall(r", by (\w+) in", text)
        # One at the least is read in the cloud, before the reader is back.
        self.judge(readers[:3] == ["edge"] * 3 and "cloud" in readers, "edge, then by the cloud")

    def tell(self):
        story = self._story
        story.say("The hosts are network namespaces of this machine. Every command is run as shown.")
        story.say(DRAWING.replace("client", "camera") % (ROUND_TRIP, RATE, CLOUD))
        story.heading("1. A camera sends pictures to the cloud")
        self.send("cloud")
        story.heading("2. The router gets the same reader as a service")
        self.type("router", "cat config/viscum")
        self.serve()
        self.type("router", "viscum -c config status")
        story.heading("3. The same pictures are read on the router, and none of them leaves it")
        self.send("edge")
        self.type("router", "viscum -c config stats")
        self.type("client", "curl -s http://%s:8080/ | grep -c '<figure>'" % CLOUD)
        story.heading("4. The reader is killed while the camera sends on")
        self.kill()
        story.say("\n%s" % ("That was as it should be." if self.good else "Something was not as it should be."))

    def show(self):
        """Sends pictures, and brings the page to this machine's own loopback device, until Ctrl-C."""
        self.is_healthy()
        self._story.say("\nThe page with the pictures: http://%s:%d/ until Ctrl-C" % PAGE)
        words = ("sh", "-c", "while :; do camera %s pictures --rate 1; done" % CLOUD)
        self._lab.start(self._lab.client, *words, env=self._env, cwd=self._lab.tmp)
        with socket.create_server(PAGE) as listener:
            while True:
                near, _ = listener.accept()
                with Visit() as visit:
                    visit.enter(self._lab.client)
                    far = socket.socket()
                threading.Thread(target=carry, args=(near, far), daemon=True).start()


def carry(near, far):
    """One request and its answer."""
    with near, far, contextlib.suppress(OSError):
        far.settimeout(HANG)
        far.connect((CLOUD, 8080))
        ends = {near: far, far: near}
        until = time.monotonic() + HANG
        while time.monotonic() < until:
            for sock in select.select(list(ends), [], [], 1)[0]:
                data = sock.recv(65536)
                if not data:
                    return
                ends[sock].sendall(data)


def why_not():
    """Why the demo can't run here, or ""."""
    if not PACKAGES.is_dir():
        return "OpenCV and Tesseract are missing: `make demo-plates` installs what it needs"
    if not shutil.which("curl"):
        return "curl is missing: `make demo-plates` installs what it needs"
    return obstacle()


def main():
    words = parser(__doc__)
    words.add_argument("--page", action="store_true", help="go on, and show the page at http://%s:%d/" % PAGE)
    arguments = words.parse_args()

    def tell(demo):
        demo.tell()
        if arguments.page:
            demo.show()
        return demo.good

    return play(why_not(), arguments.colour, (ROUND_TRIP, RATE), Demo, tell)


if __name__ == "__main__":
    sys.exit(main())
