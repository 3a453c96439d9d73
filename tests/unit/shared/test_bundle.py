"""What an OCI runtime bundle's config.json says as values of options, and what of it is refused by name."""

from viscum_agent import ujson
from viscum_agent.config import bundle

FOLDER = "/srv/app"
NOTIFY = "SCMP_ACT_NOTIFY"  # somebody else would have to decide
ROOT_AMISS = "root.path is not where it belongs"
LEAST = {"process": {"args": ["/bin/x"]}, "root": {"path": "rootfs"}}


def said(**parts):
    """(values, complaints) of a document with these parts, as it comes out of a file."""
    document = dict(LEAST)
    document.update(parts)
    return bundle.values_of(ujson.loads(ujson.dumps(document)), FOLDER)


def values(**parts):
    found, wrong = said(**parts)
    assert wrong == [], wrong
    return found


def refused(**parts):
    (text,) = said(**parts)[1]
    return text


def process(**parts):
    found = {"args": ["/bin/x"]}
    found.update(parts)
    return {"process": found}


def test_the_least_is_a_program_and_a_root_that_it_may_write_to():
    found = values()
    assert found["command"] == ["/bin/x"] and found["root"] == "/srv/app/rootfs" and found["writable"] == ["/"]
    assert (found["user"], found["group"], found["workdir"], found["env"]) == ("0", "0", "/", [])
    assert tuple(found["bundle"]) == (FOLDER, "", (), ())
    assert values(root={"path": "/srv/other", "readonly": True})["root"] == "/srv/other"
    assert values(root={"path": "r", "readonly": True})["writable"] == []


def test_a_process_has_what_is_left_of_its_powers_after_exec():
    powers = {"bounding": ["CAP_KILL", "CAP_CHOWN"], "effective": ["CAP_KILL"], "ambient": ["CAP_CHOWN"]}
    assert values(**process(capabilities=powers))["capability"] == ["kill", "chown"]
    assert values(**process(capabilities=powers, user={"uid": 5, "gid": 6}))["capability"] == ["chown"]
    assert values(**process())["capability"] == []


def test_another_account_has_neither_its_groups_nor_the_powers_of_root():
    powers = {"bounding": ["CAP_KILL", "CAP_CHOWN"], "ambient": ["CAP_KILL"]}
    document = process(capabilities=powers, user={"uid": 0, "gid": 0, "additionalGids": [1, 27]})
    for user, left in (("65534", ["kill"]), ("root", ["kill", "chown"])):
        found, wrong = bundle.values_of(document, FOLDER, user)
        assert (wrong, found["user"], found["group"], found["capability"]) == ([], user, None, left)
        assert found["bundle"].groups == ()
    assert values(**document)["bundle"].groups == (1, 27)


def test_half_a_surrogate_pair_is_refused_and_a_whole_one_is_a_letter():
    """MicroPython leaves the two halves as they are; CPython can't make bytes of one."""
    text = '{"process": {"args": ["/bin/x", "%s"], "env": ["A=%s"], "cwd": "/%s"}}'
    whole = bundle.values_of(ujson.loads(text % (("\\ud83d\\ude00",) * 3)), FOLDER)[0]
    assert whole["command"][1] == "\U0001f600" and whole["env"] == ["A=\U0001f600"]
    assert whole["workdir"] == "/\U0001f600"
    for odd in ("\\ud800", "\\ude00", "\\ud83d\\ud83d", "\\ude00\\ud83d", "a\\ud83db"):
        for at, where in enumerate(("process.args", "process.env", "process.cwd")):
            words = ["x", "x", "x"]
            words[at] = odd
            assert bundle.values_of(ujson.loads(text % tuple(words)), FOLDER)[1][0].startswith(
                where + " has half of a surrogate pair"
            ), (odd, where)


def test_limits_are_those_of_options():
    limits = [
        {"type": "RLIMIT_NOFILE", "soft": 64, "hard": 64},
        {"type": "RLIMIT_CORE", "soft": 2**64 - 1, "hard": 2**64 - 1},
    ]
    found = values(**process(rlimits=limits, oomScoreAdj=-5))
    assert (found["nofile"], found["core"], found["oom_score_adj"]) == (64, -1, -5)
    resources = {"memory": {"limit": 1 << 26}, "cpu": {"quota": 50000, "period": 200000}, "pids": {"limit": 20}}
    found = values(linux={"resources": resources})
    assert (found["memory_max"], found["cpu_max"], found["pids_max"]) == (1 << 26, 25, 20)
    nothing = {"memory": {"limit": -1}, "cpu": {"quota": -1}, "pids": {"limit": -1}}
    assert not [name for name in values(linux={"resources": nothing}) if name.endswith("_max")]


