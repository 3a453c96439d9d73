"""The nf_tables codec, without a kernel: the messages it writes and what it makes of the kernel's answers.

The answers were recorded on Linux 6.18, x86-64, in a namespace where `nft` had run the commands of `nat_text` and
`pkttype_text`; each line below is one read of the netlink socket, in base64. Nothing in them was written by this codec.
"""

import base64
import errno
import struct
import sys

import pytest

from viscum_agent.errors import ViscumError
from viscum_agent.kernel import nftables
from viscum_agent.kernel.nftables import INET, NETDEV, NatRule, Unknown

RULES = (
    NatRule("203.0.113.0/24", "tcp", (443, 443), 8443),
    NatRule("2001:db8::/61", "udp", (5000, 5010), 0),
    NatRule("", "tcp", None, 8080),
)

# nft 1.0.6 (Debian 12): a range of ports is two comparisons.
NFT_1_0_6 = [
    (
        "PAAAAAAKAgAHAAAAtSkAAAEAAAkLAAEAdmlzY3VtAAAIAAMAAAAAAQwABAAAAAAAAAAAAQgAAgAAAAAAPAAAAAAKAgAHAAAAtSkAAAUA"
        "AAkLAAEAdmlzY3VtAAAIAAMAAAAAAQwABAAAAAAAAAAAAggAAgAAAAAA"
    ),
    "FAAAAAMAAgAHAAAAtSkAAAAAAAA=",
    (
        "cAAAAAMKAgAHAAAAtSkAAAEAAAkLAAEAdmlzY3VtAAAPAAMAcHJlcm91dGluZwAADAACAAAAAAAAAAABFAAEAAgAAQAAAAAACAACAP//"
        "/5wIAAUAAAAAAQgABwBuYXQACAAKAAAAAAEIAAYAAAAAA4wAAAADCgIABwAAALUpAAAFAAAJCwABAHZpc2N1bQAADAADAGluZ3Jlc3MA"
        "DAACAAAAAAAAAAABMAAEAAgAAQAAAAAACAACAAAAAAAQAAQACQABAGV0aDAAAAAACQADAGV0aDAAAAAACAAFAAAAAAELAAcAZmlsdGVy"
        "AAAIAAoAAAAAAQgABgAAAAAB"
    ),
    "FAAAAAMAAgAHAAAAtSkAAAAAAAA=",
    (
        "VAIAAAYKAggHAAAAtSkAAAEAAAkLAAEAdmlzY3VtAAAPAAIAcHJlcm91dGluZwAADAADAAAAAAAAAAACGAIEACQAAQAJAAEAbWV0YQAA"
        "AAAUAAIACAACAAAAAAYIAAEAAAAAATgAAQAIAAEAY21wACwAAgAIAAEAAAAAAQgAAgAAAAAAGAADABQAAQBldGgwAAAAAAAAAAAAAAAA"
        "JAABAAkAAQBtZXRhAAAAABQAAgAIAAIAAAAADwgAAQAAAAABLAABAAgAAQBjbXAAIAACAAgAAQAAAAABCAACAAAAAAAMAAMABQABAAIA"
        "AAA0AAEADAABAHBheWxvYWQAJAACAAgAAQAAAAABCAACAAAAAAEIAAMAAAAAEAgABAAAAAADLAABAAgAAQBjbXAAIAACAAgAAQAAAAAB"
        "CAACAAAAAAAMAAMABwABAMsAcQAkAAEACQABAG1ldGEAAAAAFAACAAgAAgAAAAAQCAABAAAAAAEsAAEACAABAGNtcAAgAAIACAABAAAA"
        "AAEIAAIAAAAAAAwAAwAFAAEABgAAADQAAQAMAAEAcGF5bG9hZAAkAAIACAABAAAAAAEIAAIAAAAAAggAAwAAAAACCAAEAAAAAAIsAAEA"
        "CAABAGNtcAAgAAIACAABAAAAAAEIAAIAAAAAAAwAAwAGAAEAAbsAACwAAQAOAAEAaW1tZWRpYXRlAAAAGAACAAgAAQAAAAABDAACAAYA"
        "AQAg+wAALAABAAoAAQByZWRpcgAAABwAAgAIAAEAAAAAAQgAAgAAAAABCAADAAAAAAK4AgAABgoCCAcAAAC1KQAAAQAACQsAAQB2aXNj"
        "dW0AAA8AAgBwcmVyb3V0aW5nAAAMAAMAAAAAAAAAAAMMAAYAAAAAAAAAAAJwAgQAJAABAAkAAQBtZXRhAAAAABQAAgAIAAIAAAAABggA"
        "AQAAAAABOAABAAgAAQBjbXAALAACAAgAAQAAAAABCAACAAAAAAAYAAMAFAABAGV0aDAAAAAAAAAAAAAAAAAkAAEACQABAG1ldGEAAAAA"
        "FAACAAgAAgAAAAAPCAABAAAAAAEsAAEACAABAGNtcAAgAAIACAABAAAAAAEIAAIAAAAAAAwAAwAFAAEACgAAADQAAQAMAAEAcGF5bG9h"
        "ZAAkAAIACAABAAAAAAEIAAIAAAAAAQgAAwAAAAAYCAAEAAAAABBkAAEADAABAGJpdHdpc2UAVAACAAgAAQAAAAABCAACAAAAAAEIAAMA"
        "AAAAEAgABgAAAAAAGAAEABQAAQD/////////+AAAAAAAAAAAGAAFABQAAQAAAAAAAAAAAAAAAAAAAAAAOAABAAgAAQBjbXAALAACAAgA"
        "AQAAAAABCAACAAAAAAAYAAMAFAABACABDbgAAAAAAAAAAAAAAAAkAAEACQABAG1ldGEAAAAAFAACAAgAAgAAAAAQCAABAAAAAAEsAAEA"
        "CAABAGNtcAAgAAIACAABAAAAAAEIAAIAAAAAAAwAAwAFAAEAEQAAADQAAQAMAAEAcGF5bG9hZAAkAAIACAABAAAAAAEIAAIAAAAAAggA"
        "AwAAAAACCAAEAAAAAAIsAAEACAABAGNtcAAgAAIACAABAAAAAAEIAAIAAAAABQwAAwAGAAEAE4gAACwAAQAIAAEAY21wACAAAgAIAAEA"
        "AAAAAQgAAgAAAAADDAADAAYAAQATkgAAFAABAAoAAQByZWRpcgAAAAQAAgBQAQAABgoCCAcAAAC1KQAAAQAACQsAAQB2aXNjdW0AAA8A"
        "AgBwcmVyb3V0aW5nAAAMAAMAAAAAAAAAAAQMAAYAAAAAAAAAAAMIAQQAJAABAAkAAQBtZXRhAAAAABQAAgAIAAIAAAAABggAAQAAAAAB"
        "OAABAAgAAQBjbXAALAACAAgAAQAAAAABCAACAAAAAAAYAAMAFAABAGV0aDAAAAAAAAAAAAAAAAAkAAEACQABAG1ldGEAAAAAFAACAAgA"
        "AgAAAAAQCAABAAAAAAEsAAEACAABAGNtcAAgAAIACAABAAAAAAEIAAIAAAAAAAwAAwAFAAEABgAAACwAAQAOAAEAaW1tZWRpYXRlAAAA"
        "GAACAAgAAQAAAAABDAACAAYAAQAfkAAALAABAAoAAQByZWRpcgAAABwAAgAIAAEAAAAAAQgAAgAAAAABCAADAAAAAAKMAAAABgoCCAcA"
        "AAC1KQAABQAACQsAAQB2aXNjdW0AAAwAAgBpbmdyZXNzAAwAAwAAAAAAAAAAAlQABAAsAAEADgABAGltbWVkaWF0ZQAAABgAAgAIAAEA"
        "AAAAAQwAAgAFAAEAAAAAACQAAQAJAAEAbWV0YQAAAAAUAAIACAACAAAAABMIAAMAAAAAAQ=="
    ),
    "FAAAAAMAAgAHAAAAtSkAAAAAAAA=",
]

