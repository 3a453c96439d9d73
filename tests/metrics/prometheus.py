"""Debian's Prometheus in a lab: what reads a router, alerts, and answers queries; and what it calls text."""

import json
import os
import re
import shutil
import subprocess
import sys

from lab import HANG, ROOT, run, wait_for

TOOLS = ROOT / ".cache/prometheus"  # tools/setup.sh prometheus
FILES = ROOT / "fleet/prometheus"
PORT, TARGET = 9090, 9100
EVERY = "1s"  # it reads and judges

sys.path.append(str(TOOLS / "usr/lib/python3/dist-packages"))  # its client library, which knows both formats


def promtool(*words, text="", folder=None):
    """Runs it; `text` is what it reads."""
    command = [TOOLS / "usr/bin/promtool", *words]
    return subprocess.run(command, input=text, cwd=folder, capture_output=True, text=True, timeout=HANG)


def lua(*words):
    libraries = {"LD_LIBRARY_PATH": str(TOOLS / "usr/lib/x86_64-linux-gnu")}
    return run(TOOLS / "usr/bin/lua5.1", *words, env=libraries).stdout


# Nobody packages it; on a machine where it is, its collector is tested too.
UCODE = os.environ.get("VISCUM_UCODE") or shutil.which("ucode")


def ucode(*words):
    return run(UCODE, *words).stdout


class Prometheus:
    """One in the cloud of a lab that reads the router there with the rules of fleet/prometheus: as they are, but that
    alerts do not wait for minutes."""

    def __init__(self, lab):
        self._lab = lab
        folder = lab.tmp / "prometheus"
        folder.mkdir()
        rules = (FILES / "viscum.rules.yml").read_text()
        (folder / "viscum.rules.yml").write_text(re.sub(r"\bfor: \w+$", "for: 2s", rules, flags=re.MULTILINE))
        settings = (FILES / "prometheus.yml").read_text().replace("192.168.1.1:9100", "198.51.100.1:%d" % TARGET)
        (folder / "prometheus.yml").write_text(re.sub(r"_interval: \w+", "_interval: " + EVERY, settings))
        self._log = folder / "log"
        with self._log.open("w") as stream:
            lab.start(
                lab.cloud,
                TOOLS / "usr/bin/prometheus",
                "--config.file=%s/prometheus.yml" % folder,
                "--storage.tsdb.path=%s/data" % folder,
                "--web.listen-address=127.0.0.1:%d" % PORT,
                stderr=stream,
            )

    def api(self, path, **words):
        """An answer of its HTTP interface; {} while it does not answer."""
        options = [word for key in words for word in ("--data-urlencode", "%s=%s" % (key, words[key]))]
        url = "http://127.0.0.1:%d/api/v1/%s" % (PORT, path)
        result = self._lab.run(self._lab.cloud, "curl", "-sG", *options, url, check=False)
        return json.loads(result.stdout)["data"] if result.returncode == 0 and result.stdout[:1] == "{" else {}

    def query(self, text):
        """[(labels, value)] of now."""
        found = self.api("query", query=text).get("result", [])
        return [(each["metric"], float(each["value"][1])) for each in found]

    def alerts(self):
        """[(name, labels)] of those that fire."""
        found = self.api("alerts").get("alerts", [])
        return [(each["labels"]["alertname"], each["labels"]) for each in found if each["state"] == "firing"]

    def reads(self):
        """Waits until it has read the router. Fails with what it says of that."""

        def targets():
            return self.api("targets").get("activeTargets", [])

        try:
            wait_for(lambda: [each["health"] for each in targets()] == ["up"])
        except AssertionError:
            raise AssertionError("%s\n%s" % (targets(), self._log.read_text())) from None


def serve(lab, *command):
    """A web server on the router that runs a command for each request, and answers with what that prints."""
    lab.start(lab.router, sys.executable, ROOT / "tests/metrics/exporter.py", TARGET, *command, cwd=ROOT, env=lab.env())
