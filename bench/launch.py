"""Runs one command and writes what it took: wall and CPU time in seconds, and the peak memory in KiB.

Runs under MicroPython, because the peak memory that the kernel reports of a process includes that of the process which
forked it: with CPython as the parent, nothing would ever seem to take less than CPython. MicroPython has 3 MB.

    micropython launch.py RESULT COMMAND...     (RESULT is a file; the command's exit code is the last word in it)
"""

import struct
import sys
import time

import ffi

libc = ffi.open("libc.so.6")
fork = libc.func("i", "fork", "")
execv = libc.func("i", "execvp", "sp")
wait4 = libc.func("i", "wait4", "ipip")
_exit = libc.func("v", "_exit", "i")


def main(result: str, words: "list[str]") -> None:
    import uctypes

    kept = [bytearray(word.encode() + b"\0") for word in words]
    argv = bytearray(struct.pack("P" * (len(kept) + 1), *([uctypes.addressof(word) for word in kept] + [0])))
    # struct rusage (getrusage(2)): user and system time as seconds and microseconds, then ru_maxrss, all longs.
    status, usage = bytearray(4), bytearray(144)
    begin = time.ticks_us()  # type: ignore[attr-defined]  # MicroPython's
    pid = fork()
    if pid == 0:
        execv(words[0], argv)
        _exit(127)
    wait4(pid, status, 0, usage)
    wall = time.ticks_diff(time.ticks_us(), begin) / 1e6  # type: ignore[attr-defined]
    user, user_us, system, system_us, peak = struct.unpack_from("lllll", usage, 0)
    code = struct.unpack("i", status)[0]
    cpu = user + system + (user_us + system_us) / 1e6
    with open(result, "w") as file:
        file.write("%.6f %.6f %d %d\n" % (wall, cpu, peak, code >> 8 if code & 0x7F == 0 else 128 + (code & 0x7F)))


main(sys.argv[1], sys.argv[2:])