# nft 1.1.3 (Debian 13): a range of ports is one `range` expression.
NFT_1_1_3 = [
    (
        "PAAAAAAKAgAHAAAA9CkAAAEAAAkLAAEAdmlzY3VtAAAIAAMAAAAAAQwABAAAAAAAAAAAAQgAAgAAAAAAPAAAAAAKAgAHAAAA9CkAAAUA"
        "AAkLAAEAdmlzY3VtAAAIAAMAAAAAAQwABAAAAAAAAAAAAggAAgAAAAAA"
    ),
    "FAAAAAMAAgAHAAAA9CkAAAAAAAA=",
    (
        "cAAAAAMKAgAHAAAA9CkAAAEAAAkLAAEAdmlzY3VtAAAPAAMAcHJlcm91dGluZwAADAACAAAAAAAAAAABFAAEAAgAAQAAAAAACAACAP//"
        "/5wIAAUAAAAAAQgABwBuYXQACAAKAAAAAAEIAAYAAAAAA4wAAAADCgIABwAAAPQpAAAFAAAJCwABAHZpc2N1bQAADAADAGluZ3Jlc3MA"
        "DAACAAAAAAAAAAABMAAEAAgAAQAAAAAACAACAAAAAAAQAAQACQABAGV0aDAAAAAACQADAGV0aDAAAAAACAAFAAAAAAELAAcAZmlsdGVy"
        "AAAIAAoAAAAAAQgABgAAAAAB"
    ),
    "FAAAAAMAAgAHAAAA9CkAAAAAAAA=",
    (
        "VAIAAAYKAggHAAAA9CkAAAEAAAkLAAEAdmlzY3VtAAAPAAIAcHJlcm91dGluZwAADAADAAAAAAAAAAACGAIEACQAAQAJAAEAbWV0YQAA"
        "AAAUAAIACAACAAAAAAYIAAEAAAAAATgAAQAIAAEAY21wACwAAgAIAAEAAAAAAQgAAgAAAAAAGAADABQAAQBldGgwAAAAAAAAAAAAAAAA"
        "JAABAAkAAQBtZXRhAAAAABQAAgAIAAIAAAAADwgAAQAAAAABLAABAAgAAQBjbXAAIAACAAgAAQAAAAABCAACAAAAAAAMAAMABQABAAIA"
        "AAA0AAEADAABAHBheWxvYWQAJAACAAgAAQAAAAABCAACAAAAAAEIAAMAAAAAEAgABAAAAAADLAABAAgAAQBjbXAAIAACAAgAAQAAAAAB"
        "CAACAAAAAAAMAAMABwABAMsAcQAkAAEACQABAG1ldGEAAAAAFAACAAgAAgAAAAAQCAABAAAAAAEsAAEACAABAGNtcAAgAAIACAABAAAA"
        "AAEIAAIAAAAAAAwAAwAFAAEABgAAADQAAQAMAAEAcGF5bG9hZAAkAAIACAABAAAAAAEIAAIAAAAAAggAAwAAAAACCAAEAAAAAAIsAAEA"
        "CAABAGNtcAAgAAIACAABAAAAAAEIAAIAAAAAAAwAAwAGAAEAAbsAACwAAQAOAAEAaW1tZWRpYXRlAAAAGAACAAgAAQAAAAABDAACAAYA"
        "AQAg+wAALAABAAoAAQByZWRpcgAAABwAAgAIAAEAAAAAAQgAAgAAAAABCAADAAAAAAKcAgAABgoCCAcAAAD0KQAAAQAACQsAAQB2aXNj"
        "dW0AAA8AAgBwcmVyb3V0aW5nAAAMAAMAAAAAAAAAAAMMAAYAAAAAAAAAAAJUAgQAJAABAAkAAQBtZXRhAAAAABQAAgAIAAIAAAAABggA"
        "AQAAAAABOAABAAgAAQBjbXAALAACAAgAAQAAAAABCAACAAAAAAAYAAMAFAABAGV0aDAAAAAAAAAAAAAAAAAkAAEACQABAG1ldGEAAAAA"
        "FAACAAgAAgAAAAAPCAABAAAAAAEsAAEACAABAGNtcAAgAAIACAABAAAAAAEIAAIAAAAAAAwAAwAFAAEACgAAADQAAQAMAAEAcGF5bG9h"
        "ZAAkAAIACAABAAAAAAEIAAIAAAAAAQgAAwAAAAAYCAAEAAAAABBkAAEADAABAGJpdHdpc2UAVAACAAgAAQAAAAABCAACAAAAAAEIAAMA"
        "AAAAEAgABgAAAAAAGAAEABQAAQD/////////+AAAAAAAAAAAGAAFABQAAQAAAAAAAAAAAAAAAAAAAAAAOAABAAgAAQBjbXAALAACAAgA"
        "AQAAAAABCAACAAAAAAAYAAMAFAABACABDbgAAAAAAAAAAAAAAAAkAAEACQABAG1ldGEAAAAAFAACAAgAAgAAAAAQCAABAAAAAAEsAAEA"
        "CAABAGNtcAAgAAIACAABAAAAAAEIAAIAAAAAAAwAAwAFAAEAEQAAADQAAQAMAAEAcGF5bG9hZAAkAAIACAABAAAAAAEIAAIAAAAAAggA"
        "AwAAAAACCAAEAAAAAAI8AAEACgABAHJhbmdlAAAALAACAAgAAQAAAAABCAACAAAAAAAMAAMABgABABOIAAAMAAQABgABABOSAAAUAAEA"
        "CgABAHJlZGlyAAAABAACAFABAAAGCgIIBwAAAPQpAAABAAAJCwABAHZpc2N1bQAADwACAHByZXJvdXRpbmcAAAwAAwAAAAAAAAAABAwA"
        "BgAAAAAAAAAAAwgBBAAkAAEACQABAG1ldGEAAAAAFAACAAgAAgAAAAAGCAABAAAAAAE4AAEACAABAGNtcAAsAAIACAABAAAAAAEIAAIA"
        "AAAAABgAAwAUAAEAZXRoMAAAAAAAAAAAAAAAACQAAQAJAAEAbWV0YQAAAAAUAAIACAACAAAAABAIAAEAAAAAASwAAQAIAAEAY21wACAA"
        "AgAIAAEAAAAAAQgAAgAAAAAADAADAAUAAQAGAAAALAABAA4AAQBpbW1lZGlhdGUAAAAYAAIACAABAAAAAAEMAAIABgABAB+QAAAsAAEA"
        "CgABAHJlZGlyAAAAHAACAAgAAQAAAAABCAACAAAAAAEIAAMAAAAAAowAAAAGCgIIBwAAAPQpAAAFAAAJCwABAHZpc2N1bQAADAACAGlu"
        "Z3Jlc3MADAADAAAAAAAAAAACVAAEACwAAQAOAAEAaW1tZWRpYXRlAAAAGAACAAgAAQAAAAABDAACAAUAAQAAAAAAJAABAAkAAQBtZXRh"
        "AAAAABQAAgAIAAIAAAAAEwgAAwAAAAAB"
    ),
    "FAAAAAMAAgAHAAAA9CkAAAAAAAA=",
]

