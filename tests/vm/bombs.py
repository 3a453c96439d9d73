"""How long a service's clients wait while another service's program is a fork bomb or a memory bomb, beside the same
without one. Limits are kept by controllers of control groups that not every machine has, so it runs in the guest:

    tests/vm/run.sh --run python tests/vm/bombs.py

Rounds with and without a bomb take turns, so that what else the machine does is in both."""

import os
import shutil
import socket
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from agent import Agent  # noqa: E402
from lab import CPYTHON, PROGRAMS, ROOT, Lab, echo_command, inside, isolate, service, wait_for  # noqa: E402

ROUNDS, QUESTIONS, PAUSE = 4, 500, 0.01  # rounds of each kind; questions in each, and seconds between two of them
TAKES = ("list device lan0", "list proto tcp")
WITNESS = service("witness", echo_command("edge", 7001), *TAKES, "list dest_ip 203.0.113.11", "list dest_port 7001")
BOMBS = {"fork": "fork_bomb", "memory": "memory_bomb"}
LINES = ("option healthcheck none", "option respawn_timeout 1", "option respawn_retry 0")
LINES = (*LINES, "option cpu_max 50")
LIMITS = {"fork": "option memory_max 400m", "memory": "option memory_max 64m"}


def waits(lab):
    """Seconds that a client of the witness waited for each answer, sorted."""
    found = []
    with inside(lab.client):
        sock = socket.create_connection(("203.0.113.11", 7001), 60)
    with sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number in range(QUESTIONS):
            begun = time.monotonic()
            sock.sendall(b"%d" % number)
            sock.recv(2048)
            found.append(time.monotonic() - begun)
            time.sleep(PAUSE)
    return sorted(found)


def bomb(name, folder):
    command = "/usr/bin/python3 %s/attempts.py %s bomb 7000 %s" % (PROGRAMS, folder, BOMBS[name])
    return service("bomb", command, *TAKES, "list dest_ip 203.0.113.10", "list dest_port 7000", *LINES, LIMITS[name])


def main():
    isolate()
    with tempfile.TemporaryDirectory() as tmp, Lab(tmp, CPYTHON) as lab:
        shutil.copy(ROOT / "tests/attempts.py", PROGRAMS)
        folder = PROGRAMS / "folder"
        folder.mkdir()
        folder.chmod(0o777)
        agent = Agent(lab, WITNESS)
        wait_for(lambda: lab.ask("tcp", "203.0.113.11", 7001)[0] == "edge")
        for name in BOMBS:
            rows, found = [], {"without": [], name: []}
            for _ in range(ROUNDS):
                found["without"] += waits(lab)
                agent.reload(WITNESS + bomb(name, folder))
                wait_for(lambda: os.path.exists("/run/netns/viscum-bomb"))
                time.sleep(5)
                found[name] += waits(lab)
                rows.append(lab.status("bomb"))
                agent.reload(WITNESS)
                wait_for(lambda: not os.path.exists("/run/netns/viscum-bomb"))
                time.sleep(2)
            said = [(row["tasks"], row["tasks_refused"], row["memory"]) for row in rows]
            print("%s: processes, refused, bytes: %s" % (name, said))
            for kind, times in found.items():
                times.sort()
                figures = [times[len(times) * part // 1000] * 1000 for part in (500, 950, 990, 999)]
                print("  %-8s p50 %.2f ms, p95 %.2f ms, p99 %.2f ms, p99.9 %.2f ms" % (kind, *figures), flush=True)
        print("\n".join(agent.log.read_text().split("\n")[-12:]))
        agent.kill()


main()
