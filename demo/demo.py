"""The whole of Viscum in one screen: a client's commands are answered by the cloud, by the router, by the cloud again.

`make demo` runs it. It needs root, makes namespaces of its own and takes them away again. The lines after a prompt are
run as they are shown, in the namespace that the prompt names; nothing is played back. Exit code: 0; 1 when a command of
Viscum's failed or somebody answered who should not have; 2 when it can't run here.
"""

import argparse
import os
import re
import shutil
import signal
import sys
import tempfile
from collections import namedtuple
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from lab import PROGRAMS, ROOT, Lab, listens, namespaces, wait_for  # noqa: E402

ROUND_TRIP, RATE = 30, 50  # how far the cloud is: milliseconds, Mbit/s
DRAWING = "   client ----- lan0 [router] wan0 ----- %d ms, %d Mbit/s ----- cloud %s"
CLOUD = "203.0.113.10"
WEB = "curl -s -w 'connected in %{time_connect} s\\n' http://" + CLOUD
SPEED = "iperf3 -c %s -t 2 | grep receiver" % CLOUD
NEEDED = ("ip", "tc", "nft", "ss", "nsenter", "curl", "iperf3", "/usr/bin/python3")

BOLD, GREEN, YELLOW, RED, DIM, PLAIN = "1", "32", "33", "31", "2", "0"
COLOUR_OF = {"cloud": YELLOW, "edge": GREEN, "": RED}

# What a client got: who answered the page and the speed test ("" for nobody), milliseconds, Mbit/s.
Answer = namedtuple("Answer", ("page", "speed", "milliseconds", "mbit"))


class Story:
    """Writes to the terminal, in colours if it is one."""

    def __init__(self, colours):
        self._colours = colours

    def paint(self, text, *codes):
        return "\033[%sm%s\033[0m" % (";".join(codes), text) if self._colours else text

    def say(self, text="", *codes):
        print(self.paint(text, *codes) if codes else text, flush=True)

    def heading(self, text):
        self.say()
        self.say(text, BOLD)

    def typed(self, where, command):
        self.say("%s %s" % (self.paint(where + "$", DIM), self.paint(command, BOLD)))


class Demo:
    def __init__(self, lab, story):
        self._lab = lab
        self._story = story
        self._env = lab.env()
        self._log = lab.tmp / "cloud.log"
        self._failed = False  # whether a command of Viscum's did

    def prepare(self):
        """The cloud's two servers, and a configuration with the same two programs as services of the router."""
        lab = self._lab
        for who in ("cloud", "edge"):
            (PROGRAMS / who).mkdir()
            (PROGRAMS / who / "index.html").write_text("This page comes from the %s.\n" % who)
        with self._log.open("w") as log:
            lab.start(lab.cloud, "iperf3", "-s", "--forceflush", stdout=log)
        lab.start(lab.cloud, "/usr/bin/python3", "-m", "http.server", "80", "--directory", PROGRAMS / "cloud")
        for port in (5201, 80):
            wait_for(lambda port=port: listens(lab.cloud, port))
        shipped = (ROOT / "files/etc/config/viscum").read_text()
        (lab.tmp / "shipped").write_text(shipped)
        # The first of the shipped examples; the program of the other one is not here.
        lab.configure(shipped.replace("option enabled '0'", "option enabled '1'", 1) + web_section())
        lab.configure("config interface 'lan'\n\toption device 'lan0'\n", "network")
        (lab.tmp / "bin").mkdir()
        wrapper = lab.tmp / "bin/viscum"
        wrapper.write_text('#!/bin/sh\nexec %s -m viscum_agent "$@"\n' % " ".join(lab.interpreter))
        wrapper.chmod(0o755)
        self._env["PATH"] = "%s:%s" % (wrapper.parent, os.environ["PATH"])

    def type(self, where, command):
        """Shows a command, runs it in the namespace of "client" or "router", and shows and returns what it says."""
        self._story.typed(where, command)
        ns = getattr(self._lab, where)
        result = self._lab.run(ns, "sh", "-c", command, check=False, timeout=30, cwd=self._lab.tmp, env=self._env)
        text = (result.stdout + result.stderr).rstrip()
        self._story.say(text.expandtabs(4))
        if result.returncode and command.startswith("viscum "):
            self._failed = True
        return text

    def ask(self):
        """The client's two commands. Returns an Answer."""
        page = self.type("client", WEB)
        who = re.search(r"comes from the (\w+)", page)
        connected = re.search(r"connected in ([\d.]+) s", page)
        seen, redirected = self._clients_of_the_cloud(), self._redirected()
        speed = self.type("client", SPEED)
        rate = re.search(r"([\d.]+) ([KMG])bits/sec", speed)
        answered = ""
        if rate and self._clients_of_the_cloud() > seen:
            answered = "cloud"
        elif rate and self._redirected() > redirected:
            answered = "edge"
        answer = Answer(
            who.group(1) if who else "",
            answered,
            float(connected.group(1)) * 1000 if connected else 0.0,
            float(rate.group(1)) * {"K": 0.001, "M": 1, "G": 1000}[rate.group(2)] if rate else 0.0,
        )
        self._story.say("=> " + self.words(answer))
        return answer

    def words(self, answer):
        paint = self._story.paint
        page, speed = [paint(who or "nobody", BOLD, COLOUR_OF[who]) for who in (answer.page, answer.speed)]
        text = "page from the %s, %.1f ms away; speed test by the %s, %.0f Mbit/s"
        return text % (page, answer.milliseconds, speed, answer.mbit)

    def _clients_of_the_cloud(self):
        """How many have come to the cloud's iperf3: its own log says so, because its answer doesn't."""
        return self._log.read_text().count("Accepted connection")

    def _redirected(self):
        return self._lab.status("iperf")["packets"]

    def tell(self):
        """The story. Returns whether everything was answered by who should have."""
        story = self._story
        story.say("The hosts are network namespaces of this machine. Every command is run as shown.")
        story.say(DRAWING % (ROUND_TRIP, RATE, CLOUD))
        story.heading("1. A client asks the cloud for a page, and how fast it is")
        found = [self.ask()]
        story.heading("2. The router gets the same two programs as services, and brings them up")
        self.type("router", "diff shipped config/viscum")
        self.type("router", "viscum -c config up && viscum -c config status")
        story.heading("3. The same commands of the client are answered on the router")
        found.append(self.ask())
        story.heading("4. The services go down, and the cloud answers again")
        self.type("router", "viscum -c config down")
        found.append(self.ask())
        good = not self._failed and all(
            {answer.page, answer.speed} == {who} for answer, who in zip(found, ("cloud", "edge", "cloud"), strict=True)
        )
        story.say(
            "\n%s"
            % ("That was as it should be." if good else "Something failed, or somebody answered who should not have.")
        )
        return good


