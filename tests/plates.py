"""The licence-plate example (examples/alpr) as its tests need it: pictures, a server, and what a camera sends."""

import contextlib
import json
import os
import re
import shutil
import socket
import struct
import subprocess

from lab import HANG, PROGRAMS, ROOT

from viscum_agent.kernel import cgroup

EXAMPLE = ROOT / "examples/alpr"
PACKAGES = ROOT / ".cache/plates"  # tools/setup.sh plates
PYTHON = "/usr/bin/python3"  # whose packages those are; and no other is sure to be readable for a service's account
LARGEST = 2 << 20  # bytes of a picture (server.py)
MODEL = "usr/share/tesseract-ocr/5/tessdata"


def environment(packages=PACKAGES):
    return {**os.environ, "PYTHONPATH": str(packages), "TESSDATA_PREFIX": str(packages / MODEL)}


def render(folder, seed, count, *options):
    """Makes pictures and returns {name: {"plate": ...}}."""
    words = (PYTHON, EXAMPLE / "render.py", folder, "--seed", str(seed), "--count", str(count), *options)
    subprocess.run(words, check=True, env=environment(), timeout=HANG)
    return json.loads((folder / "plates.json").read_text())


def framed(picture):
    return struct.pack(">I", len(picture)) + picture


def answer(sock):
    """The next line of a connection, or None at its end."""
    line = b""
    with contextlib.suppress(ConnectionError):
        while not line.endswith(b"\n"):
            more = sock.recv(1)
            if not more:
                break
            line += more
    return json.loads(line) if line else None


class Server:
    """The server on this machine's loopback device, on ports that were free."""

    def __init__(self, *words):
        command = (PYTHON, EXAMPLE / "server.py", "--port", "0", "--web", "0", *words)
        self.process = subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True)
        self.port, self.web = map(int, re.findall(r"port (\d+)", self.process.stdout.readline()))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait(HANG)
        self.process.stdout.close()

    def connect(self, source="127.0.0.1"):
        return socket.create_connection(("127.0.0.1", self.port), HANG, (source, 0))

    def ask(self, picture, source="127.0.0.1"):
        with self.connect(source) as sock:
            sock.sendall(framed(picture))
            return answer(sock)

    def page(self, request=b"GET / HTTP/1.1\r\n\r\n"):
        """The whole answer to a request, as bytes."""
        with socket.create_connection(("127.0.0.1", self.web), HANG) as sock:
            sock.sendall(request)
            parts = []
            with contextlib.suppress(ConnectionError):
                while part := sock.recv(65536):
                    parts.append(part)
            return b"".join(parts)

    def peak(self):
        """The most memory that it ever had, in MB."""
        with open("/proc/%d/status" % self.process.pid) as status:
            return int(re.search(r"VmHWM:\s+(\d+)", status.read()).group(1)) / 1024


def camera(lab, folder, *words):
    """What a client's camera found: camera.py's sum of it."""
    command = (PYTHON, EXAMPLE / "camera.py", "203.0.113.10", folder, "--json", *words)
    return json.loads(lab.run(lab.client, *command, check=False).stdout)


def install():
    """Copies the example to where a service's account can read it. Returns its folder."""
    target = PROGRAMS / "alpr"
    shutil.copytree(EXAMPLE, target)
    shutil.copytree(PACKAGES, target / "packages", copy_function=_linked)
    return target


def _linked(source, target):
    """280 MB need not be copied where both are in one file system."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def own_section():
    """The example's own section, as far as this machine can hold to it."""
    text = (EXAMPLE / "viscum.config").read_text()
    if cgroup.missing("memory"):  # tests/vm/test_limits.py is for kernels that can
        text = "".join(line for line in text.splitlines(True) if "memory_max" not in line)
    return text


def section(target):
    """The same, for a lab."""
    text = own_section().replace("list interface 'lan'", "list device 'lan0'")
    text = text.replace("TESSDATA_PREFIX=/opt/alpr/packages", "TESSDATA_PREFIX=/opt/alpr/packages/" + MODEL)
    # What is in /tmp a program sees only if it is told to.
    return text.rstrip("\n").replace("/opt/alpr", str(target)) + "\n\tlist visible '%s'\n" % target
