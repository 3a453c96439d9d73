"""Our rtnetlink messages, byte by byte, against what ip(8) and tc(8) send for the commands that `viscum plan` prints.

So three things are held together: the operation, the line of text for it, and the message for it.

recorded/iproute2.txt has pairs of lines, a command and the message that it sent last, in hex: iproute2 6.1.0 on Linux
6.18, x86-64, each command run by `strace -e trace=sendmsg -e write=all` in a network namespace with the devices lan0
(70) and vsc-a, and a namespace viscum-a. A message is recorded whether or not the kernel could do what it asks for.
recorded/iproute2_big.txt has the same of a big-endian processor: iproute2 6.1.0 for s390x in qemu's emulation of a
process, recorded at its sendmsg(3). It counts where these tests are run by such a processor (tests/bigendian).
"""

import struct
import sys
from pathlib import Path

import pytest
from unit import messages
from unit.messages import CLIENTS, DIRECT, LINK, OPERATIONS, PAIR

from viscum_agent.kernel import codec, rtnl, tc
from viscum_agent.kernel import commands as script
from viscum_agent.records import with_
from viscum_agent.records.objects import CLASSID, MARK_PRIO, MARK_PROTOCOL, PROTOCOLS

RECORDED = Path(__file__).parent / ("recorded/iproute2%s.txt" % ("_big" if sys.byteorder == "big" else ""))
LINES = RECORDED.read_text().splitlines()
MESSAGES = dict(zip(LINES[::2], [bytes.fromhex(line) for line in LINES[1::2]], strict=True))

little_endian = pytest.mark.skipif(sys.byteorder == "big", reason="the answers are of a little-endian machine")

# What a big-endian machine says to the commands of direct replies and of clients was not recorded.
ALL = OPERATIONS if sys.byteorder == "big" else OPERATIONS + DIRECT + CLIENTS

LAN0 = 70  # the index that the recordings were made with; those of vsc-a and eth0 are in the messages
FD = 4  # the descriptor of the namespace that `ip` had


def index_in(recorded):
    """The device's index in a recorded message of an address (ifaddrmsg), or of an attribute with RTA_OIF."""
    kind, body = struct.unpack_from("H", recorded, 4)[0], recorded[16:]
    if kind in (20, 21):
        return struct.unpack_from("I", body, 4)[0]
    return codec.u32_of(codec.attributes(body, 12)[rtnl.RTA_OIF])


def hook_in(recorded):
    """The index of eth0 in a recorded message about its hook (tcmsg)."""
    return struct.unpack_from("i", recorded, 20)[0]


def mirred_index(recorded):
    """The index of vsc-a in the recorded action that redirects."""
    for number in find(tree(recorded), "mirred"):
        return number
    return 0


def find(node, kind):
    """The index that the mirred actions in a tree lead to."""
    for value in node.values():
        if isinstance(value, dict):
            if value.get(tc.TCA_ACT_KIND) == kind.encode() + b"\0":
                yield struct.unpack_from("I", value[tc.TCA_ACT_OPTIONS][tc.TCA_PARMS], 24)[0]
            yield from find(value, kind)