RECORDED = {"nft 1.0.6": NFT_1_0_6, "nft 1.1.3": NFT_1_1_3}

little_endian = pytest.mark.skipif(sys.byteorder == "big", reason="the recordings are of a little-endian machine")

BEGIN, END, NEWTABLE, DELTABLE, NEWCHAIN, NEWRULE, GETRULE = 0x10, 0x11, 0xA00, 0xA02, 0xA03, 0xA06, 0xA07
REQUEST, ACK = 0x1, 0x4


def recorded(name="nft 1.0.6"):
    return [base64.b64decode(text) for text in RECORDED[name]]


def headers(data):
    """(length, type, flags, seq) of each netlink message."""
    found, offset = [], 0
    while offset < len(data):
        found.append(struct.unpack_from("=IHHI", data, offset))
        offset += found[-1][0]
    assert offset == len(data)
    return found


def changed(old, new, count=1):
    """The recorded answers with some bytes replaced by as many others."""
    assert len(old) == len(new)
    whole = recorded()
    assert sum(part.count(old) for part in whole) == count
    return [part.replace(old, new) for part in whole]


# Reading


@little_endian
@pytest.mark.parametrize("name", RECORDED)
def test_what_nft_made_of_our_text_reads_as_the_rules_that_the_text_says(name):
    assert nftables.decode(recorded(name)) == (RULES, True)


