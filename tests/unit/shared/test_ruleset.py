"""What is read of the router's firewall, from messages as the kernel lays them out (nf_tables_fill_flowtable_info)."""

from viscum_agent.kernel import ruleset
from viscum_agent.kernel.codec import attribute, be32, text


def flowtable(flags, *devices):
    hook = be32(1, 0) + be32(2, 0) + attribute(3, b"".join([text(1, name) for name in devices]))
    body = text(1, "fw4") + text(2, "ft") + be32(4, 1) + attribute(3, hook)
    return bytes([1, 0, 0, 0]) + body + (be32(7, flags) if flags is not None else b"")


def test_flags_offload_is_hardware():
    assert ruleset._flowtable(flowtable(1, "eth0", "lan1")) == ruleset.Flowtable("fw4", "ft", ("eth0", "lan1"), True)
    assert ruleset._flowtable(flowtable(3, "eth0")).hardware, "with a counter, too"


def test_a_counter_alone_is_software():
    assert not ruleset._flowtable(flowtable(2, "eth0")).hardware
    assert not ruleset._flowtable(flowtable(None, "eth0")).hardware


def test_a_flow_table_whose_devices_are_gone_has_none():
    assert ruleset._flowtable(flowtable(2)).devices == ()


def test_a_broken_list_of_names_ends():
    hook = attribute(3, text(1, "eth0") + b"\x00\x00\x01\x00\x00\x00")
    body = bytes([1, 0, 0, 0]) + text(1, "fw4") + text(2, "ft") + attribute(3, hook)
    assert ruleset._flowtable(body).devices == ("eth0",)