def requests(operation, recorded):
    """The messages that we send for an operation, in the order of its command lines. As kernel/native.py does it."""
    item = operation.new or operation.old
    name = "%s_%s" % (operation.verb, type(item).__name__.lower())
    first = recorded[0]
    index_of = {"vsc-a": mirred_index(first)}.get
    return {
        "add_up": lambda: [rtnl.link_set(item.dev, 1, alias="viscum a")],
        "add_pair": lambda: [
            rtnl.pair_add(item, FD, 1),
            rtnl.link_set(item.peer, 1),
            rtnl.link_set(item.name, 1, alias=item.alias),
        ],
        "change_pair": lambda: in_order_of_mtu(operation),
        "add_address": lambda: [rtnl.address_add(index_in(first), item.address, 1)],
        "del_address": lambda: [rtnl.address_del(index_in(first), item.address, 1)],
        "add_route": lambda: [rtnl.route_add(item, index_in(first), 1)],
        "change_route": lambda: [rtnl.route_replace(item, index_in(first), 1)],
        "del_route": lambda: [rtnl.route_del(item, index_in(first), 1)],
        "add_rule": lambda: [rtnl.rule_add(item, 1)],
        "del_rule": lambda: [rtnl.rule_del(item, 1)],
        "add_anylocal": lambda: [request(1) for request in rtnl.any_local_add(item)],
        "del_anylocal": lambda: [request(1) for request in rtnl.any_local_del(item.family)],
        "add_counting": lambda: [request(1) for request in tc.hook_add(item.filters, hook_in(first))],
        "del_counting": lambda: [tc.clsact_del(hook_in(first), 1)],
        "add_qdisc": lambda: [tc.clsact_add(LAN0, 1), tc.mark_add(LAN0, 1)],
        "del_qdisc": lambda: [tc.clsact_del(LAN0, 1)],
        "del_mark": lambda: [tc.mark_del(LAN0, 1)],
        "add_hashtable": lambda: [tc.hash_table_add(item, LAN0, 1), tc.hash_link_add(item, LAN0, 1)],
        "del_hashtable": lambda: [tc.hash_link_del(item, LINK, LAN0, 1), tc.hash_table_del(item, LAN0, 1)],
        "del_prio": lambda: [tc.prio_del(item, LAN0, 1)],
        "add_filter": lambda: [tc.filter_add(item, LAN0, index_of, 1)],
        "change_filter": lambda: [tc.filter_replace(item, operation.handle, LAN0, index_of, 1)],
        "del_filter": lambda: [tc.filter_del(item, operation.handle, LAN0, 1)],
    }[name]()


def in_order_of_mtu(operation):
    item = operation.new
    host = rtnl.link_set(item.name, 1, True, item.mtu, item.mac, item.alias)
    inner = rtnl.link_set(item.peer, 1, True, item.mtu, item.peer_mac)
    return [inner, host] if item.mtu >= operation.old.mtu else [host, inner]


# Messages as trees: the order of attributes means nothing to the kernel, nor whether a nest is marked as one.

IFLA, TCA = "ifla", "tca"
NESTS = {
    IFLA: {rtnl.IFLA_LINKINFO: "info"},
    "info": {rtnl.IFLA_INFO_DATA: "veth"},
    "veth": {rtnl.VETH_INFO_PEER: "peer"},
    TCA: {tc.TCA_OPTIONS: "options"},
    "u32": {tc.TCA_U32_ACT: "actions"},
    "flower": {tc.TCA_FLOWER_ACT: "actions"},
    "actions": dict.fromkeys(range(1, 33), "action"),
    "action": {tc.TCA_ACT_OPTIONS: "action options"},
}
FIXED = {16: 16, 20: 8, 24: 12, 32: 12, 36: 20, 44: 20}  # sizes of the fixed part, by the NEW of each kind


def tree(message):
    """{"head": (type, flags, fixed part), attribute: bytes or {attribute: ...}} of a whole message."""
    _, kind, flags = struct.unpack_from("IHH", message, 0)
    new = kind & ~3
    fixed = FIXED[new]
    names = {16: IFLA, 36: TCA, 44: TCA}
    found = branch(message[16:], fixed, names.get(new, ""))
    found["head"] = (kind, flags, message[16 : 16 + fixed])
    return found


def branch(data, start, name):
    found = {}
    values = codec.attributes(data, start)
    for key, value in values.items():
        nest = NESTS.get(name, {}).get(key)
        if nest == "options":
            nest = codec.text_of(values[tc.TCA_KIND])
        if nest == "peer":
            found[key] = {"head": value[:16], **branch(value, 16, IFLA)}
        else:
            found[key] = branch(value, 0, nest) if nest else value
    return found