def test_mounts_are_those_of_the_option():
    mounts = [
        {"destination": "/a", "type": "bind", "source": "data", "options": ["rbind", "ro", "noexec"]},
        {"destination": "/b", "type": "none", "source": "/etc/x", "options": ["bind", "nosuid"]},
        {"destination": "/c", "type": "tmpfs", "source": "tmpfs", "options": ["size=1m", "nodev"]},
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["ro"]},
    ]
    assert [tuple(each) for each in values(mounts=mounts)["mount"]] == [
        ("/srv/app/data", "/a", False, False),
        ("/etc/x", "/b", True, True),
        ("", "/c", True, True),
    ]


def test_a_list_of_system_calls_is_that_of_the_option():
    rule = {"names": ["read"], "action": "SCMP_ACT_ALLOW"}
    found = values(linux={"seccomp": {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule]}})["seccomp"]
    assert found == (0x00050001, ((("read",), 0x7FFF0000, ()),))
    assert "seccomp" not in values()


def test_what_it_says_and_nobody_does_is_refused_by_its_name():
    bind = {"destination": "/a", "type": "bind", "source": "/b", "options": ["bind", "idmap"]}
    cases = (
        ("process.apparmorProfile is not supported: remove it", process(apparmorProfile="x")),
        ("process.user.username is not supported: remove it", process(user={"username": "x"})),
        ("hooks is not supported: remove it", {"hooks": {"prestart": [{"path": "/bin/x"}]}}),
        ("linux.uidMappings is not supported: remove it", {"linux": {"uidMappings": [{"size": 1}]}}),
        ("linux.seccomp: defaultAction: 'SCMP_ACT_NOTIFY' is not", {"linux": {"seccomp": {"defaultAction": NOTIFY}}}),
        ("linux.sysctl is not supported: remove it", {"linux": {"sysctl": {"net.core.somaxconn": "1"}}}),
        ("linux.devices is not supported: remove it", {"linux": {"devices": [{"path": "/dev/fuse"}]}}),
        ("linux.resources.memory.swap is not supported", {"linux": {"resources": {"memory": {"swap": 0}}}}),
        ("linux.resources.devices: a service has the usual", {"linux": {"resources": {"devices": [{"allow": True}]}}}),
        ("linux.namespaces: 'user' is not supported: remove it", {"linux": {"namespaces": [{"type": "user"}]}}),
        (
            "linux.namespaces: 'pid' of others is not",
            {"linux": {"namespaces": [{"type": "pid", "path": "/proc/1/ns/pid"}]}},
        ),
        ("linux.readonlyPaths: '/etc' can't be kept", {"linux": {"readonlyPaths": ["/etc"]}}),
        ("linux.maskedPaths: 'etc' is not an absolute path", {"linux": {"maskedPaths": ["etc"]}}),
        ("process.noNewPrivileges is false", process(noNewPrivileges=False)),
        ("process.rlimits: 'RLIMIT_RTPRIO' is not supported", process(rlimits=[{"type": "RLIMIT_RTPRIO"}])),
        (
            "process.rlimits: RLIMIT_CORE has two values",
            process(rlimits=[{"type": "RLIMIT_CORE", "soft": 1, "hard": 2}]),
        ),
        ("process.capabilities.bounding: '?' is not a capability", process(capabilities={"bounding": ["kill"]})),
        ("process.env: 'VISCUM_X=1' is a variable that Viscum", process(env=["VISCUM_X=1"])),
        ("process.args is missing", process(args=[])),
        ("process.args has a wrong type", process(args="x")),
        ("process.args has an entry of a wrong type", process(args=["a\0b"])),
        ("process.user.uid has a wrong type", process(user={"uid": True})),
        ("process.user.uid: '-1' is not the name or number", process(user={"uid": -1})),
        ("process.user.uid is not where it belongs", process(user=[])),
        ("mounts: the type 'overlay' of '/a' is not supported", {"mounts": [{"destination": "/a", "type": "overlay"}]}),
        ("mounts: 'idmap' of '/a' is not supported", {"mounts": [bind]}),
        ("a path in it (root, mounts) is not a plain one", {"root": {"path": "../x"}}),
        ("hostname is no name for a host", {"hostname": "x" * 65}),
    )
    for text, parts in cases:
        found = said(**parts)[1]
        assert [each for each in found if each.startswith(text)], (text, found)
    assert values(linux={"seccomp": None, "uidMappings": [], "sysctl": {}}, hooks={}), "what is empty says nothing"


def test_what_is_no_object_is_refused():
    for document in (None, [], 1, "x", {"process": 1}, {"root": []}, {"linux": "x"}, {"mounts": {}}, {"mounts": [1]}):
        assert bundle.values_of(document, FOLDER)[1], document
    # Found by fuzzing: without a root it was not known whether that could be written to, which ended the agent.
    assert said(root="x", linux={"readonlyPaths": ["/etc"]})[1] == ["root has a wrong type", ROOT_AMISS]


def test_a_file_that_is_not_there_or_not_json_is_named():
    assert bundle.load("/nowhere")[1] == ["there is no file /nowhere/config.json: name the folder of a bundle"]
