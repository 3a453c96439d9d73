"""A directory like a router's root file system: busybox as the only tools, Viscum's files, and stand-ins for procd,
ubus and what else scripts call (tests/package/standins).

Scripts run there by chroot, so what they find is what is there. Every call that reaches a stand-in is a line of
`calls()`.
"""

import os
import shutil
import stat
import subprocess
from pathlib import Path

from lab import ROOT, run, wait_for

from viscum_agent.config import uci

STANDINS = ROOT / "tests/package/standins"
BUSYBOX = "/bin/busybox"
PROGRAMS = ("ubus", "viscum", "nft", "uci", "logger")
INIT = "/etc/init.d/viscum"


class RouterRoot:
    def __init__(self, path):
        self.path = Path(path)
        for name in (
            "bin",
            "sbin",
            "dev",
            "tmp/answers",
            "tmp/hold",
            "tmp/procd",
            "var/run/netns",
            "etc/config",
            "etc/rc.d",
        ):
            (self.path / name).mkdir(parents=True)
        os.mknod(self.path / "dev/null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        shutil.copytree(ROOT / "files", self.path, dirs_exist_ok=True)
        shutil.copy(BUSYBOX, self.path / "bin/busybox")
        for applet in run(BUSYBOX, "--list").stdout.split():
            if applet != "busybox":
                (self.path / "bin" / applet).symlink_to("busybox")
        self._copy_program("/usr/bin/flock")  # an applet in OpenWrt's busybox, not in Debian's
        self._standin("rc.common.sh", "etc/rc.common")
        for name in PROGRAMS:
            self._standin("program.sh", "bin/" + name)
        self._standin("program.sh", "sbin/fw4")
        self.answer("nft", 'comment "!viscum: replies of a service"')
        self.configure((ROOT / "files/etc/config/viscum").read_text())

    def _standin(self, name, path):
        target = self.path / path
        target.unlink(missing_ok=True)
        shutil.copy(STANDINS / name, target)
        target.chmod(0o755)

    def _copy_program(self, program):
        libraries = [word for word in run("ldd", program).stdout.split() if word.startswith("/")]
        for file in [program, *libraries]:
            target = self.path / file.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, target)

    # What is there

    def configure(self, text):
        """Writes the configuration, in UCI's syntax; None for one that can't be read."""
        (self.path / "etc/config/viscum").write_text(text or "config 'service\n")
        parsed = self.path / "tmp/config"
        parsed.unlink(missing_ok=True)
        if text is not None:
            parsed.write_text(self._parsed(text))

    def stage(self, text):
        """The configuration as it would be after `uci commit`."""
        (self.path / "tmp/staged").write_text(self._parsed(text))

    def _parsed(self, text):
        lines = []
        for section in uci.parse(text.encode(), "viscum"):
            lines.append("section %s %s" % (section.type, section.name))
            lines += ["value %s %s %s" % (section.name, key, value) for key, value in section.options.items()]
        return "\n".join(lines) + "\n"

    def answer(self, program, text):
        """What a stand-in prints; None: the program is not installed."""
        (self.path / "tmp/answers" / program).write_text((text or "") + "\n")
        if text is None:
            (self.path / "sbin" / program).unlink()

    def service_is_up(self, name):
        (self.path / "var/run/netns" / ("viscum-" + name)).touch()

    def services_up(self):
        return sorted(file.name for file in (self.path / "var/run/netns").iterdir())

    def hold(self, program):
        """The program does not end before `release`."""
        (self.path / "tmp/hold" / program).touch()

    def release(self, program):
        (self.path / "tmp/hold" / program).unlink()

    def agent(self):
        """What procd has of the instance: "running", "ending", or "" for none."""
        file = self.path / "tmp/procd/agent"
        return file.read_text().strip() if file.exists() else ""

    # Doing and seeing

    def run(self, *words, **environment):
        return run(*self._command(words), check=False, env=self._environment(environment))

    def begin(self, *words, **environment):
        """Starts a command without waiting for it."""
        return subprocess.Popen(self._command(words), env=self._environment(environment), stderr=subprocess.PIPE)

    def _command(self, words):
        return ["chroot", str(self.path), *words]

    def _environment(self, more):
        return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **more}

    def init(self, action, **environment):
        """Runs the init script, waits for what it left to the background, and returns the calls."""
        self.forget()
        result = self.run(INIT, action, **environment)
        assert result.stdout == "", result.stdout
        self.settle()
        return self.calls()

    def forget(self):
        (self.path / "tmp/calls").unlink(missing_ok=True)

    def calls(self):
        file = self.path / "tmp/calls"
        return file.read_text().splitlines() if file.exists() else []

    def settle(self):
        """Waits until no process of the root is left."""
        wait_for(lambda: not self.processes())

    def processes(self):
        found = []
        for entry in Path("/proc").glob("[0-9]*/root"):
            try:
                if os.readlink(entry) == str(self.path):
                    found.append(entry.parent.name)
            except OSError:
                pass  # it has ended
        return found