def test_no_answers_mean_no_tables():
    done = struct.pack("=IHHIIi", 20, 3, 2, 7, 0, 0)
    assert nftables.decode([done, done, done]) == (None, False)


@little_endian
def test_messages_may_come_in_one_buffer_or_in_many():
    assert nftables.decode([b"".join(recorded())]) == (RULES, True)


@little_endian
def test_tables_of_other_names_are_not_ours():
    assert nftables.decode(changed(b"viscum\0", b"viscus\0", count=8)) == (None, False)


@little_endian
@pytest.mark.parametrize(
    "what, old, new, count",
    [
        ("another port", struct.pack(">H", 8443), struct.pack(">H", 8444), 1),
        ("another address", bytes([203, 0, 113]), bytes([203, 0, 114]), 1),
        ("another device", b"eth0\0\0\0\0\0\0\0", b"eth1\0\0\0\0\0\0\0", 3),
        ("an unknown expression", b"redir\0", b"masqu\0", 3),
        ("another type of chain", b"\x07\0nat\0", b"\x07\0nat2", 1),
        ("another priority", struct.pack(">i", -100), struct.pack(">i", -101), 1),
        ("a rule less than the chain counts", b"\x06\0\0\0\0\x03", b"\x06\0\0\0\0\x04", 1),
    ],
)
def test_any_difference_shows(what, old, new, count):
    rules, pkttype = nftables.decode(changed(old, new, count))
    assert rules != RULES
    assert pkttype is True