def alike(one):  # noqa: C901 (a list of exceptions, none of which leads to another)
    """A tree without what means nothing to the kernel; each with its reason."""
    kind, flags, fixed = one["head"]
    if kind == tc.RTM_NEWTFILTER and not flags & codec.NLM_F_EXCL:
        flags |= codec.NLM_F_REPLACE  # `tc filter replace` leaves it out; only EXCL is looked at (cls_api.c)
    if kind in (tc.RTM_NEWTFILTER, tc.RTM_DELTFILTER) and one.get(tc.TCA_KIND) == b"flower\0":
        options = one.get(tc.TCA_OPTIONS, {})
        options.pop(tc.TCA_FLOWER_FLAGS, None)  # 0, the default
        for _, mask in [each for port in tc.TCA_FLOWER_PORTS.values() for each in port.single.values()]:
            assert options.pop(mask, b"\xff\xff") == b"\xff\xff"  # all of the port, the default
        if kind == tc.RTM_DELTFILTER:
            one.pop(tc.TCA_OPTIONS, None)  # not looked at
    if kind in (rtnl.RTM_NEWLINK, rtnl.RTM_DELLINK):
        fixed = fixed[:4] + bytes(4) + fixed[8:]  # the index: `ip` looks it up first and leaves out the name
        for key in (rtnl.IFLA_IFNAME, rtnl.IFLA_IFALIAS):
            if key in one:
                one[key] = one[key].rstrip(b"\0")  # NUL at the end or not
        if not flags & codec.NLM_F_CREATE:
            one.pop(rtnl.IFLA_IFNAME, None)
        if kind == rtnl.RTM_NEWLINK and rtnl.IFLA_IFALIAS in one:
            fixed = fixed[:8] + struct.pack("II", 1, 1)  # an alias is set on what is up, or comes up with it
    if kind == rtnl.RTM_DELADDR:
        fixed = fixed[:2] + bytes(1) + fixed[3:]  # flags
    if kind in (rtnl.RTM_NEWROUTE, rtnl.RTM_DELROUTE) and fixed[1] == 0:
        one.pop(rtnl.RTA_DST, None)  # "::/0" or no destination at all
    if kind == rtnl.RTM_DELROUTE:
        fixed = fixed[:7] + bytes(1) + fixed[8:]  # the type: any or unicast
    if kind in (rtnl.RTM_NEWRULE, rtnl.RTM_DELRULE):
        table = one.setdefault(rtnl.FRA_TABLE, struct.pack("I", fixed[4]))  # a byte in the head, or an attribute
        assert fixed[4] in (0, codec.u32_of(table) & 0xFF)
        action = fixed[7] if kind == rtnl.RTM_NEWRULE else 0
        fixed = fixed[:4] + bytes(3) + bytes([action]) + fixed[8:]
    one["head"] = kind, flags, fixed
    return one


@pytest.mark.parametrize("operation", ALL, ids=[script.commands(one)[0] for one in ALL])
def test_the_message_is_that_of_the_command(operation):
    commands = [line.split(" 2>/dev/null")[0] for line in script.commands(operation)]
    recorded = [MESSAGES[command] for command in commands]
    sent = requests(operation, recorded)
    assert len(sent) == len(recorded)
    for ours, theirs in zip(sent, recorded, strict=True):
        assert alike(tree(ours)) == alike(tree(theirs))


def test_devices_are_deleted_together_by_their_group():
    assert alike(tree(rtnl.link_group("vsc-a", 4711, 1))) == alike(tree(MESSAGES["ip link set vsc-a group 4711"]))
    assert alike(tree(rtnl.group_del(4711, 1))) == alike(tree(MESSAGES["ip link del group 4711"]))


def test_a_netkit_pair_is_asked_for_like_a_veth_pair_but_for_its_kind_and_mode():
    """The `ip` that recorded the others does not know it. Its own way: ip-link(8), "netkit mode l2 peer ..."."""
    veth, netkit = [tree(rtnl.pair_add(with_(PAIR, kind=kind), FD, 1)) for kind in ("veth", "netkit")]
    info = netkit[rtnl.IFLA_LINKINFO]
    assert info.pop(rtnl.IFLA_INFO_KIND) == b"netkit"
    assert info[rtnl.IFLA_INFO_DATA].pop(rtnl.IFLA_NETKIT_MODE) == struct.pack("I", rtnl.NETKIT_L2)
    del veth[rtnl.IFLA_LINKINFO][rtnl.IFLA_INFO_KIND]
    assert netkit == veth and rtnl.VETH_INFO_PEER in info[rtnl.IFLA_INFO_DATA]


def test_every_recording_is_used():
    lines = [line.split(" 2>/dev/null")[0] for operation in ALL for line in script.commands(operation)]
    assert set(MESSAGES) == {*lines, "ip link set vsc-a group 4711", "ip link del group 4711"}


def test_a_message_says_its_length_and_asks_for_an_answer_by_its_number():
    message = rtnl.link_get(PAIR.name, 77)
    size, kind, flags, seq, pid = struct.unpack_from("IHHII", message, 0)
    assert (size, kind, seq, pid) == (len(message), rtnl.RTM_GETLINK, 77, 0)
    assert flags == codec.NLM_F_REQUEST


