"""A configuration on trial whatever happens (trial.py): killed at every step, without power, thousandfold nonsense."""

import io
import os
import random
import re
from contextlib import redirect_stderr, redirect_stdout

import pytest
from agent import CONFIG, QUICK, Served
from lab import ROOT, SILENCE, echo_command, service, wait_for

from viscum_agent.cli import verbs
from viscum_agent.config import schema

# What is on trial has a second service; what was before has only the first.
MORE = CONFIG + service(
    "more", echo_command("more", 7001), "list device lan0", "list dest_ip 203.0.113.11", "list dest_port 7001", *QUICK
)
WHOLE = {CONFIG: ["edge", "cloud"], MORE: ["edge", "more"]}
SOON = 10  # seconds after which the next agent has one of the two running, whole

# What changes something that others can see, or that stays.
CHANGES = ("openat", "write", "fsync", "rename", "unlink", "flock", "connect", "sendto", "sendmsg", "shutdown")


@pytest.fixture
def served(lab):
    lab.serve_cloud(7000, 7001)
    made = Served(lab, CONFIG)
    well(made)
    yield made
    assert "Traceback" not in made.log.read_text(), made.log.read_text()


def well(served, seconds=120):
    """Waits until the agent has all that is configured."""
    wait_for(lambda: os.path.exists(served.socket), seconds)
    wait_for(lambda: served.viscum("verify", "--wait", "1", check=False).returncode == 0, seconds)


def runs(lab):
    return lab.who([("tcp", "203.0.113.10", 7000), ("tcp", "203.0.113.11", 7001)])


def configured(lab):
    return (lab.confdir / "viscum").read_text()


def words(served, *command):
    """The words of a command of `viscum`."""
    (served.lab.tmp / "new").write_text(MORE)
    return (*served.lab.agent("viscum_agent"), "-c", served.lab.confdir, "-s", served.socket, *command)


def apply_words(served):
    return words(served, "apply", "--confirm", "5", served.lab.tmp / "new")


def apply(served):
    served.lab.run(served.lab.router, *apply_words(served), cwd=ROOT, env=served.lab.env())


def traced(lab, options, command):
    """Runs a command under strace; returns (its exit code, its calls from the lock of the folder on)."""
    log = lab.tmp / "strace"
    said = lab.run(
        lab.router, "strace", "-qq", "-y", "-o", log, *options, *command, check=False, cwd=ROOT, env=lab.env()
    )
    return said.returncode, log.read_text().splitlines()


def changing(lab, command):
    """(name, count of calls of that name) for each call of a command, from the lock of the folder on, that changes
    something."""
    code, lines = traced(lab, ["-e", "trace=" + ",".join(CHANGES)], command)
    assert code == 0
    counted, found, begun = dict.fromkeys(CHANGES, 0), [], False
    for line in lines:
        name = line.split("(")[0]
        if name not in CHANGES:
            continue
        counted[name] += 1
        begun = begun or (name == "flock" and str(lab.confdir) in line)
        if begun and (name != "openat" or "O_CREAT" in line):
            found.append((name, counted[name]))
    return found


def killed(lab, command, name, count):
    """Runs a command and kills it with SIGKILL at a call."""
    options = ["-e", "trace=" + name, "-e", "inject=%s:signal=KILL:when=%d" % (name, count)]
    code, _ = traced(lab, options, command)
    assert code in (-9, 137), "it was not killed at %s %d: %d" % (name, count, code)


def next_agent(served):
    """The router starts anew, with what is on its disk."""
    served.kill()
    served.start()
    well(served, SOON)
    text = configured(served.lab)
    assert text in WHOLE and runs(served.lab) == WHOLE[text]
    return text


def test_an_apply_that_is_killed_at_any_call_leaves_one_configuration_whole(served):
    points = changing(served.lab, apply_words(served))
    served.viscum("rollback")
    names = [name for name, _ in points]
    assert (names.count("rename"), names.count("fsync")) == (3, 6), points
    assert "connect" in names, "the agent is told"
    seen = set()
    for name, count in points:
        killed(served.lab, apply_words(served), name, count)
        seen.add(next_agent(served))
        served.viscum("rollback", check=False)
        assert configured(served.lab) == CONFIG, (name, count)
        well(served)
    assert seen == set(WHOLE), "before, and after the last rename"


@pytest.mark.parametrize("command, calls", [("rollback", ("rename", "fsync")), ("confirm", ("unlink", "fsync"))])
def test_the_end_of_a_trial_that_is_killed_is_another_try_or_done(served, command, calls):
    lab = served.lab
    apply(served)
    points = [point for point in changing(lab, words(served, command)) if point[0] in calls]
    assert len(points) == {"rollback": 5, "confirm": 2}[command], points
    for name, count in points:
        lab.configure(CONFIG)
        (lab.confdir / ".viscum.old").unlink(missing_ok=True)
        apply(served)
        killed(lab, words(served, command), name, count)
        next_agent(served)
        again = lab.viscum("-s", served.socket, command, check=False)
        assert (again.returncode == 0) == ("no configuration is on trial" not in again.stderr)
        assert configured(lab) == (CONFIG if command == "rollback" else MORE)