@little_endian
def test_what_is_not_ours_is_named_in_its_place():
    first, *others = nftables.decode(changed(b"redir\0", b"masqu\0", count=3))[0]
    assert first == Unknown(
        "inet viscum", "a rule of meta, cmp, meta, cmp, payload, cmp, meta, cmp, payload, cmp, immediate, masqu"
    )
    assert len(others) == 2


@little_endian
def test_another_packet_type_is_neither_there_nor_absent():
    # "immediate" loads PACKET_HOST, a single 0 byte; 3 is PACKET_OTHERHOST.
    pkttype = nftables.decode(changed(b"\x05\0\x01\0\0\0\0\0", b"\x05\0\x01\0\x03\0\0\0"))[1]
    assert pkttype == Unknown("netdev viscum", "rules other than `meta pkttype set host`")
    assert pkttype is not True and pkttype is not False


@little_endian
def test_the_packet_type_of_another_device_is_not_what_was_asked():
    assert nftables.decode(recorded(), dev="eth1")[1] not in (True, False)


@little_endian
def test_a_dump_during_which_something_changed_equals_nothing():
    parts = recorded()
    done = bytearray(parts[-1])
    done[6] |= 0x10  # NLM_F_DUMP_INTR
    rules, pkttype = nftables.decode(parts[:-1] + [bytes(done)])
    assert rules == (Unknown("nftables", "changed while it was read"),)
    assert pkttype not in (True, False)


def error_about(kind, code):
    """An NLMSG_ERROR: the error number and the header of the message that it is about."""
    about = struct.pack("=IHHII", 20, kind, 1, 7, 0)
    return struct.pack("=IHHIIi", 36, 2, 0, 7, 0, -code) + about


@pytest.mark.parametrize(
    "message",
    [
        error_about(GETRULE, errno.EPERM),
        struct.pack("=IHHIIi", 20, 3, 2, 7, 0, -errno.EPERM),  # NLMSG_DONE
    ],
    ids=["NLMSG_ERROR", "NLMSG_DONE"],
)
def test_an_error_of_a_dump_is_raised(message):
    with pytest.raises(OSError, match="nf_tables dump") as caught:
        nftables.decode([message])
    assert caught.value.errno == errno.EPERM


@little_endian
@pytest.mark.parametrize("kind", [BEGIN, NEWRULE])
def test_what_a_refused_batch_left_in_the_socket_is_no_error_of_the_dump(kind):
    assert nftables.decode([error_about(kind, errno.ENOENT), *recorded()]) == (RULES, True)


