"""Names are asked of a resolver on the loopback device, which answers what a test says (names/ask.py)."""

import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest
from dns_answers import RECURSIVE, SAME, answered, kind_of, record

from viscum_agent.address import Prefix
from viscum_agent.config import uci
from viscum_agent.config.service import Match, read
from viscum_agent.loop import Loop
from viscum_agent.names import ask, message
from viscum_agent.plan.actual import Found
from viscum_agent.plan.datapath import ebpf
from viscum_agent.records import with_

ROOT = Path(__file__).resolve().parents[2]
ONE, TWO = bytes([203, 0, 113, 10]), bytes([203, 0, 113, 11])


class Resolver:
    """`answers` are what it says, one for each question, the last one for all that follow: functions of the question
    that return the datagrams to send."""

    def __init__(self, address="127.0.0.1", port=0):
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((address, port))
        self.port = self._socket.getsockname()[1]
        self.asked = []
        self.answers = [lambda question: []]

    def step(self, _=0):
        question, peer = self._socket.recvfrom(2000)
        self.asked.append((question, peer))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        for data in answer(question):
            self._socket.sendto(data, peer)

    def fileno(self):
        return self._socket.fileno()

    def close(self):
        self._socket.close()


def says(*addresses, rcode=0, cut=False):
    """An answer with these addresses."""

    def answer(question):
        records = [record(SAME, kind_of(question), 60, each) for each in addresses]
        return [answered(question, *records, flags=RECURSIVE | rcode | cut << 9)]

    return answer


@pytest.fixture
def resolver(monkeypatch, tmp_path):
    made = Resolver()
    conf = tmp_path / "resolv.conf"
    conf.write_text("nameserver 127.0.0.1\n")
    monkeypatch.setattr(ask, "RESOLV_CONF", str(conf))
    monkeypatch.setattr(ask, "PORT", made.port)
    monkeypatch.setattr(ask, "TIMEOUT", 0.1)
    made.conf = conf
    yield made
    made.close()


def settle(asker, loop):
    """Goes on until nothing is asked any more."""
    until = time.monotonic() + 10
    while asker.is_busy:
        assert time.monotonic() < until
        loop.step()


class Asking:
    """An Asker for these names, for IPv4."""

    def __init__(self, resolvers, *names):
        errors = []
        self.loop = Loop(errors.append)
        self.changes = 0
        for each in resolvers:
            self.loop.add(each.fileno(), each.step)
        self.asker = ask.Asker(self.loop, self._changed)
        self.asker.follow({name: [4] for name in names})
        settle(self.asker, self.loop)
        assert not errors

    def _changed(self):
        self.changes += 1

    def host(self, name="a.example"):
        return self.asker.known.hosts()[name]


def test_each_question_has_a_number_and_a_port_of_its_own(resolver):
    resolver.answers = [says(ONE)]
    asking = Asking([resolver], *["host%d.example" % number for number in range(40)])
    assert len(resolver.asked) == 40
    assert len({question[:2] for question, _ in resolver.asked}) > 35
    assert len({peer for _, peer in resolver.asked}) > 20  # one may come again when it is free
    assert asking.changes == 40


def test_an_answer_that_is_lost_is_asked_for_again(resolver):
    resolver.answers = [lambda _: [], says(ONE)]
    assert Asking([resolver], "a.example").host().addresses == (ONE,)


def test_where_nobody_answers_the_others_are_not_asked_either(resolver):
    asking = Asking([resolver], *["host%d.example" % number for number in range(100)])
    assert len(resolver.asked) == ask.WIDTH * ask.TRIES
    assert {host.reason for host in asking.asker.known.hosts().values()} == {"127.0.0.1 does not answer"}
    assert 20 < asking.loop.rest() < 40


def test_one_name_that_nobody_answers_keeps_no_other_from_being_asked(resolver):
    def answer(question):
        return [] if b"silent" in question else says(ONE)(question)

    resolver.answers = [answer]
    asking = Asking([resolver], "silent.example", *["host%d.example" % number for number in range(100)])
    assert len(asking.asker.known.hosts()) == 101
    assert asking.host("silent.example").reason == "127.0.0.1 does not answer"
    assert asking.host("host99.example").addresses == (ONE,)


def test_the_next_resolver_is_asked_after_a_failure(resolver):
    other = Resolver("127.0.0.2", resolver.port)
    resolver.conf.write_text("nameserver 127.0.0.1\nnameserver 127.0.0.2\n")
    resolver.answers, other.answers = [says(rcode=2)], [says(TWO)]
    assert Asking([resolver, other], "a.example").host().addresses == (TWO,)
    other.answers = [says(rcode=5)]
    assert Asking([resolver, other], "a.example").host() == ((), "127.0.0.2 says REFUSED")
    other.close()
    resolver.answers = [says(ONE)]
    resolver.conf.write_text("nameserver 127.0.0.2\nnameserver 127.0.0.1\n")
    assert Asking([resolver], "a.example").host().addresses == (ONE,)


def test_a_resolver_that_is_not_there_is_named(resolver):
    resolver.conf.write_text("nameserver 127.0.0.9\n")
    asking = Asking([], "a.example", "b.example")
    assert asking.host("b.example").reason == "127.0.0.9 can't be asked: Connection refused"


