"""The doctor on a kernel that has everything, flow tables too: the machine's own has none."""

import json

from lab import echo_command, service

ECHO = service(
    "echo", echo_command("edge", 7000), "list device lan0", "list dest_ip 203.0.113.10", "list dest_port 7000"
)
FLOWTABLE = 'add flowtable inet fw4 ft { hook ingress priority 0; devices = { "lan0", "wan0" }; counter; }'


def test_nothing_is_missing_in_this_kernel(lab):
    lab.configure(ECHO)
    found = {each["id"]: each for each in json.loads(lab.viscum("doctor", "--json").stdout)}
    assert [each for each in found if each.startswith("kernel-")] == []
    for part in ("cls_u32", "cls_flower", "act_mirred", "act_skbmod", "act_skbedit", "nft redirect", "veth"):
        assert part in found["kernel"]["found"]
    assert found["flow-offloading"]["severity"] == "ok"


def test_a_flow_table_is_found_with_its_devices(lab):
    lab.configure(ECHO)
    lab.run(lab.router, "nft", "add table inet fw4; " + FLOWTABLE)
    found = {each["id"]: each for each in json.loads(lab.viscum("doctor", "--json").stdout)}
    assert found["flow-offloading"]["severity"] == "note"
    assert found["flow-offloading"]["found"] == "in software: flow table fw4 ft on lan0 wan0"
