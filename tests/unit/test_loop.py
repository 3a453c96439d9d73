"""The loop calls whom a descriptor belongs to, also when numbers of closed ones are taken anew."""

import os
import time

from viscum_agent.loop import POLLIN, Loop, Paced


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


def test_timers_go_first_then_what_is_urgent_then_what_may_wait():
    loop, called = Loop(), []
    fds = [readable() for _ in range(4)]
    for number, fd in enumerate(fds):
        patient = number % 2 == 0
        name = "patient" if patient else "urgent"
        loop.add(fd, lambda _, fd=fd, name=name: (called.append(name), loop.remove(fd)), patient=patient)
    loop.after_all(lambda: called.append("last"))
    loop.after(0, lambda: called.append("timer"))
    loop.step()
    assert called == ["timer", "urgent", "urgent", "patient", "patient", "last"]
    for fd in fds:
        os.close(fd)


def test_what_is_left_for_later_does_not_wait_for_anything_to_happen():
    loop, called = Loop(), []

    def again():
        called.append(loop.turn)
        if len(called) < 3:
            loop.after_all(again)

    loop.after_all(again)
    loop.after(60, lambda: called.append("too late"))
    for _ in range(3):
        loop.step()
    assert called == [1, 2, 3]


def test_a_timer_that_sets_itself_again_and_again_keeps_nobody_out():
    loop, called = Loop(), []

    def again():
        called.append("timer")
        loop.after(0, again)

    fd = readable()
    loop.add(fd, lambda _: called.append("descriptor"))
    loop.after(0, again)
    for _ in range(3):
        loop.step()
    assert called == ["timer", "descriptor"] * 3
    os.close(fd)


def test_a_descriptor_that_becomes_urgent_is_so():
    loop, called = Loop(), []
    first, second = readable(), readable()
    loop.add(first, lambda _: called.append("was patient"), patient=True)
    loop.add(second, lambda _: called.append("patient"), patient=True)
    loop.add(first, lambda _: called.append("urgent"))
    loop.step()
    assert called == ["urgent", "patient"]
    os.close(first)
    os.close(second)


def test_what_is_asked_for_a_thousand_times_takes_half_of_the_time():
    loop, done = Loop(), []

    def work():
        done.append(time.monotonic())
        time.sleep(0.02)

    paced = Paced(loop, work)
    paced.ask()
    assert len(done) == 1, "at once"
    began = time.monotonic()
    while time.monotonic() - began < 0.5:
        paced.ask()
        loop.after(0.001, lambda: None)
        loop.step()
    assert 2 < len(done) <= 13
    assert all(later - earlier >= 0.04 for earlier, later in zip(done, done[1:], strict=False))
    paced.ask()
    asked = time.monotonic()
    while done[-1] < asked:  # the last is not forgotten
        loop.after(0.001, lambda: None)
        loop.step()


def test_what_is_quick_rests_for_the_least_time_and_is_done_once_for_all_that_came_meanwhile():
    loop, done = Loop(), []
    paced = Paced(loop, lambda: done.append(time.monotonic()), 0.2)
    for _ in range(10):
        paced.ask()
    assert len(done) == 1
    loop.step()
    assert len(done) == 2 and done[1] - done[0] >= 0.2
