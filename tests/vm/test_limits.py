"""What all processes of a service have together: memory, CPU and processes, limited by controllers of control groups
(version 2) that not every machine has."""

import json
import os
import shutil
from pathlib import Path

import pytest
from lab import PROGRAMS, ROOT, echo_command, pids_in, service, wait_for

GROUPS = Path("/sys/fs/cgroup")
TAKES = ("list device lan0", "list proto tcp", "list dest_ip 203.0.113.10")
WITNESS = service("witness", echo_command("witness", 7001), *TAKES, "list dest_port 7001")


@pytest.fixture
def folder(lab):
    shutil.copy(ROOT / "tests/attempts.py", PROGRAMS)
    made = PROGRAMS / "folder"
    made.mkdir()
    made.chmod(0o777)
    return made


@pytest.fixture
def tried(lab, folder):
    """Runs a service whose program attempts things, beside another one; returns what came of each, {name: words}, or
    what `viscum up` said where the program did not live to tell."""

    def run(names, *lines):
        command = "/usr/bin/python3 %s/attempts.py %s edge 7000 %s" % (PROGRAMS, folder, " ".join(names))
        lab.configure(WITNESS + service("echo", command, *TAKES, "list dest_port 7000", *lines))
        lab.viscum("up", "witness")
        before = pids_in("viscum-witness")
        (folder / "attempts").unlink(missing_ok=True)
        result = lab.viscum("up", "echo", check=False)
        assert pids_in("viscum-witness") == before
        assert lab.ask("tcp", "203.0.113.10", 7001)[0] == "witness"
        if result.returncode:
            return result.stderr
        return json.loads((folder / "attempts").read_text())

    yield run
    lab.viscum("down")


def group_of(lab, name):
    number = os.stat("/run/netns/" + lab.router).st_ino
    (path,) = GROUPS.glob("viscum-%d/%s.*" % (number, name))
    return path


def test_a_program_that_needs_more_memory_is_ended_as_a_whole_and_no_other(lab, tried, folder):
    assert tried(["much_memory"], "option memory_max 1g") == {"much_memory": "done"}
    lab.viscum("down", "echo")
    said = tried(["much_memory"], "option memory_max 64m")
    assert "the program ended with signal 9; the kernel ended it for want of memory (memory_max)" in said
    assert not (folder / "attempts").exists(), "its main process went, too"


def test_processes_and_threads_are_counted_over_all_accounts(lab, tried):
    """Unlike nproc, which root does not have."""
    for user in ("nobody", "root"):
        assert tried(["many_processes"], "option user " + user, "option pids_max 20") == {"many_processes": "EAGAIN"}
        assert lab.status("echo")["tasks_refused"] >= 1
        lab.viscum("down", "echo")
        assert tried(["many_processes"], "option user " + user) == {"many_processes": "done"}
        lab.viscum("down", "echo")


def test_a_fork_bomb_grows_to_its_limit_and_is_stopped(lab, tried):
    for most in (200, 60):
        assert tried(["fork_bomb"], "option pids_max %d" % most) == {"fork_bomb": "done"}
        wait_for(lambda: lab.status("echo")["tasks_refused"] > 0)
        wait_for(lambda most=most: most - 10 <= lab.status("echo")["tasks"])
        assert lab.who([("tcp", "203.0.113.10", 7000)]) == ["edge"]
        assert lab.status("echo")["tasks"] <= most
        lab.viscum("down", "echo")
        assert lab.status("echo")["tasks"] is None, "its group is gone"


def test_a_busy_program_has_its_share_of_a_processor(lab, tried):
    assert tried(["busy"]) == {"busy": "done"}
    lab.viscum("down", "echo")
    assert tried(["busy"], "option cpu_max 40") == {"busy": "EDQUOT"}
    assert 100_000 < lab.status("echo")["cpu_usec"] < 60_000_000


def test_what_it_uses_is_counted_and_its_group_has_the_limits_of_its_section(lab, tried):
    tried([], "option memory_max 100m", "option cpu_max 150")
    row, path = lab.status("echo"), group_of(lab, "echo")
    assert 1 << 20 < row["memory"] < 100 << 20 and row["tasks"] >= len(row["pids"]) == 1
    assert (row["oom_kills"], row["tasks_refused"]) == (0, 0)
    limits = {
        "memory.max": str(100 << 20),
        "memory.swap.max": "0",
        "memory.oom.group": "1",
        "cpu.max": "150000 100000",
        "pids.max": "1024",
    }
    assert {name: (path / name).read_text().strip() for name in limits} == limits
    without = {"memory.max": "max", "memory.swap.max": "max", "memory.oom.group": "0", "cpu.max": "max 100000"}
    other = group_of(lab, "witness")
    assert {name: (other / name).read_text().strip() for name in without} == without


def test_nothing_is_counted_for_others_that_no_service_asks_for(lab):
    """A controller is enabled for all groups of the machine or for none."""
    for name in ("memory", "cpu"):
        GROUPS.joinpath("cgroup.subtree_control").write_text("-" + name)
    lab.configure(WITNESS)
    lab.viscum("up")
    counted = (GROUPS / "cgroup.subtree_control").read_text().split()
    assert "pids" in counted and "memory" not in counted and "cpu" not in counted
    row = lab.status("witness")
    assert row["memory"] is None and row["tasks"] >= 1 and row["cpu_usec"] > 0
    lab.viscum("down")


def test_a_limit_that_can_not_be_kept_is_told(lab):
    """As in a container, where what calls itself the root of all groups is none, and has processes in it."""
    lab.configure(service("echo", echo_command("edge", 7000), *TAKES, "list dest_port 7000", "option memory_max 64m"))
    GROUPS.joinpath("cgroup.subtree_control").write_text("+memory")
    (GROUPS / "in").mkdir()
    shell = 'echo $$ >%s/in/cgroup.procs; mount --bind %s/in %s; exec "$@"' % (GROUPS, GROUPS, GROUPS)
    words = ("unshare", "-m", "sh", "-ec", shell, "-", *lab.agent("viscum_agent"), "-c", lab.confdir, "up")
    result = lab.run(lab.router, *words, check=False, cwd=ROOT, env=lab.env())
    wait_for(lambda: not (GROUPS / "in/cgroup.procs").read_text())
    (GROUPS / "in").rmdir()  # a group that was made for the program is gone
    said = "memory_max: can't be kept here (Device or resource busy): take the option out, and the program runs without"
    assert result.returncode == 1 and said in result.stderr, result.stderr