@pytest.mark.parametrize("text", ["", "search lan\n", "nameserver\nnameserver x\nnameserver fe80::1%wan\n", "\xff\n"])
def test_without_a_resolver_it_is_the_routers_own(resolver, text):
    resolver.conf.write_text(text, encoding="latin-1")
    assert ask.servers() == ["127.0.0.1"]
    resolver.conf.unlink()
    assert ask.servers() == ["127.0.0.1"]


def test_what_does_not_fit_counts_as_far_as_it_came(resolver):
    resolver.answers = [says(ONE, cut=True)]
    assert Asking([resolver], "a.example").host().addresses == (ONE,)
    resolver.answers = [says(cut=True)]
    assert Asking([resolver], "a.example").host().reason == "the answer of 127.0.0.1 does not fit into a datagram"


def test_who_guesses_is_not_listened_to_for_long(resolver):
    def guesses(question):
        right = says(TWO)(question)[0]
        wrong = [bytes([right[0], right[1] ^ number]) + right[2:] for number in range(1, ask.JUNK + 5)]
        return [*wrong, right]

    resolver.answers = [guesses, says(ONE)]
    assert Asking([resolver], "a.example").host().addresses == (ONE,)
    assert resolver.asked[0][0][:2] != resolver.asked[1][0][:2] or resolver.asked[0][1] != resolver.asked[1][1]


class Kernel:
    """An Observed in which a service has a redirect for these addresses, at port 53."""

    def __init__(self, *addresses):
        self._found = []
        for packed in addresses:
            match = Match(4, "udp", Prefix(4, packed, 32), (53, 53), None, 0, "", "")
            self._found += [Found(item, 0) for item in ebpf.filters("lan", match, 1, "", (("mirred", "vsc-dns"),))]

    def of(self, _service):
        return self._found


def test_what_an_earlier_agent_left_is_held_until_all_names_were_answered(resolver):
    resolver.answers = [lambda question: [] if b"late" in question else says(TWO)(question)]
    template = Match(4, "udp", None, (53, 53), None, 0, "", "")
    text = "config service dns\noption command /bin/x\nlist device lan\nlist dest_host a.example\n"
    text += "list dest_host late.example\nlist dest_port 53\nlist proto udp\noption family ipv4\n"
    service = read(uci.parse(text.encode(), "viscum")).services
    loop = Loop(lambda error: None)
    loop.add(resolver.fileno(), resolver.step)
    changes = []
    asker = ask.Asker(loop, lambda: changes.append(1), True)
    asker.follow({"a.example": [4], "late.example": [4]})
    assert service[0].named[0].matches == (template,)
    assert [one[1].packed for one in asker.look(service, Kernel(ONE, bytes([127, 0, 0, 1])), (), {})[1]["dns"]] == [ONE]
    settle(asker, loop)
    assert asker.look(service, Kernel(), (), {})[1] and len(changes) == 2  # an answer, and why there is none
    assert asker.look([with_(service[0], named=())], Kernel(), (), {})[1] == {}
    resolver.answers = [says(ONE)]
    asker.follow({"a.example": [4], "late.example": [4]})
    settle(asker, loop)
    assert asker.look(service, Kernel(), (), {})[1] == {}
    asker.close()


def test_an_answer_that_changes_nothing_still_lets_go(resolver):
    resolver.answers = [says(ONE), says()]  # over IPv4, over IPv6
    text = "config service dns\noption command /bin/x\nlist device lan\nlist dest_host a.example\nlist dest_port 53\n"
    service = read(uci.parse(text.encode(), "viscum")).services
    loop = Loop(lambda error: None)
    loop.add(resolver.fileno(), resolver.step)
    held = []
    asker = ask.Asker(loop, lambda: held.append(asker.look(service, Kernel(), (), {})[1]), True)
    asker.follow({"a.example": [4, 6]})
    assert asker.look(service, Kernel(ONE), (), {})[1]
    settle(asker, loop)
    assert held[-1] == {}
    asker.close()


def test_a_command_waits_for_a_bounded_time(resolver, monkeypatch):
    monkeypatch.setattr(ask, "PATIENCE", 0.3)
    monkeypatch.setattr(ask, "TIMEOUT", 60)
    began = time.monotonic()
    found = ask.at_once({"a.example": [4, 6]})
    assert 0.3 <= time.monotonic() - began < 5
    assert found["a.example"] == ((), "is not known: no answer of 127.0.0.1 within 0 s")


def test_who_has_no_names_loads_nothing_of_this():
    text = "import sys, viscum_agent.viscumd, viscum_agent.once, viscum_agent.reconcile;"
    text += "print([name for name in sys.modules if name.startswith('viscum_agent.names')])"
    found = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, cwd=ROOT, check=True)
    assert found.stdout == "[]\n"


def test_the_largest_answer_is_read_whole(resolver):
    addresses = [struct.pack(">I", 0x0A000000 + number) for number in range(70)]
    assert len(says(*addresses)(message.question(1, "a.example", 4))[0]) <= message.SIZE
    resolver.answers = [says(*addresses)]
    assert len(Asking([resolver], "a.example").host().addresses) == message.MOST
