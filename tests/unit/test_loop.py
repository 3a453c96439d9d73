"""The loop calls whom a descriptor belongs to, also when numbers of closed ones are taken anew."""

import os

from viscum_agent.loop import POLLIN, Loop


def readable():
    """The reading end of a pipe with something in it."""
    reading, writing = os.pipe()
    os.write(writing, b"x")
    os.close(writing)
    return reading


def test_a_number_that_somebody_else_has_by_now_is_not_forgotten_for_the_one_who_closed_it():
    loop, called = Loop(), []
    old, new = lambda _: called.append("old"), lambda _: called.append("new")
    fd = readable()
    loop.add(fd, old)
    os.close(fd)
    assert readable() == fd, "the kernel gives the lowest free number"
    loop.add(fd, new)
    loop.remove(fd, old)
    assert loop.waits(fd, new)
    loop.step()
    assert called == ["new"]
    os.close(fd)


def test_what_a_closed_descriptor_had_to_say_is_not_told_to_the_next_one_with_its_number():
    loop, called = Loop(), []
    first, second = readable(), readable()

    def close_and_take_anew(_):
        for fd in (first, second):
            loop.remove(fd)
            os.close(fd)
        taken = os.pipe()
        assert sorted(taken) == [first, second]
        for fd in taken:  # nothing is in that pipe
            loop.add(fd, lambda _: called.append("what is not readable"))

    loop.add(first, close_and_take_anew)
    loop.add(second, close_and_take_anew)
    loop.step()
    assert called == []


def test_a_descriptor_can_be_told_to_wait_for_something_else():
    loop, called = Loop(), []
    fd, writing = os.pipe()
    os.write(writing, b"x")
    loop.add(fd, lambda _: called.append("too early"), 0)
    loop.after(0, lambda: called.append("nothing"))
    loop.step()
    loop.add(fd, lambda _: called.append("read"), POLLIN)
    loop.step()
    assert called == ["nothing", "read"]
    os.close(fd)
    os.close(writing)