@little_endian
def test_an_answer_that_is_cut_short_is_an_error():
    with pytest.raises(ViscumError):
        nftables.decode([recorded()[0][:-4]])


@little_endian
def test_a_chain_whose_name_is_no_text_is_none_of_ours():
    """Whoever may make rules in there may call a chain anything."""
    rules, pkttype = nftables.decode(changed(b"ingress\0", b"ingres\xff\0", count=2))
    assert (rules, pkttype) == (RULES, Unknown("netdev viscum", "another chain than `ingress`"))


# Writing


@pytest.mark.parametrize(
    "batch, rules",
    [
        (nftables.nat_batch((), 9), 0),
        (nftables.nat_batch(RULES, 9), 3),
        (nftables.pkttype_batch(9), 1),
    ],
)
def test_a_batch_creates_deletes_and_creates_the_table_and_its_last_command_asks_for_the_answer(batch, rules):
    messages = headers(batch)
    assert [kind for _, kind, _, _ in messages] == (
        [BEGIN, NEWTABLE, DELTABLE, NEWTABLE, NEWCHAIN] + [NEWRULE] * rules + [END]
    )
    assert {seq for _, _, _, seq in messages} == {9}
    assert all(flags & REQUEST for _, _, flags, _ in messages)
    assert [bool(flags & ACK) for _, _, flags, _ in messages] == [False] * (len(messages) - 2) + [True, False]


@pytest.mark.parametrize("family", [INET, NETDEV])
def test_deleting_succeeds_without_a_table_too(family):
    messages = headers(nftables.delete_batch(family, 9))
    assert [kind for _, kind, _, _ in messages] == [BEGIN, NEWTABLE, DELTABLE, END]
    assert [bool(flags & ACK) for _, _, flags, _ in messages] == [False, False, True, False]


def test_dumps_are_asked_for_one_by_one():
    for request in nftables.dump_requests(9):
        assert len(headers(request)) == 1


@pytest.mark.parametrize(
    "rule, text",
    [
        (RULES[0], 'iifname "eth0" ip daddr 203.0.113.0/24 tcp dport 443 redirect to :8443'),
        (RULES[1], 'iifname "eth0" ip6 daddr 2001:db8::/61 udp dport 5000-5010 redirect'),
        (RULES[2], 'iifname "eth0" meta l4proto tcp redirect to :8080'),
        (NatRule("", "", None, 0), 'iifname "eth0" redirect'),
        (NatRule("0.0.0.0/0", "", None, 0), 'iifname "eth0" meta nfproto ipv4 redirect'),
        (NatRule("::/0", "udp", (53, 53), 0), 'iifname "eth0" meta nfproto ipv6 udp dport 53 redirect'),
    ],
)
def test_a_rule_reads_as_a_person_would_write_it(rule, text):
    assert nftables.rule_text(rule) == text
    assert nftables.nat_text([rule])[-1] == "nft add rule inet viscum prerouting '%s'" % text


@pytest.mark.parametrize(
    "rule",
    [
        NatRule("", "", (443, 443), 0),
        NatRule("", "", None, 8443),
        NatRule("", "icmp", None, 0),
        NatRule("", "tcp", (20, 10), 0),
        NatRule("", "tcp", (0, 10), 0),
        NatRule("", "tcp", (10, 65536), 0),
        NatRule("", "tcp", None, 65536),
        NatRule("203.0.113.10", "tcp", None, 0),
        NatRule("2001:DB8::/64", "tcp", None, 0),
    ],
)
def test_a_rule_that_would_never_read_back_the_same_is_refused(rule):
    with pytest.raises(ViscumError):
        nftables.nat_batch([rule], 1)
    with pytest.raises(ViscumError):
        nftables.nat_text([rule])


# Errors


@pytest.mark.parametrize("code", [errno.ENOENT, errno.EOPNOTSUPP])
def test_a_missing_module_is_named_with_its_package(code):
    assert "kmod-nft-nat" in nftables.error_text(code, INET)
    assert "kmod-nft-netdev" in nftables.error_text(code, NETDEV)


def test_other_errors_speak_for_themselves():
    assert nftables.error_text(errno.EPERM, INET) == ""
