"""Installs an .ipk into a router's root folder: as opkg does, or, with OPKG=FILE in the environment, by that opkg.

The program must be linked statically, since it runs in the router's root. Both are the same to a test.
"""

import hashlib
import io
import os
import shutil
import tarfile
from pathlib import Path

from router import run

INFO = "/usr/lib/opkg/info/"
DEPENDENCIES = ("kmod-veth", "kmod-sched-core", "python3-light", "python3-ctypes", "micropython-nossl", "luci-base")


class Refused(Exception):
    """The package can't be installed here."""


def opkg(router):
    return Program(router, os.environ["OPKG"]) if os.environ.get("OPKG") else StandIn(router)


def read(ipk):
    """(control members, data members): {path: (TarInfo, bytes)}, of the three archives that an .ipk is."""
    outer = members(ipk.read_bytes())
    assert list(outer) == ["./debian-binary", "./data.tar.gz", "./control.tar.gz"]
    return members(outer["./control.tar.gz"][1]), members(outer["./data.tar.gz"][1])


def members(data):
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as tar:
        return {info.name: (info, tar.extractfile(info).read() if info.isfile() else None) for info in tar}


def fields(control):
    """A control file as a dict; lines that go on are joined."""
    text = control["./control"][1].decode().replace("\n ", " ")
    return dict(line.split(": ", 1) for line in text.splitlines())


