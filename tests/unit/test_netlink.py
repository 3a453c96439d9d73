"""Dumps of a real kernel, by rtnetlink(7); reading needs no rights."""

import errno
import struct

import pytest

from viscum_agent import compat
from viscum_agent.kernel import codec, rtnl
from viscum_agent.kernel.netlink import PIPELINE, Socket

RTM_GETROUTE, NLM_F_REQUEST, NLM_F_DUMP = 26, 1, 0x300  # linux/rtnetlink.h, linux/netlink.h
AF_INET, NO_SUCH_TABLE = 2, 233


def test_a_dump_that_the_kernel_does_not_finish_is_an_error_and_not_an_empty_one():
    """The error of a dump that has begun is in its NLMSG_DONE (netlink_dump_done in net/netlink/af_netlink.c), here
    that of a table that is not there (inet_dump_fib in net/ipv4/fib_frontend.c)."""
    asking = Socket(compat.NETLINK_ROUTE, strict=True)
    try:
        body = struct.pack("=8BI", AF_INET, 0, 0, 0, NO_SUCH_TABLE, 0, 0, 0, 0)
        head = lambda seq: struct.pack("=IHHII", 28, RTM_GETROUTE, NLM_F_REQUEST | NLM_F_DUMP, seq, 0)  # noqa: E731
        with pytest.raises(OSError, match=".") as raised:
            asking.dump(lambda seq: head(seq) + body)
        assert raised.value.errno == errno.ENOENT
    finally:
        asking.close()


@pytest.fixture
def older(monkeypatch):
    """A kernel before 4.2, 4.12 and 4.20: numbers of options that no kernel has stand for those that it lacks."""
    for name in ("NETLINK_CAP_ACK", "NETLINK_EXT_ACK", "NETLINK_GET_STRICT_CHK"):
        monkeypatch.setattr(compat, name, 99)


def test_a_kernel_without_the_newer_options_of_a_socket_answers_by_numbers(older):
    """What failed is then in the copy of the request that follows the error; words there are none."""
    asking = Socket(compat.NETLINK_ROUTE, strict=True)
    try:
        assert asking.ask(lambda seq: rtnl.link_get("lo", seq)) is not None
        assert asking.ask(lambda seq: rtnl.link_get("nosuchdevice", seq)) is None
        code, words = asking.transact([lambda seq: rtnl.link_set("nosuchdevice", seq)])[0]
        assert (code in (errno.ENODEV, errno.EPERM), words) == (True, "")
        assert [rtnl.parse_link("", body).name for body in asking.dump(rtnl.link_dump)][0] == "lo"
    finally:
        asking.close()


def test_what_an_error_says_in_words_is_read_where_the_kernel_has_them():
    """The other half of the above: with the options there are words, or that test would prove nothing."""
    asking = Socket(compat.NETLINK_ROUTE)
    try:
        short = bytes(16) + codec.attribute(rtnl.IFLA_MTU, b"\1")  # struct ifinfomsg, a number of too few bytes
        results = asking.transact([lambda seq: codec.message(rtnl.RTM_NEWLINK, codec.NLM_F_ACK, short, seq)])
        assert results[0][1] != ""
    finally:
        asking.close()


def test_an_error_in_the_middle_is_of_the_request_that_it_was_about():
    """Of many that are sent in one go the kernel acknowledges only the last, and it goes on after an error."""
    asking = Socket(compat.NETLINK_ROUTE)
    names = ["lo", "nosuchdevice", *["lo"] * PIPELINE, "nosuchdevice", "lo", "nosuchdevice"]
    try:
        results = asking.transact([_exists(name) for name in names])
        assert [code for code, words in results] == [0 if name == "lo" else errno.ENODEV for name in names]
    finally:
        asking.close()


def _exists(name):
    body = bytes(16) + codec.attribute(rtnl.IFLA_IFNAME, name.encode() + b"\0")  # struct ifinfomsg first
    return lambda seq: codec.message(rtnl.RTM_GETLINK, codec.NLM_F_ACK, body, seq)
