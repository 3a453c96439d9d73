"""The eBPF datapath with real packets."""

from lab import echo_command, service

ALL = ("option datapath bpf", "list device lan0")
EDGE = echo_command("edge", 7000)
TAKES = ("list dest_ip 203.0.113.10", "list dest_ip 2001:db8:cafe::10", "list dest_port 7000")


def test_first(lab):
    lab.serve_cloud(7000)
    lab.configure(service("echo", EDGE, *ALL, *TAKES))
    print(lab.viscum("plan").stdout)
    print(lab.viscum("up", check=False))
    for address in ("203.0.113.10", "2001:db8:cafe::10"):
        assert lab.ask("tcp", address, 7000) == ("edge", address)
        assert lab.ask("udp", address, 7000)[0] == "edge"
    assert lab.viscum("plan").stdout == "# nothing to do\n"
    print(lab.viscum("status").stdout)
    lab.viscum("down")
    assert lab.ask("tcp", "203.0.113.10", 7000)[0] == "cloud"