class Program:
    """The real opkg. It is told that what our packages depend on is installed, and sees which processes there are."""

    def __init__(self, router, path):
        self.router = router
        shutil.copy(path, router.path("/bin/opkg"))
        entry = "Package: %s\nVersion: 1.23.0-r1\nStatus: install ok installed\nArchitecture: all\n\n"
        router.write(INFO + "../status", "".join(entry % name for name in DEPENDENCIES))

    def install(self, ipk):
        shutil.copy(ipk, self.router.path("/tmp/"))
        script = 'mount -t proc none "$0/proc" && exec chroot "$0" opkg install "$1"'
        words = ["unshare", "--mount", "sh", "-c", script, self.router.root, "/tmp/" + ipk.name]
        result = run(words, False, {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
        if result.returncode:
            raise Refused(result.stdout + result.stderr)
        # What it left to the background ends with it.
        from lab import wait_for  # tests/routers has the rest of this file without it

        wait_for(
            lambda: not any(_root_of(entry) == str(self.router.root) for entry in Path("/proc").glob("[0-9]*/root"))
        )

    def install_image(self, ipk):
        """Into an image that is being built: from outside, the scripts get its root in IPKG_INSTROOT."""
        words = [self.router.path("/bin/opkg"), "--offline-root", self.router.root, "--force-postinstall"]
        words += ["--add-arch", "all:1", "--add-dest", "root:/", "install", ipk]
        # The build system asks opkg for the files only, and then runs every postinst itself.
        run(words, True, {"PATH": os.environ["PATH"], "IPKG_NO_SCRIPT": "1"})
        control, _ = read(ipk)
        _postinst_of_image(self.router, fields(control)["Package"])

    def remove(self, name, check=True):
        self.router.run("opkg", "remove", name, check=check)


class StandIn:
    """What opkg does, in its order (libopkg/opkg_install.c and opkg_remove.c of opkg-lede). It knows files only: empty
    folders stay."""

    def __init__(self, router):
        self.router = router
        router.path(INFO).mkdir(parents=True, exist_ok=True)

    def install(self, ipk):
        control, data = read(ipk)
        name, version = fields(control)["Package"], fields(control)["Version"]
        replaced = self._replaced(fields(control))
        files = {path[1:] for path, (_, content) in data.items() if content is not None}
        self._refuse_others(fields(control), files, {name, *replaced})
        self._refuse_versions(fields(control))
        forgotten = {path for other in replaced for path in self._listed(other)}
        for other in replaced:
            self.remove(other, replaced=True)
        upgrade = self._info(name, "list").exists()
        if upgrade:
            for kind in ("prerm", "postrm"):
                self._script(name, kind, "upgrade", version, upgrade=True)
        kept = self._changed_settings(name, control["./conffiles"][1].decode().split())
        old = self._listed(name) if upgrade else []
        self._unpack(control, data, name, forgotten)
        for path in set(old) - set(self._listed(name)):
            self.router.path(path).unlink(missing_ok=True)
        for path, text in kept.items():
            if self.router.path(path).read_text() != text:
                self.router.path(path).rename(str(self.router.path(path)) + "-opkg")
                self.router.write(path, text, 0o600)
        self._script(name, "postinst", "configure", upgrade=upgrade)

    def install_image(self, ipk):
        control, data = read(ipk)
        self._unpack(control, data, fields(control)["Package"])
        _postinst_of_image(self.router, fields(control)["Package"])

    def remove(self, name, check=True, replaced=False):
        needing = [other for other, package in self._installed().items() if name in _needs(package)]
        if needing and not replaced:
            assert not check, "%s needs %s" % (needing[0], name)
            return
        self._script(name, "prerm", "remove")
        changed = self._changed_settings(name, self._info(name, "conffiles").read_text().split())
        for path in self._listed(name):
            if path not in changed:
                self.router.path(path).unlink(missing_ok=True)  # scripts in uci-defaults remove themselves
        self._script(name, "postrm", "remove")
        for path in self.router.path(INFO).glob(name + ".*"):
            path.unlink()

    def _info(self, name, kind):
        return self.router.path(INFO + "%s.%s" % (name, kind))

    def _listed(self, name):
        return self._info(name, "list").read_text().split()

    def _installed(self):
        """{name: control fields}"""
        controls = {path.stem: path.read_bytes() for path in self.router.path(INFO).glob("*.control")}
        return {name: fields({"./control": (None, data)}) for name, data in controls.items()}

    def _replaced(self, package):
        """Those that are removed first: a package Replaces them and conflicts with what they provide."""
        conflicts, replaces = _names(package, "Conflicts"), _names(package, "Replaces")
        installed = self._installed().items()
        return [
            name for name, other in installed if name in replaces and conflicts & {name, *_names(other, "Provides")}
        ]

    def _refuse_others(self, package, files, but):
        for other in set(self._installed()) - but:
            if other in _names(package, "Conflicts") or files & set(self._listed(other)):
                raise Refused("%s conflicts with %s, or has the same file" % (package["Package"], other))

    def _refuse_versions(self, package):
        """Raises Refused for a package that needs one version of another package, which is not there in that one."""
        installed = self._installed()
        have = {name: one["Version"] for name, one in installed.items()}
        have.update({name: one["Version"] for one in installed.values() for name in _names(one, "Provides")})
        for name, version in _needs(package).items():
            if version and have.get(name) != version:
                raise Refused("%s needs %s (= %s)" % (package["Package"], name, version))

    def _changed_settings(self, name, settings):
        """{path: text} of those configuration files that are there and not as this package brought them."""
        path = self._info(name, "sums")
        sums = dict(line.split() for line in path.read_text().splitlines()) if path.exists() else {}
        texts = {path: self.router.path(path).read_text() for path in settings if self.router.path(path).exists()}
        return {path: text for path, text in texts.items() if sums.get(path) != _sum(text)}

    def _unpack(self, control, data, name, forgotten=()):
        """The list of files is without those that were a replaced package's, as opkg writes it."""
        for path, (info, content) in data.items():
            target = self.router.path(path[1:])
            if content is None:
                target.mkdir(exist_ok=True)
            else:
                target.write_bytes(content)
            target.chmod(info.mode)
        for path, (info, content) in control.items():
            self._info(name, path[2:]).write_bytes(content)
            self._info(name, path[2:]).chmod(info.mode)
        listed = [path[1:] for path, (_, content) in data.items() if content is not None]
        listed = [path for path in listed if path not in forgotten]
        self._info(name, "list").write_text("".join(path + "\n" for path in listed))
        settings = control["./conffiles"][1].decode().split()
        sums = ["%s %s\n" % (path, _sum(data["." + path][1].decode())) for path in settings]
        self._info(name, "sums").write_text("".join(sums))

    def _script(self, name, kind, *words, upgrade=False):
        if self._info(name, kind).exists():
            path = INFO + "%s.%s" % (name, kind)
            self.router.run(path, *words, PKG_ROOT="/", PKG_UPGRADE="1" if upgrade else "0")


def _root_of(entry):
    try:
        return os.readlink(entry)
    except OSError:
        return ""  # it has ended


def _names(package, field):
    return set(package.get(field, "").replace(",", " ").split())


def _needs(package):
    """{name: version}, "" where it is not one alone, of what a package depends on."""
    words = [each.partition(" (=") for each in package.get("Depends", "").split(", ")]
    return {name.split(" ")[0]: version.rstrip(")") for name, _, version in words}


def _postinst_of_image(router, name):
    """As the build system's prepare_rootfs does it."""
    path = router.path(INFO + name + ".postinst")
    run(["/usr/bin/busybox", "ash", path], True, {"PATH": os.environ["PATH"], "IPKG_INSTROOT": str(router.root)})


def _sum(text):
    return hashlib.sha256(text.encode()).hexdigest()
