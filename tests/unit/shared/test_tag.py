"""The hash of what a program is started with: both interpreters find the programs that the other one has started."""

from viscum_agent.config.service import read
from viscum_agent.config.uci import parse
from viscum_agent.service.process import tag

HEAD = "config service s\noption command /bin/x\nlist interface lan\nlist dest_port 1\noption user nobody\n"


def of(*lines):
    (service,) = read(parse((HEAD + "\n".join(lines) + "\n").encode(), "viscum")).services
    return tag(service.program)


def test_ascii_has_the_tag_that_it_always_had():
    assert of() == "4a93e0f4"
    lines = ("list visible /srv/data", 'list visible "/it\'s"', "list egress 203.0.113.7:53", "option root /a")
    assert of(*lines + ("list mount /srv/a:/data:ro",)) == "3fab92c5"


def test_other_letters_have_the_same_tag_under_both():
    """repr() has them as they are under CPython, and as numbers under MicroPython."""
    assert of("list visible /donn\xe9es", "list visible /\u20ac", "list visible /\U0001f600") == "4e6cf136"
    assert of("option root /donn\xe9es", "list mount /srv/\xe9:/data") == "266b7993"
    assert of("option root /\xe9") == "c30a4804"
