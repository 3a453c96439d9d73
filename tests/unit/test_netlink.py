"""Dumps of a real kernel, by rtnetlink(7); reading needs no rights."""

import errno
import struct

import pytest

from viscum_agent import compat
from viscum_agent.kernel.netlink import Socket

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
