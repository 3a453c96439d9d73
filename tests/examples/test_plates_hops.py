"""Pictures on the whole way that the document has for them (tests/hops.py): from a camera behind an edge router to the
reader, which the agent started as a service, and their plates back. What counters say is held against the packets that
are captured at each hop.

A guest's processor takes seconds for a picture: a few are read there, and 100 by `make test-plates-vm`. This machine's
kernel may lack what the classifiers need for direct replies.
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
from hops import EDGE, Hop, add_camera, by_prio, close_the_firewall, counted, ip_stack
from lab import CLOUD, CPYTHON, HANG, ROOT, Lab, inside, ip, wait_for
from plates import answer, framed, install, section

PORT = 12345
PICTURES = ROOT / ".cache/pictures"  # tools/setup.sh pictures
COUNT = int(os.environ.get("VISCUM_PICTURES") or (4 if "VISCUM_GUEST" in os.environ else 100))
RIGHT = 0.95
START = 4 * HANG  # seconds: in a guest on a busy machine the libraries alone take a minute to load
*ASKED, NOT_ASKED = CLOUD  # addresses of the cloud that pictures are sent to, and the one that they are not
ETHERNET = 14  # bytes of a header
LARGEST = 1500  # bytes of a packet

# eBPF answers past the IP stack by itself, the classifiers of tc(8) where they are told to.
WAYS = {
    "bpf": ["option datapath bpf"],
    "u32": ["option datapath u32", "option reply direct", "option nexthop " + EDGE],
    "flower": ["option datapath flower", "option reply direct", "option nexthop " + EDGE],
}


class Platform:
    """A lab with a camera behind an edge router, the reader as a service, and an echo server in the cloud."""

    def __init__(self, lab):
        self.lab = lab
        self.camera = add_camera(lab)
        # What it sends is cut into packets here and not later on: so that they can be counted.
        ip("-n", self.camera, "link", "set", "eth0", "gso_max_segs", "1")
        lab.serve_cloud(PORT)
        # The document has no address of the cloud: whatever is sent to the port is read.
        lines = section(install()).splitlines()
        self._section = [line for line in lines if "dest_ip" not in line and "start_timeout" not in line]
        self._section += ["option start_timeout %d" % START, "option family ipv4"]
        self.agent = Served(lab, self._configured([]))
        self.agent.says("alpr: healthy", START)

    def _configured(self, way):
        return "\n\t".join(self._section + way) + "\n"

    def takes(self, way):
        """Until the pictures go that way. The program stays the same one: a datapath is none of its matters."""
        self.agent.reload(self._configured(WAYS[way]))
        wait_for(lambda: self.status()["datapath"] == way)
        self.agent.has_done_all()

    def status(self):
        (row,) = json.loads(self.agent.viscum("status", "--json").stdout)
        return row

    def reads(self, address, picture):
        """What comes back to the camera for a picture over a connection of its own."""
        with inside(self.camera):
            sock = socket.create_connection((address, PORT), HANG)
        with sock:
            sock.sendall(framed(picture))
            return answer(sock)

    def tracked(self, address):
        """What the router's connection tracking knows of those with an address."""
        return [line for line in connections(self.lab) if "dst=%s " % address in line]


@pytest.fixture(scope="module")
def platform(tmp_path_factory):
    """One for all of them: in a guest the reader takes long to start."""
    if not PICTURES.is_dir() or os.geteuid() != 0:
        pytest.skip("needs tools/setup.sh pictures, and root")
    with Lab(tmp_path_factory.mktemp("platform"), CPYTHON) as lab:
        made = Platform(lab)
        close_the_firewall(lab, PORT, "accept")
        yield made
        log = made.agent.log.read_text()
        assert "Traceback" not in log, log


@pytest.fixture(params=WAYS)
def way(request, platform):
    if request.param != "bpf" and not datapaths.has_features("skbmod", "skbedit"):
        pytest.skip("this kernel has no act_skbmod or act_skbedit")
    if not any(datapaths.has(name) for name in datapaths.DATAPATHS if name.startswith(request.param)):
        pytest.skip("this kernel has no " + request.param)
    platform.takes(request.param)
    return request.param


