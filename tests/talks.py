"""TCP connections that talk on, and the side that has each: the cloud's ("c") or the service's ("e" for edge)."""

import select
import socket
import struct
import threading
import time

from agent import QUICK, TAKES, Served
from lab import CLOUD, CLOUD6, inside, listens, service, wait_for

from viscum_agent.ebpf import layout
from viscum_agent.flows import QUIET
from viscum_agent.kernel import bpf_syscall

STALL = 10  # seconds
PAUSE = 0.1  # seconds between an answer and the next question
PORT = 7000

# A program that answers each byte with its name and how many have come over that connection, as long as the client
# likes.
PROGRAM = """
import selectors, socket, sys
ready, name = selectors.DefaultSelector(), sys.argv[1].encode()
def listen(family, address):
    server = socket.socket(family)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    server.bind((address, 7000))
    server.listen(256)
    ready.register(server, selectors.EVENT_READ, None)
def answer(sock, count):
    try:
        data = sock.recv(100)
        if data:
            count[0] += len(data)
            sock.sendall(b'%s%07d' % (name, count[0]))
            return
    except OSError:
        pass
    ready.unregister(sock)
    sock.close()
listen(socket.AF_INET, '0.0.0.0')
listen(socket.AF_INET6, '::')
while True:
    for key, _ in ready.select():
        if key.data is None:
            ready.register(key.fileobj.accept()[0], selectors.EVENT_READ, [0])
        else:
            answer(key.fileobj, key.data)
"""
ANSWER = 8  # bytes
LINES = (*TAKES, "list dest_ip " + CLOUD6[0], "list proto tcp", "option user root", "option drain_timeout 600")


class Talk:
    """A connection of a client, and the side that has it."""

    def __init__(self, lab, address=CLOUD[0], port=0):
        with inside(lab.client):
            self.sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.settimeout(STALL)
        self.count = 0
        if port:
            self.sock.bind(("", port))
        self.sock.connect((address, PORT))
        self.side = self.says()

    def asks(self):
        self.sock.sendall(b"x")
        self.count += 1

    def hears(self):
        """The letter of the side that answers, if that has had each byte."""
        answer = self.sock.recv(ANSWER, socket.MSG_WAITALL)
        if int(answer[1:] or b"0") != self.count:
            raise OSError("%r in answer to %d bytes" % (answer, self.count))
        return answer[:1].decode()

    def says(self):
        self.asks()
        return self.hears()

    def goes_on(self):
        return self.says() == self.side

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


def both(lab):
    """A connection of each family."""
    return [Talk(lab, address) for address in (CLOUD[0], CLOUD6[0])]


def sides(talks):
    return {talk.side for talk in talks}


def all_go_on(*talks):
    return all(talk.goes_on() for some in talks for talk in some)


def still_goes_on(talk):
    try:
        return talk.goes_on()
    except OSError:
        return False


class Crowd:
    """Connections that talk all the time. `lost` are those that ended, with the reason; `changed` those that another
    side answered; `stalls` how many answers took over a second, `longest` the longest of all."""

    def __init__(self):
        self.talks, self.lost, self.changed = [], [], []
        self.answers = self.stalls = 0
        self.longest = 0.0
        self._asked = {}  # talk: when
        self._due = {}  # talk: when it asks next
        self._new = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ended.set()
        self._thread.join()

    def join(self, talks):
        self._new.extend(talks)

    def _run(self):
        poll, by_fd = select.epoll(), {}
        while not self._ended.is_set():
            while self._new:
                talk = self._new.pop()
                self.talks.append(talk)
                by_fd[talk.sock.fileno()] = talk
                poll.register(talk.sock, select.EPOLLIN)
                self._due[talk] = time.monotonic()
            now = time.monotonic()
            for talk in [talk for talk in self._due if self._due[talk] <= now]:
                del self._due[talk]
                self._asked[talk] = now
                self._try(poll, talk, talk.asks)
            for fd, _ in poll.poll(PAUSE / 10):
                self._try(poll, by_fd[fd], lambda talk=by_fd[fd]: self._hear(talk))
        for talk in self._asked:
            self._took(time.monotonic() - self._asked[talk])

    def _hear(self, talk):
        now = time.monotonic()
        if talk.hears() != talk.side:
            self.changed.append(talk)
        self.answers += 1
        self._took(now - self._asked.pop(talk, now))
        self._due[talk] = now + PAUSE

    def _took(self, seconds):
        self.longest = max(self.longest, seconds)
        self.stalls += seconds > 1

    def _try(self, poll, talk, step):
        try:
            step()
        except OSError as error:
            poll.unregister(talk.sock)
            self._asked.pop(talk, None)
            self._due.pop(talk, None)
            self.lost.append((talk.side, str(error)))


