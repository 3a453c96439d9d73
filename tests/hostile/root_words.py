# Attacks whoever takes names in its namespace for text: links and their aliases are bytes, no UTF-8, like Viscum's own.
import subprocess

import stage


def run(*words):
    subprocess.run(["ip", *words], check=False, stderr=subprocess.DEVNULL)


stage.serve_beside()
stage.wait_for_go()
for name in (b"\xff\xfe\x80", b"vsc-witness", b"\x1b[2J\n", b"'; x", b"%s%n"):
    run("link", "add", name, "type", "veth", "peer", "name", b"p" + name[:10])
    run("link", "set", name, "alias", b"viscum witness\xff\n")
    run("link", "set", "eth0", "alias", b"viscum witness\xff")
    run("link", "property", "add", "dev", name, "altname", b"\xff" * 100)
for device in ("eth0", "lo"):
    names = b"".join(
        b"link property add dev %s altname %s%d\n" % (device.encode(), b"n" * 110, each) for each in range(600)
    )
    subprocess.run(["ip", "-force", "-batch", "-"], input=names, check=False, stderr=subprocess.DEVNULL)
run("addr", "add", "10.1.1.1/32", "dev", "lo", "label", b"lo:\xff\xfe")
stage.begun()
stage.sleep()
