"""What was found by fuzzing, and by reading the readers as somebody who means harm."""

import socket
import struct
import time

import pytest

from viscum_agent import compat
from viscum_agent.config import service, uci
from viscum_agent.errors import ViscumError, problem_text
from viscum_agent.kernel import cgroup, codec, rtnl
from viscum_agent.kernel.netlink import Socket
from viscum_agent.ubus.codes import UbusStatus
from viscum_agent.ubus_object import preview


def named(name, **options):
    return dict({".type": "service", ".name": name}, **options)


def test_a_number_that_the_end_of_a_long_list_cuts_is_no_process(tmp_path, monkeypatch):
    """Of 40,000 processes of a service the last was read as the beginning of its number: somebody else's process."""
    group = tmp_path / "a.tag"
    group.mkdir()
    (group / "cgroup.procs").write_text("100001\n" * (cgroup.MOST // 7) + "234567\n")
    monkeypatch.setattr(cgroup, "_folder", [str(tmp_path)])
    assert set(cgroup.pids("a")) == {100001}


def test_nobody_but_the_kernel_answers_on_a_netlink_socket():
    """A program with CAP_NET_ADMIN in its namespace sent two bytes as an answer, and every look of the agent failed."""
    ours = Socket(compat.NETLINK_ROUTE)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, compat.NETLINK_ROUTE) as other:
        answer = struct.pack("IHHII", 18, codec.NLMSG_ERROR, 0, 1, 0) + b"xx"
        with pytest.raises((ConnectionRefusedError, PermissionError)):
            other.sendto(answer, (ours._socket.getsockname()[0], 0))
    assert ours.dump(rtnl.link_dump)
    ours.close()


def test_an_answer_that_is_cut_short_is_an_error_of_ours():
    whole = codec.message(codec.NLMSG_ERROR, codec.NLM_F_ACK_TLVS, struct.pack("iI", -1, 36) + bytes(12), 1)[16:]
    for size in range(8):
        with pytest.raises(ViscumError):
            codec.error(codec.NLM_F_ACK_TLVS, whole[:size])


def test_more_sections_than_there_are_accounts_end_nothing():
    """`check` with 20,001 sections, which fit one message, looked for ever for an account that nobody has."""
    with pytest.raises(UbusStatus):
        preview.read([named("a%d" % number) for number in range(20001)], "viscum")
    with pytest.raises(UbusStatus):
        preview.read([named("a") for number in range(20001)], "viscum")


def test_what_is_as_large_as_the_largest_file_can_be_asked():
    rows = [named("a", env=["A%d=%s" % (number, "b" * 1000) for number in range(120)])]
    assert preview.read(rows, "viscum").problems
    rows[0]["env"] *= 2
    with pytest.raises(UbusStatus):
        preview.read(rows, "viscum")


def test_the_largest_file_is_judged_in_seconds_and_the_problems_are_not_larger():
    """Each redirect section without its service named all services: 120 MB from a file of 128 kB."""
    worst = [
        "".join(["c service a%d\n" % number for number in range(3400)]) + "c redirect\n" * 7000,
        "c service a\n" + "".join(["l env A%d=\n" % number for number in range(9000)]),
        "c service a\no command '%s'\n" % ("/a" * 60000),
        "c service a\n" + "c redirect\no service a\no dest_port 1\no target_port 2\n" * 2300,
    ]
    for text in worst:
        assert len(text) <= uci.MAX_SIZE
        began = time.process_time()
        found = service.read(uci.parse(text.encode(), "viscum"))
        assert time.process_time() - began < 5
        assert sum([len(problem_text(problem)) for problem in found.problems]) < 40 * uci.MAX_SIZE


def test_a_message_names_some_of_the_services_that_there_are():
    sections = [uci.Section("service", "a%d" % number, False, {}, 1) for number in range(30)]
    sections.append(uci.Section("redirect", "r", False, {"service": "b"}, 1))
    (text,) = [problem.message for problem in service.read(sections).problems if problem.where == "viscum.r.service"]
    assert text.startswith("'b' is no service section; there are: a0, a1, ") and text.endswith("a19, ...")


def test_control_groups_are_not_made_in_a_place_whose_name_is_no_text(monkeypatch):
    """One such mount on the router, of anybody's, and every start and every look of the agent failed."""
    lines = b"none /g\xff cgroup2 rw 0 0\nnone  cgroup2 rw 0 0\nnone /sys/fs/cgroup cgroup2 rw 0 0\n"
    monkeypatch.setattr(cgroup, "_read", lambda path: lines)
    assert cgroup._mount_point() == "/sys/fs/cgroup"