def test_a_link_is_asked_for_by_its_name_or_its_index():
    by_name, by_index = rtnl.link_get("eth0", 1), rtnl.link_get(7, 1)
    assert (struct.unpack_from("i", by_name, 20)[0], b"eth0" in by_name) == (0, True)
    assert (struct.unpack_from("i", by_index, 20)[0], len(by_index)) == (7, len(by_name) - 12)


def test_attributes_are_padded_to_four_bytes_but_their_length_is_not():
    assert codec.attribute(7, b"abcde") == struct.pack("HH", 9, 7) + b"abcde\0\0\0"
    assert codec.attributes(codec.attribute(7, b"abcde") + codec.attribute(8, b"")) == {7: b"abcde", 8: b""}


# What the kernel answers. recorded/kernel.txt has pairs of lines, a name and the body of a message, in hex: Linux 6.12
# (Debian), x86-64, after the commands for TABLE, EXACT, WIDE, FLOWER6, FLOWER_RANGE, and STRANGER's: tc filter add dev
# lan0 ingress prio 6 protocol ipv6 flower ip_proto tcp dst_ip 2001:db8::1 tcp_flags 0x2/0x2 action drop

ANSWERS = (Path(__file__).parent / "recorded/kernel.txt").read_text().splitlines()
ANSWER = dict(zip(ANSWERS[::2], [bytes.fromhex(line) for line in ANSWERS[1::2]], strict=True))
VSC_A = 71  # its index where the answers were recorded


@little_endian
@pytest.mark.parametrize("name", ["EXACT", "WIDE", "FLOWER6", "FLOWER_RANGE"])
def test_a_filter_is_read_back_as_it_was_written(name):
    item = getattr(messages, name)
    entry = tc.parse_filter(ANSWER[name])
    assert (entry.index, entry.prio, entry.protocol, entry.kind) == (
        LAN0,
        item.prio,
        PROTOCOLS[item.protocol],
        item.kind,
    )
    assert (entry.classid, entry.divisor, entry.link, entry.counters.packets) == (CLASSID, 0, 0, 0)
    assert entry.keys == item.keys
    assert entry.actions == item.actions[:-1] + (("mirred", VSC_A),)


@little_endian
def test_the_handle_tells_the_table_and_the_bucket():
    assert tc.parse_filter(ANSWER["EXACT"]).handle == 0x7610A800
    assert tc.parse_filter(ANSWER["table"])[4:8] == (0x76100000, 0, 256, 0)
    assert tc.parse_filter(ANSWER["link"])[4:8] == (0x80100800, 0, 0, 0x76100000)
    assert tc.parse_filter(ANSWER["root"]).divisor == 1


@little_endian
def test_the_mark_is_told_by_prio_protocol_and_classid():
    entry = tc.parse_filter(ANSWER["MARK"])
    assert (entry.prio, entry.protocol, entry.classid, entry.actions) == (MARK_PRIO, MARK_PROTOCOL, CLASSID, ())


@little_endian
def test_the_head_of_a_prio_is_no_filter():
    assert tc.parse_filter(ANSWER["head"]) is None


@little_endian
def test_keys_and_actions_that_we_never_write_are_not_understood():
    entry = tc.parse_filter(ANSWER["STRANGER"])
    keys = (("ip_proto", "tcp"), ("dst_ip", "2001:db8::1/128"), ("tcp_flags", "0x2/0x2"))
    assert (entry.keys, entry.actions, entry.classid) == (keys, None, 0)
    tos = ANSWER["STRANGER"].replace(struct.pack("HH", 6, tc.TCA_FLOWER_TCP_FLAGS), struct.pack("HH", 6, 73))
    assert tos != ANSWER["STRANGER"] and tc.parse_filter(tos).keys is None


@little_endian
def test_only_ingress_hooks_count_as_qdiscs():
    assert tc.parse_qdisc(ANSWER["noqueue"]) is None
    assert tc.parse_qdisc(ANSWER["clsact"]) == (LAN0, "clsact")


@little_endian
def test_a_message_that_is_cut_off_ends_the_walk():
    """Lengths that lie must not lead out of the buffer, nor round in it for ever."""
    whole = ANSWER["WIDE"]
    for end in range(20, len(whole)):
        codec.attributes(whole[:end], 20)
    for size in (0, 3, 0xFFFF):
        assert codec.attributes(struct.pack("HH", size, 1) + bytes(8)) == {}
        assert list(codec.messages(struct.pack("IHHII", size, 16, 0, 1, 0) + bytes(8))) == []
