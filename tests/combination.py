"""A lab with one interpreter and one datapath in a process of its own, which tries one generated service after another:
several of these beside each other take no longer than one, since most of the time is waiting.

    combination.py INTERPRETER DATAPATH FOLDER     reads lines of JSON, [how, case], and answers each with a line: what
                                                   was wrong, as a list of sentences

`how` is "agent" or "up". It ends with its input.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import generated
from agent import Agent
from lab import CPYTHON, HANG, MICROPYTHON, PROGRAMS, ROOT, Lab, isolate, namespaces, pids_in, service, wait_for

INTERPRETERS = {"cpython": CPYTHON, "micropython": MICROPYTHON}
CHECK = 1 + 1  # seconds that a check takes at most, and until the next one
SLACK = 20  # seconds, for a machine that is busy with others: who does not see that a program hangs never does
STAYS = 1.3  # seconds in which another check comes
ANSWERED = 5  # seconds that a client waits

OPTIONS = ("list device lan0", "option health_interval 1", "option health_timeout 1", "option start_timeout 2")


class Combination:
    def __init__(self, lab):
        self.lab = lab
        self._agent = None
        self._count = 0
        self._clients = subprocess.Popen(
            lab.command(lab.client, sys.executable, ROOT / "tests/clients.py"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for more in (generated.SOURCES[4][1] + "/24", generated.SOURCES[6][1] + "/64"):
            lab.run(lab.client, "ip", "addr", "add", more, "dev", "eth0")
        lab.serve_cloud(*generated.PORTS)

    def close(self):
        self._clients.stdin.close()
        self._clients.wait(HANG)

    def answers(self):
        """Who answers each client now."""
        print(json.dumps([ANSWERED, generated.CLIENTS]), file=self._clients.stdin, flush=True)
        return dict(zip(generated.CLIENTS, json.loads(self._clients.stdout.readline()), strict=True))

    def _configuration(self, case):
        self._count += 1
        self.name = "s%d" % self._count
        command = "/usr/bin/python3 -S -I %s/listens.py %s" % (PROGRAMS, generated.words(case.sockets))
        first, *more = case.sections
        text = service(self.name, command, *OPTIONS, "option health_fall %d" % case.fall, *generated.lines(first))
        for section in more:
            text += "\n\t".join(["config redirect", "option service " + self.name, *generated.lines(section)]) + "\n\n"
        return text

    def agent(self, case):
        """By a running agent: who answers, and what a hanging program changes."""
        text = self._configuration(case)
        if self._agent is None:
            self._agent = Agent(self.lab, text)
        else:
            self._agent.log.write_text("")
            self._agent.reload(text)
        wanted = generated.who(case)
        wrong = self._becomes(wanted, "edge" in wanted.values())
        if not wrong and "edge" in wanted.values():
            wrong = self._hang(case)
        log = self._agent.log.read_text()
        if "Traceback" in log or "a bug" in log:
            wrong.append("the agent has a bug")
        return wrong + ([log] if wrong else [])

    def _becomes(self, wanted, is_healthy):
        """What is wrong when everything should be as wanted, and stay so."""
        give_up = time.monotonic() + HANG
        # Not the service before this one, which may be for the same clients and answer them just so.
        news = ["%s: starting" % self.name] + (["s%d: disabled" % (self._count - 1)] if self._count > 1 else [])
        for text in news:
            self._agent.says(text)
        while self._differ(wanted):
            if time.monotonic() > give_up:
                return self._differ(wanted)
        time.sleep(STAYS if is_healthy else 2 * STAYS)
        return self._differ(wanted)

    def _differ(self, wanted):
        found = self.answers()
        return [
            "%s: %s, not %s" % (" ".join(map(str, one)), found[one], wanted[one])
            for one in wanted
            if found[one] != wanted[one]
        ]

    def _hang(self, case):
        pids = pids_in("viscum-" + self.name)
        before = len(self._agent.log.read_text())
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            left = "%s: bypassed" % self.name
            try:
                wait_for(lambda: left in self._agent.log.read_text()[before:], case.fall * CHECK + SLACK)
            except AssertionError:
                return ["the program hangs, and the state is still healthy"]
            return ["hanging: " + each for each in self._differ(dict.fromkeys(generated.CLIENTS, "cloud"))]
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    def up(self, case):
        """By `viscum up`, without an agent."""
        self.lab.configure(self._configuration(case))
        wanted = generated.who(case)
        result = self.lab.viscum("up", check=False)
        wrong = self._differ(wanted)
        if (result.returncode == 0) != ("edge" in wanted.values()):
            wrong.append("up: exit %d" % result.returncode)
        if not wrong and result.returncode == 0:
            plan = self.lab.viscum("plan").stdout
            wrong = [] if plan == "# nothing to do\n" else ["after `up` something is left to do:\n" + plan]
        self.lab.viscum("down")
        left = [name for name in namespaces() if name.startswith("viscum-")]
        if left:
            wrong.append("after `down` there is " + " ".join(left))
        return wrong + ([result.stdout + result.stderr] if wrong else [])


def main(interpreter, datapath, folder):
    isolate()
    with Lab(Path(folder), INTERPRETERS[interpreter], datapath=datapath) as lab:
        there = Combination(lab)
        try:
            for line in sys.stdin:
                how, case = json.loads(line)
                print(json.dumps(getattr(there, how)(generated.case_of(case))), flush=True)
        finally:
            there.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
