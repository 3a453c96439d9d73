"""The root folder of a router, as far as a package's scripts can see it: busybox, and what they call of OpenWrt's.

/lib/functions.sh and /etc/rc.common here do what OpenWrt's do for such a package, and write down that they did it. With
OPENWRT_FUNCTIONS=FILE in the environment it is that file, OpenWrt's own /lib/functions.sh.
"""

import os
import shutil
import stat
import subprocess
from pathlib import Path

BUSYBOX = "/usr/bin/busybox"  # of busybox-static: it has to run without a C library beside it
APPLETS = "sh ash awk basename cat chmod cp cut dirname echo env find grep head ln ls mkdir mv printf readlink rm rmdir"
APPLETS += " sed sleep sort tar touch tr true false uname xargs gzip gunzip zcat md5sum sha256sum test [ id cmp"

FUNCTIONS = r"""# A stand-in for OpenWrt's /lib/functions.sh.
_list() {
	local list="$IPKG_INSTROOT/usr/lib/opkg/info/$1.list"
	[ -f "$IPKG_INSTROOT/lib/apk/packages/$1.list" ] && list="$IPKG_INSTROOT/lib/apk/packages/$1.list"
	grep -s "^$2" "$list"
}

_name() {
	local file="${1##*/}"
	echo "${pkgname:-${file%.*}}"
}

add_group_and_user() { :; }

default_postinst() {
	local name="$(_name "$1")" i
	local own="$IPKG_INSTROOT/usr/lib/opkg/info/$name.postinst-pkg"
	_uci_defaults "$name"
	[ ! -f "$own" ] || ( . "$own" )
	for i in $(_list "$name" /etc/init.d/); do
		if [ -n "$IPKG_INSTROOT" ]; then
			/bin/sh "$IPKG_INSTROOT/etc/rc.common" "$IPKG_INSTROOT$i" enable
			continue
		fi
		[ "$PKG_UPGRADE" = 1 ] || "$i" enable
		"$i" start
	done
}

_uci_defaults() {
	local i
	[ -z "$IPKG_INSTROOT" ] || return 0
	for i in $(_list "$1" /etc/uci-defaults/); do
		( [ -f "$i" ] && . "$i" ) && rm -f "$i"
	done
}

default_prerm() {
	local name="$(_name "$1")" i
	for i in $(_list "$name" /etc/init.d/); do
		[ "$PKG_UPGRADE" = 1 ] || "$i" disable
		"$i" stop
	done
}
"""

RC_COMMON = r"""#!/bin/sh
# A stand-in for OpenWrt's: enables and disables, and writes down the rest.
name="${1##*/}"
case "$2" in
enable) ln -sf "../init.d/$name" "$IPKG_INSTROOT/etc/rc.d/S95$name" ;;
disable) rm -f "$IPKG_INSTROOT"/etc/rc.d/S??"$name" ;;
esac
echo "$name $2" >>"$IPKG_INSTROOT/tmp/calls"
"""

OWN = {
    "/lib/functions.sh": (0o644, FUNCTIONS),
    "/etc/rc.common": (0o755, RC_COMMON),
    "/etc/init.d/firewall": (0o755, "#!/bin/sh /etc/rc.common\n"),
    "/sbin/uci": (0o755, "#!/bin/sh\nexit 0\n"),
    "/usr/sbin/nft": (0o755, "#!/bin/sh\ncat /tmp/ruleset 2>/dev/null\n"),
    "/usr/share/nftables.d/chain-pre/forward/other.nft": (0o644, "# somebody else's\n"),
    "/etc/config/network": (0o600, "config interface 'lan'\n"),
    "/etc/opkg.conf": (0o644, "dest root /\nlists_dir ext /var/opkg-lists\narch all 1\narch noarch 1\n"),
}
FOLDERS = (
    "bin sbin etc/rc.d etc/init.d etc/config etc/hotplug.d/iface etc/uci-defaults tmp/run tmp/lock usr/bin usr/sbin"
    " usr/lib usr/share/acl.d usr/share/nftables.d proc dev"
)
# Not of the package: what changes with any installation.
PASSING = ("/tmp/", "/dev/", "/usr/lib/opkg", "/lib/apk", "/bin/", "/var")


class Router:
    def __init__(self, root):
        self.root = Path(root)
        for folder in FOLDERS.split():
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        (self.root / "var").symlink_to("tmp")
        os.mknod(self.root / "dev/null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        shutil.copy(BUSYBOX, self.root / "bin/busybox")
        for applet in APPLETS.split():
            (self.root / "bin" / applet).symlink_to("busybox")
        for path, (mode, text) in OWN.items():
            self.write(path, text, mode)
        functions = os.environ.get("OPENWRT_FUNCTIONS")
        if functions:
            shutil.copy(functions, self.path("/lib/functions.sh"))

    def path(self, path):
        return self.root / path[1:]

    def write(self, path, text, mode=0o644):
        self.path(path).parent.mkdir(parents=True, exist_ok=True)
        self.path(path).write_text(text)
        self.path(path).chmod(mode)

    def run(self, *words, check=True, **environment):
        """Runs a command on the router. It has the router's environment and nothing of ours."""
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **environment}
        return run(["chroot", self.root, *words], check, environment)

    def files(self):
        """{path: (mode, owner, group, content)} of all that is installed; a folder's content is None."""
        found = {}
        for path in sorted(self.root.rglob("*")):
            name = "/" + path.relative_to(self.root).as_posix()
            if name.startswith(PASSING):
                continue
            status = path.lstat()
            content = path.read_bytes() if path.is_file() and not path.is_symlink() else None
            if path.is_symlink():
                content = os.readlink(path)
            found[name] = (status.st_mode & 0o7777, status.st_uid, status.st_gid, content)
        return found

    def calls(self):
        """What the stand-ins were asked for since the last time: ["viscum start"]."""
        path = self.path("/tmp/calls")
        if not path.exists():
            return []
        lines = path.read_text().splitlines()
        path.unlink()
        return lines


def run(words, check, environment):
    result = subprocess.run(words, capture_output=True, text=True, env=environment, stdin=subprocess.DEVNULL)
    if check and result.returncode:
        raise AssertionError("%s: %d\n%s%s" % (words, result.returncode, result.stdout, result.stderr))
    return result
