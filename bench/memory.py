"""How much memory the agent holds, whether it grows, and whether it sleeps: measured, printed, never judged.

    memory.py [INTERPRETER...]     (make bench-memory; cpython and micropython are the default)

For each interpreter one agent with 1 service and one with 100, each with a program that listens and is checked. The
proportional set size (PSS of /proc/PID/smaps_rollup: private pages and the process's share of the others) is read 60
s after the last change, after 10,000 calls of `status`, and after 1,000 reloads of which every other one changes a
service; then strace counts the system calls of an agent whose services are not checked, and without a deadline, which
is put off every 5 s.
"""

import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent.parent / part) for part in ("", "tests")]

from agent import Agent  # noqa: E402
from lab import CPYTHON, MICROPYTHON, ROOT, Lab, echo_command, isolate, service, wait_for  # noqa: E402

from viscum_agent.cli import agent_calls  # noqa: E402
from viscum_agent.ubus.caller import Caller  # noqa: E402
from viscum_agent.ubus.codes import UbusStatus  # noqa: E402

INTERPRETERS = {"cpython": (*CPYTHON, "-S"), "micropython": MICROPYTHON}  # -S: as the package starts it
REST, CALLS, RELOADS, IDLE = 60, 10000, 1000, 30  # seconds, times, times, seconds


class Served(Agent):
    """An agent that serves ubus itself, and begins with byte code that is there, as on a router."""

    def __init__(self, lab: Lab, config: str) -> None:
        self.socket = str(lab.tmp / "ubus.sock")
        super().__init__(lab, config)

    def words(self) -> tuple[str | Path, ...]:
        return (*super().words(), "-b")

    def start(self) -> None:
        folder = self.lab.tmp / "bytecode"
        plain = self.lab.env
        self.lab.env = lambda: {**plain(), "PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(folder)}
        load = "import viscum_agent.viscumd"
        self.lab.run(self.lab.router, *self.lab.interpreter, "-c", load, cwd=ROOT, env=self.lab.env())
        super().start()
        self.lab.env = plain

    def pss(self) -> int:
        """KiB."""
        text = Path("/proc/%d/smaps_rollup" % self.process.pid).read_text()
        return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))

    def healthy(self) -> int:
        try:
            services = (agent_calls.state_of(self.socket) or {"services": {}})["services"]
        except UbusStatus:
            return 0  # it starts a hundred programs
        return len([name for name in services if services[name]["state"] == "healthy"])


def config(count: int, check: str = "tcp", variant: int = 0) -> str:
    """`count` services with one program each; `variant` changes what the last one takes."""
    text = "config globals 'globals'\n\toption watch_timeout 0\n\n" if check == "none" else ""
    for number in range(count):
        port = 7000 + number + (1000 * variant if number == count - 1 else 0)
        lines = ("list device lan0", "list dest_ip 203.0.113.10", "list dest_port %d" % port)
        target = "option target_port %d" % (7000 + number)
        command = echo_command("s%d" % number, 7000 + number)
        text += service("s%d" % number, command, *lines, target, "list proto tcp", "option healthcheck " + check)
    return text


def measure(interpreter: str, count: int) -> None:
    """Prints one line of figures."""
    with tempfile.TemporaryDirectory() as tmp, Lab(tmp, INTERPRETERS[interpreter]) as lab:
        agent = Served(lab, config(count))
        wait_for(lambda: Path(agent.socket).exists())
        wait_for(lambda: agent.healthy() == count)
        time.sleep(REST)
        at_rest = agent.pss()
        begin = time.monotonic()
        with Caller(agent.socket) as caller:
            for _ in range(CALLS):
                caller.call("viscum", "status")
            called = time.monotonic() - begin
            after_calls = agent.pss()
            for number in range(RELOADS):
                lab.configure(config(count, variant=number // 2 % 2))
                caller.call("viscum", "reload")
        after_reloads = agent.pss()
        lab.configure(config(count, "none"))
        agent.process.send_signal(signal.SIGHUP)
        time.sleep(10)
        calls = idle_calls(agent.process.pid)
    words = "%-12s %8d %10d %10d %10d %12.2f %10d"
    print(
        words % (interpreter, count, at_rest, after_calls, after_reloads, 1000 * called / CALLS, calls),
        flush=True,
    )


def idle_calls(pid: int) -> int:
    """How many system calls a process makes in IDLE seconds."""
    words = ["timeout", "-s", "INT", str(IDLE), "strace", "-qq", "-p", str(pid)]
    result = subprocess.run(words, capture_output=True, text=True)
    # The call that it sleeps in is printed when strace comes or goes.
    if "poll" not in result.stderr and "restart_syscall" not in result.stderr:
        raise RuntimeError("strace does not work here: " + result.stderr)
    return len([line for line in result.stderr.splitlines() if "= " in line and "<detached" not in line])


def main(names: list[str]) -> None:
    isolate()
    print("PSS in KiB: %d s after the last change, after %d calls, after %d reloads" % (REST, CALLS, RELOADS))
    titles = ("interpreter", "services", "at rest", "calls", "reloads", "ms a call", "idle calls")
    print("%-12s %8s %10s %10s %10s %12s %10s" % titles)
    for name in names or list(INTERPRETERS):
        for count in (1, 100):
            measure(name, count)


if __name__ == "__main__":
    main(sys.argv[1:])
