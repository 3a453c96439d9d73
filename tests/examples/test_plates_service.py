"""The licence-plate reader as a service like any other: the agent starts it from the example's own section, confined
as every program is. A camera whose pictures go to the cloud is answered on the router, and by the cloud if that fails.
"""

import json
import os
import signal
import socket

import pytest
from agent import Served
from lab import HANG, inside, listens, pids_in, wait_for
from plates import EXAMPLE, PYTHON, answer, camera, environment, framed, install, own_section, section

CLOUD = "203.0.113.10"
# Once it has ended it stays so for the rest of the test: who answers then is no matter of time.
STAYS_AWAY = "\toption respawn_timeout '3600'\n"


class Plates:
    """A lab with the example in the cloud and as a service of the router."""

    def __init__(self, lab):
        self.lab = lab
        words = (EXAMPLE / "server.py", "--name", "cloud", "--web", "8080")
        lab.start(lab.cloud, PYTHON, *words, env=environment())
        wait_for(lambda: listens(lab.cloud, 12345) and listens(lab.cloud, 8080))
        self.agent = Served(lab, section(install()) + STAYS_AWAY)
        self.agent.says("alpr: healthy")
        self.agent.has_done_all()

    def connect(self):
        with inside(self.lab.client):
            return socket.create_connection((CLOUD, 12345), HANG)

    def passed(self):
        """IPv4 packets that the router received, and those that it forwarded."""
        text = self.lab.run(self.lab.router, "cat", "/proc/net/snmp").stdout
        names, values = [line.split() for line in text.splitlines() if line.startswith("Ip:")]
        counted = dict(zip(names[1:], map(int, values[1:]), strict=True))
        return counted["InReceives"], counted["ForwDatagrams"]

    def pid(self):
        (found,) = pids_in("viscum-alpr")
        return found


@pytest.fixture
def plates(lab):
    made = Plates(lab)
    yield made
    log = made.agent.log.read_text()
    assert "Traceback" not in log and "not permitted" not in log and "Permission denied" not in log, log


def test_its_section_is_a_good_one(lab):
    lab.configure(own_section())
    lab.configure("config interface 'lan'\n\toption device 'lan0'\n", "network")
    assert lab.viscum("check").stdout == ""


def test_a_cameras_pictures_are_read_on_the_router_and_in_the_cloud_when_that_is_bypassed(plates, pictures):
    count = len(list(pictures.glob("*.jpg")))
    found = camera(plates.lab, pictures, "--rate", "0")
    assert found["by"] == {"edge": count} and found["right"] == count
    plates.agent.viscum("bypass", "alpr")
    plates.agent.redirects(False, "vsc-alpr")
    found = camera(plates.lab, pictures, "--rate", "0")
    assert found["by"] == {"cloud": count} and found["right"] == count


def test_no_picture_and_no_answer_passes_the_routers_ip_stack(plates, pictures):
    (row,) = json.loads(plates.agent.viscum("status", "--json").stdout)
    if row["datapath"] != "bpf":
        pytest.skip("replies are routed with " + row["datapath"])
    before = plates.passed()
    assert camera(plates.lab, pictures, "--rate", "0")["by"].keys() == {"edge"}
    assert plates.passed() == before
    plates.agent.viscum("bypass", "alpr")
    plates.agent.redirects(False, "vsc-alpr")
    assert camera(plates.lab, pictures, "--rate", "0")["by"].keys() == {"cloud"}
    count = len(list(pictures.glob("*.jpg")))
    assert all(after >= count + earlier for after, earlier in zip(plates.passed(), before, strict=True))


def test_a_reader_that_is_killed_in_the_middle_of_a_picture_leaves_the_next_one_to_the_cloud(plates, pictures, picture):
    with plates.connect() as sock:
        sock.sendall(framed(picture))
        assert answer(sock)["by"] == "edge", "the connection is with the service"
        sock.sendall(framed(picture)[: len(picture) // 2])
        os.kill(plates.pid(), signal.SIGKILL)
        assert answer(sock) is None
    plates.agent.redirects(False, "vsc-alpr")
    found = camera(plates.lab, pictures, "--rate", "0", "--count", "1")
    assert found["by"] == {"cloud": 1} and found["right"] == 1


def test_bad_pictures_do_not_end_the_service(plates, pictures, picture):
    pid = plates.pid()
    with plates.connect() as sock:
        for bad in (b"", b"not a JPEG", picture[: len(picture) // 2]):
            sock.sendall(framed(bad))
            found = answer(sock)
            assert found["by"] == "edge" and found["error"] in ("empty", "no JPEG")
        sock.sendall((100 << 20).to_bytes(4, "big"))
        assert answer(sock)["error"] == "too large"
    assert camera(plates.lab, pictures, "--rate", "0", "--count", "1")["by"] == {"edge": 1}
    assert plates.pid() == pid


def test_it_is_confined_as_every_program(plates):
    with open("/proc/%d/status" % plates.pid()) as file:
        status = dict(line.split(":\t", 1) for line in file.read().splitlines())
    assert 40000 <= int(status["Uid"].split()[0]) < 60000
    assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0
    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"


def test_the_page_is_on_the_router_too(plates, pictures):
    plates.lab.run(plates.lab.client, PYTHON, EXAMPLE / "camera.py", CLOUD, pictures, "--rate", "0")
    page = plates.lab.run(plates.lab.client, "curl", "-sS", "http://%s:8080/" % CLOUD).stdout
    wanted = json.loads((pictures / "plates.json").read_text())
    assert "Plates read by edge" in page and all(entry["plate"] in page for entry in wanted.values())
