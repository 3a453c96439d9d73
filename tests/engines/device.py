"""What openwisp-config does on a router (its openwisp.agent, with merge_config 0), as far as the controller and Viscum
can see it: the same steps in the same order, and the same memory of what is here. Only its waits are shorter.

device.py URL ADDRESS ID KEY TEST_SCRIPT SECONDS
"""

import hashlib
import io
import os
import subprocess
import sys
import tarfile
import time
import urllib.parse
import urllib.request
from pathlib import Path

EVERY = 2  # seconds; theirs are 120
TRIES, PAUSE = 3, 1  # seconds; theirs are 10, and 2 to 15 by chance
FILE = Path("/etc/config/viscum")
LOG = Path("/tmp/log")  # as much of a system log as there is on these routers
HOOK = "/tmp/openwisp/post-reload-hook"  # theirs is in /etc/openwisp, which is read-only here
REASON = 1011  # bytes of the log that are reported, as theirs


def log(text):
    with LOG.open("a") as stream:
        stream.write("openwisp: %s\n" % text)


def retried(do, *args, **named):
    """What `do` returns; None when it fails each time."""
    for _ in range(TRIES):
        try:
            return do(*args, **named)
        except OSError as error:
            log("Failed to connect to controller: %s" % error)
            time.sleep(PAUSE)
    return None


class Agent:
    def __init__(self, url, address, device, key, script, seconds):
        self._place, self._device, self._key = url + "/controller", device, key
        self._address = {"management_ip": address}  # as with `option management_interface`
        self._test = [script, seconds]
        # The checksum of what is here, and of what was here and passed its test.
        self._current = self._persistent = b""

    def _ask(self, what):
        query = urllib.parse.urlencode({"key": self._key, **self._address})
        return self._send(what, "?" + query)

    def _report(self, **data):
        return self._send("report-status", "", urllib.parse.urlencode({"key": self._key, **data}).encode())

    def _send(self, what, query, data=None):
        place = "%s/%s/%s/%s" % (self._place, what, self._device, query)
        with urllib.request.urlopen(place, data, timeout=20) as answer:
            return answer.read()

    def look(self):
        """One round."""
        wanted = retried(self._ask, "checksum")
        if wanted is None:
            self._current = self._persistent
        elif wanted != self._current:
            self._current = wanted
            self._update()

    def _update(self):
        archive = retried(self._ask, "download-config")
        if archive is None or hashlib.md5(archive).hexdigest().encode() != self._current:
            self._current = b""
            return
        since = LOG.stat().st_size if LOG.exists() else 0
        if apply(archive, self._test):
            self._persistent = self._current
            report = {"status": "applied"}
        else:
            report = {"status": "error", "error_reason": LOG.read_bytes()[since:][:REASON]}
        if retried(self._report, **report) is None:
            log("Failed to report status")
            self._current = self._persistent = b""  # the next round does all of it once more


def apply(archive, test):
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        files = {member.name: opened.extractfile(member).read() for member in opened.getmembers()}
    new = files.get("etc/config/viscum")
    if new is None:
        return True
    before = FILE.read_bytes()
    put(new)
    done = subprocess.run(test, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if done.returncode == 0:
        return True
    with LOG.open("a") as stream:
        stream.write(done.stderr)  # `logger -s` says there what it logs
    log("Configuration test failed! Restoring previous backup")
    put(before)
    return False


def put(data):
    FILE.write_bytes(data)
    subprocess.run(["/usr/bin/viscum", "reload"], stdin=subprocess.DEVNULL)
    if os.access(HOOK, os.X_OK):
        subprocess.run([HOOK], stdin=subprocess.DEVNULL)


def main(*words):
    agent = Agent(*words)
    while True:
        agent.look()
        time.sleep(EVERY)


if __name__ == "__main__":
    main(*sys.argv[1:])
