"""An OCI runtime bundle as others make it is a service, and its program finds what it finds under crun."""

import json
import os
import shutil
import subprocess

import pytest
from agent import TAKES
from others import LIBRARIES, PACKAGES

# Writes down what it has, and serves unless it is only asked.
SERVE = """
{
    pwd; hostname; env | sort
    grep -E '^(Uid|Gid|Groups|Cap|NoNewPrivs)' /proc/self/status
    grep -E '^Max (open files|file size)' /proc/self/limits
    echo oom $(cat /proc/self/oom_score_adj)
    for each in null zero full random urandom tty fd stdin stdout stderr shm; do [ -e /dev/$each ] && echo $each; done
    for each in /x /cache/x /shared/x /dev/shm/x; do echo $each $({ : > $each; } 2>/dev/null && echo written); done
    echo executed $(/shared/program 2>/dev/null)
    echo masked $(cat /secret 2>&1) $(ls /hidden)
} > /out/found 2>&1
[ -z "$VISCUM_SERVICE" ] || exec busybox httpd -f -p 7000 -h /www
"""
# crun has only one kind of control groups.
CRUN = "umount -lR /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup; exec crun --cgroup-manager=disabled "
CRUN += "--root %s run -b %s %s"


def tool(*words, **options):
    path = "%s/usr/bin:%s" % (PACKAGES, os.environ["PATH"])
    environment = {**os.environ, "PATH": path, "LD_LIBRARY_PATH": LIBRARIES}
    return subprocess.run(words, check=True, env=environment, capture_output=True, text=True, **options).stdout


@pytest.fixture
def bundle(tmp_path):
    """From an image with busybox, as umoci makes it."""
    if not (PACKAGES / "usr/bin/umoci").exists():
        pytest.skip("needs tools/setup.sh apt")
    layer = tmp_path / "layer"
    for name in ("bin", "out", "www", "hidden"):
        (layer / name).mkdir(parents=True)
    shutil.copy("/usr/bin/busybox", layer / "bin")
    (layer / "bin/sh").symlink_to("busybox")
    (layer / "serve.sh").write_text(SERVE)
    (layer / "www/index.html").write_text("from the bundle\n")
    (layer / "secret").write_text("secret\n")
    (layer / "hidden/secret").write_text("secret\n")
    (layer / "out").chmod(0o777)
    image = "%s:edge" % (tmp_path / "image")
    tool("umoci", "init", "--layout", tmp_path / "image")
    tool("umoci", "new", "--image", image)
    tool("umoci", "insert", "--image", image, layer, "/")
    words = (
        "--config.cmd",
        "sh",
        "--config.cmd",
        "/serve.sh",
        "--config.user",
        "1000:1001",
        "--config.env",
        "COLOUR=red",
    )
    tool("umoci", "config", "--image", image, *words, "--config.workingdir", "/www")
    tool("umoci", "unpack", "--image", image, tmp_path / "bundle")
    return tmp_path / "bundle"


def section(bundle, *lines):
    words = ["config service echo", "option enabled 1", "option bundle %s" % bundle, *TAKES, "list proto tcp"]
    return "\n\t".join([*words, "option healthcheck listen", *lines]) + "\n"


def served(lab):
    lab.viscum("up")
    said = lab.run(lab.client, "curl", "-sS", "http://203.0.113.10:7000/").stdout
    lab.viscum("down")
    return said


def test_what_umoci_makes_runs_unchanged_and_finds_what_it_finds_under_crun(lab, bundle, tmp_path):
    lab.configure(section(bundle))
    assert served(lab) == "from the bundle\n"
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o777)
    (tmp_path / "shared/program").write_text("#!/bin/sh\necho it was\n")
    (tmp_path / "shared/program").chmod(0o755)
    path = bundle / "config.json"
    for uid in (1000, 0):
        config = json.loads(path.read_text())
        config["process"].update(terminal=False, oomScoreAdj=300)
        config["process"]["user"].update(uid=uid, additionalGids=[7, 9])
        config["process"]["rlimits"].append({"type": "RLIMIT_FSIZE", "soft": 1048576, "hard": 1048576})
        config["process"]["rlimits"] = config["process"]["rlimits"][:2]
        config["linux"]["maskedPaths"] += ["/secret", "/hidden"]
        shared = {"destination": "/shared", "type": "bind", "source": str(tmp_path / "shared")}
        shared["options"] = ["rbind", "ro" if uid else "rw", "noexec", "nosuid", "nodev"]
        cache = {"destination": "/cache", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=1777"]}
        config["mounts"] = [each for each in config["mounts"] if each["destination"] not in ("/shared", "/cache")]
        config["mounts"] += [shared, cache]
        path.write_text(json.dumps(config))
        found = bundle / "rootfs/out/found"
        found.unlink()
        lab.configure(section(bundle))
        assert served(lab) == "from the bundle\n"
        ours = [line for line in found.read_text().splitlines() if not line.startswith("VISCUM_")]
        found.unlink()
        tool("unshare", "-m", "sh", "-ec", CRUN % (tmp_path / "crun", bundle, "v%d" % os.getpid()))
        assert ours == found.read_text().splitlines()
        assert "/www" in ours and "COLOUR=red" in ours and "umoci-default" in ours, "it was looked at"
        assert "masked" in ours and "/shared/x" + (" written" if not uid else "") in ours and "executed" in ours


def test_options_beside_a_bundle_replace_what_it_says_and_some_are_added(lab, bundle):
    lines = (
        "list env COLOUR=blue",
        "option user 1234",
        "option workdir /bin",
        "option nofile 77",
        "list mount tmpfs:/mine",
    )
    lab.configure(section(bundle, *lines))
    assert served(lab) == "from the bundle\n"
    found = (bundle / "rootfs/out/found").read_text()
    assert "COLOUR=blue" in found and "TERM=xterm" in found and "\n/bin\n" in "\n" + found
    assert "Uid:\t1234" in found and "Gid:\t1234" in found and (bundle / "rootfs/mine").is_dir()
    assert " 77 " in found


def test_the_default_of_crun_is_understood_but_for_what_is_not_there(lab, tmp_path):
    """No root, and so no program."""
    (tmp_path / "spec").mkdir()
    if not (PACKAGES / "usr/bin/crun").exists():
        pytest.skip("needs tools/setup.sh apt")
    tool("crun", "spec", cwd=tmp_path / "spec")
    lab.configure(section(tmp_path / "spec"))
    result = lab.viscum("check", check=False)
    said = [line for line in (result.stdout + result.stderr).splitlines() if "viscum.echo" in line]
    assert any(line.startswith("viscum.echo.root: there is no folder or image") for line in said), said
    assert not [line for line in said if "bundle" in line], said


def test_what_others_could_change_is_no_bundle(lab, bundle):
    (bundle / "config.json").chmod(0o666)
    lab.configure(section(bundle))
    result = lab.viscum("check", check=False)
    assert "viscum.echo.bundle: %s/config.json is refused" % bundle in result.stdout + result.stderr