@pytest.mark.parametrize("name, most", [("rename", 2), ("fsync", 3)])
def test_an_agent_that_is_killed_as_it_undoes_leaves_the_rest_to_the_next(served, name, most):
    """It has started after a reboot, so its first work is to bring the one before back."""
    lab = served.lab
    for count in range(1, most + 1):
        apply(served)
        served.kill()
        (lab.confdir / ".viscum.until").write_text("another-boot 999999999")
        killed(lab, served.words(), name, count)
        assert next_agent(served) == CONFIG and not (lab.confdir / ".viscum.old").exists()


def test_nothing_is_named_before_it_is_on_the_disk(served):
    """Without power only that is left which was synced: each file before it has its name, and the name before the next
    step."""
    lab = served.lab

    def steps(command):
        code, lines = traced(lab, ["-e", "trace=write,fsync,rename,unlink"], command)
        assert code == 0
        here = re.compile(re.escape(str(lab.confdir)) + r"/?([^\">]*)")
        found = [(line.split("(")[0], here.findall(line)) for line in lines]
        return [(call, *names) for call, names in found if names]

    def put(name):
        half = ".viscum.tmp"
        return [("write", half), ("fsync", half), ("rename", half, name), ("fsync", "")]

    assert steps(apply_words(served)) == put(".viscum.until") + put(".viscum.old") + put("viscum")
    undo = [("rename", ".viscum.old", "viscum"), ("fsync", "")]
    assert steps(words(served, "rollback")) == put(".viscum.undone") + undo
    steps(apply_words(served))
    assert steps(words(served, "confirm")) == [("unlink", ".viscum.old"), ("fsync", "")]


# Nonsense

VALUES = ("", "0", "-1", "70000", "x" * 300, "'", '"', "\\", "{{ x }}", "\x1b[2J", "ü", "\x00", "#", ";", "lan0", "any")
LINES = (
    "option %s '%s'",
    "list %s '%s'",
    'option %s "%s"',
    "option %s %s",
    "config %s '%s'",
    "config %s\n\toption nonsense '%s'",
    "%s %s",
)
# Right, and a fault on this router: what its check or its programs say comes after the agent has read it.
BAD = "config service bad\n\toption enabled 1\n\toption command '%s'\n\tlist device %s\n\tlist dest_port 99\n"
FAULTS = (
    BAD % ("/not/there", "lan0"),
    BAD % ("/bin/false", "lan0"),
    BAD % ("/bin/sleep 99", "eth77"),
    "config globals\n\toption enabled 0\n",
    "config globals\n\toption netlink pyroute2\n",
    "config globals\n\tlist pool 192.168.77.0/24\n",
)


def nonsense(chosen):
    """A configuration that nobody wants."""
    if chosen.random() < 0.15:
        return chosen.choice((chosen.choice(FAULTS) + CONFIG, CONFIG + chosen.choice(FAULTS), ""))
    text = CONFIG.split("\n")
    for _ in range(chosen.randint(1, 4)):
        option = chosen.choice([each.name for each in chosen.choice(list(schema.SECTIONS.values()))])
        line = "\t" + chosen.choice(LINES) % (option, chosen.choice(VALUES))
        text.insert(chosen.randint(0, len(text)), line)
    if chosen.random() < 0.2:
        text = text[: chosen.randint(0, len(text))]
    return "\n".join(text)


def viscum(served, *typed):
    """`viscum` in this process: a thousand others would take long to start. Returns (exit code, what it says)."""
    said = io.StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        code = verbs.main(["-c", str(served.lab.confdir), "-s", served.socket, *map(str, typed)])
    return code, said.getvalue()


def test_a_thousand_bad_configurations_lose_no_router(served):
    """Most are refused; the others are not confirmed, and go when somebody says so, or by themselves."""
    lab = served.lab
    lab.serve(lab.router, "router", 22)  # the way in
    chosen, codes, file = random.Random(1), [], lab.tmp / "new"
    for number in range(1000):
        file.write_text(nonsense(chosen))
        by_itself = number % 100 == 0
        code, said = viscum(served, "apply", "--confirm", 1 if by_itself else 600, file)
        assert code in (0, 1) and said, file.read_text()
        codes.append(code)
        if (lab.confdir / ".viscum.old").exists():
            if by_itself:
                wait_for(lambda: configured(lab) == CONFIG)
            else:
                assert viscum(served, "rollback")[0] == 0
        assert configured(lab) == CONFIG
        if number % 50 == 0:
            assert lab.who([("tcp", "192.168.77.1", 22)]) == ["router"]
            served.becomes("edge")
    assert codes.count(0) > 50 and codes.count(1) > 500, (codes.count(0), codes.count(1))
    well(served)
    found = runs(lab)
    state = served.viscum("status").stdout
    assert found == WHOLE[CONFIG] and served.process.poll() is None, state + served.log.read_text()[-3000:]


def test_who_locks_himself_out_is_back_in_time(served):
    """The service takes what leads to the router itself."""
    lab = served.lab
    lab.serve(lab.router, "router", 22)
    takes = ("list device lan0", "list dest_ip 192.168.77.1", "list dest_port 22", *QUICK)
    (lab.tmp / "new").write_text(CONFIG + service("thief", echo_command("thief", 22), *takes))
    assert viscum(served, "apply", "--confirm", 4, lab.tmp / "new")[0] == 0
    for who in ("thief", "router"):
        wait_for(lambda who=who: lab.who([("tcp", "192.168.77.1", 22)], timeout=SILENCE) == [who])
