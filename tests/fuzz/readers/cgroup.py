"""The files of control groups: pids of any number of processes, limits, counters. Whom the agent takes for a process of
a service it may kill: so a number that the end of a file cuts is nobody's."""

import os

from fuzz.fuzzing import Pieces

from viscum_agent import compat
from viscum_agent.kernel import cgroup

ALLOWED = ()
COUNT = 40
TOKENS = [b"\xff\xff\xff\xff", bytes(4), b"\0\0\0\1"]


def read(data):
    pieces = Pieces(data)
    most = pieces.number(64) + 8
    numbers = []
    while pieces:
        numbers.append(pieces.number(1 << 22) + 1)
    folder = "/tmp/viscum-fuzz-cgroup-%d" % compat.getpid()
    write(folder, "cgroup.procs", "".join(["%d\n" % number for number in numbers]))
    counted = "user_usec 5\nusage_usec %d\n" % sum(numbers)
    write(folder, "cpu.stat", counted)
    before = cgroup._folder[:], cgroup.MOST
    cgroup._folder[:], cgroup.MOST = [folder], most
    try:
        found = cgroup.pids("s")
        assert found == numbers[: len(found)], (found, numbers)
        assert len(found) >= min(len(numbers), most // 8)
        return found, cgroup.tags("s"), cgroup._number(folder + "/s.t/cpu.stat", b"usage_usec ") if most > 60 else None
    finally:
        cgroup._folder[:], cgroup.MOST = before
        for name in ("cgroup.procs", "cpu.stat"):
            os.unlink("%s/s.t/%s" % (folder, name))
        os.rmdir(folder + "/s.t")
        os.rmdir(folder)


def write(folder, name, text):
    for path in (folder, folder + "/s.t"):
        if not compat.exists(path):
            os.mkdir(path)
    with open(folder + "/s.t/" + name, "w") as file:
        file.write(text)


def seeds():
    return [bytes([size]) + b"\0\0\x10\0" * size for size in range(0, 20, 3)]
