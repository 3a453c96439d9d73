"""What the config.json of a bundle says: whatever is in it, values as the options have them, or sentences."""

from fuzz import documents

from viscum_agent.config import bundle

ALLOWED = ()
COUNT = 200
FOLDER = "/srv/app"
RIGHT = {
    "ociVersion": "1.0.0",
    "process": {
        "terminal": True,
        "user": {"uid": 5, "gid": 6, "umask": 18, "additionalGids": [7]},
        "args": ["/bin/x", "y"],
        "env": ["A=b"],
        "cwd": "/",
        "capabilities": {"bounding": ["CAP_KILL"], "ambient": ["CAP_KILL"]},
        "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 64, "soft": 64}],
        "noNewPrivileges": True,
        "oomScoreAdj": 5,
    },
    "root": {"path": "rootfs", "readonly": True},
    "hostname": "edge",
    "mounts": [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/a", "type": "bind", "source": "data", "options": ["bind", "ro"]},
        {"destination": "/c", "type": "tmpfs", "source": "tmpfs", "options": ["size=1m"]},
    ],
    "linux": {
        "resources": {
            "devices": [{"allow": False, "access": "rwm"}],
            "memory": {"limit": 1 << 26},
            "cpu": {"quota": 50000, "period": 200000},
            "pids": {"limit": 20},
        },
        "namespaces": [{"type": "pid"}],
        "maskedPaths": ["/proc/kcore"],
        "readonlyPaths": ["/proc/sys"],
        "seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["bpf"], "action": "SCMP_ACT_ERRNO"}]},
    },
}
WORDS = "process user uid gid args env cwd capabilities bounding ambient rlimits type hard soft root path readonly "
WORDS += "mounts destination source options linux resources memory limit cpu quota period pids namespaces maskedPaths "
WORDS += "RLIMIT_CORE CAP_CHOWN bind rbind tmpfs /x /x:y ../x . / noexec size=1m user pid seccomp hooks \0 A=b A \n"
WORDS = tuple(WORDS.split(" "))
TOKENS = [bytes([one, two]) for one in range(8) for two in (0, 1, 5)] + [b'{"process":', b"[", b'"', b"\\u0000", b"1e9"]


def read(data):
    document = documents.changed(data, RIGHT, WORDS)
    is_text = isinstance(document, bytes)
    values, wrong = bundle.values_of(documents.parsed(document) if is_text else document, FOLDER)
    documents.check(wrong)
    if not wrong:
        check(values)
    return None if is_text else (values, wrong)


def check(values):
    """No string has the byte that ends one for the kernel, and no path leads elsewhere."""
    assert values["command"] and all(["\0" not in word for word in values["command"] + values["env"]])
    assert int(values["user"]) < 0xFFFFFFFF and int(values["group"]) < 0xFFFFFFFF
    paths = [values["root"], values["workdir"]] + list(values["bundle"].masked)
    for mount in values["mount"]:
        paths += [mount.source or "/", mount.target]
    assert all([path.startswith("/") and "\0" not in path and "\n" not in path for path in paths]), paths
    assert all(["/../" not in path + "/" for path in paths[:1] + paths[2:]]), paths


def seeds():
    return documents.seeds(RIGHT)


def slow(size):
    for piece in (b"[", b'{"a":', b'"a",', b'["a"],'):
        yield b"\0" + piece * (size // len(piece))
    yield b'\0{"process": {"args": [' + b'"a",' * (size // 4) + b'"a"]}}'
    yield b'\0{"process": {"args": ["a"], "env": [' + b'"A=b",' * (size // 6) + b'"A=b"]}}'