def web_section():
    lines = (
        "option enabled '1'",
        "option command '/usr/bin/python3 -m http.server 8080 --directory %s'" % (PROGRAMS / "edge"),
        "list interface 'lan'",
        "list proto 'tcp'",
        "list dest_ip '%s'" % CLOUD,
        "list dest_port '80'",
        "option target_port '8080'",
    )
    return "\nconfig service 'web'\n\t" + "\n\t".join(lines) + "\n"


def obstacle():
    """Why the demo can't run here, or ""."""
    if os.geteuid() != 0:
        return "needs root: it makes network namespaces"
    missing = [name for name in NEEDED if not shutil.which(name)]
    if missing:
        return "%s missing: `make demo` installs what it needs" % ", ".join(missing)
    if not os.path.exists("/dev/net/tun"):
        return "this kernel has no tun devices (/dev/net/tun): the cloud could not be far away"
    mine = [name for name in namespaces() if name.startswith("viscum-")]
    if mine:
        return "services of Viscum run on this machine (%s): take them down first" % ", ".join(mine)
    return ""


def interrupted(*_):
    """The first Ctrl-C ends the demo, and none the tidying up."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def parser(text):
    made = argparse.ArgumentParser(description=text.split("\n")[0])
    made.add_argument("--colour", action="store_true", help="colours, also where the output is not a terminal")
    return made


def play(reason, colour, distance, demo, tell):
    """Has a Demo told in a lab with a cloud so far away, unless there is a reason against it. Returns the exit code."""
    if reason:
        print("demo: " + reason, file=sys.stderr)
        return 2
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupted)
    try:
        with tempfile.TemporaryDirectory(prefix="viscum-demo-") as tmp, Lab(tmp, distance=distance) as lab:
            made = demo(lab, Story(colour or sys.stdout.isatty()))
            made.prepare()
            return 0 if tell(made) else 1
    except KeyboardInterrupt:
        print("\ndemo: interrupted; everything is taken away again", file=sys.stderr)
        return 130


def main():
    arguments = parser(__doc__).parse_args()
    return play(obstacle(), arguments.colour, (ROUND_TRIP, RATE), Demo, Demo.tell)


if __name__ == "__main__":
    sys.exit(main())