def become_steady(agent, missed, exact, chosen=lambda key: True):
    """As if no connection with the cloud was seen for long: the next look ends the take-over of the chosen entries. One
    that was closed a moment ago may still have something to say."""
    made = layout.Layout(bpf_syscall.ORDER)

    def look():
        long_ago = (time.monotonic_ns() - (QUIET + 2) * 10**9) >> layout.DEADLINE_SHIFT
        for slot in range(32):
            bpf_syscall.map_update(missed, made.number(slot), made.number(long_ago))
        agent.call("reload")
        found = [value for key, value in bpf_syscall.map_read(exact, 24, 16) if chosen(key)]
        return found and not any(made.parse_value(value)[2] & layout.TAKE_OVER for value in found)

    wait_for(look)


class Router:
    """An agent (`kind`), a cloud and a service that talk; `lines` are more of the service's section."""

    def __init__(self, lab, kind=Served, lines=QUICK):
        self.lab = lab
        self.program = lab.tmp.parent / "talks.py"
        lab.tmp.parent.chmod(0o755)
        self.program.write_text(PROGRAM)
        lab.start(lab.cloud, "/usr/bin/python3", self.program, "c")
        wait_for(lambda: listens(lab.cloud, PORT))
        self.config = service("echo", "/usr/bin/python3 %s e" % self.program, *LINES, *lines)
        self.off = self.config.replace("enabled 1", "enabled 0")
        self.agent = kind(lab, "")
        self.agent.says("is on ubus")

    def new(self, side):
        """Waits until new connections of both families go to a side; returns two."""
        found = []

        def arrived():
            found[:] = both(self.lab)
            return sides(found) == {side}

        try:
            wait_for(arrived)
        except AssertionError:
            raise AssertionError(self.agent.log.read_text()) from None
        return found

    def bypass(self, on):
        self.agent.call("bypass", name="echo", on=on)

    def map(self, name):
        path = next(path for path in self.lab.pins() if path.name == "map_" + name)
        return bpf_syscall.pinned(str(path))

    def become_steady(self):
        become_steady(self.agent, self.map("missed"), self.map("exact"))

    def fill(self):
        """Notes twice as many connections as there is place for; returns (the older half of what fits, the newer half,
        what of all is still there)."""
        flows, made = self.map("flows"), layout.Layout(bpf_syscall.ORDER)
        value = made.value(0, "", layout.SLOTS)
        count = 2 * layout.FLOWS
        keys = [made.flow_key(b"\x0a\x01" + number.to_bytes(2, "big"), 40000, bytes(4), 80) for number in range(count)]
        for key in keys:
            bpf_syscall.map_update(flows, key, value)
        there = {key for key, _ in bpf_syscall.map_read(flows, 40, 16)}
        half = layout.FLOWS // 2
        return set(keys[:half]), set(keys[-half:]), there


def come_and_go(router):
    """Connections with the cloud go on there when the service comes, and those with it when it goes. Returns all."""
    before = both(router.lab)
    assert sides(before) == {"c"}
    router.agent.reload(router.config)
    after = router.new("e")
    assert all_go_on(before, after)
    router.bypass(True)
    cloud = router.new("c")
    assert all_go_on(before, after, cloud)
    return before, after, cloud
