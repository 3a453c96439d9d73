"""`viscum up` and `viscum down`, but for what they do: tests/netns has that."""

import errno

from viscum_agent.once import Once


def run(tmp_path, step):
    (tmp_path / "viscum").write_text("")
    once = Once(str(tmp_path), [], True)
    once.loop.after(0, step)
    once.loop.after(0, once.loop.stop)
    once.loop.run()


def test_a_bug_on_the_way_is_said_and_is_not_the_end(tmp_path, capfd):
    run(tmp_path, lambda: [][1])
    said = capfd.readouterr().err
    assert "a bug, please report it: IndexError" in said
    assert "Traceback" in said


def test_that_no_descriptor_is_left_is_no_bug(tmp_path, capfd):
    def step():
        raise OSError(errno.EMFILE, "")

    run(tmp_path, step)
    said = capfd.readouterr().err
    assert "has to wait until something is closed: Too many open files" in said
    assert "bug" not in said
    assert "Traceback" not in said
