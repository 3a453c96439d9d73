"""Pictures on the whole way that the document has for them (tests/hops.py): from a camera behind an edge router to the
reader, which the agent started as a service, and their plates back. What counters say is held against the packets that
are captured at each hop.

A guest's processor takes seconds for a picture, so there are a few of them there, and 100 with `make test-plates-vm`;
the kernel of this machine may lack what replies by `flower` and `u32` need.
"""

import json
import os
import socket
import time
from collections import Counter

import datapaths
import pytest
from agent import Served
from firewall import connections
from hops import EDGE, Hop, add_camera, close_the_firewall, counted, ip_stack, mac
from lab import CLOUD, CPYTHON, HANG, ROOT, Lab, ip
from plates import answer, framed, install, section

from viscum_agent.kernel import probe
from viscum_agent.kernel.netns import Visit

PORT = 12345
PICTURES = ROOT / ".cache/pictures"  # tools/setup.sh pictures
COUNT = int(os.environ.get("VISCUM_PICTURES") or (4 if "VISCUM_GUEST" in os.environ else 100))
WRONG = COUNT // 20  # at most
INNER = "viscum-alpr"
SYN, ACK, SYN_ACK = 0x02, 0x10, 0x12
PATIENCE = "\toption start_timeout '%d'\n" % HANG


@pytest.fixture(params=["bpf-tcx", "u32", "flower"])
def datapath(request):
    if not datapaths.has(request.param):
        pytest.skip("this kernel has no " + request.param)
    if request.param != "bpf-tcx" and probe.features(programs=False)[3:5] != (True, True):
        pytest.skip("this kernel has no act_skbmod or act_skbedit")
    return request.param


@pytest.fixture
def lab(tmp_path, datapath):
    with Lab(tmp_path, CPYTHON, datapath=datapath) as made:
        yield made


@pytest.fixture
def camera(lab):
    """The name of its namespace. What it sends is cut into packets by itself, not on the way: they can be counted."""
    name = add_camera(lab)
    ip("-n", name, "link", "set", "eth0", "gso_max_segs", "1")
    return name


def whatever_the_address(datapath):
    """The example's own section, but for the addresses: the document has none."""
    lines = [line for line in section(install()).splitlines() if "dest_ip" not in line and "start_timeout" not in line]
    if not datapath.startswith("bpf"):
        lines += ["\toption reply 'direct'", "\toption nexthop '%s'" % EDGE, "\toption family 'ipv4'"]
    return "\n".join(lines) + "\n" + PATIENCE


class Way:
    """A captured hop for each place where a picture's packets can be."""

    def __init__(self, lab):
        self.places = {"camera": (lab.client, "eth1"), "source": (lab.router, "lan0")}
        self.places.update(host=(lab.router, "vsc-alpr"), inner=(INNER, "eth0"), uplink=(lab.router, "wan0"))
        self._hops = {name: Hop(*place, PORT) for name, place in self.places.items()}
        self.seen = {name: [] for name in self._hops}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for hop in self._hops.values():
            hop.close()

    def look(self, quiet):
        for name, hop in self._hops.items():
            self.seen[name] += hop.segments(quiet)

    def came_in(self, name):
        return [each for each in self.seen[name] if not each.out]

    def went_out(self, name):
        return [each for each in self.seen[name] if each.out]


def device(place):
    """What a device has counted: (in, out)."""
    (found,) = json.loads(ip("-n", place[0], "-j", "-s", "link", "show", "dev", place[1]))
    return found["stats64"]["rx"]["packets"], found["stats64"]["tx"]["packets"]


def sends(camera, address, picture):
    """A picture over a connection of its own: its answer."""
    with Visit() as visit:
        visit.enter(camera)
        sock = socket.create_connection((address, PORT), HANG)
    with sock:
        sock.sendall(framed(picture))
        return answer(sock)


def bare(segments):
    """Segments, wherever they were seen."""
    return Counter((each.flags, each.reply, each.size) for each in segments)


@pytest.mark.timeout(3600)
def test_plates_come_back_right_and_each_packet_is_counted_at_each_hop_and_seen_nowhere_else(lab, camera, datapath):
    wanted = json.loads((PICTURES / "plates.json").read_text())
    agent = Served(lab, whatever_the_address(datapath))
    agent.says("alpr: healthy")
    agent.has_done_all()
    close_the_firewall(lab, PORT, "accept")
    with Way(lab) as way:
        before = device(way.places["host"]), device(way.places["inner"])
        stack = ip_stack(lab)
        begin = time.monotonic()
        wrong = []
        print("begin", flush=True)
        for number, (name, entry) in enumerate(sorted(wanted.items())[:COUNT]):
            found = sends(camera, CLOUD[number % len(CLOUD)], (PICTURES / name).read_bytes())
            assert found["by"] == "edge"
            if found["plate"] != entry["plate"]:
                wrong.append((name, entry["plate"], found))
            print(name, found, time.monotonic() - begin, flush=True)
            way.look(0.01)
        took = (time.monotonic() - begin) / COUNT
        way.look(1)
        after = device(way.places["host"]), device(way.places["inner"])
        assert ip_stack(lab) == stack
        assert not [line for line in connections(lab) if "port=%d " % PORT in line]

        there, back = [[each for each in way.seen["camera"] if each.reply == reply] for reply in (False, True)]
        (row,) = json.loads(agent.viscum("status", "--json").stdout)
        filters = {name: dict(counted(lab, *place)) for name, place in way.places.items()}
        print(datapath, len(wrong), "wrong of", COUNT, wrong, "%.1f s each" % took)
        print(len(there), "there", len(back), "back", {name: len(each) for name, each in way.seen.items()})
        print(filters, before, after, {key: row[key] for key in ("packets", "bytes")}, row.get("direct"), sum(each.size for each in there))
    assert len(wrong) <= WRONG, wrong
