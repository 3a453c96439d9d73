"""Programs that others wrote, as Debian packages them (tools/setup.sh apt): where they are for tests, and for services,
and what dnsmasq and nginx are told."""

import os
import shutil

import pytest
from lab import PROGRAMS, ROOT

PACKAGES = ROOT / ".cache/others"
LIBRARIES = ":".join(map(str, [*PACKAGES.glob("usr/lib/*-linux-gnu*"), *PACKAGES.glob("lib/*-linux-gnu*")]))
OTHERS = PROGRAMS / "others"  # the same, where a service's account may read
NGINX_WRITES = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def needed():
    """Skips a test where they are not."""
    if not PACKAGES.is_dir():
        pytest.skip("needs tools/setup.sh apt")


def copied():
    """Puts them to OTHERS; returns the variable with which they find their libraries there."""
    needed()
    shutil.copytree(PACKAGES, OTHERS, symlinks=True)
    (library,) = OTHERS.glob("usr/lib/*-linux-gnu*")
    return "LD_LIBRARY_PATH=%s" % library


def dnsmasq(lab, ns, *words):
    """Starts it in a namespace of a lab, with these words and nothing of the machine's; returns the process."""
    own = ("-k", "-u", "root", "-C", "/dev/null", "--pid-file=")
    env = {**os.environ, "LD_LIBRARY_PATH": LIBRARIES}
    return lab.start(ns, PACKAGES / "usr/sbin/dnsmasq", *own, *words, env=env)


def nginx(folder, *server, log="off", user=""):
    """Writes a configuration with all its files in a folder, and returns its path; `server` are lines of its server."""
    temporary = ["%s_temp_path %s/%s;" % (name, folder, name) for name in NGINX_WRITES]
    lines = ["daemon off;", "pid %s/pid;" % folder, user, "events {}", "http {", "access_log %s;" % log, *temporary]
    path = folder / "nginx.conf"
    path.write_text("\n".join([*lines, "server {", "listen 80;", *server, "}", "}", ""]))
    return path