class Captured:
    """What passes each place where packets of the exchange can be, as a context manager."""

    def __init__(self, lab):
        self.places = {
            "camera": (lab.client, "eth1"),
            "source": (lab.router, "lan0"),
            "host": (lab.router, "vsc-alpr"),
            "inner": ("viscum-alpr", "eth0"),
            "uplink": (lab.router, "wan0"),
        }
        self._hops = {name: Hop(*place, PORT) for name, place in self.places.items()}
        self._seen = {name: [] for name in self._hops}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for hop in self._hops.values():
            hop.close()

    def look(self, quiet):
        for name, hop in self._hops.items():
            self._seen[name] += hop.segments(quiet)

    def came_in(self, name):
        return [each for each in self._seen[name] if not each.out]

    def went_out(self, name):
        return [each for each in self._seen[name] if each.out]


def bare(segments):
    """How many of which kind there are, whatever a hop does to their MACs."""
    return Counter((each.flags, each.reply, each.size) for each in segments)


@pytest.mark.timeout(3600)
def test_plates_come_back_right_and_each_packet_is_counted_where_it_passes_and_seen_nowhere_else(platform, way):
    wanted = json.loads((PICTURES / "plates.json").read_text())
    names = sorted(wanted)[:COUNT]
    before = platform.status()
    stack = ip_stack(platform.lab)
    with Captured(platform.lab) as captured:
        begin, found = time.monotonic(), {}
        for number, name in enumerate(names):
            found[name] = platform.reads(ASKED[number % len(ASKED)], (PICTURES / name).read_bytes())
            captured.look(0.01)
        seconds = (time.monotonic() - begin) / len(names)
        captured.look(1)
        filters = {name: counted(platform.lab, *place) for name, place in captured.places.items()}
        now = platform.status()
    assert all(one["by"] == "edge" for one in found.values())
    wrong = {name: (wanted[name], found[name]) for name in names if found[name]["plate"] != wanted[name]["plate"]}
    assert len(names) - len(wrong) >= RIGHT * len(names), wrong

    assert ip_stack(platform.lab) == stack
    assert not any(platform.tracked(address) for address in ASKED)
    assert captured.came_in("uplink") == captured.went_out("uplink") == []

    there, back = captured.came_in("camera"), captured.went_out("camera")
    assert not any(each.reply for each in there) and all(each.reply for each in back)
    assert max(each.size for each in there + back) <= LARGEST, "each is one packet, and no more"
    for name in ("source", "inner"):
        assert bare(captured.came_in(name)) == bare(there) and bare(captured.went_out(name)) == bare(back), name
    assert bare(captured.came_in("host")) == bare(back)
    # eBPF gives a packet to the other end of the pair (bpf_redirect_peer): it never leaves this one.
    assert bare(captured.went_out("host")) == bare([] if way == "bpf" else there)

    assert now["packets"] - before["packets"] == len(there)
    header = ETHERNET if way == "bpf" else 0  # tc(8) counts without it
    assert now["bytes"] - before["bytes"] == sum(each.size + header for each in there)
    if way != "bpf":
        assert filters["source"] == {5: len(there)}
        assert filters["inner"] == by_prio(captured.came_in("inner")) and filters["inner"][1] == len(names)
        assert filters["host"] == by_prio(captured.came_in("host")) and filters["host"][3] == len(names)
    assert not filters["camera"] and not filters["uplink"]
    told = "%s: %d of %d right, %.1f s each; %d packets there, %d back; filters: %s"
    counts = {place: dict(of) for place, of in filters.items() if of}
    print(told % (way, len(names) - len(wrong), len(names), seconds, len(there), len(back), counts))  # for -s


@pytest.mark.parametrize("way", ["bpf"], indirect=True)
def test_what_the_cloud_answers_is_seen_in_all_these_places(platform, way):
    """Or the test above would hold whatever happens."""
    stack = ip_stack(platform.lab)
    platform.agent.viscum("bypass", "alpr")
    platform.agent.redirects(False, "vsc-alpr")
    with Captured(platform.lab) as captured:
        assert platform.lab.ask("tcp", NOT_ASKED, PORT, ns=platform.camera, timeout=HANG)[0] == "cloud"
        captured.look(1)
    platform.agent.viscum("bypass", "alpr", "--off")
    assert captured.came_in("uplink") and captured.went_out("uplink") and not captured.came_in("inner")
    (before, rules), (after, passed) = stack, ip_stack(platform.lab)
    assert after["IpForwDatagrams"] >= before.get("IpForwDatagrams", 0) + len(captured.went_out("uplink"))
    assert passed[:2] > rules[:2]
    assert platform.tracked(NOT_ASKED)
