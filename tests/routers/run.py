"""The packages on the processors of routers, in qemu: boots a guest for each (guest.py runs in it) and prints a table.

    run.py [PROCESSOR...] [--only INTERPRETER:DATAPATH,...]     arm64, armhf, mipsel; all three without one
    run.py --table                                              the table of the last run of each, as in docs/routers.md

Needs `tools/setup.sh venv router-PROCESSOR`. What a guest said: .cache/routers/PROCESSOR/console.txt.
VISCUM_ROUTERS_TIMEOUT: seconds until a guest is killed. A guest whose emulator failed is started once more.
"""

import argparse
import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import initramfs
from initramfs import CACHE, ROOT


class Machine(NamedTuple):
    """What is emulated: qemu's words, and where the kernel's console is."""

    emulator: str
    console: str
    seconds: int  # until it is taken to hang: three times what it takes beside other work


# Those of qemu's machines that Debian's kernels know, with a processor as old as those routers have.
MACHINES = {
    "arm64": Machine("qemu-system-aarch64 -M virt -cpu cortex-a53 -smp 2", "ttyAMA0", 2400),
    "armhf": Machine("qemu-system-arm -M virt,highmem=off -cpu cortex-a15 -smp 2", "ttyAMA0", 3600),
    "mipsel": Machine("qemu-system-mipsel -M malta -cpu 24Kf", "ttyS0", 5400),
}
OPTIONS = "-m 512 -nic none -display none -monitor none -serial stdio -no-reboot"
MOST = 4 << 20  # bytes of a console that are read
ROW, END = "VISCUM ROW ", "VISCUM END "
COLUMNS = "up", "TCP, UDP", "target_port", "agent killed", "program killed", "doctor", "down", "wakes", "MiB"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("processors", nargs="*", metavar="PROCESSOR")
    parser.add_argument("--only", default="")
    parser.add_argument("--table", action="store_true")
    arguments = parser.parse_args()
    if not set(arguments.processors) <= set(MACHINES):
        parser.error("there are: " + " ".join(MACHINES))
    if arguments.table:
        print(table([row for name in MACHINES for row in stored(name)]))
        return 0
    CACHE.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # through `finally`
    with (CACHE / "run.lock").open("w") as lock:  # one guest at a time: two would share the files
        fcntl.flock(lock, fcntl.LOCK_EX)
        return run(arguments.processors or list(MACHINES), arguments.only)


def run(processors: list[str], only: str) -> int:
    packages = made()
    rows, failed = [], False
    for name in processors:
        began = time.monotonic()
        initramfs.build(name, packages, CACHE / name / "initramfs.gz")
        status = boot(name, only)
        if status is None:
            print("%s: THE EMULATOR FAILED, no test did: once more." % name, flush=True)
            status = boot(name, only)
        rows += stored(name)
        failed = failed or status != 0
        print("%s: %d minutes, status %s" % (name, (time.monotonic() - began) / 60, status), flush=True)
    print(table(rows))
    return 1 if failed else 0


def made() -> list[Path]:
    """What `make ipk` makes, for both interpreters."""
    folder = CACHE / "packages"
    for old in folder.glob("*.ipk"):
        old.unlink()
    subprocess.check_call([sys.executable, str(ROOT / "tools/package"), "ipk", str(folder)], stdout=subprocess.DEVNULL)
    return [path for path in sorted(folder.glob("*.ipk")) if not path.name.startswith("luci-")]


def boot(name: str, only: str) -> "int | None":
    """Runs one guest to its end and stores its rows. Returns the status of its tests, 124 for one that took too long,
    None if the emulator ended before its tests."""
    machine, folder = MACHINES[name], CACHE / name
    limit = int(os.environ.get("VISCUM_ROUTERS_TIMEOUT", machine.seconds))
    append = "console=%s quiet panic=-1 oops=panic rdinit=/init" % machine.console + (" viscum=" + only if only else "")
    words = ["timeout", "--kill-after=10", str(limit), *machine.emulator.split(), *OPTIONS.split()]
    words += ["-kernel", str(folder / "kernel/vmlinuz"), "-initrd", str(folder / "initramfs.gz"), "-append", append]
    rows, status = [], None
    (folder / "rows.json").write_text("[]")
    with (folder / "console.txt").open("w") as console:
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, errors="replace", start_new_session=True
        )
        try:
            for line in process.stdout:
                if console.tell() < MOST:
                    console.write(line)
                    console.flush()
                if line.startswith(ROW):
                    rows.append(dict(json.loads(line[len(ROW) :]), processor=name))
                    (folder / "rows.json").write_text(json.dumps(rows))
                elif line.startswith(END):
                    status = int(line[len(END) :])
                elif line[:7].strip().replace(".", "").isdigit():
                    print(name, line.rstrip()[:300], flush=True)
            process.wait()
        finally:
            # All of it: killing `timeout` alone would leave the emulator behind.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return 124 if process.returncode == 124 else status


def stored(name: str) -> list[dict]:
    path = CACHE / name / "rows.json"
    return json.loads(path.read_text()) if path.exists() else []


def table(rows: list[dict]) -> str:
    """Markdown."""
    titles = ["processor", "kernel", "interpreter", "datapath", *COLUMNS]
    lines = [titles, ["---"] * (len(titles) - 2) + ["--:"] * 2]
    for row in rows:
        kernel = "%s.%s" % tuple(row["kernel"].split(".")[:2])
        interpreter = " ".join([row["interpreter"], row.get("version", "")]).strip()
        lines.append([row["processor"], kernel, interpreter, "`%s`" % row["datapath"]])
        lines[-1] += [row.get(column, "not tried").partition(":")[0] for column in COLUMNS]
    return "\n".join("| %s |" % " | ".join(line) for line in lines)


if __name__ == "__main__":
    sys.exit(main())
